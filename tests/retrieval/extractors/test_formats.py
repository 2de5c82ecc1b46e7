import pytest

from app.errors import DocumentRejected
from app.retrieval.extractors.formats import Format, format_of
from tests.retrieval.extractors.files import archive, docx_file, pdf
from tests.shared import corpus

# What Office writes for a password: a file of before 2007 with one stream for the whole DOCX.
ENCRYPTED = (
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le")
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.md", "is empty"),
        ("html-named.pdf", "is HTML, not PDF as its name says: rename it, or force"),
        ("pdf-named.md", "is PDF, not Markdown as its name says: rename it, or force"),
        ("rtf-named.md", "is RTF, not Markdown as its name says"),
    ],
)
def test_a_disguise_is_seen_through(name: str, reason: str) -> None:
    with pytest.raises(DocumentRejected, match=reason):
        format_of(corpus(f"disguised/{name}").read_bytes(), name)


@pytest.mark.parametrize(
    ("content", "name", "found"),
    [
        (pdf("Pasal 1"), "law.md", Format.PDF),
        (b"# A heading\n\n" + pdf("Pasal 1"), "law.md", Format.PDF),
        (docx_file(), "guide.txt", Format.DOCX),
        (b"\n<!DOCTYPE html><html>", "page.md", Format.HTML),
    ],
)
def test_force_believes_the_bytes(content: bytes, name: str, found: Format) -> None:
    with pytest.raises(DocumentRejected, match=f"is {found}, not "):
        format_of(content, name)
    assert format_of(content, name, force=True) is found


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (archive(a_txt=b"a"), "law.md", "is a zip archive: unpack it"),
        (b"PK\x03\x04....", "law.docx", "is a damaged zip archive"),
        (b"Pasal 1", "law.pdf", "is not PDF, as its name says"),
        (b"Pasal 1", "law.docx", "is not DOCX, as its name says"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "law.docx", "of before 2007"),
        (ENCRYPTED, "law.docx", "is encrypted: save it without its password"),
        (ENCRYPTED, "law.md", "is encrypted"),
        (b"GIF89a", "law.pdf", "is a GIF image"),
        (b"text", "law.abc", r"is none of \.md, \.txt, "),
    ],
)
def test_what_nothing_reads_is_refused_forced_or_not(
    content: bytes, name: str, reason: str
) -> None:
    for force in (False, True):
        with pytest.raises(DocumentRejected, match=reason):
            format_of(content, name, force=force)


def test_a_name_s_ending_may_be_in_capitals() -> None:
    assert format_of(b"Pasal 1", "LAW.MD") is Format.MARKDOWN
