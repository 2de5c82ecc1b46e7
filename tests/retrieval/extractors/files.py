"""Files as their writers make them."""

import io
import zipfile

import docx


def pdf(*pages: str, encrypted: bool = False) -> bytes:
    """A PDF with a text on each page; `encrypted` with an unknown password."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(count))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {count}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for n, text in enumerate(pages):
        lines = " ".join(f"({line}) '" for line in text.split("\n"))
        content = f"BT /F 9 Tf 12 TL 40 800 Td {lines} ET"
        objects += [
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F 3 0 R>>>>"
            f"/Contents {5 + 2 * n} 0 R>>",
            f"<</Length {len(content)}>>stream\n{content}\nendstream",
        ]
    body = "%PDF-1.4\n"
    offsets = []
    for n, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{n} 0 obj{text}endobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    secret = "00" * 32
    encrypt = (
        f"/Encrypt<</Filter/Standard/V 1/R 2/O<{secret}>/U<{secret}>/P -4>>/ID[<00><00>]"
        if encrypted
        else ""
    )
    size = len(objects) + 1
    body += (
        f"xref\n0 {size}\n0000000000 65535 f \n{table}"
        f"trailer<</Size {size}/Root 1 0 R{encrypt}>>\nstartxref\n{len(body)}\n%%EOF\n"
    )
    return body.encode("ascii")


def docx_file() -> bytes:
    """A short guide, written by python-docx: headings, a list, a table."""
    document = docx.Document()
    document.add_heading("Guide to the E33G permit", 0)
    document.add_heading("Who it is for", 1)
    document.add_paragraph("Remote workers who are paid from abroad.")
    document.add_paragraph("A passport", style="List Bullet")
    document.add_paragraph("Proof of income", style="List Bullet")
    table = document.add_table(rows=0, cols=2)
    for row in (("Fee", "Amount"), ("Permit", "Rp 7,000,000")):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def archive(**members: bytes) -> bytes:
    """A zip archive; `__` in a name stands for `/`, `_` for a dot."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members.items():
            written.writestr(name.replace("__", "/").replace("_", "."), content)
    return file.getvalue()
