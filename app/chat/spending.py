"""What several calls of models come to in one turn."""

from msgspec.structs import replace

from app.events import Finished, Usage


class Spent:
    """Tokens and US dollars of the calls so far; an unknown cost makes the sum unknown."""

    def __init__(self) -> None:
        self.calls: list[Finished] = []

    def add(self, call: Finished) -> None:
        """One more call."""
        self.calls.append(call)

    def summed(self, last: Finished) -> Finished:
        """`last`, the turn's end, with the sums of all and the first call's time to a token."""
        calls = self.calls
        return replace(
            last,
            usage=Usage(
                sum(call.usage.input_tokens for call in calls),
                sum(call.usage.output_tokens for call in calls),
                estimated=any(call.usage.estimated for call in calls),
            ),
            cost_usd=_sum([call.cost_usd for call in calls]),
            saved_usd=_sum([call.saved_usd for call in calls]),
            ttft_ms=calls[0].ttft_ms,
        )


def _sum(amounts: list[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
