"""Whatever is asked, nothing outside the scope comes out of any part of the search."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pytest

from app.retrieval import chroma_index
from app.retrieval.chroma_index import ChromaIndex
from app.retrieval.chunking import Chunk
from app.retrieval.embedder import Vectors
from app.retrieval.exact import ExactIndex
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.records import PUBLIC, Change, Document
from app.retrieval.store import Store

DOCUMENTS = 250
CHANGES = 60
SCOPES = 2_000
GROUPS = (PUBLIC, "staff", "board", "partners")
LANGUAGES = ("en", "id", "it")
COLLECTIONS = (None, "laws", "guides", "notes")
WORDS = ("visa", "tax", "permit", "company", "capital")
FIRST_DAY = date(2020, 1, 1)
ALL = 1_000_000


@dataclass
class World:
    """The documents as they should be, and the parts that hold them."""

    random: random.Random
    store: Store
    index: ChromaIndex
    exact: ExactIndex
    documents: dict[str, Document]

    def put(self, name: str) -> None:
        """A random document, new or in the place of the one with its id."""
        draw = self.random
        days = draw.choice([None, draw.randrange(2_000)])
        document = Document(
            *(name, "root", name, draw.choice(LANGUAGES), str(draw.random()), "text"),
            effective_date=None if days is None else (FIRST_DAY + timedelta(days)).isoformat(),
            collection=draw.choice(COLLECTIONS),
            access=draw.choice(GROUPS),
            supersedes=f"doc-{draw.randrange(DOCUMENTS)}" if draw.random() < 0.3 else None,
        )
        texts = [" ".join(draw.choices(WORDS, k=3)) for _ in range(draw.randint(1, 2))]
        chunks = [Chunk(name, 0, len(text), text) for text in texts]
        keys = [f"{name} {i} {document.content_hash}" for i in range(len(chunks))]
        self._apply(
            self.store.replace_document(document, chunks, keys, {k: self.vector() for k in keys})
        )
        self.documents[name] = document

    def delete(self, name: str) -> None:
        change = self.store.delete_document(name)
        assert change
        self._apply(change)
        del self.documents[name]

    def vector(self) -> Vectors:
        vector = np.array([self.random.gauss() for _ in range(8)], dtype=np.float32)
        return vector / np.linalg.norm(vector)

    def scope(self) -> Scope:
        draw = self.random

        def some(values: tuple[str, ...]) -> frozenset[str]:
            return frozenset(draw.sample(values, draw.randint(0, len(values))))

        def day() -> date | None:
            return draw.choice([None, FIRST_DAY + timedelta(draw.randrange(2_000))])

        filters = SearchFilters(languages=some(LANGUAGES), include_superseded=draw.random() < 0.3)
        if draw.random() < 0.7:
            names = [f"doc-{draw.randrange(DOCUMENTS)}" for _ in range(draw.choice([0, 1, 100]))]
            filters = replace(
                filters,
                document_ids=frozenset(names),
                collections=some(("laws", "guides", "notes")),
                effective_from=day(),
                effective_to=day(),
            )
        return Scope(filters, some(GROUPS))

    def visible(self, scope: Scope) -> set[str]:
        """What a caller may be shown, told without any of the code under test."""
        filters = scope.filters
        superseded = {
            (newer.supersedes, access)
            for newer in self.documents.values()
            if newer.supersedes != newer.id
            for access in (GROUPS if newer.access == PUBLIC else [newer.access])
        }
        return {
            d.id
            for d in self.documents.values()
            if d.access in scope.groups
            and (filters.include_superseded or (d.id, d.access) not in superseded)
            and (not filters.languages or d.language in filters.languages)
            and (not filters.document_ids or d.id in filters.document_ids)
            and (not filters.collections or d.collection in filters.collections)
            and (
                not filters.effective_from
                or (d.effective_date or "") >= str(filters.effective_from)
            )
            and (
                not filters.effective_to
                or (d.effective_date is not None and d.effective_date <= str(filters.effective_to))
            )
        }

    def _apply(self, change: Change) -> None:
        self.exact.apply(change)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tmp_path = tmp_path_factory.mktemp("world")
    draw = random.Random(4)
    store = Store(tmp_path)
    index = ChromaIndex(tmp_path, "made-up 8")
    world = World(draw, store, index, ExactIndex(store), {})
    for i in range(DOCUMENTS):
        world.put(f"doc-{i}")
        if i == DOCUMENTS // 2:
            world.exact.load()  # from here on it follows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chroma_index, "LARGE", 10)
        index.keep_up(world.exact.sizes)
    assert len(index.partitions) > len(LANGUAGES)
    for _ in range(CHANGES):
        name = draw.choice(list(world.documents))
        world.delete(name) if draw.random() < 0.3 else world.put(name)
    yield world
    index.close()
    store.close()


def test_row_5_nothing_leaks_and_nothing_is_kept_back(world: World) -> None:
    everywhere = Scope(SearchFilters(include_superseded=True), frozenset(GROUPS))
    passages = world.store.passages(
        [i for ids in world.store.chunk_ids().values() for i in ids], everywhere
    )

    for round_ in range(SCOPES):
        scope = world.scope()
        visible = world.visible(scope)
        expected = {i for i, passage in passages.items() if passage.document_id in visible}
        by_words = world.store.search_words(" ".join(WORDS), ALL, scope)
        assert set(by_words) == expected
        assert world.store.passages(list(passages), scope).keys() == expected
        within = world.store.documents.visible(scope)
        by_vector = world.exact.search(world.vector(), ALL, scope.covers, within)
        assert {n.chunk_id for nearest in by_vector.values() for n in nearest} == expected
        for partition, nearest in by_vector.items():
            assert {passages[n.chunk_id].language for n in nearest} == {partition.language}
        if not scope.picks_documents and round_ % 10 == 0:
            # The index is older than the last changes.
            vector = world.vector()
            large = {part: vector for part in world.index.partitions if scope.covers(part)}
            approximate = world.index.search(large, 20)
            found, compared = (
                world.exact.search(vector, 20, scope.covers, within, approximate=each)
                for each in (approximate, {})
            )
            assert approximate.keys() == large.keys()
            assert found.keys() == compared.keys()
            assert {n.chunk_id for nearest in found.values() for n in nearest} <= expected
            assert [len(found[p]) for p in compared] == [len(compared[p]) for p in compared]


def test_a_change_leaves_every_index_as_if_it_were_built_afresh(world: World) -> None:
    vector, afresh = world.vector(), ExactIndex(world.store)
    scope = Scope(SearchFilters(), frozenset(GROUPS))
    visible = world.store.documents.visible(scope)
    found, expected = (
        {
            partition: [neighbour.chunk_id for neighbour in nearest]
            for partition, nearest in index.search(vector, ALL, scope.covers, visible).items()
        }
        for index in (world.exact, afresh)
    )
    assert found == expected
    assert {partition.language for partition in found} == set(LANGUAGES)
