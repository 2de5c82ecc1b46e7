from app.retrieval.chunking import chunk_markdown, chunk_text

LAW = """\
# UU 25/2007 Penanaman Modal

Menimbang: bahwa untuk mempercepat pembangunan.
BAB I
KETENTUAN UMUM
Pasal 1
Dalam Undang-Undang ini yang dimaksud dengan penanaman modal adalah segala bentuk kegiatan,
sebagaimana dimaksud dalam
Pasal 5
ayat (2) Undang-Undang Dasar.
(1) BAB II
HAK ATAS TANAH
Bagian Kesatu
Hak Guna Usaha
Pasal 2\\
Hak guna usaha diberikan 60 tahun.
Pasal 2 10
Cukup diatur dengan Peraturan Pemerintah.
LEMBARAN NEGARA NOMOR 67PENJELASAN
ATAS
UNDANG-UNDANG NOMOR 25 TAHUN 2007
Pasal 1
Cukup jelas.
Pasal 2
Cukup jelas.
"""


def test_articles_stand_under_their_chapter_and_part() -> None:
    chunks = chunk_markdown(LAW, "UU 25/2007")
    assert [chunk.section.removeprefix("UU 25/2007") for chunk in chunks] == [
        " > UU 25/2007 Penanaman Modal",
        " > UU 25/2007 Penanaman Modal > BAB I KETENTUAN UMUM > Pasal 1",
        " > UU 25/2007 Penanaman Modal > BAB II HAK ATAS TANAH > Bagian Kesatu Hak Guna Usaha"
        " > Pasal 2",
        " > UU 25/2007 Penanaman Modal > BAB II HAK ATAS TANAH > Bagian Kesatu Hak Guna Usaha"
        " > Pasal 210",
        " > UU 25/2007 Penanaman Modal > Penjelasan",
    ]
    assert all(LAW[chunk.start : chunk.end] == chunk.text for chunk in chunks)


def test_a_reference_on_a_line_of_its_own_begins_no_article() -> None:
    (first,) = (chunk for chunk in chunk_markdown(LAW, "UU") if chunk.section.endswith("Pasal 1"))
    assert first.text.endswith("Pasal 5\nayat (2) Undang-Undang Dasar.")


def test_the_explanation_is_told_from_the_articles() -> None:
    kinds = [chunk.kind for chunk in chunk_markdown(LAW, "UU")]
    assert kinds == ["body"] * 4 + ["explanation"]


def test_plain_text_has_articles_too() -> None:
    sections = [chunk.section for chunk in chunk_text(LAW, "UU 25/2007")]
    assert "UU 25/2007 > BAB I KETENTUAN UMUM > Pasal 1" in sections


def test_a_guide_that_quotes_an_article_is_no_statute() -> None:
    guide = "# Land\nThe law says:\nPasal 35\nHak guna bangunan.\n"
    assert {chunk.section for chunk in chunk_markdown(guide, "Land")} == {"Land"}
