from typing import Any

import pytest

from bench.bars import WITHOUT_HTTPX, bars
from bench.questions import ROWS
from bench.report import PAGE, TABLES, last_figures, with_tables


@pytest.fixture
def figures() -> dict[str, Any]:
    """A run in which every bar is held."""
    machine = {"processors": "2 × X", "memory_gb": 24, "python": "3.11", "load_average": [0.1]}
    new = [
        {"path": path, "kind": kind, "at_once": at_once, "requests": 48, "errors": 0, "degraded": 0,
         "rewrites": 0, "cpu_ms_per_request": 20.0, "requests_per_s": 40.0, "first_p50_ms": 20.0,
         "first_p99_ms": 40.0, "peak_mb": 300}
        for path, kind in ROWS
        for at_once in (1, 16, 64)
    ]  # fmt: skip
    lanes = {"floor": 1.0, "router": 1.2, "chat": 10.0, WITHOUT_HTTPX: 1.0, "litellm": 50.0}
    rows = [
        {"lane": lane, "streamed": True, "at_once": at_once, "errors": 0, "degraded": 0,
         "cpu_ms_per_request": cpu, "requests_per_s": 100.0, "peak_mb": 300.0}
        | dict.fromkeys(("first_added_p50_ms", "first_added_p99_ms"), 1.0)
        | dict.fromkeys(("total_added_p50_ms", "total_added_p99_ms"), 2.0)
        for lane, cpu in lanes.items()
        for at_once in (1, 16, 64)
    ]  # fmt: skip
    stream = {"streams": 1000, "failed": 0, "health_failed": 0, "largest_gap_ms": 300.0}
    stream |= dict.fromkeys(("gap_p99_ms", "first_p50_ms", "first_p99_ms"), 1.0)
    stream |= dict.fromkeys(("health_slowest_ms", "kb_per_stream", "cpu_us_per_piece"), 1.0)
    small = dict.fromkeys(("small_by_words_s", "small_by_words_most_s"), 0.5)
    small |= dict.fromkeys(("small_by_vectors_s", "small_by_vectors_most_s"), 2.0)
    return {
        "before": {**machine, "at": "now"},
        "after": {**machine, "at": "then"},
        "new_questions": new,
        "ingest": {"documents": 4, "passages": 600, "passages_per_s": 18.0, "peak_mb": 350,
                   "passages_per_cpu_s": 10.0, "longest_pause_ms": 15.0, "pause_at_rest_ms": 2.0,
                   **small},
        "rows": rows,
        "unhurried": [row for row in rows if row["at_once"] == 64],
        "open_streams": [{"lane": lane, **stream} for lane in ("floor", "router")],
        "refused": {"direct": {"first_p50_ms": 0.2, "errors": 0},
                    "after a refusal": {"first_p50_ms": 2.2, "errors": 0}},
    }  # fmt: skip


def test_the_page_has_every_table_as_the_last_run_has_it() -> None:
    page = PAGE.read_text()

    assert with_tables(page, last_figures()) == page
    for name in TABLES:
        assert page.count(f"<!-- bench: {name} -->\n") == 1


def test_the_page_leads_with_new_questions() -> None:
    page = PAGE.read_text()

    assert page.index("bench: new ") < page.index("bench: ingest ")
    assert page.index("bench: ingest ") < page.index("bench: remembered ")


def test_each_heading_says_whether_questions_are_new_or_remembered(
    figures: dict[str, Any],
) -> None:
    assert TABLES["new"](figures).startswith("| new questions |")
    for name in ("remembered", "unhurried", "streams"):
        assert TABLES[name](figures).startswith("| remembered questions")


def test_a_table_has_a_row_for_each_figure_and_is_written_over(figures: dict[str, Any]) -> None:
    page = "before\n<!-- bench: new -->\nold\n<!-- /bench -->\nafter"

    written = with_tables(page, figures)

    assert written.startswith("before\n<!-- bench: new -->\n| new questions")
    assert written.endswith("<!-- /bench -->\nafter")
    assert "old" not in written
    assert written.count("| `/search`, ") == 6
    assert written.count("| `/chat`, ") == 9
    assert with_tables(written, figures) == written


@pytest.mark.parametrize(
    ("what", "field", "limit", "beyond"),
    [
        ("new questions, /search at 1: CPU, ms", "cpu_ms_per_request", 35.0, 35.1),
        ("… p50, ms", "first_p50_ms", 30.0, 30.1),
        ("new questions, /search at 16: requests a second", "requests_per_s", 30.0, 29.9),
        ("new questions: degraded, of all", "degraded", 0, 1),
        ("new questions: failed, of all", "errors", 0, 1),
    ],
)
def test_a_bar_is_held_up_to_its_limit_by_the_worst_row(
    what: str, field: str, limit: float, beyond: float, figures: dict[str, Any]
) -> None:
    def held() -> bool | None:
        return next(bar.held for bar in bars(figures) if bar.what == what)

    at_once = 16 if "at 16" in what else 1
    row = next(
        row
        for row in figures["new_questions"]
        if (row["path"], row["at_once"], row["kind"]) == ("/search", at_once, "glossary versions")
    )
    row[field] = limit
    assert held() is True
    row[field] = beyond
    assert held() is False


def test_a_new_question_is_compared_with_litellm_only_where_it_was_measured(
    figures: dict[str, Any],
) -> None:
    compared = [bar for bar in bars(figures) if bar.what.startswith("LiteLLM's CPU, of a whole")]
    assert [bar.measured for bar in compared] == [2.5] * 3
    figures["rows"] = [row for row in figures["rows"] if row["lane"] != "litellm"]

    assert not [bar for bar in bars(figures) if "LiteLLM" in bar.what]
