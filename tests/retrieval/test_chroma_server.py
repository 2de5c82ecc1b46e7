"""Against a real `chroma run`; row 60 of the fault matrix: it is down, slow or another's."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.retrieval import dense
from app.retrieval.e5 import E5Embedder
from app.retrieval.filters import SearchFilters
from app.retrieval.knowledge_base import KnowledgeBase, SearchResult
from app.settings import Settings
from tests.retrieval.chroma_server import ChromaServer
from tests.retrieval.material import EVERYONE, TAX, VISA, CountingEmbedder, write

QUESTION = "How long may a tourist stay?"


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
    served: Settings, embedder: E5Embedder, tmp_path: Path
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


def another(served: Settings, tmp_path: Path, name: str = "data-2") -> Settings:
    """A second process's settings: the same server, a directory of its own."""
    return served.model_copy(update={"data_dir": tmp_path / name})


async def until(
    knowledge_base: KnowledgeBase, question: str, documents: set[str], groups: frozenset[str]
) -> None:
    """Ask until just these documents are found by words and vectors, and no others."""
    async with asyncio.timeout(60):
        while True:
            found = await knowledge_base.search(question, groups=groups)
            if {p.document_id for p in found.passages} == documents and not found.degraded:
                return
            await asyncio.sleep(0.05)


async def test_two_processes_on_one_server_see_each_others_documents(
    served: Settings, embedder: E5Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "FOLLOW_S", 0.05)
    write(tmp_path, "more/tax.md", TAX)
    counting = CountingEmbedder(embedder)
    async with (
        KnowledgeBase.open(served, embedder) as one,
        KnowledgeBase.open(another(served, tmp_path), counting) as two,
    ):
        await two.wait_ready(120)
        counting.passages = 0
        await one.add([tmp_path / "more"])
        await until(two, QUESTION, {"visa", "tax"}, EVERYONE)
        async with asyncio.timeout(60):
            while two.stats() != one.stats():
                await asyncio.sleep(0.05)
        assert await two.search(QUESTION, groups=EVERYONE) == await one.search(
            QUESTION, groups=EVERYONE
        )
        write(tmp_path, "more/tax.md", TAX.replace("twenty-two", "twenty-five"))
        await two.add([tmp_path / "more"])
        async with asyncio.timeout(60):
            while "twenty-five" not in await text_of(one, "tax"):
                await asyncio.sleep(0.05)
        await one.delete("tax")
        await until(two, QUESTION, {"visa"}, EVERYONE)
    # What the other one had embedded came with its vectors.
    assert counting.passages == 1


async def text_of(knowledge_base: KnowledgeBase, document_id: str) -> str:
    filters = SearchFilters(document_ids=frozenset({document_id}))
    found = await knowledge_base.search("What is the tax rate?", 50, filters, groups=EVERYONE)
    return " ".join(passage.text for passage in found.passages)


async def test_a_process_that_comes_later_embeds_nothing(
    served: Settings, knowledge: Path, embedder: E5Embedder, tmp_path: Path
) -> None:
    write(tmp_path, "more/tax.md", TAX)
    async with KnowledgeBase.open(served, embedder) as one:
        await one.add([tmp_path / "more"])
        expected = await one.search(QUESTION, groups=EVERYONE)
    (knowledge / "visa.md").unlink()
    counting = CountingEmbedder(embedder)
    async with KnowledgeBase.open(another(served, tmp_path), counting) as two:
        await two.wait_ready(120)
        assert await two.search(QUESTION, groups=EVERYONE) == expected
    assert counting.passages == 0


async def test_the_server_finds_what_the_directory_finds(
    served: Settings, embedder: E5Embedder, tmp_path: Path
) -> None:
    write(tmp_path, "more/tax.md", TAX)
    embedded = another(served, tmp_path).model_copy(update={"chroma_url": None})
    results = []
    for settings in (served, embedded):
        async with KnowledgeBase.open(settings, embedder) as base:
            await base.add([tmp_path / "more"])
            results.append(
                [
                    await base.search(question, groups=EVERYONE)
                    for question in (QUESTION, "KBLI 56101", "Quali tasse paga una società?")
                ]
            )
    assert results[0] == results[1]
    assert all(len(result.passages) == 3 for result in results[0])


