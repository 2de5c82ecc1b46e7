"""The figures and texts of docs/guide.it.md are those of the code."""

import re
from datetime import date

from app.events import Usage
from app.llm.pricing import Price
from app.ops.costs import GUIDE_HAIKU, GUIDE_LLAMA, LISTED, SINGLE, Scenario, mix
from app.settings import ROOT
from tests.api.test_health import ACTIVE

GUIDE = (ROOT / "docs" / "guide.it.md").read_text()
# As the guide states them; zantara costs shows those of the day.
LLAMA, HAIKU, HAIKU_5_5 = Price(0.10, 0.30), Price(1.00, 5.00), Price(0.10, 0.50)
MIX = mix(10_000, 15_000, 5_000)


def dollars(text: str) -> list[float]:
    return [float(amount) for amount in re.findall(r"\$([\d.]*\d)", text)]


def rows(title: str) -> list[list[float]]:
    """The amounts of a scenario's two rows, Haiku's first."""
    lines = GUIDE.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(f"| {title}"))
    return [dollars(lines[first]), dollars(lines[first + 1])]


def expected(scenario: Scenario) -> list[list[float]]:
    return [
        [scenario.claims[guide], scenario.cost(guide), scenario.cost(today)]
        for guide, today in ((GUIDE_HAIKU, HAIKU), (GUIDE_LLAMA, LLAMA))
    ]


def test_every_sum_of_the_table_is_true() -> None:
    titles = ("un saluto", "una domanda complessa", "1000 domande al giorno", "10k saluti")
    for title, scenario in zip(titles, (*SINGLE, MIX), strict=True):
        for shown, true in zip(rows(title), expected(scenario), strict=True):
            assert [f"{amount:.6g}" for amount in shown] == [f"{amount:.6g}" for amount in true]


def test_the_prices_are_of_the_day_that_is_said() -> None:
    release, day = LISTED
    assert date.fromisoformat(day) == date(2026, 11, 10)
    assert f"del 10 novembre 2026, quando uscì la versione {release}" in GUIDE


def test_the_savings_are_true() -> None:
    llama, haiku, newer = (MIX.cost(price) for price in (LLAMA, HAIKU, HAIKU_5_5))

    assert f"{(haiku - llama) / haiku:.1%}".replace(".", ",") in GUIDE
    assert f"${haiku - llama:.2f} al mese, non $428" in GUIDE
    assert f"stesso mese ${newer:.2f}" in GUIDE
    percent = f"{(newer - llama) / newer:.1%}".replace(".", ",")
    assert f"Llama risparmia ${newer - llama:.2f}, il {percent}" in GUIDE


def test_the_month_with_the_prompts_that_the_service_sends_is_true() -> None:
    row = r"^\| {} \| (\d+) \| (\d+) \|$"
    titles = {"un saluto": (10_000, 100), "una domanda d'affari": (15_000, 1000)}
    titles["una domanda complessa"] = (5_000, 2000)
    llama = haiku = 0.0
    for title, (count, answer) in titles.items():
        read = re.search(row.format(title), GUIDE, re.MULTILINE)
        assert read, title
        llama += count * LLAMA.of(Usage(int(read[1]), answer))
        haiku += count * HAIKU.of(Usage(int(read[2]), answer))
        if title == "una domanda d'affari":
            too_much = (int(read[1]) - int(read[2])) * HAIKU.input / 1e6
            assert f"${too_much:.5f} di troppo" in GUIDE

    saved = f"{(haiku - llama) / haiku:.1%}".replace(".", ",")
    assert f"${llama:.2f} con Llama e ${haiku:.2f} con Haiku: Llama costa il {saved} in meno" in (
        GUIDE.replace("\n", " ")
    )


def test_the_health_texts_are_the_services() -> None:
    for name, text in ACTIVE.items():
        assert f'"{name}": "{text}"' in GUIDE
