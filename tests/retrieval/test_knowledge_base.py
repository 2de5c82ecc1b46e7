import asyncio
from pathlib import Path

import pytest

from app.errors import ConfigurationError, EmbedderMismatch, IndexNotReady, StorageFailed
from app.retrieval import chroma_index, dense
from app.retrieval.e5 import E5Embedder
from app.retrieval.filters import SearchFilters
from app.retrieval.knowledge_base import KnowledgeBase, SearchResult
from app.retrieval.options import IngestOptions
from app.retrieval.records import Stats
from app.retrieval.store import Store
from app.settings import ROOT, Settings
from tests.retrieval.material import (
    EVERYONE,
    TAX,
    VISA,
    CountingEmbedder,
    FailingEmbedder,
    HangingEmbedder,
    OtherEmbedder,
    write,
)

QUESTION = "How long may a tourist stay?"


@pytest.fixture(autouse=True)
def _documents(knowledge: Path) -> None:
    write(knowledge, "en/visa.md", VISA)
    write(knowledge, "en/tax.md", TAX)


async def ask(settings: Settings, embedder: E5Embedder) -> SearchResult:
    """Open, ask once, close."""
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        return await knowledge_base.search(QUESTION, groups=EVERYONE)


async def test_the_bundled_knowledge_is_found_by_meaning(
    settings: Settings, embedder: E5Embedder
) -> None:
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.wait_ready(30)
        assert knowledge_base.ready
        assert knowledge_base.stats() == Stats(2, 3)
        found = await knowledge_base.search(
            "Quanto può fermarsi un turista?", top_k=1, groups=EVERYONE
        )
    (passage,) = found.passages
    assert (found.small_talk, found.degraded) == (False, False)
    assert (passage.document_id, passage.title) == ("en/visa", "Visas for a stay")
    assert passage.section == "Visas for a stay > Tourist visa"
    assert passage.score > 0


async def test_offsets_point_into_the_stored_text(settings: Settings, embedder: E5Embedder) -> None:
    found = await ask(settings, embedder)
    store = Store(settings.data_dir)
    for passage in found.passages:
        document = store.document(passage.document_id)
        assert document
        assert document.text[passage.start : passage.end] == passage.text
    store.close()


async def test_a_bundled_file_that_is_removed_is_gone_at_the_next_start(
    settings: Settings, knowledge: Path, embedder: E5Embedder
) -> None:
    before = await ask(settings, embedder)
    (knowledge / "en/tax.md").unlink()
    after = await ask(settings, embedder)
    assert {p.document_id for p in before.passages} == {"en/visa", "en/tax"}
    assert {p.document_id for p in after.passages} == {"en/visa"}


async def test_a_deleted_document_is_not_found(settings: Settings, embedder: E5Embedder) -> None:
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        assert await knowledge_base.delete("en/visa")
        assert not await knowledge_base.delete("en/visa")
        assert knowledge_base.stats() == Stats(1, 1)
        found = await knowledge_base.search(QUESTION, groups=EVERYONE)
    assert {p.document_id for p in found.passages} == {"en/tax"}


async def test_small_talk_gets_no_passages(settings: Settings, embedder: E5Embedder) -> None:
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        assert await knowledge_base.search("Ciao! Come va?", groups=EVERYONE) == SearchResult(
            (), small_talk=True
        )


@pytest.mark.parametrize("question", ["", " \n", "\0"])
async def test_no_question_finds_nothing(
    settings: Settings, embedder: E5Embedder, question: str
) -> None:
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        assert await knowledge_base.search(question, groups=EVERYONE) == SearchResult(())


@pytest.mark.parametrize(
    "question", ["visa\0 tourist", "tourist \ud800 visa", "tourist visa " * 100_000, '"visa" OR *']
)
async def test_strange_questions_are_answered(
    settings: Settings, embedder: E5Embedder, question: str
) -> None:
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        found = await knowledge_base.search(question, top_k=1, groups=EVERYONE)
    assert found.passages[0].document_id == "en/visa"


async def test_filters_narrow_both_halves(
    settings: Settings, knowledge: Path, embedder: E5Embedder
) -> None:
    write(knowledge, "it/visti.md", "# Visti\nIl visto turistico dura trenta giorni, poi scade.")
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:

        async def found(filters: SearchFilters) -> set[str]:
            result = await knowledge_base.search("tourist visa", filters=filters, groups=EVERYONE)
            return {passage.document_id for passage in result.passages}

        assert await found(SearchFilters()) == {"en/visa", "en/tax", "it/visti"}
        assert await found(SearchFilters(languages=frozenset({"it"}))) == {"it/visti"}
        assert await found(SearchFilters(document_ids=frozenset({"en/tax"}))) == {"en/tax"}
        assert await found(SearchFilters(languages=frozenset({"fr"}))) == set()