async def test_a_server_that_lost_everything_is_filled_again(
    served: Settings, embedder: E5Embedder, server: ChromaServer, tmp_path: Path
) -> None:
    write(tmp_path, "more/tax.md", TAX)
    async with KnowledgeBase.open(served, embedder) as base:
        await base.add([tmp_path / "more"])
        before = await base.search(QUESTION, groups=EVERYONE)
    await server.stop()
    shutil.rmtree(tmp_path / "server")
    await server.start()
    for settings in (served, another(served, tmp_path)):
        async with KnowledgeBase.open(settings, embedder) as base:
            await base.wait_ready(120)
            assert await base.search(QUESTION, groups=EVERYONE) == before


async def test_a_change_made_while_the_server_was_down_is_shared_when_it_is_back(
    served: Settings, embedder: E5Embedder, server: ChromaServer, tmp_path: Path
) -> None:
    write(tmp_path, "more/tax.md", TAX)
    async with KnowledgeBase.open(served, embedder) as one:
        await one.wait_ready(120)
        await server.stop()
        await one.add([tmp_path / "more"])
        await one.delete("visa")
    await server.start()
    (tmp_path / "none").mkdir()
    one_again = served.model_copy(update={"knowledge_dir": tmp_path / "none"})
    async with KnowledgeBase.open(one_again, embedder) as one:
        await until(one, QUESTION, {"tax"}, EVERYONE)
    empty = another(served, tmp_path).model_copy(update={"knowledge_dir": tmp_path / "none"})
    async with KnowledgeBase.open(empty, embedder) as two:
        await until(two, QUESTION, {"tax"}, EVERYONE)


async def test_the_log_says_that_the_server_asks_for_no_password(
    served: Settings, embedder: E5Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    async with KnowledgeBase.open(served, embedder):
        assert "no authentication of its own" in caplog.text


async def test_words_find_while_the_server_is_down_and_vectors_when_it_is_back(
    served: Settings, embedder: E5Embedder, server: ChromaServer, tmp_path: Path
) -> None:
    async with KnowledgeBase.open(served, embedder) as knowledge_base:
        assert not (await knowledge_base.search(QUESTION, groups=EVERYONE)).degraded
        await server.stop()
        found = await knowledge_base.search(QUESTION, groups=EVERYONE)
        assert found.degraded
        assert found.passages[0].document_id == "visa"
        write(tmp_path, "more/rules.md", "# Rules\nHolidaymakers leave after a month.")
        assert (await knowledge_base.add([tmp_path / "more"])).added == 1
        assert not knowledge_base.searches_by_meaning
        await server.start()
        async with asyncio.timeout(60):  # whether anybody asks or not
            while not knowledge_base.searches_by_meaning:
                await asyncio.sleep(0.05)
        found = await search_until_whole(knowledge_base)
    assert {passage.document_id for passage in found.passages} == {"visa", "rules"}


async def test_a_server_that_hangs_does_not_hold_up_an_answer(
    served: Settings, embedder: E5Embedder, server: ChromaServer
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
    settings: Settings, knowledge: Path, embedder: E5Embedder, tmp_path: Path
) -> None:
    write(knowledge, "visa.md", VISA)
    absent = settings.model_copy(update={"chroma_url": ChromaServer(tmp_path).url})
    async with KnowledgeBase.open(absent, embedder) as knowledge_base:
        found = await knowledge_base.search(QUESTION, groups=EVERYONE)
    assert found.degraded
    assert found.passages[0].document_id == "visa"


async def test_a_server_that_answers_nonsense_leaves_the_words(
    settings: Settings, knowledge: Path, embedder: E5Embedder
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
