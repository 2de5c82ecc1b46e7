"""Going on from where a model broke off, and only where the join is exact.

Claude Haiku 4.5 continues an assistant's turn that it is given as the last
message. Such a turn must not end in white space (Anthropic refuses it with a
400), so what was sent of it must stand at the continuation's beginning again.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from app.errors import FailureKind, ProviderError
from app.events import Message, TextDelta
from app.llm.provider import CHARACTERS_PER_TOKEN, ChatRequest, Content, ToolCallGrows

OPENING_CHARACTERS = 32
"""A continuation that begins with so many characters of what was said begins anew."""
BEGINS_ANEW = "the answer begins anew instead of going on"


def continuation(request: ChatRequest, said: str) -> ChatRequest:
    """The request that has `said` continued, within what is left of its tokens."""
    left = request.max_tokens - len(said) // CHARACTERS_PER_TOKEN
    messages = [*request.messages, Message("assistant", said.rstrip())]
    return replace(request, messages=messages, max_tokens=max(left, 1), said=said)


async def joined(events: AsyncGenerator[Content], said: str) -> AsyncGenerator[Content]:
    """The continuation's events, without the white space that ended `said` already.

    Its text is held back while it might still be the beginning of `said` again.
    Raises `ProviderError` (seam) where it begins anew or goes on within a word that
    had ended.
    """
    held_back: str | None = ""
    opening = said.strip()[:OPENING_CHARACTERS]
    async with aclosing(events):
        async for event in events:
            if held_back is not None and isinstance(event, TextDelta):
                held_back += event.text
                begun = held_back.lstrip()
                if opening.startswith(begun) and begun != opening:
                    continue
                if begun.startswith(opening):
                    raise ProviderError(FailureKind.SEAM, BEGINS_ANEW)
                event, held_back = TextDelta(_rest(held_back, said)), None
            elif held_back and not isinstance(event, ToolCallGrows):
                raise ProviderError(FailureKind.SEAM, BEGINS_ANEW)
            yield event


def _rest(text: str, said: str) -> str:
    """What `text` adds to `said`, which a model continued that was shown it without its end."""
    gap = said[len(said.rstrip()) :]
    if gap and not text[0].isspace():
        raise ProviderError(FailureKind.SEAM, "it goes on within a word that had ended")
    for space in gap:
        text = text.removeprefix(space)
    return text
