"""Going on from where a model broke off.

Claude Haiku 4.5 continues an assistant's turn that it is given as the last
message. Such a turn must not end in white space (Anthropic refuses it with a
400), so what was sent of it is taken off the continuation's beginning instead.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from app.events import LLMEvent, Message, TextDelta
from app.llm.provider import CHARACTERS_PER_TOKEN, ChatRequest


def continuation(request: ChatRequest, said: str) -> ChatRequest:
    """The request that has `said` continued, within what is left of its tokens."""
    left = request.max_tokens - len(said) // CHARACTERS_PER_TOKEN
    messages = [*request.messages, Message("assistant", said.rstrip())]
    return replace(request, messages=messages, max_tokens=max(left, 1))


async def joined(events: AsyncGenerator[LLMEvent], said: str) -> AsyncGenerator[LLMEvent]:
    """The continuation's events, without the white space that ended `said` already."""
    at_the_seam = said != said.rstrip()
    async with aclosing(events):
        async for event in events:
            if at_the_seam and isinstance(event, TextDelta):
                text = event.text.lstrip()
                if not text:
                    continue
                at_the_seam = False
                event = TextDelta(text)
            yield event
