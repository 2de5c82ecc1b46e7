from app.retrieval.warnings import DocumentWarning, decoded, encoded


def test_warnings_are_stored_a_line_each() -> None:
    warnings = [
        DocumentWarning("not_read", "holds no text, only an image", "page 2"),
        DocumentWarning("content", "two\nlines"),
    ]
    stored = encoded(warnings)
    assert len(stored.splitlines()) == 2
    assert decoded(stored) == warnings


def test_a_line_of_before_is_a_detail() -> None:
    assert decoded("holds a bank account (IBAN)") == [
        DocumentWarning("content", "holds a bank account (IBAN)")
    ]


def test_a_warning_is_one_line_with_its_place() -> None:
    assert str(DocumentWarning("not_read", "is empty", "page 2")) == "page 2: is empty"
