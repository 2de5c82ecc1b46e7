"""A folder as people have them, of the corpus's shortest files."""

import shutil
from pathlib import Path

from app.retrieval.e5 import E5Embedder
from app.retrieval.knowledge_base import KnowledgeBase
from app.settings import Settings
from tests.retrieval.material import EVERYONE
from tests.shared import corpus


async def test_what_is_sound_is_indexed_and_each_other_file_is_one_line(
    settings: Settings, tmp_path: Path, embedder: E5Embedder
) -> None:
    folder = shutil.copytree(corpus("disguised"), tmp_path / "docs")
    for name in (
        "guides/sintesi-453.md",
        "guides/manpower-docs.md",
        "laws/permenkumham-10-2017.md",
        "regional/distr-30.md",
        "regional/distr-41.md",
        "pdf/se-imi-417.pdf",
    ):
        shutil.copy(corpus(name), folder)
    shutil.copy(corpus("guides/sintesi-453.md"), folder / "sintesi-copy.md")

    async with KnowledgeBase.open(settings, embedder) as knowledge_base:
        summary = await knowledge_base.add([folder])
        found = await knowledge_base.search("Quanto dura il visto C18?", groups=EVERYONE)
        stored = {
            name: await knowledge_base.catalogue.entry(name, EVERYONE)
            for name in ("distr-30", "distr-41", "se-imi-417")
        }

    assert (summary.added, summary.marked) == (6, [])
    assert {Path(line.path).name: line.text.partition(":")[0] for line in summary.rejected} == {
        "empty.md": "is empty",
        "html-named.pdf": "is HTML, not PDF as its name says",
        "noise.txt": "holds binary data",
        "pdf-named.md": "is PDF, not Markdown as its name says",
        "rtf-named.md": "is RTF, not Markdown as its name says",
        "sintesi-copy.md": (
            "has the same words as sintesi-453 (force it to be indexed all the same)"
        ),
    }
    # The circular that the guide sums up may come before it.
    assert "sintesi-453" in [passage.document_id for passage in found.passages[:4]]
    assert {name: entry and entry.jurisdiction for name, entry in stored.items()} == {
        "distr-30": "regional",
        "distr-41": "national",
        "se-imi-417": "national",
    }
