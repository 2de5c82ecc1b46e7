import pytest

from app.retrieval.regulations import contradiction, jurisdiction
from tests.shared import corpus

MARRIAGE = "UNDANG-UNDANG REPUBLIK INDONESIA\nNOMOR 1 TAHUN 1974\nTENTANG\nPERKAWINAN\n"
AMENDING = (
    "UNDANG-UNDANG REPUBLIK INDONESIA\nNOMOR 42 TAHUN 2009\nTENTANG PERUBAHAN KETIGA ATAS "
    "UNDANG-UNDANG NOMOR 8 TAHUN 1983 TENTANG PAJAK\n"
)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("pp-28-2025.md", "Perkawinan"),
        ("law.md", "UU 13/2003 Ketenagakerjaan"),
        ("law.md", "📜 PP NOMOR 35 TAHUN 2021"),
        ("PERMEN_No_26_Tahun_2022.pdf", "law"),
        ("law.md", "UU 40:2007"),
    ],
)
def test_a_law_s_name_on_another_law_s_text_is_noticed(name: str, title: str) -> None:
    said = contradiction(name, title, MARRIAGE)
    assert said
    assert said.endswith("but its text is headed 1/1974")


@pytest.mark.parametrize(
    ("name", "title", "text"),
    [
        ("uu-1-1974.md", "UU 1/1974 Perkawinan", MARRIAGE),
        ("uu-42-2009.md", "UU 42/2009 PPN", AMENDING),
        ("marriage.md", "A guide to marriage", MARRIAGE),
        ("uu-13-2003.md", "UU 13/2003", "Undang-Undang Nomor 1 Tahun 1974 tentang Perkawinan"),
        ("uu-36-2008.md", "UU 36/2008", "ATAS UNDANG-UNDANG NOMOR 7 TAHUN 1983 TENTANG PAJAK"),
        ("e28a-investor-kitas-guide-2025.md", "E28A guide 2025", MARRIAGE),
    ],
)
def test_nothing_is_said_where_nothing_contradicts(name: str, title: str, text: str) -> None:
    assert contradiction(name, title, text) is None


def test_no_law_of_the_corpus_contradicts_its_name() -> None:
    for path in sorted(corpus("laws").glob("*.md")):
        text = path.read_text()
        assert contradiction(path.name, text.partition("\n")[0], text) is None, path.name


def test_national_law_is_told_from_regional() -> None:
    for path in sorted(corpus("laws").glob("*.md")):
        assert jurisdiction(path.read_text()) != "regional", path.name
    reaches = {p.stem: jurisdiction(p.read_text()) for p in corpus("regional").glob("*.md")}
    regional = {stem for stem, reach in reaches.items() if reach == "regional"}
    # Read by a person: of the 48 files fifteen are national law or no law at all.
    not_regional = {"03", "08", "13", "15", "18", "23", "25", "28", "29", "33", "34", "40"}
    not_regional |= {"41", "42", "45"}
    assert {stem.removeprefix("distr-") for stem in reaches.keys() - regional} == not_regional


def test_a_guide_is_no_law() -> None:
    assert jurisdiction("PT PMA setup follows Peraturan Pemerintah 28/2025.") is None
    assert [p.name for p in corpus("guides").glob("*.md") if jurisdiction(p.read_text())] == []


def test_a_letter_spaced_heading_is_read() -> None:
    assert jurisdiction("W A L I K O T A   S I N G K A W A N G\nPERATURAN") == "regional"
