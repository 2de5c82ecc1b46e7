from app.retrieval.words import fold, tokens


def test_words_are_folded() -> None:
    assert fold("Società, più!") == ["societa", "piu"]


def test_tokens_are_shortened_but_names_are_whole() -> None:
    assert tokens("Società perseroan E33G 12345678") == ["societ", "perser", "e33g", "12345678"]
