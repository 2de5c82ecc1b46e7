import pytest

from app.errors import DocumentRejected
from app.retrieval.extractors.html import extract
from app.retrieval.extractors.nesting import MAX_DEPTH, check_nesting


@pytest.mark.parametrize(
    "levels",
    ["<div>", "<table><tr><td>", "<ul><li>", "<DIV class='a>b'>", "<b>", "<div><!--</div>-->"],
)
def test_a_page_that_is_nested_without_end_is_refused_before_it_is_parsed(levels: str) -> None:
    with pytest.raises(DocumentRejected, match="nested more than 1,000 deep"):
        extract((levels * 60_000 + "x").encode())


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * (MAX_DEPTH - 10),
        "<div>a</div>" * 5_000,
        "<p>a<br>" * 5_000,
        "<ul>" + "<li>a" * 5_000 + "</ul>",
        "<script>" + "x = '<div>';" * 5_000 + "</script>",
        "1 < 2 <" * 5_000,
        "",
    ],
)
def test_a_long_page_is_no_deep_one(page: str) -> None:
    check_nesting(page)
