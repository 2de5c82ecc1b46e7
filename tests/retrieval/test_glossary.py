from app.retrieval.glossary import Glossary, glossary

LANGUAGES = {"en", "it", "id"}


def test_terms_are_said_in_the_other_languages() -> None:
    terms = glossary().terms("Posso usare un prestanome?", "it")
    assert terms.keys() == LANGUAGES
    assert "nominee" in terms["en"]
    assert "pinjam nama" in terms["id"]


def test_inflected_terms_are_known() -> None:
    assert "pinjam nama" in glossary().terms("I prestanomi sono legali?", "it")["id"]
    assert "permesso di soggiorno" in glossary().terms("stay permits", "en")["it"]


def test_the_very_words_of_a_term_are_no_other_term() -> None:
    terms = glossary().terms("Che licenza serve, e quanto costa?", "it")
    assert "business licence" in terms["en"]
    assert not {"dismissal", "coast"} & set(terms["en"])


def test_of_terms_that_overlap_the_longer_counts() -> None:
    own = Glossary(
        [
            {"en": ["stay permit"], "id": ["izin tinggal"]},
            {"en": ["permit"], "id": ["izin usaha"]},
        ]
    )
    assert own.terms("a stay permit", "en")["id"] == ["izin tinggal"]
    assert own.terms("a permit to stay", "en")["id"] == ["izin usaha"]


def test_a_question_in_an_unknown_language_may_be_in_any() -> None:
    assert "foreign investment company" in glossary().terms("PT PMA", None)["en"]


def test_a_stop_word_is_no_term() -> None:
    assert "advance pricing agreement" not in glossary().terms("Apa itu?", "id").get("en", [])


def test_nothing_is_found_in_nothing() -> None:
    assert glossary().terms("", "en") == {}
    assert glossary().terms("xyzzy", None) == {}


def test_the_shipped_one_bridges_every_pair_of_languages() -> None:
    for language, question in {"en": "tax", "it": "imposta", "id": "pajak"}.items():
        terms = glossary().terms(question, language)
        assert terms.keys() == LANGUAGES
        assert all(term.strip() for found in terms.values() for term in found)
