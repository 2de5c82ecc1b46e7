import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import VectorsUnavailable
from app.retrieval.database import FILE_NAME
from app.retrieval.e5 import E5Embedder
from app.retrieval.embedder import Vectors
from app.retrieval.extractors.formats import SUFFIXES
from app.retrieval.ingest_report import Progress
from app.retrieval.knowledge_base import KnowledgeBase
from app.retrieval.options import IngestOptions
from app.retrieval.records import Stats
from app.retrieval.vector_worker import SLICE
from app.retrieval.warnings import decoded
from app.settings import Settings
from tests.retrieval.material import EVERYONE, EVERYTHING, TAX, VISA, CountingEmbedder, write

OTHER_TAX = TAX.replace("twenty-two per cent", "a fifth")


async def test_indexing_twice_changes_nothing_and_embeds_nothing(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/visa.md", VISA)
    write(tmp_path, "docs/tax/company.txt", TAX)
    counting = CountingEmbedder(embedder)
    async with KnowledgeBase.open(settings, counting) as knowledge_base:
        first = await knowledge_base.add([tmp_path / "docs"])
        assert (first.added, first.chunks, counting.passages) == (2, 3, 3)
        before = await knowledge_base.search("tourist visa", groups=EVERYONE)
        second = await knowledge_base.add([tmp_path / "docs"])
        assert (second.unchanged, second.added, second.chunks) == (2, 0, 0)
        assert counting.passages == 3
        assert knowledge_base.stats() == Stats(2, 3)
        assert await knowledge_base.search("tourist visa", groups=EVERYONE) == before


async def test_a_link_out_of_the_folder_is_not_followed(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/visa.md", VISA)
    (tmp_path / "docs/tax.md").symlink_to(write(tmp_path, "elsewhere/tax.md", TAX))
    (tmp_path / "docs/copy.md").symlink_to("visa.md")
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([tmp_path / "docs"])
    assert summary.added == 1
    reasons = {Path(notice.path).name: notice.text for notice in summary.rejected}
    assert reasons["tax.md"] == "is a link out of the folder"


@pytest.mark.parametrize("odd", [b"docs/\xff.md", b"docs\xff/tax.md"], ids=["file", "folder"])
async def test_a_name_that_is_not_utf_8_is_refused_and_the_others_are_indexed(
    odd: bytes, settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    path = tmp_path / os.fsdecode(odd)
    path.parent.mkdir(exist_ok=True)
    path.write_text(TAX)
    write(tmp_path, "docs/visa.md", VISA)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([path.parent, tmp_path / "docs"])

    assert summary.added == 1
    assert ["not UTF-8" in notice.text for notice in summary.rejected] == [True]


async def test_a_changed_file_replaces_its_chunks_and_embeds_only_what_is_new(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    path = write(tmp_path, "docs/visa.md", VISA)
    counting = CountingEmbedder(embedder)
    async with KnowledgeBase.open(settings, counting) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"])
        counting.passages = 0
        path.write_text(VISA.replace("thirty days", "sixty days"), encoding="utf-8")
        summary = await knowledge_base.add([tmp_path / "docs"])
        assert (summary.changed, counting.passages) == (1, 1)
        assert knowledge_base.stats() == Stats(1, 2)
        found = await knowledge_base.search("How long does a tourist visa last?", groups=EVERYONE)
        assert "sixty days" in found.passages[0].text
        assert not any("thirty days" in passage.text for passage in found.passages)


async def test_what_vanished_from_a_folder_is_deleted_there_only(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "a/visa.md", VISA)
    gone = write(tmp_path, "a/company.md", TAX)
    write(tmp_path, "b/other.md", OTHER_TAX)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "a", tmp_path / "b"])
        gone.unlink()
        summary = await knowledge_base.add([tmp_path / "a"])
        assert (summary.deleted, summary.unchanged) == (1, 1)
        found = await knowledge_base.search("corporate income tax", groups=EVERYONE)
        assert {passage.document_id for passage in found.passages} == {"visa", "other"}


async def test_collections_keep_equal_ids_apart(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "a/visa.md", VISA)
    write(tmp_path, "b/visa.md", TAX)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "a"])
        clash = await knowledge_base.add([tmp_path / "b"])
        assert "the id visa is taken by a document from" in str(clash.rejected[0])
        assert (
            await knowledge_base.add([tmp_path / "b"], options=IngestOptions(collection="b"))
        ).added == 1
        found = await knowledge_base.search("tax", groups=EVERYONE)
        assert {passage.document_id for passage in found.passages} == {"visa", "b/visa"}


