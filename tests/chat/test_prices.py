from app.chat.prices import priced_rows

TEXT = """\
service: Setting up a PT PMA
servizio: Costituzione di una PT PMA
price: 25,000,000

service: Investor KITAS
servizio: KITAS per investitori
price: 18,000,000

service: Working KITAS
servizio: KITAS di lavoro
price: 20,000,000
"""


def found(query: str) -> list[str]:
    return [TEXT[row.start : row.end].splitlines()[0] for row in priced_rows(TEXT, query)]


def test_rows_are_found_in_any_of_the_lists_languages() -> None:
    assert found("KITAS per investitori") == ["service: Investor KITAS"]
    assert found("investor kitas") == ["service: Investor KITAS"]
    assert found("kitas") == ["service: Investor KITAS", "service: Working KITAS"]
    assert found("PT PMA") == ["service: Setting up a PT PMA"]


def test_without_a_query_all_are_there_and_for_an_unknown_service_none() -> None:
    assert len(found("")) == 3
    assert found("matrimonio") == []


def test_a_row_is_what_stands_between_blank_lines() -> None:
    first = priced_rows(TEXT, "")[0]

    assert TEXT[first.start : first.end].endswith("price: 25,000,000")
