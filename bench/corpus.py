"""The knowledge base of real documents that questions are asked of, and the questions by kind.

Built once from `../shared/corpus`, by `python -m bench.corpus` or the first run, and kept under
`~/.cache/zantara-bench` until the retrieval's code changes. Passages' vectors come from the
evaluation's cache; questions' vectors are made here only to sort the questions, in another
process than the one that is measured.
"""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from app.retrieval.embedders import configured_embedder
from app.retrieval.knowledge_base import KnowledgeBase
from app.settings import ROOT
from bench.knowledge import CACHE, PUBLIC, settings, until_whole
from bench.questions import ROWS, Kind, has_versions, new_questions
from scripts.evaluation.indexing import index
from scripts.evaluation.vector_cache import CachingEmbedder

SHARED = ROOT.parent / "shared"
CORPUS = SHARED / "corpus"
_KEPT = 500
"""Questions of each row; the longest run asks 480."""
_TRIED = 20_000


@dataclass(frozen=True)
class NewQuestions:
    """Questions by path and kind; each is given out once."""

    by_row: Mapping[str, Iterator[str]]

    @classmethod
    def read(cls, folder: Path) -> "NewQuestions":
        """Those of a kept knowledge base."""
        rows: dict[str, list[str]] = json.loads((folder / "questions.json").read_text())
        return cls({name: iter(questions) for name, questions in rows.items()})

    def take(self, path: str, kind: Kind, count: int) -> list[str]:
        """The next `count`, real ones first. Raises `RuntimeError` when they run out."""
        name = row_name(path, kind)
        taken = list(islice(self.by_row[name], count))
        if len(taken) < count:
            raise RuntimeError(f"{len(taken)} of {count} new questions left for {name}")
        return taken


def row_name(path: str, kind: Kind) -> str:
    """What a row is called."""
    return f"{path}, {kind}"


async def kept() -> Path:
    """The folder of the whole corpus as a knowledge base, built where it is not there yet.

    It takes some minutes, and as long as the embedder needs for passages that it never embedded.
    Raises `SystemExit` without the corpus.
    """
    if not CORPUS.is_dir():
        raise SystemExit(f"{CORPUS} is not there: the benchmark asks questions of its documents")
    folder = CACHE / f"corpus-{_digest()}"
    if not folder.is_dir():
        print(f"building a knowledge base of {CORPUS} in {folder}", flush=True)
        building = folder.with_suffix(".building")
        shutil.rmtree(building, ignore_errors=True)
        await _build(building)
        for earlier in CACHE.glob("corpus-*[!g]"):
            shutil.rmtree(earlier)
        building.rename(folder)
    return folder


async def _build(folder: Path) -> None:
    made = settings(folder)
    with configured_embedder(made) as embedder:
        caching = CachingEmbedder(embedder)
        print(await asyncio.to_thread(index, CORPUS, made, caching), flush=True)
        async with KnowledgeBase.open(made, caching) as base:
            await until_whole(base)
            questions = await _by_row(base)
        caching.close()
    (folder / "questions.json").write_text(json.dumps(questions, indent=1, ensure_ascii=False))


async def _by_row(base: KnowledgeBase) -> dict[str, list[str]]:
    """Questions by what the service does for them: it rewrites one that finds no answer at once.

    Raises `RuntimeError` where there are too few for a row.
    """
    rows: dict[str, list[str]] = {row_name(path, kind): [] for path, kind in ROWS}
    for question in islice(new_questions(SHARED), _TRIED):
        found = await base.search(question, groups=PUBLIC)
        while found.degraded:
            found = await base.search(question, groups=PUBLIC)
        if found.small_talk:
            continue
        kind = Kind.GLOSSARY if has_versions(question) else Kind.PLAIN
        search = rows[row_name("/search", kind)]
        if not found.confident:
            min(rows[row_name("/chat", Kind.REWRITE)], search, key=len).append(question)
        else:
            chat = rows[row_name("/chat", kind)]
            (chat if len(chat) < _KEPT else search).append(question)
        if all(len(questions) >= _KEPT for questions in rows.values()):
            return rows
    raise RuntimeError(f"too few questions: { {name: len(q) for name, q in rows.items()} }")


def _digest() -> str:
    """Of all that the kept knowledge base is made of: the documents, and what reads them."""
    digest = hashlib.sha256()
    files = (
        *sorted(path for path in SHARED.glob("*/**/*") if path.suffix in (".md", ".pdf", ".jsonl")),
        *sorted((ROOT / "app" / "retrieval").rglob("*.py")),
        ROOT / "app" / "retrieval" / "glossary.tsv",
        *(Path(__file__), Path(__file__).with_name("questions.py")),
    )
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    print(asyncio.run(kept()))
