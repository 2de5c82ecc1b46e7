import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from app.llm.provider import CHARACTERS_PER_TOKEN
from app.settings import ROOT
from scripts import benchmark
from scripts.benchmark_report import (
    SIMULATED,
    Call,
    bootstrap,
    json_report,
    plot,
    success_rate,
    text_report,
    winner,
)  # fmt: skip
from tests.upstream import Upstream, haiku_says, llama_says, status

pytestmark = pytest.mark.slow


def call(question: str, ai: str, ttft_ms: float | None, outcome: str = "success") -> Call:
    return Call(
        question, "casual", "it", ai, ai, outcome, ttft_ms, 2000.0, 50, 100, 0.001, simulated=False
    )


def paired(llama_ms: list[float], haiku_ms: list[float]) -> list[Call]:
    return [
        call(str(n), ai, ms)
        for ai, times in (("llama-scout", llama_ms), ("haiku", haiku_ms))
        for n, ms in enumerate(times)
    ]


@pytest.fixture
def two_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [benchmark.questions()[0], benchmark.questions()[-1]]
    monkeypatch.setattr(benchmark, "questions", lambda: chosen)


@pytest.fixture
def real(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a real run; where its results go."""
    monkeypatch.chdir(tmp_path)
    for name, value in upstream.settings.items():
        monkeypatch.setenv(name.upper(), value)
    return tmp_path / "results.jsonl"


def test_there_are_a_hundred_questions_of_the_guides_kinds_and_sizes() -> None:
    questions = benchmark.questions()

    assert len({question.id for question in questions}) == 100
    assert Counter(q.category for q in questions) == {"casual": 34, "business": 33, "complex": 33}
    assert Counter(q.language for q in questions) == {"it": 34, "en": 33, "id": 33}
    for question in questions:
        if question.context:
            assert (ROOT / "knowledge" / f"{question.context}.md").exists()
        size = len(question.prompt) / CHARACTERS_PER_TOKEN
        assert size <= benchmark.SIZES[question.category][0] * 1.1


def test_intervals_hold_the_figure_and_shrink_with_more_calls() -> None:
    few, many = bootstrap([1, 2, 3, 4, 100]), bootstrap([1, 2, 3, 4, 100] * 40)

    assert few
    assert many
    assert few.low <= few.value == 3 <= few.high
    assert many.high - many.low < few.high - few.low
    assert bootstrap([]) is None
    rate = success_rate([call("1", "haiku", 1.0)] * 10)
    assert rate
    assert rate.value == 1.0
    assert rate.high == pytest.approx(1.0)
    assert rate.low == pytest.approx(0.722, abs=0.001)  # Wilson's interval of 10 in 10


def test_a_winner_is_named_only_where_the_interval_tells() -> None:
    assert winner(paired([80.0] * 20, [100.0] * 20)) == "🦙 Llama 20% faster"
    assert winner(paired([100.0] * 20, [80.0] * 20)) == "Haiku 20% faster"
    assert winner(paired([80.0, 120.0] * 10, [100.0] * 20)) == "no difference shown"
    assert winner(paired([80.0], [])) == "–"


@pytest.mark.usefixtures("two_questions")
def test_a_simulated_run_says_so_in_every_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, figures, picture = (tmp_path / name for name in ("r.jsonl", "r.json", "r.png"))
    outputs = ["--results", str(results), "--json", str(figures), "--plot", str(picture)]
    code = benchmark.main(["--simulate", *outputs])
    printed, logged = capsys.readouterr()

    assert code == 0
    assert logged == ""
    lines = printed.strip().splitlines()
    assert lines[0] == lines[-1] == SIMULATED
    assert all(line.endswith("(SIMULATED)") for line in lines if line.startswith("##"))
    assert json.loads(figures.read_text())["SIMULATED"] == SIMULATED
    assert all(json.loads(line)["simulated"] for line in results.read_text().splitlines())
    assert len(results.read_text().splitlines()) == 4
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("two_questions")
async def test_a_run_goes_on_where_it_stopped_and_a_failure_is_a_result(
    real: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.llama(llama_says("Uno."), status(403))
    upstream.haiku(haiku_says("Uno."), haiku_says("Due."))
    for _ in range(2):  # no step is left for a call of the second run
        assert await asyncio.to_thread(benchmark.main, ["--results", str(real)]) == 0
    printed = capsys.readouterr().out

    calls = [Call(**json.loads(line)) for line in real.read_text().splitlines()]
    assert [(each.ai, each.outcome) for each in calls] == [
        ("llama-scout", "success"),
        ("haiku", "success"),
        ("llama-scout", "permission"),
        ("haiku", "success"),
    ]
    assert calls[0].cost_usd == pytest.approx(0.00034)
    assert calls[1].output_tokens == 120
    assert "SIMULATED" not in printed
    assert "| Success Rate | 50%" in printed
    assert json_report(calls)["groups"]["haiku"]["success"].value == 1.0


@pytest.mark.usefixtures("two_questions")
async def test_another_model_is_asked_all_and_a_line_that_was_cut_again(
    real: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    upstream.llama(*[llama_says("Uno.")] * 5)

    async def reported(model: str) -> set[str]:
        monkeypatch.setenv("LLAMA_MODEL", model)
        figures = real.with_suffix(".json")
        arguments = ["--results", str(real), "--json", str(figures), "--max-usd", "9"]
        assert await asyncio.to_thread(benchmark.main, arguments) == 0
        return {json.loads(line)["asked_model"] for line in real.read_text().splitlines()}

    await reported("meta-llama/llama-4-scout")
    real.write_text(real.read_text()[:-20])
    assert await reported("meta-llama/llama-4-scout") == {"meta-llama/llama-4-scout"}
    assert len(real.read_text().splitlines()) == 2
    monkeypatch.setenv("LLAMA_PRICE_INPUT", "0.1")
    monkeypatch.setenv("LLAMA_PRICE_OUTPUT", "0.3")
    assert len(await reported("another/llama")) == 2
    assert len(real.read_text().splitlines()) == 4


@pytest.mark.usefixtures("two_questions", "upstream")
def test_nothing_is_asked_that_might_pass_the_limit(
    real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = benchmark.main(["--results", str(real), "--max-usd", "0.00001"])

    assert code == 1
    assert "stopped at $0.0000" in capsys.readouterr().out


@pytest.mark.usefixtures("upstream")  # which no call may reach
@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_an_output_that_could_not_be_written_is_refused_before_anything_is_paid(
    option: str, real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (real.parent / "missing" / "figures", real.parent):
        with pytest.raises(SystemExit):
            benchmark.main(["--results", str(real), option, str(path)])
        assert "is no file in a folder that is there" in capsys.readouterr().err
    assert not real.exists()


@pytest.mark.usefixtures("two_questions")
def test_measured_and_simulated_calls_are_never_mixed(
    real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(["--simulate", "--results", str(real)]) == 0
    assert benchmark.main(["--results", str(real)]) == 1
    assert "mixes measured and simulated" in capsys.readouterr().err


def test_without_a_key_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert benchmark.main([]) == 1
    assert "no key is set: see .env.example, or use --simulate" in capsys.readouterr().err


def test_one_simulated_call_marks_the_whole_report(tmp_path: Path) -> None:
    calls = paired([80.0] * 3, [100.0] * 3)
    mixed = [replace(calls[0], simulated=True), *calls[1:]]

    assert SIMULATED not in text_report(calls)
    assert text_report(mixed).startswith(SIMULATED)
    plot(mixed, tmp_path / "marked.png")
    plot(calls, tmp_path / "plain.png")
    assert (tmp_path / "marked.png").read_bytes() != (tmp_path / "plain.png").read_bytes()
