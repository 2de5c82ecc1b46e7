from app.retrieval.fingerprints import fingerprint
from tests.shared import corpus

TEXT = " ".join(f"word{n}" for n in range(500))


def share(one: str, other: str) -> float:
    samples = fingerprint(one).samples
    return len(set(samples) & set(fingerprint(other).samples)) / len(samples)


def test_case_marks_and_white_space_count_for_nothing() -> None:
    assert fingerprint("Pasal 1. Perkawinan!") == fingerprint("pasal 1\n\nperkawinan")
    assert fingerprint("Pasal 1") != fingerprint("Pasal 2")


def test_a_changed_word_leaves_nearly_all() -> None:
    changed = TEXT.replace("word250 ", "another ")
    assert fingerprint(changed).whole != fingerprint(TEXT).whole
    assert share(TEXT, changed) > 0.9
    assert share(TEXT, TEXT.replace("word", "other")) == 0


def test_templates_filled_in_for_two_visas_are_not_the_same() -> None:
    one = corpus("guides/json-c1-visa-tourism.md").read_text()
    other = corpus("guides/json-c2-visa-business.md").read_text()
    assert share(one, other) < 0.8
