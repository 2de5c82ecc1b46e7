"""A real child process, and files that harm it."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from app.errors import DocumentRejected
from app.retrieval.extractors.formats import SUFFIXES
from app.retrieval.preparation import Prepared, prepare
from app.retrieval.reader import LIMITS, Reader, start_child
from tests.retrieval.extractors import files
from tests.shared import documents

SMALL = b'{"permit": "E33G is for remote workers"}'
# Markdownify needs a minute for it.
LONG_WORK = b"<p><b>x</b>" * 500_000
# Six million lists of 64 bytes each.
MUCH_MEMORY = b"[" + b"[]," * 6_000_000 + b"[]]"


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader() as started:
        yield started


@pytest.mark.parametrize(
    ("name", "content", "passage", "page"),
    [
        ("guide.docx", files.docx_file(), "Rp 7,000,000", None),
        ("law.pdf", files.pdf("Pasal 1 Pendahuluan", "Pasal 2 Penutup"), "Pasal 1", 1),
        ("page.html", b"<h1>Visa</h1><p>It lasts a year.</p>", "It lasts a year.", None),
        ("codes.csv", b"Code,Name\n56101,Restaurant\n", "Name: Restaurant", None),
        ("visas.json", SMALL, "permit: E33G", None),
        ("visas.jsonl", SMALL + b"\n" + SMALL, "permit: E33G", None),
        ("long.md", b"# Visto\n\nDura un anno.\n\n" * 4_000, "Dura un anno.", None),
    ],
)
def test_every_format_becomes_passages_of_its_text(
    name: str, content: bytes, passage: str, page: int | None, reader: Reader
) -> None:
    prepared = reader.prepare(content, name)
    text = prepared.loaded.text
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in prepared.chunks)
    found = next(chunk for chunk in prepared.chunks if passage in chunk.text)
    assert found.page == page


def test_a_passage_knows_the_pages_on_which_it_begins_and_ends(reader: Reader) -> None:
    pages = [f"Halaman {n}" + "\nkata kata kata kata" * 45 for n in ("satu", "dua", "tiga")]
    prepared = reader.prepare(files.pdf(*pages), "law.pdf")
    for chunk in prepared.chunks:
        begun = prepared.loaded.text[: chunk.start + len("Halaman")].count("Halaman")
        assert chunk.page == begun
        ended = prepared.loaded.text[: chunk.end].count("Halaman")
        assert chunk.last_page == ended
    assert any(chunk.page != chunk.last_page for chunk in prepared.chunks)
    assert {chunk.page for chunk in prepared.chunks} == {1, 2, 3}


NUMBERS = (
    "NIK: 3171011708450001",
    "NPWP 01.312.166.0-091.000",
    "codice fiscale RSSMRA85T10A562S",
    "IBAN ES91 2100 0418 4502 0005 1332",
    "carta 4111 1111 1111 1111",
)


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_persons_are_known_in_the_child_too(number: str, reader: Reader) -> None:
    content = f"# A guide\n\nWrite {number} on the form.\n".encode()
    with_child = reader.prepare(content, "guide.md", force=True)
    assert with_child == prepare(content, "guide.md", force=True)


@pytest.mark.slow
def test_the_child_lacks_nothing_that_reading_takes(reader: Reader) -> None:
    """It can import and open nothing: every hard file comes out of it as it does here."""
    for path in sorted(path for path in documents("").iterdir() if path.suffix in SUFFIXES):
        content = path.read_bytes()
        found = read_by(reader.prepare, content, path.name)
        # Scans are read in the child alone, where Tesseract is installed.
        if isinstance(found, str) or "recognised" not in {w.kind for w in found.warnings}:
            assert found == read_by(prepare, content, path.name)


def read_by(read: Callable[..., Prepared], content: bytes, name: str) -> Prepared | str:
    try:
        return read(content, name, force=True)
    except DocumentRejected as error:
        return str(error)


def reading(**limits: float) -> Reader:
    return Reader(lambda: start_child(replace(LIMITS, **limits)))


def test_too_much_work_ends_the_child_and_the_next_file_is_read() -> None:
    with reading(cpu_s=1) as reader:
        with pytest.raises(DocumentRejected, match="takes too long to be read"):
            reader.prepare(LONG_WORK, "long.html")
        assert "E33G" in reader.prepare(SMALL, "small.json").loaded.text


def test_a_child_that_hangs_is_killed_by_the_clock() -> None:
    with (
        reading(time_s=0.3) as reader,
        pytest.raises(DocumentRejected, match="takes too long to be read"),
    ):
        reader.prepare(LONG_WORK, "long.html")


def test_row_12_too_much_memory_is_refused_and_the_next_file_is_read() -> None:
    with reading(memory_bytes=600 * 1024**2) as reader:
        with pytest.raises(DocumentRejected, match="takes too much memory to be read"):
            reader.prepare(MUCH_MEMORY, "large.json")
        assert "E33G" in reader.prepare(SMALL, "small.json").loaded.text


def test_a_damaged_file_is_one_line_and_the_library_s_complaint_is_logged(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DocumentRejected, match="is damaged: it does not read as") as refused:
        reader.prepare(files.archive(word__document_xml=b"<w:document"), "guide.docx")
    assert "Error" not in str(refused.value)
    assert "reading guide.docx failed" in caplog.text
    assert "Error" in caplog.text
