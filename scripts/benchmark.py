"""The guide's benchmark: a hundred questions to each configured model.

    python -m scripts.benchmark --max-usd 1            # both models, by the keys in .env
    python -m scripts.benchmark --simulate             # against a local stand-in, no key needed

One call at a time, the models in turn, so that both meet the same hour. Each call is one line of
`--results`; started again with the same file, it goes on where it stopped.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from app.errors import AnswerUnavailable, ConfigurationError, ProviderError
from app.events import Message, Usage
from app.llm.factory import configured_prices, open_client
from app.llm.ledger import HAIKU, LLAMA, SUCCESS, CallRecord
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.provider import CHARACTERS_PER_TOKEN
from app.ops.logging import configure_logging
from app.settings import ROOT, Settings, load_settings
from scripts.benchmark_report import SIMULATED, Call, json_report, plot, text_report
from scripts.benchmark_stand_in import stand_in

QUESTIONS = ROOT / "scripts" / "benchmark_questions.jsonl"
SYSTEM = "Answer questions on doing business in Indonesia, in the question's language."
# The guide's sizes: tokens of the whole question and of the answer.
SIZES = {"casual": (50, 100), "business": (300, 1000), "complex": (500, 2000)}


@dataclass(frozen=True, slots=True)
class Question:
    """A question, with the document whose beginning fills it up to the guide's size."""

    id: str
    category: str
    language: str
    question: str
    context: str | None = None

    @property
    def prompt(self) -> str:
        """What the model is sent."""
        if self.context is None:
            return self.question
        room = SIZES[self.category][0] * CHARACTERS_PER_TOKEN - len(self.question)
        text = (ROOT / "knowledge" / f"{self.context}.md").read_text()[: max(0, room)]
        return f"{text}\n\n{self.question}"

    @property
    def max_tokens(self) -> int:
        """The guide's length of the answer."""
        return SIZES[self.category][1]


def questions() -> list[Question]:
    """All hundred."""
    return [Question(**json.loads(line)) for line in QUESTIONS.read_text().splitlines()]


@asynccontextmanager
async def clients(settings: Settings) -> AsyncIterator[dict[str, LlamaScoutClient]]:
    """A router for each configured model that has nothing to fall back on."""
    alone = {LLAMA: {"anthropic_api_key": None}, HAIKU: {"openrouter_api_key_llama": None}}
    keys = {LLAMA: settings.openrouter_api_key_llama, HAIKU: settings.anthropic_api_key}
    async with AsyncExitStack() as stack:
        yield {
            ai: await stack.enter_async_context(
                # Every failure is to be seen, not the circuit's refusal after it.
                open_client(settings.model_copy(update={**alone[ai], "circuit_breaker": False}))
            )
            for ai in (LLAMA, HAIKU)
            if keys[ai]
        }


async def measure(client: LlamaScoutClient, question: Question, *, simulated: bool) -> Call:
    """Ask once. An answer at the second try counts with the cost of both."""
    entries: list[CallRecord] = []
    client.ledger.listeners.append(entries.append)
    try:
        messages = [Message("user", question.prompt)]
        await client.chat_async(messages, max_tokens=question.max_tokens, system=SYSTEM)
    except (AnswerUnavailable, ProviderError):
        pass  # the entry says what it was
    finally:
        client.ledger.listeners.remove(entries.append)
    last = entries[-1]
    costs = [entry.cost_usd for entry in entries if entry.cost_usd is not None]
    return Call(
        question=question.id,
        category=question.category,
        language=question.language,
        ai=last.ai,
        model=last.model if last.outcome == SUCCESS else last.asked_model,
        outcome=last.outcome,
        ttft_ms=last.ttft_ms,
        total_ms=last.duration_s * 1000,
        input_tokens=last.usage.input_tokens,
        output_tokens=last.usage.output_tokens,
        cost_usd=sum(costs) if costs else None,
        simulated=simulated,
        asked_model=last.asked_model,
    )


