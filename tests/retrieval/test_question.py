from app.retrieval.question import Question

TRANSLATIONS = {"en": "Is a nominee allowed?", "id": "Bolehkah pinjam nama?"}
QUESTION = Question("Posso usare un prestanome?", "it", TRANSLATIONS)


def test_each_language_is_asked_in_its_own_words() -> None:
    asked = {words.languages: words.text for words in QUESTION.words_in(["en", "fr", "id", "it"])}
    assert asked == {
        frozenset({"it", "fr"}): "Posso usare un prestanome?",
        frozenset({"en"}): "Is a nominee allowed?",
        frozenset({"id"}): "Bolehkah pinjam nama?",
    }
    assert QUESTION.meanings == TRANSLATIONS


def test_names_are_looked_for_in_every_language() -> None:
    alone = Question("Cos'è il visto E33G?", "it", {})
    own, english = alone.words_in(["en", "it"])
    assert (own.text, own.languages) == ("Cos'è il visto E33G?", frozenset({"en", "it"}))
    assert (english.text, english.languages) == ("E33G?", frozenset({"en"}))
    assert "visa" in english.terms


def test_without_a_translation_the_glossary_bridges() -> None:
    alone = Question("Posso usare un prestanome?", "it", {})
    assert alone.meanings.keys() == {"en", "id"}
    assert alone.meanings["id"].startswith("Posso usare un prestanome? pinjam nama")
    assert "testa di legno" in alone.terms_for("it")


def test_with_translations_a_language_is_not_asked_for_its_own_synonyms() -> None:
    assert "testa di legno" in QUESTION.terms_for("it")
    only_own = Question("Posso usare un prestanome?", "it", {"en": "May I do that?"})
    assert "testa di legno" not in only_own.terms_for("it")
    assert "nominee" in only_own.terms_for("en")


def test_a_translation_into_the_questions_own_language_is_not_used() -> None:
    odd = Question("Posso usare un prestanome?", "it", {"it": "Altro"})
    assert [words.text for words in odd.words_in(["it"])] == ["Posso usare un prestanome?"]
    assert "it" not in odd.meanings
