from collections.abc import Iterator

import pytest

from app.retrieval import lexical_index
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.lexical_index import match_terms
from app.retrieval.store import Store
from app.settings import Settings
from tests.retrieval.material import EVERYONE
from tests.retrieval.test_store import put


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = Store(settings.data_dir)
    put(store, "visas", "The E33G permit is for remote workers.", language="en")
    put(store, "codes", "Restaurants are KBLI 56101, bars KBLI 56301.", language="en")
    put(store, "law-28", "PP 28/2025 governs licences; see Pasal 33 and 55 people.", language="en")
    put(store, "law-55", "PP 55/2022 governs taxes; there are 28 rules of 2025.", language="en")
    put(store, "capitale", "Il capitale della società è versato.", language="it")
    yield store
    store.close()


def found(store: Store, question: str, filters: SearchFilters | None = None) -> list[str]:
    scope = Scope(filters or SearchFilters(), EVERYONE)
    ids = store.search_words(question, 10, scope)
    passages = store.passages(ids, scope)
    return [passages[i].document_id for i in ids]


@pytest.mark.parametrize(
    ("question", "document_id"),
    [
        ("KBLI 56101?", "codes"),
        ("e33g", "visas"),
        ("PP 28/2025", "law-28"),
        ("PP 55/2022", "law-55"),
        ("Pasal 33", "law-28"),
        ("SOCIETA", "capitale"),
        ("capitali sociali", "capitale"),
        ("restaurant", "codes"),
    ],
)
def test_names_and_words_are_found(store: Store, question: str, document_id: str) -> None:
    assert found(store, question)[0] == document_id


@pytest.mark.parametrize(
    "question",
    [
        'permit" OR "',
        "NEAR(permit workers)",
        "body:permit AND NOT *",
        "permit^2 - + ( ) {}",
        "'; DROP TABLE words; --permit",
        '"permit',
    ],
)
def test_query_syntax_in_a_question_is_harmless(store: Store, question: str) -> None:
    assert "visas" in found(store, question)


@pytest.mark.parametrize("question", ["", "???", '"" * ( )', "👋"])
def test_a_question_without_words_finds_nothing(store: Store, question: str) -> None:
    assert found(store, question) == []


def test_filters_narrow(store: Store) -> None:
    question = "permit capitale KBLI"
    italian, visas = frozenset({"it"}), frozenset({"visas"})
    assert found(store, question, SearchFilters(languages=italian)) == ["capitale"]
    assert found(store, question, SearchFilters(document_ids=visas)) == ["visas"]
    assert found(store, question, SearchFilters(document_ids=visas, languages=italian)) == []


def test_a_name_of_two_words_is_a_phrase_too() -> None:
    assert match_terms("Pasal 33!") == ["pasal", "33", "pasal 33"]


def test_stop_words_are_left_out_unless_there_is_nothing_else() -> None:
    assert match_terms("Che cos'è la PT?") == ["cos", "pt"]
    assert match_terms("Apa itu?") == ["apa", "itu"]


def test_further_terms_are_looked_for_as_phrases() -> None:
    assert match_terms("visa", ["izin tinggal"]) == ["visa", "izin tingga"]
    assert match_terms("", ["izin tinggal"]) == ["izin tingga"]


def test_no_character_is_syntax_in_a_phrase(store: Store) -> None:
    # With a digit beside it, each is looked for as a name of two words.
    for start in range(1, 0x3000, 64):
        found(store, " ".join(f"28 {chr(code)}b" for code in range(start, start + 64)))


def test_the_rarer_word_and_the_one_said_more_often_rank_first(store: Store) -> None:
    put(store, "often", "Dividends: dividends are what dividends are.", language="en")
    put(store, "once", "Dividends are what a company that has earned it pays.", language="en")
    assert found(store, "dividends") == ["often", "once"]
    assert found(store, "dividends remote") == ["often", "visas", "once"]


def test_a_language_and_a_word_do_not_make_another_word(store: Store) -> None:
    put(store, "try", "Applicants try again.", language="en")
    assert found(store, "entry") == []


def test_a_narrow_scope_is_filled_from_far_down_the_ranking(store: Store) -> None:
    for number in range(40):
        put(store, f"near-{number}", "permit permit permit", language="en")
    only = SearchFilters(document_ids=frozenset({"visas"}))
    assert found(store, "permit", only) == ["visas"]


def test_what_many_passages_hold_is_passed_over_unless_it_is_all_that_is_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = {"visas", "codes", "law-28", "law-55"}
    assert set(found(store, "KBLI workers governs")) == everything
    monkeypatch.setattr(lexical_index, "_MAX_HOLDERS", 1)
    assert set(found(store, "KBLI workers governs")) == {"visas", "codes"}
    assert set(found(store, "governs")) == {"law-28", "law-55"}
    put(store, "codes-2", "Hotels are KBLI 55110.", language="en")
    assert found(store, "KBLI workers") == ["visas"]
