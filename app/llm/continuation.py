"""Going on from where a model broke off, and only where the join is exact.

Claude Haiku 4.5 continues an assistant's turn that it is given as the last
message. Such a turn must not end in white space (Anthropic refuses it with a
400), so what was sent of it must stand at the continuation's beginning again.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec.structs import replace

from app.errors import FailureKind, ProviderError
from app.events import Message, TextDelta
from app.llm.provider import CHARACTERS_PER_TOKEN, ChatRequest, Content, ToolCallDelta

OPENING_LETTERS = 32
"""Of what was said, letters and figures alone: a continuation that holds them begins anew."""
LEAD_IN_LETTERS = 24
"""What may stand before it: "Certo! Ecco la risposta:"."""
REPEATED_LETTERS = 5
"""A continuation that begins with so many that were said last says them twice."""
_LEAST_OPENING = 8
_LEAST_CUT_OFF = 4
# An answer with room left must not be cut for the sake of an estimate.
_LEAST_LEFT = 1 / 4
BEGINS_ANEW = "the answer begins anew instead of going on"


def continuation(request: ChatRequest, said: str) -> ChatRequest:
    """The request that has `said` continued, within what is left of its tokens."""
    left = request.max_tokens - len(said) // CHARACTERS_PER_TOKEN
    messages = [*request.messages, Message("assistant", said.rstrip())]
    least = max(1, int(request.max_tokens * _LEAST_LEFT))
    return replace(request, messages=messages, max_tokens=max(left, least), said=said)


async def joined(events: AsyncGenerator[Content], said: str) -> AsyncGenerator[Content]:
    """The continuation's events, without the white space that ended `said` already.

    Its text is held back until enough of it is there to tell that it does not begin anew.
    Raises `ProviderError` (seam) where it does, where it says the last words once more, or
    goes on within a word that had ended.
    """
    held_back: str | None = ""
    enough = LEAD_IN_LETTERS + OPENING_LETTERS
    async with aclosing(events):
        async for event in events:
            if held_back is not None and isinstance(event, TextDelta):
                held_back += event.text
                if len(_letters(held_back)) < enough:
                    continue
                event, held_back = TextDelta(_rest(held_back, said)), None
            elif held_back and not isinstance(event, ToolCallDelta):
                yield TextDelta(_rest(held_back, said))
                held_back = None
            yield event


def _letters(text: str) -> str:
    """What stays the same when only case, spaces or Markdown change."""
    return "".join(filter(str.isalnum, text.casefold()))


def _begins_anew(text: str, said: str) -> bool:
    opening, begun = _letters(said)[:OPENING_LETTERS], _letters(text)
    if len(opening) < _LEAST_OPENING:
        return bool(opening) and begun.startswith(opening)
    # Cut off by the end of the answer it is still the beginning.
    return opening in begun or (len(begun) >= _LEAST_CUT_OFF and opening.startswith(begun))


def _repeats(text: str, said: str) -> bool:
    last, begun = _letters(said)[-OPENING_LETTERS:], _letters(text)
    longest = min(len(last), len(begun))
    # Not figures alone: a long number may well go on with the zeros that it ended in.
    return any(
        last.endswith(begun[:n]) and not begun[:n].isdecimal()
        for n in range(REPEATED_LETTERS, longest + 1)
    )


def _rest(text: str, said: str) -> str:
    """What `text` adds to `said`, which a model continued that was shown it without its end."""
    if not text.strip() or _begins_anew(text, said):
        raise ProviderError(FailureKind.CONTINUATION_MISMATCH, BEGINS_ANEW)
    if _repeats(text, said):
        raise ProviderError(FailureKind.CONTINUATION_MISMATCH, "it says the last words once more")
    gap = said[len(said.rstrip()) :]
    if gap and not text[0].isspace():
        raise ProviderError(
            FailureKind.CONTINUATION_MISMATCH, "it goes on within a word that had ended"
        )
    for space in gap:
        text = text.removeprefix(space)
    return text