async def test_one_bad_file_does_not_stop_the_others(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    folder = tmp_path / "docs"
    write(folder, "empty.md", "")
    write(folder, "page.md", "<!doctype html><title>404</title>")
    write(folder, "visa.md", VISA)
    write(folder, "visa.txt", "The same id as the one before.")
    write(folder, ".hidden/notes.md", VISA)
    write(folder, "table.csv", "a,b")
    write(folder, "page.xyz", "a")
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([folder, tmp_path / "none", folder / "page.xyz"])
    assert summary.added == 1
    assert sorted(map(str, summary.rejected)) == [
        f"{folder / 'empty.md'}: is empty",
        f"{folder / 'page.md'}: is HTML, not Markdown as its name says: "
        "rename it, or force it to be read as HTML",
        f"{folder / 'page.xyz'}: is none of {', '.join(SUFFIXES)}",
        f"{folder / 'table.csv'}: has no rows below its first, which names the columns",
        f"{folder / 'visa.txt'}: another file has the id visa too",
        f"{tmp_path / 'none'}: no such file or folder",
    ]
    assert str(summary) == (
        "1 added, 0 changed, 0 unchanged, 0 deleted, 6 rejected, 1 skipped; 2 chunks written"
    )
    assert list(map(str, summary.skipped)) == [f"{folder / 'page.xyz'}: .xyz is not read"]


async def test_a_part_of_an_ingested_folder_keeps_its_ids(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    visa = write(tmp_path, "docs/stay/visa.md", VISA)
    write(tmp_path, "docs/v1.2/company.md", TAX)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"])
        visa.write_text(VISA.replace("thirty days", "sixty days"), encoding="utf-8")
        assert (await knowledge_base.add([visa])).changed == 1
        visa.rename(visa.with_name("tourist.md"))
        moved = await knowledge_base.add([tmp_path / "docs/stay"])
        assert (moved.added, moved.deleted, moved.rejected) == (1, 1, [])
        entries, _ = await knowledge_base.catalogue.entries(EVERYTHING, 10)
    assert [entry.id for entry in entries] == ["stay/tourist", "v1.2/company"]


async def test_what_was_ingested_alone_becomes_a_part_of_its_folder(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/notes.md", OTHER_TAX)
    visa = write(tmp_path, "docs/stay/visa.md", VISA)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs/notes.md", visa])
        # Files that stand in a folder do not make it one that was ingested.
        write(tmp_path, "docs/tax/company.md", TAX)
        await knowledge_base.add([tmp_path / "docs/tax"])
        before, _ = await knowledge_base.catalogue.entries(EVERYTHING, 10)
        summary = await knowledge_base.add([tmp_path / "docs"])
        after, _ = await knowledge_base.catalogue.entries(EVERYTHING, 10)
    assert [entry.id for entry in before] == ["company", "notes", "visa"]
    assert (summary.added, summary.unchanged, summary.deleted) == (2, 1, 2)
    assert [entry.id for entry in after] == ["notes", "stay/visa", "tax/company"]


async def test_a_folder_in_two_collections_deletes_only_in_its_own(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    visa = write(tmp_path, "docs/visa.md", VISA)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"])
        visa.unlink()
        write(tmp_path, "docs/company.md", TAX)
        await knowledge_base.add([tmp_path / "docs"], options=IngestOptions(collection="tax"))
        entries, _ = await knowledge_base.catalogue.entries(EVERYTHING, 10)
        assert [entry.id for entry in entries] == ["tax/company", "visa"]


async def test_an_empty_folder_deletes_nothing_and_says_so(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    visa = write(tmp_path, "docs/visa.md", VISA)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"])
        visa.unlink()
        summary = await knowledge_base.add([tmp_path / "docs"])
        assert knowledge_base.stats().documents == 1
        assert await knowledge_base.ids_from(str(tmp_path / "docs")) == ["visa"]
    assert (summary.deleted, len(summary.rejected)) == (0, 1)
    assert "holds no file that can be read: is it mounted?" in str(summary.rejected[0])


async def test_a_damaged_file_does_not_hide_a_sound_one_of_the_same_name(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/visa.docx", "no archive")
    write(tmp_path, "docs/visa.md", VISA)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([tmp_path / "docs"])
        again = await knowledge_base.add([tmp_path / "docs"])
    assert (summary.added, [Path(r.path).name for r in summary.rejected]) == (1, ["visa.docx"])
    assert (again.unchanged, again.deleted) == (1, 0)


async def test_a_single_file_deletes_nothing_and_is_the_one_in_its_folder(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/company.md", TAX)
    path = write(tmp_path, "docs/visa.md", VISA)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"])
        summary = await knowledge_base.add([path])
    assert (summary.unchanged, summary.deleted) == (1, 0)


async def test_progress_is_told_for_each_file(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    path = write(tmp_path, "docs/visa.md", VISA)
    steps: list[Progress] = []
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([path], progress=steps.append)
    assert [replace(step, rate=None, left_s=None) for step in steps] == [
        Progress(1, 1, str(path), share=1.0),
        Progress(0, 2, share=0.0, unit="passages"),
        Progress(2, 2, share=1.0, unit="passages"),
    ]
    assert steps[-1].left_s == 0


async def test_the_same_words_under_another_name_are_refused_unless_forced(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/company.md", TAX)
    write(tmp_path, "docs/copy.txt", TAX.upper())
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        first = await knowledge_base.add([tmp_path / "docs"])
        assert [str(line) for line in first.rejected] == [
            f"{tmp_path}/docs/copy.txt: has the same words as company "
            "(force it to be indexed all the same)"
        ]
        forced = await knowledge_base.add([tmp_path / "docs"], options=IngestOptions(force=True))
        assert (forced.added, forced.unchanged) == (1, 1)
        assert [line.text for line in forced.marked] == ["has the same words as company"]
        again = await knowledge_base.add([tmp_path / "docs"])
        assert (again.unchanged, again.rejected) == (2, [])


async def test_a_renamed_file_is_the_same_document_and_embeds_nothing(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    path = write(tmp_path, "docs/company.md", TAX)
    counting = CountingEmbedder(embedder)
    async with KnowledgeBase.open(settings, counting) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"])
        counting.passages = 0
        path.rename(tmp_path / "docs/tax.md")
        summary = await knowledge_base.add([tmp_path / "docs"])
    assert (summary.added, summary.deleted, summary.rejected) == (1, 1, [])
    assert counting.passages == 0


async def test_a_nearly_equal_text_is_marked(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    text = " ".join(f"word{n}" for n in range(150))
    write(tmp_path, "docs/one.txt", text)
    write(tmp_path, "docs/two.txt", text.replace("word149", "another"))
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([tmp_path / "docs"])
        document = knowledge_base._store.document("two")
    assert summary.added == 2
    assert document
    (warning,) = decoded(document.marks)
    assert warning.detail.startswith("is nearly the same as one (")
    assert [line.text for line in summary.marked] == [str(warning)]


async def test_what_is_said_from_outside_comes_before_the_front_matter(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/visa.md", VISA.replace("language: en", "supersedes: old-visa"))
    said = IngestOptions(access="staff", effective_date="2026-01-01")
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"])
        plain = knowledge_base._store.document("visa")
        again = await knowledge_base.add([tmp_path / "docs"], options=said)
        document = knowledge_base._store.document("visa")
    assert plain
    assert document
    assert (plain.access, plain.effective_date, plain.supersedes) == (
        "public",
        "2025-06-05",
        "old-visa",
    )
    assert again.changed == 1
    assert (document.access, document.effective_date, document.supersedes) == (
        "staff",
        "2026-01-01",
        "old-visa",
    )


async def test_the_next_start_embeds_what_an_earlier_process_did_not(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    sections = "\n\n".join(f"## Part {n}\n\nSection {n} holds." for n in range(3 * SLICE))
    write(tmp_path, "docs/long.md", f"# Long\n\n{sections}\n")

    class DyingEmbedder(CountingEmbedder):
        def embed_passages(self, texts: Sequence[str]) -> Vectors:
            if self.passages:
                raise VectorsUnavailable("it is gone")
            return super().embed_passages(texts)

    async with KnowledgeBase.open(settings, DyingEmbedder(embedder)) as knowledge_base:
        first = await knowledge_base.add([tmp_path / "docs"])
        (entry,), _ = await knowledge_base.catalogue.entries(EVERYTHING, 1)
        by_words = await knowledge_base.search("Section 40", groups=EVERYONE)
    assert (first.chunks, first.without_vectors) == (3 * SLICE, "it is gone")
    assert entry.pending_vectors == 2 * SLICE
    assert any("Section 40 holds." in passage.text for passage in by_words.passages)
    counting = CountingEmbedder(embedder)
    async with KnowledgeBase.open(settings, counting) as knowledge_base:
        async with asyncio.timeout(60):
            while (await knowledge_base.catalogue.entries(EVERYTHING, 1))[1].pending_vectors:
                await asyncio.sleep(0.01)
        again = await knowledge_base.add([tmp_path / "docs"])
    assert (again.unchanged, again.without_vectors) == (1, "")
    assert counting.passages == 2 * SLICE


def _law(name: str, says: str, *front_matter: str) -> str:
    lines = "\n".join(front_matter)
    return f"---\ntitle: {name}\nlanguage: en\n{lines}\n---\n# {name}\n\nThe fee is {says}.\n"


async def test_a_law_not_yet_in_force_hides_nothing_until_its_day(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/old.md", _law("Fees", "nine rupiah for each stamp"))
    coming = ("supersedes: old", "effective_date: 2999-01-01")
    write(tmp_path, "docs/new.md", _law("Fees to come", "eight dollars a year", *coming))

    async def found() -> set[str]:
        result = await knowledge_base.search("What is the fee?", groups=EVERYONE)
        return {passage.document_id for passage in result.passages}

    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"])
        assert await found() == {"old", "new"}
        # The day comes while the service runs.
        with closing(sqlite3.connect(settings.data_dir / FILE_NAME)) as database, database:
            database.execute("UPDATE documents SET effective_date = date('now') WHERE id = 'new'")
        assert await found() == {"new"}


async def test_documents_that_supersede_each_other_are_refused(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    for name, says, older in (("a", "one", "c"), ("b", "two", "a"), ("c", "three", "b")):
        write(tmp_path, f"docs/{name}.md", _law(name, says * 3, f"supersedes: {older}"))
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([tmp_path / "docs"], options=IngestOptions(force=True))
        result = await knowledge_base.search("What is the fee?", groups=EVERYONE)
    assert [r.text for r in summary.rejected] == [
        "supersedes b, which supersedes it in turn: change one of the two"
    ]
    assert [passage.document_id for passage in result.passages] == ["b"]


async def test_what_supersedes_nothing_is_marked_when_all_is_read(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    write(tmp_path, "docs/a.md", _law("A", "one rupiah", "supersedes: b"))
    write(tmp_path, "docs/b.md", _law("B", "two dollars", "supersedes: bb"))
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([tmp_path / "docs"])
        entries, _ = await knowledge_base.catalogue.entries(EVERYTHING, 10)
    assert [(Path(m.path).name, m.text) for m in summary.marked] == [
        ("b.md", "supersedes bb, which is not indexed")
    ]
    assert [(entry.id, entry.supersedes_found) for entry in entries] == [("a", True)]


async def test_the_words_of_an_ingest_are_in_one_segment_and_all_found(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    for n in range(3):
        write(tmp_path, f"docs/{n}.md", VISA.replace("tourist", f"tourist{n}"))
    write(tmp_path, "docs/tax.md", TAX)
    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        await knowledge_base.add([tmp_path / "docs"], options=IngestOptions(force=True))
        with closing(sqlite3.connect(settings.data_dir / FILE_NAME)) as database:
            segments = database.execute("SELECT count(DISTINCT segid) FROM words_idx").fetchone()
        found = await knowledge_base.search("tourist2", groups=EVERYONE)

    assert segments == (1,)
    assert found.passages[0].lexical_score > 0
    assert found.passages[0].document_id == "2"
