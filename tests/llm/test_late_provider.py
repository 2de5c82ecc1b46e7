"""A provider that is loaded when it is needed."""

import time

from pydantic import SecretStr

from app.events import Message
from app.llm.haiku import HaikuProvider
from app.llm.late_provider import LateProvider
from app.llm.llama_scout_client import LlamaScoutClient
from app.llm.timing import TimeLimits
from tests.upstream import Upstream, haiku_says

FIRST_CONTENT_S = 1.5


async def test_loading_takes_nothing_of_the_models_time(upstream: Upstream) -> None:
    def make() -> HaikuProvider:
        time.sleep(FIRST_CONTENT_S + 0.1)
        return HaikuProvider(
            SecretStr("planted"),
            base_url=upstream.settings["anthropic_base_url"],
            model="claude-haiku-4-5",
            connect_timeout_s=30,
        )

    upstream.haiku(haiku_says("Eccomi."))
    late = LateProvider("anthropic", "claude-haiku-4-5", make)
    client = LlamaScoutClient(haiku=late, limits=TimeLimits(first_content_s=FIRST_CONTENT_S))
    try:
        answer = await client.chat_async([Message("user", "Ciao")])
    finally:
        await client.aclose()

    assert answer.text == "Eccomi."