async def test_the_version_in_the_questions_language_comes_first(
    settings: Settings, knowledge: Path, embedder: E5Embedder
) -> None:
    write(knowledge, "it/visa.md", "# Visti\nIl visto turistico dura trenta giorni, poi scade.")
    write(knowledge, "id/visa.md", "# Visa\nVisa wisata berlaku tiga puluh hari lalu habis.")
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        for question, first in [
            ("Quanto dura il visto turistico?", "it/visa"),
            ("Berapa lama visa wisata berlaku?", "id/visa"),
            ("How long is a tourist visa valid?", "en/visa"),
        ]:
            found = await knowledge_base.search(question, groups=EVERYONE)
            assert found.passages[0].document_id == first


@pytest.mark.parametrize("top_k", [0, 51])
async def test_top_k_is_bounded(settings: Settings, embedder: E5Embedder, top_k: int) -> None:
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        with pytest.raises(ValueError, match="expected 1 to 50"):
            await knowledge_base.search(QUESTION, top_k=top_k, groups=EVERYONE)


async def test_many_searches_and_an_ingest_at_once(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    for i in range(10):
        write(tmp_path, f"more/{i}.md", f"# Office {i}\nOffice number {i} opens at {i + 6}.")
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        searches = [
            knowledge_base.search(f"question number {i}?", groups=EVERYONE) for i in range(20)
        ]
        summary, found = await asyncio.gather(
            knowledge_base.add([tmp_path / "more"]), asyncio.gather(*searches)
        )
        assert summary.added == 10
        assert all(result.passages and not result.degraded for result in found)


async def test_chroma_finds_of_many_passages_what_comparing_finds_of_few(
    settings: Settings, tmp_path: Path, embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "_TRY_S", 0.1)
    for i in range(40):
        write(tmp_path, f"more/{i}.md", f"# Office {i}\nOffice number {i} opens at {i + 6}.")
    write(tmp_path, "more/kantor.md", "# Kantor\nKantor imigrasi buka pada pukul delapan pagi.")
    write(tmp_path, "other/staff.md", "# Staff\nOffice number 7 opens at noon for us.")
    groups = EVERYONE | {"staff"}
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "more"])
        await knowledge_base.add([tmp_path / "other"], options=IngestOptions(access="staff"))
        compared = await knowledge_base.search(QUESTION, 50, groups=groups)
        # Public English, neither Indonesian nor staff.
        monkeypatch.setattr(chroma_index, "LARGE", 5)
        async with asyncio.timeout(60):
            while not knowledge_base._dense._chroma.partitions:
                await asyncio.sleep(0.01)
                assert await knowledge_base.search(QUESTION, 50, groups=groups) == compared
        assert await knowledge_base.search(QUESTION, 50, groups=groups) == compared
        assert knowledge_base._dense._chroma.partitions == {("en", "public", False)}
    assert not compared.degraded
    assert len(compared.passages) == 31  # 30 of a language
    assert "staff" in {passage.document_id for passage in compared.passages}


async def test_not_ready_is_told(settings: Settings, embedder: E5Embedder) -> None:
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        assert not knowledge_base.ready
        with pytest.raises(IndexNotReady):
            await knowledge_base.wait_ready(0)


async def test_closing_while_it_indexes_leaves_a_base_that_opens(
    settings: Settings, embedder: E5Embedder
) -> None:
    async with KnowledgeBase.open(settings, embedder):
        pass
    assert (await ask(settings, embedder)).passages


async def test_another_embedder_is_refused_until_everything_is_embedded_again(
    settings: Settings, embedder: E5Embedder
) -> None:
    """Row 61 of the fault matrix."""
    before = await ask(settings, embedder)
    other = OtherEmbedder(embedder)
    with pytest.raises(EmbedderMismatch, match="zantara ingest --rebuild"):
        async with KnowledgeBase.open(settings, other):
            pass
    assert await KnowledgeBase.rebuild(settings, embedder=other) == 3
    assert other.passages == 3
    async with KnowledgeBase.open(settings, other) as knowledge_base, asyncio.timeout(60):
        # The examples of small talk, whose vectors are not shipped for it, are embedded first.
        while (found := await knowledge_base.search(QUESTION, groups=EVERYONE)).degraded:
            pass
        assert found == before
    with pytest.raises(EmbedderMismatch):
        await ask(settings, embedder)