def worst_case_usd(settings: Settings, ai: str, question: Question) -> float:
    """What one call may cost at the most. Raises `ConfigurationError` without a price."""
    names = {
        LLAMA: ("openrouter", settings.llama_model),
        HAIKU: ("anthropic", settings.haiku_model),
    }
    price = configured_prices(settings).price(*names[ai])
    if price is None:
        raise ConfigurationError(f"--max-usd needs the price of {names[ai][1]}: see .env.example")
    # Twice: the router may ask once more. A character a token is more than any tokenizer makes.
    return 2 * price.of(Usage(len(question.prompt) + len(SYSTEM), question.max_tokens))


async def run(settings: Settings, results: Path, max_usd: float, *, simulated: bool) -> list[Call]:
    """Ask what these models have not been asked yet, within `max_usd`; their calls, old and new."""
    before = earlier(results, simulated=simulated)
    calls = [c for c in before if c.asked_model in (settings.llama_model, settings.haiku_model)]
    done = {(call.question, call.ai) for call in calls}
    spent = sum(call.cost_usd or 0.0 for call in before)
    results.parent.mkdir(parents=True, exist_ok=True)
    async with clients(settings) as asked:
        with results.open("a") as file:
            for question in questions():
                for ai, client in asked.items():
                    if (question.id, ai) in done:
                        continue
                    if spent + worst_case_usd(settings, ai, question) > max_usd:
                        print(f"stopped at ${spent:.4f}: the next call might pass --max-usd")
                        return calls
                    call = await measure(client, question, simulated=simulated)
                    calls.append(call)
                    spent += call.cost_usd or 0.0
                    file.write(json.dumps(asdict(call)) + "\n")
                    file.flush()
    return calls


def earlier(results: Path, *, simulated: bool) -> list[Call]:
    """The calls of an earlier run. Raises `ConfigurationError` on another kind of run's."""
    if not results.exists():
        return []
    text = results.read_text()
    whole = text[: text.rfind("\n") + 1]
    calls = [Call(**json.loads(line)) for line in whole.splitlines()]
    if any(call.simulated != simulated for call in calls):
        raise ConfigurationError(f"{results} mixes measured and simulated calls: name another file")
    if whole != text:
        results.write_text(whole)  # the end of a run that was killed in the middle of a line
    return calls


async def benchmark(arguments: argparse.Namespace) -> list[Call]:
    """The calls that were asked for, measured or simulated."""
    if not arguments.simulate:
        settings = load_settings()
        if not (settings.openrouter_api_key_llama or settings.anthropic_api_key):
            raise ConfigurationError("no key is set: see .env.example, or use --simulate")
        return await run(settings, arguments.results, arguments.max_usd, simulated=False)
    async with stand_in() as overrides:
        given: dict[str, Any] = dict(overrides)
        settings = Settings(_env_file=None, **given)
        return await run(settings, arguments.results, arguments.max_usd, simulated=True)


def _dollars(text: str) -> float:
    amount = float(text)
    if not 0 <= amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no amount of dollars")
    return amount


def _output(text: str) -> Path:
    # Looked for now: when the calls are paid for it is late.
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no file in a folder that is there")
    return path


def main(given: Sequence[str] | None = None) -> int:
    """Run, and print the tables; 1 when it cannot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--max-usd", type=_dollars, default=1.0, help="spend no more (default: 1)")
    parser.add_argument("--results", type=Path, help="a line a call; goes on with what is there")
    parser.add_argument("--json", type=_output, help="write the figures there")
    parser.add_argument("--plot", type=_output, help="draw them there, as PNG")
    parser.add_argument("--simulate", action="store_true", help=SIMULATED)
    arguments = parser.parse_args(given)
    name = "benchmark-SIMULATED.jsonl" if arguments.simulate else "benchmark.jsonl"
    arguments.results = arguments.results or Path("data") / name
    configure_logging("console")
    # A line for each call would bury the tables, and look measured where it is simulated.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    logging.getLogger().setLevel(logging.WARNING)
    try:
        calls = asyncio.run(benchmark(arguments))
    except ConfigurationError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    if not calls:
        return 1
    print(text_report(calls), end="")
    if arguments.json:
        figures = json.dumps(json_report(calls), indent=2, default=asdict)
        arguments.json.write_text(f"{figures}\n")
    if arguments.plot:
        plot(calls, arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
