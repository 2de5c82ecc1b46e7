"""Files that are small and unpack to what no machine holds, that loop, or that reach outside."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from tests.retrieval.extractors.files import docx_file

MEGABYTE = 1024**2
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx_with(part: str, content: bytes, *, declared: int | None = None) -> bytes:
    """A sound DOCX but for one part; `declared` is the size that it says it has."""
    file = io.BytesIO(docx_file())
    whole = io.BytesIO()
    with zipfile.ZipFile(file) as sound, zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as made:
        for member in sound.infolist():
            if member.filename != part:
                made.writestr(member, sound.read(member))
        made.writestr(part, content)
    if declared is None:
        return whole.getvalue()
    sizes = struct.pack("<L", len(content))
    return whole.getvalue().replace(sizes, struct.pack("<L", declared))


def overlapping(parts: int) -> bytes:
    """An archive whose every entry is the same megabyte of data."""
    data = zlib.compress(b"0" * MEGABYTE, 9)[2:-4]
    crc = zlib.crc32(b"0" * MEGABYTE)
    sizes = struct.pack("<LLL", crc, len(data), MEGABYTE)
    name = b"word/document.xml"
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 0x5821) + sizes
    local += struct.pack("<HH", len(name), 0) + name + data
    entries = b""
    for n in range(parts):
        entry = name if n == 0 else b"word/%d.xml" % n
        entries += b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 0x5821) + sizes
        entries += struct.pack("<HHHHHLL", len(entry), 0, 0, 0, 0, 0, 0) + entry
    end = struct.pack("<HHHHLLH", 0, 0, parts, parts, len(entries), len(local), 0)
    return local + entries + b"PK\x05\x06" + end


def nested(depth: int = 6) -> bytes:
    """An archive in an archive in an archive: what a quine would be for ever."""
    content = b"0" * MEGABYTE
    for _ in range(depth):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            for n in range(8):
                made.writestr(f"{n}.zip", content)
        content = file.getvalue()
    return content


def laughs() -> str:
    """Ten entities, each of ten of the one before: a billion characters."""
    declared = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
    )
    return f"<!DOCTYPE d [{declared}]>{_body('&a9;')}"


def merged(levels: int = 7) -> str:
    """Front matter of mappings merged into mappings: half a million of them."""
    lines = [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return "\n".join(["---", "title: Laughs", "m0: &m0 {ha: ha}", *lines, "---", "# Laughs", ""])


def external(address: str) -> str:
    """An entity that stands at an address."""
    return f'<!DOCTYPE d [<!ENTITY x SYSTEM "{address}">]>{_body("&x;")}'


def _body(text: str) -> str:
    return (
        f'<w:document xmlns:w="{_W}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body>'
        "</w:document>"
    )


def linked_picture(address: str) -> bytes:
    """A DOCX whose picture lies at an address."""
    drawing = (
        f'<w:document xmlns:w="{_W}" '
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
        'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
        'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        "<w:body><w:p><w:r><w:t>A permit lasts a year.</w:t></w:r><w:r><w:drawing><wp:inline>"
        '<wp:docPr descr="x"/><a:graphic><a:graphicData><pic:pic><pic:blipFill>'
        '<a:blip r:link="rId99"/></pic:blipFill></pic:pic></a:graphicData></a:graphic>'
        "</wp:inline></w:drawing></w:r></w:p></w:body></w:document>"
    )
    file = io.BytesIO(docx_with("word/document.xml", drawing.encode()))
    with zipfile.ZipFile(file) as made:
        relations = made.read("word/_rels/document.xml.rels")
    image = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"
    added = f'<Relationship Id="rId99" Type="{image}" Target="{address}" TargetMode="External"/>'
    whole = relations.replace(b"</Relationships>", added.encode() + b"</Relationships>")
    made_whole = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made_whole, "w") as new:
        for member in old.infolist():
            is_relations = member.filename == "word/_rels/document.xml.rels"
            new.writestr(member, whole if is_relations else old.read(member))
    return made_whole.getvalue()


def pdf_of(*objects: str | bytes, previous: int | None = None, root: int = 1) -> bytes:
    """A PDF of these objects; `previous` is where its table says an older one stands."""
    body = b"%PDF-1.5\n"
    offsets = []
    for n, content in enumerate(objects, start=1):
        offsets.append(len(body))
        written = content.encode() if isinstance(content, str) else content
        body += b"%d 0 obj\n%b\nendobj\n" % (n, written)
    start = len(body)
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    older = "" if previous is None else f"/Prev {previous or start}"
    body += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer<</Size {len(objects) + 1}/Root {root} 0 R{older}>>\n"
        f"startxref\n{start}\n%%EOF\n"
    ).encode()
    return body


CATALOGUE = "<</Type/Catalog/Pages 2 0 R>>"
PAGE = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<<{}>>>>"
ONE_PAGE = "<</Type/Pages/Kids[3 0 R]/Count 1>>"


def stream(content: bytes, more: str = "") -> bytes:
    """A stream, and what more its head says."""
    return f"<<{more}/Length {len(content)}>>stream\n".encode() + content + b"\nendstream"


def _a_gigabyte_of_blanks() -> bytes:
    packing = zlib.compressobj(1)
    packed = b"".join(packing.compress(b" " * MEGABYTE) for _ in range(1_000))
    return zlib.compress(packed + packing.flush(), 9)


PDFS: dict[str, Callable[[], bytes]] = {
    "tables that name each other.pdf": lambda: pdf_of(
        CATALOGUE, ONE_PAGE, PAGE.format(""), stream(b""), previous=0
    ),
    "pages that hold their parent.pdf": lambda: pdf_of(
        CATALOGUE, "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2/Parent 2 0 R>>"
    ),
    "a billion pages.pdf": lambda: pdf_of(
        CATALOGUE, "<</Type/Pages/Kids[3 0 R]/Count 1000000000>>", PAGE.format(""), stream(b"")
    ),
    "a form that draws itself.pdf": lambda: pdf_of(
        CATALOGUE,
        ONE_PAGE,
        PAGE.format("/XObject<</X 5 0 R>>"),
        stream(b"/X Do " * 50),
        stream(
            b"/X Do " * 50,
            "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>",
        ),
    ),
    "a gigabyte in ten kilobytes.pdf": lambda: pdf_of(
        CATALOGUE,
        ONE_PAGE,
        PAGE.format(""),
        stream(_a_gigabyte_of_blanks(), "/Filter[/FlateDecode/FlateDecode]"),
    ),
    "brackets.pdf": lambda: pdf_of(CATALOGUE, ONE_PAGE, "[" * 2_000_000, stream(b"")),
    "an object that is its own length.pdf": lambda: pdf_of(
        CATALOGUE, ONE_PAGE, PAGE.format(""), b"<</Length 4 0 R>>stream\nx\nendstream"
    ),
}
