from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import MOST_QUESTIONS, cli
from app.errors import ConfigurationError
from app.llm.pricing import Price, PriceList
from app.ops.costs import GUIDE_HAIKU, GUIDE_LLAMA, LISTED, SINGLE, Model, mix, models, report
from tests.test_cli import ZANTARA, environment, run
from tests.upstream import Upstream, llama_says, llama_usage

LLAMA, HAIKU = "meta-llama/llama-4-scout", "claude-haiku-4-5"
AT_THE_GUIDES_PRICES = [
    Model("openrouter", LLAMA, GUIDE_LLAMA, GUIDE_LLAMA),
    Model("anthropic", HAIKU, GUIDE_HAIKU, GUIDE_HAIKU),
]


def rows(title: str, lines: list[str]) -> list[str]:
    """The lines of one scenario."""
    start = next(n for n, line in enumerate(lines) if line.startswith(title))
    return lines[start : lines.index("", start)]


def test_the_guides_sums_stand_beside_the_true_ones_and_differences_are_said() -> None:
    lines = list(report([*SINGLE, mix(10_000, 15_000, 5_000)], AT_THE_GUIDES_PRICES))

    llama, haiku = rows("One casual", lines)[2:4]
    assert llama.split()[1:4] == ["$0.00000003", "$0.00003000", "$0.00003000"]
    assert haiku.split()[1:4] == ["$0.00000055", "$0.00055", "$0.00055"]
    assert "1,000 times too low" in llama
    assert "1,000 times too low" in haiku

    llama, haiku = rows("One complex", lines)[2:4]
    assert llama.split()[1:] == ["$0.0005"] * 3
    assert haiku.split()[1:] == ["$0.0105"] * 3

    llama, haiku = rows("A month of 1,000", lines)[2:4]
    assert llama.split()[1:] == ["$12.00"] * 3
    assert haiku.split()[1:] == ["$240.00"] * 3

    llama, haiku, saving = rows("10,000 casual", lines)[2:5]
    assert llama.split()[1:4] == ["$22.00", "$6.70", "$6.70"]
    assert haiku.split()[1:4] == ["$450.00", "$137.50", "$137.50"]
    assert "3.3 times too high" in llama
    assert "3.3 times too high" in haiku
    assert f"costs $130.80 less than {HAIKU} (95.1%)" in saving


def test_another_mix_has_no_claims_of_the_guide() -> None:
    lines = list(report([mix(1, 0, 0)], AT_THE_GUIDES_PRICES))

    assert rows("1 casual", lines)[2].split()[1:] == ["–", "$0.00003000", "$0.00003000"]


def test_a_newer_haiku_shows_how_little_llama_still_saves() -> None:
    prices = PriceList({("openrouter", LLAMA): Price(0.1, 0.3)})
    compared = models(prices, LLAMA, HAIKU, [("anthropic", "claude-haiku-5-5")])
    lines = list(report([mix(10_000, 15_000, 5_000)], compared))

    assert "0.10     0.50" in next(line for line in lines if "claude-haiku-5-5 (anthropic)" in line)
    assert any("costs $5.20 less than claude-haiku-5-5 (37.8%)" in line for line in lines)


def test_a_dearer_llama_is_said_to_cost_more() -> None:
    compared = [Model("openrouter", LLAMA, Price(2, 2)), AT_THE_GUIDES_PRICES[1]]

    lines = list(report([mix(1000, 0, 0), mix(0, 0, 0)], compared))

    assert any("costs $0.25 less" in line for line in lines)
    compared = [Model("openrouter", LLAMA, Price(20, 20)), AT_THE_GUIDES_PRICES[1]]
    assert any("costs $2.45 more" in line for line in report([mix(1000, 0, 0)], compared))


def test_what_the_guide_says_of_haiku_4_5_is_not_said_of_another() -> None:
    compared = models(PriceList(), LLAMA, "claude-haiku-5-5", [])
    lines = list(report([mix(10_000, 15_000, 5_000)], compared))

    assert rows("10,000 casual", lines)[2].split()[1:3] == ["$22.00", "$6.70"]
    assert rows("10,000 casual", lines)[3].split()[1:3] == ["–", "–"]


def test_the_day_of_the_prices_is_that_of_the_release_which_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # After `make lock` found a newer one: its day of publication belongs into LISTED.
    assert version("genai-prices") == LISTED[0]

    monkeypatch.setattr("app.ops.costs.version", lambda _: "9.9")
    lines = list(report([], AT_THE_GUIDES_PRICES))
    assert "genai-prices 9.9 has them, which may not be today's." in lines


def test_a_model_without_a_price_is_named() -> None:
    with pytest.raises(ConfigurationError, match="anthropic:claude-unknown"):
        models(PriceList(), LLAMA, HAIKU, [("anthropic", "claude-unknown")])


async def test_the_command_takes_any_mix_and_shows_what_was_spent(
    tmp_path: Path, data_dir: Path, upstream: Upstream
) -> None:
    upstream.llama(llama_says("Sì.", usage=llama_usage(cost=0.00034)))
    env = environment(data_dir, upstream, LLAMA_PRICE_INPUT="0.2", LLAMA_PRICE_OUTPUT="0.2")
    await run(ZANTARA, "ask", "Cos'è una PT PMA?", env=env, cwd=tmp_path)
    code, out, err = await run(
        ZANTARA, "costs", "--casual", "100", "--business", "0", "--complex", "7",
        "--beside", "openai:gpt-4o-mini",
        env=env, cwd=tmp_path,
    )  # fmt: skip

    assert code == 0, err
    assert "meta-llama/llama-4-scout (openrouter)        0.20     0.20" in out
    assert "claude-haiku-5-5 (anthropic)" in out
    assert "gpt-4o-mini (openai)" in out
    assert "genai-prices 0.2.3 of 2026-11-10 has them, which may not be today's" in out
    assert "100 casual, 0 business and 7 complex questions" in out
    spent = next(line for line in out.splitlines() if line.startswith("  20"))
    assert spent.split()[1:] == [LLAMA, "1", "0", "0.000340", "0.000660"]
    assert "about 3,000 tokens to\nLlama and 2,500 to Haiku" in out
    assert "Saved is against Haiku for the tokens that Llama read" in out


@pytest.mark.parametrize("count", [-1, MOST_QUESTIONS + 1])
def test_a_count_out_of_bounds_is_refused(count: int) -> None:
    refused = CliRunner().invoke(cli, ["costs", f"--casual={count}"])

    assert refused.exit_code == 2
    assert "--casual" in refused.output


def test_the_columns_have_room_for_the_most() -> None:
    lines = list(report([mix(*[MOST_QUESTIONS] * 3)], AT_THE_GUIDES_PRICES))

    haiku = next(line for line in lines if line.startswith(f"  {HAIKU} ") and "$" in line)
    assert haiku.split()[1:] == ["–", "$1,635,000.00", "$1,635,000.00"]


async def test_a_ledger_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("no database " * 100)
    code, _, err = await run(ZANTARA, "costs", env=environment(tmp_path), cwd=tmp_path)

    assert code == 1
    assert "the ledger in" in err
    assert "Traceback" not in err
