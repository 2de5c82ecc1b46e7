"""Continuation of an answer that broke off, where it fits exactly.

Claude Haiku 4.5 continues an assistant message that is the last of the request. Anthropic
refuses such a message with a 400 when it ends in white space, so the prefix is sent without
it, and the same white space must begin the continuation.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from app.errors import FailureKind, ProviderError
from app.events import Message, TextDelta
from app.llm.provider import CHARACTERS_PER_TOKEN, ChatRequest, Content, ToolCallDelta

OPENING_LETTERS = 32
"""Of the prefix, letters and digits alone: a continuation that contains them starts over."""
LEAD_IN_LETTERS = 24
"""That may come before them: "Certo! Ecco la risposta:"."""
REPEATED_LETTERS = 5
"""A continuation that starts with so many of the last ones repeats them."""
_LEAST_OPENING = 8
_LEAST_CUT_OFF = 4
# An answer with room left must not be cut for the sake of an estimate.
_LEAST_LEFT = 1 / 4
STARTS_OVER = "the answer begins anew instead of going on"


def continuation(request: ChatRequest, prefix: str) -> ChatRequest:
    """Return the request to continue `prefix`, within what is left of its tokens."""
    left = request.max_tokens - len(prefix) // CHARACTERS_PER_TOKEN
    messages = [*request.messages, Message("assistant", prefix.rstrip())]
    least = max(1, int(request.max_tokens * _LEAST_LEFT))
    return replace(request, messages=messages, max_tokens=max(left, least), prefix=prefix)


class ContinuationFilter:
    """Pass a continuation's events on, once its beginning fits the end of `prefix`.

    The beginning is held back until there is enough of it to see that the answer does not
    start over. White space that ends `prefix` is removed from it.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._held_back: str | None = ""

    def take(self, event: Content) -> Sequence[Content]:
        """Return what can be passed on after `event`.

        Raises:
            ProviderError: A continuation mismatch: the answer starts over, repeats its last
                words, or continues within a word that had ended.
        """
        if self._held_back is None:
            return (event,)
        if isinstance(event, TextDelta):
            self._held_back += event.text
            enough = len(_letters(self._held_back)) >= LEAD_IN_LETTERS + OPENING_LETTERS
            return (self._released(self._held_back),) if enough else ()
        if self._held_back and not isinstance(event, ToolCallDelta):
            return (self._released(self._held_back), event)
        return (event,)

    def _released(self, text: str) -> TextDelta:
        self._held_back = None
        return TextDelta(_rest(text, self._prefix))


def _letters(text: str) -> str:
    """What stays the same when only case, spaces or Markdown change."""
    return "".join(filter(str.isalnum, text.casefold()))


def _starts_over(text: str, prefix: str) -> bool:
    opening, start = _letters(prefix)[:OPENING_LETTERS], _letters(text)
    if len(opening) < _LEAST_OPENING:
        return bool(opening) and start.startswith(opening)
    # Cut off by the end of the answer it is still the beginning.
    return opening in start or (len(start) >= _LEAST_CUT_OFF and opening.startswith(start))


def _repeats(text: str, prefix: str) -> bool:
    last, start = _letters(prefix)[-OPENING_LETTERS:], _letters(text)
    longest = min(len(last), len(start))
    # Not figures alone: a long number may well go on with the zeros that it ended in.
    return any(
        last.endswith(start[:n]) and not start[:n].isdecimal()
        for n in range(REPEATED_LETTERS, longest + 1)
    )


def _rest(text: str, prefix: str) -> str:
    """Return what `text` adds to `prefix`, whose last white space the model was not shown."""
    if not text.strip() or _starts_over(text, prefix):
        raise ProviderError(FailureKind.CONTINUATION_MISMATCH, STARTS_OVER)
    if _repeats(text, prefix):
        raise ProviderError(FailureKind.CONTINUATION_MISMATCH, "it says the last words once more")
    gap = prefix[len(prefix.rstrip()) :]
    if gap and not text[0].isspace():
        raise ProviderError(
            FailureKind.CONTINUATION_MISMATCH, "it goes on within a word that had ended"
        )
    for space in gap:
        text = text.removeprefix(space)
    return text
