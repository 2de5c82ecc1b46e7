"""A provider that is loaded when it is needed."""

import errno
import time

import pytest
from pydantic import SecretStr

from app.errors import AnswerUnavailable, FailureKind
from app.events import Message
from app.llm.haiku import HaikuProvider
from app.llm.late_provider import LazyProvider
from app.llm.llama_scout_client import LlamaScoutClient, RoutingOptions
from app.llm.provider import KeyState
from app.llm.timing import TimeLimits
from tests.upstream import Upstream, haiku_says

FIRST_CONTENT_S = 1.5


def haiku(upstream: Upstream) -> HaikuProvider:
    return HaikuProvider(
        SecretStr("planted"),
        base_url=upstream.settings["anthropic_base_url"],
        model="claude-haiku-4-5",
        connect_timeout_s=30,
    )


async def test_loading_takes_nothing_of_the_models_time(upstream: Upstream) -> None:
    def make() -> HaikuProvider:
        time.sleep(FIRST_CONTENT_S + 0.1)
        return haiku(upstream)

    upstream.haiku(haiku_says("Eccomi."))
    late = LazyProvider("anthropic", "claude-haiku-4-5", make)
    limits = TimeLimits(first_content_s=FIRST_CONTENT_S)
    client = LlamaScoutClient(haiku=late, options=RoutingOptions(limits))
    try:
        answer = await client.chat_async([Message("user", "Ciao")])
    finally:
        await client.aclose()

    assert answer.text == "Eccomi."


@pytest.mark.parametrize(
    "told",
    [
        OSError(errno.EMFILE, "Too many open files", "types/message.py"),
        ImportError("libssl.so: cannot open shared object file: Too many open files"),
    ],
)
async def test_what_could_not_be_loaded_for_want_of_descriptors_is_loaded_later(
    upstream: Upstream, told: Exception
) -> None:
    tries = iter([told, told, None])

    def make() -> HaikuProvider:
        if error := next(tries):
            raise error
        return haiku(upstream)

    upstream.haiku(haiku_says("Eccomi."))
    late = LazyProvider("anthropic", "claude-haiku-4-5", make)
    client = LlamaScoutClient(haiku=late)
    try:
        with pytest.raises(AnswerUnavailable) as raised:
            await client.chat_async([Message("user", "Ciao")])
        key = await late.check_key()
        answer = await client.chat_async([Message("user", "Ciao")])
    finally:
        await client.aclose()

    assert raised.value.failures["haiku"].kind is FailureKind.NO_DESCRIPTORS
    assert key is KeyState.UNKNOWN
    assert answer.text == "Eccomi."