async def test_when_questions_cannot_be_embedded_words_still_find(
    settings: Settings, embedder: E5Embedder
) -> None:
    """Row 59 of the fault matrix."""
    failing = FailingEmbedder(embedder)
    async with KnowledgeBase.open(settings, failing) as knowledge_base:
        found = await knowledge_base.search("E33G for a tourist?", groups=EVERYONE)
        assert not knowledge_base.searches_by_meaning
        failing.fails = False
        async with asyncio.timeout(60):
            while not knowledge_base.searches_by_meaning:
                await asyncio.sleep(0.05)
    assert found.degraded
    assert found.passages[0].document_id == "en/visa"


async def test_when_the_embedder_hangs_words_still_find(
    settings: Settings, embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 59 of the fault matrix."""
    monkeypatch.setattr(dense, "SEARCH_TIMEOUT_S", 0.2)
    monkeypatch.setattr("app.retrieval.knowledge_base._WARMING_WAIT_S", 0.1)
    hanging = HangingEmbedder(embedder)
    async with KnowledgeBase.open(settings, hanging) as knowledge_base:
        await knowledge_base.wait_ready(120)
        # More of them than there are threads that may hang.
        found = await asyncio.gather(
            *(knowledge_base.search(f"E33G {i}", groups=EVERYONE) for i in range(8))
        )
        hanging.go_on.set()
    assert all(result.degraded for result in found)
    assert {result.passages[0].document_id for result in found} == {"en/visa"}


async def test_without_a_knowledge_folder(tmp_path: Path, embedder: E5Embedder) -> None:
    missing = Settings(data_dir=tmp_path / "data", knowledge_dir=tmp_path / "none")
    with pytest.raises(ConfigurationError, match="KNOWLEDGE_DIR"):
        async with KnowledgeBase.open(missing, embedder):
            pass


async def test_a_data_directory_is_for_one_process(
    settings: Settings, embedder: E5Embedder
) -> None:
    async with KnowledgeBase.open(settings, embedder):
        with pytest.raises(StorageFailed, match="in use by another process"):
            async with KnowledgeBase.open(settings, embedder):
                pass


async def test_a_data_directory_that_cannot_be_made(
    tmp_path: Path, knowledge: Path, embedder: E5Embedder
) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(data_dir=tmp_path / "file", knowledge_dir=knowledge)
    with pytest.raises(StorageFailed, match="cannot be written"):
        async with KnowledgeBase.open(settings, embedder):
            pass


async def test_every_bundled_chunk_has_its_shipped_vector(
    tmp_path: Path, embedder: E5Embedder
) -> None:
    """After a change to knowledge/*/*.md: `python -m scripts.build_vectors`."""
    counting = CountingEmbedder(embedder)
    settings = Settings(data_dir=tmp_path, knowledge_dir=ROOT / "knowledge")
    async with KnowledgeBase.open(settings, counting) as knowledge_base:
        await knowledge_base.wait_ready(120)
        assert knowledge_base.stats().chunks > 0
    assert counting.passages == 0


async def test_a_translation_finds_what_the_question_does_not(
    settings: Settings, knowledge: Path, embedder: E5Embedder
) -> None:
    write(knowledge, "id/nominee.md", "# Titipan\nPemegang saham atas nama orang lain dilarang.")
    question = "Strawman shareholders permissible?"
    translations = {"id": "Bolehkah pemegang saham atas nama orang lain?", "it": " \0"}
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.wait_ready(120)
        found = await knowledge_base.search(question, translations=translations, groups=EVERYONE)
    assert found.passages[0].document_id == "id/nominee"


async def test_translations_into_languages_without_documents_are_not_embedded(
    settings: Settings, embedder: E5Embedder
) -> None:
    counting = CountingEmbedder(embedder)
    translations = {"en": "How long may one stay?", "fr": "Combien de temps?", "de": "Wie lange?"}
    async with KnowledgeBase.open(settings, counting) as knowledge_base:
        await knowledge_base.wait_ready(120)
        counting.queries.clear()
        await knowledge_base.search("Quanto?", translations=translations, groups=EVERYONE)
    assert set(counting.queries) == {"Quanto?", "How long may one stay?"}
