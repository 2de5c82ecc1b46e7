from pathlib import PurePath

import pytest

from app.retrieval.gate import Findings
from app.retrieval.preparation import prepare
from app.retrieval.statutes import explanation_start
from tests.shared import corpus


def findings(text: str, name: str = "file.md") -> Findings:
    return prepare(text.encode(), name).findings


def test_a_sound_text_passes_without_a_word() -> None:
    found = findings("# Visas\n\nA tourist visa lasts thirty days.")
    assert (found.faults, found.warnings, found.jurisdiction) == ((), (), None)


@pytest.mark.parametrize(
    ("text", "name", "fault"),
    [
        (
            "# KTP\n\nNIK: 3171011708450001",
            "budi.md",
            "holds an Indonesian identity number (NIK): "
            "personal documents are not for a knowledge base",
        ),
        (
            "# UU 13/2003\n\nUNDANG-UNDANG REPUBLIK INDONESIA\nNOMOR 1 TAHUN 1974\nTENTANG\n",
            "uu-13-2003.md",
            "is called 13/2003, but its text is headed 1/1974",
        ),
        (
            "<html><title>404 Not Found</title><body><h1>Not Found</h1></body></html>",
            "pp-28-2025.html",
            "is an error or log-in page, which says nothing but: Not Found",
        ),
    ],
)
def test_a_fault_is_one_line(text: str, name: str, fault: str) -> None:
    assert findings(text, name).faults == (fault,)


def test_no_number_of_a_person_is_repeated() -> None:
    assert "3171011708450001" not in str(findings("NIK: 3171011708450001").faults)


def test_an_account_is_remarked_on() -> None:
    found = findings("# Invoice\n\nIBAN IT60 X054 2811 1010 0000 0123 456")
    assert found.faults == ()
    assert [str(warning) for warning in found.warnings] == ["holds a bank account (IBAN)"]


def test_an_explanation_is_told_from_the_articles() -> None:
    law = corpus("laws/uu-1-1974.md").read_text()
    split = explanation_start(law)
    articles = prepare(law[:split].encode(), "articles.md")
    assert not articles.findings.is_explanation
    assert {chunk.kind for chunk in articles.chunks} == {"body"}
    explanation = prepare(law[split:].encode(), "explanation.md")
    assert explanation.findings.is_explanation
    assert {chunk.kind for chunk in explanation.chunks} == {"explanation"}
    assert [str(warning) for warning in explanation.findings.warnings] == [
        "is the explanation of a regulation without its articles"
    ]


def test_regional_law_is_marked_as_such() -> None:
    path = corpus("regional/distr-41.md")
    assert prepare(path.read_bytes(), path.name).findings.jurisdiction == "national"
    path = corpus("regional/distr-30.md")
    assert prepare(path.read_bytes(), path.name).findings.jurisdiction == "regional"


def test_no_real_law_or_guide_is_refused() -> None:
    # The short ones: all of them take half a minute to cut.
    for folder in ("laws", "guides"):
        for path in sorted(corpus(folder).glob("*.md")):
            if path.stat().st_size < 15_000:
                found = prepare(path.read_bytes(), PurePath(path).name).findings
                assert found.faults == (), path.name
