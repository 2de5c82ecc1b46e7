"""The service's own tools: what the model may look up while it answers.

What they may reach is what the caller may: its access groups and filters hold.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

import msgspec

from app.chat.prices import PRICE_LIST, priced_rows
from app.errors import IndexNotReady, StorageFailed, TooMuchWaiting, VectorsUnavailable
from app.events import Passage
from app.llm.tools import Tool
from app.retrieval.catalogue import Entry
from app.retrieval.filters import Scope, SearchFilters
from app.retrieval.knowledge_base import KnowledgeBase

ToolName = Literal["search_knowledge_base", "read_document", "get_service_prices"]
TOOL_NAMES: tuple[ToolName, ...] = get_args(ToolName)

FOUND = 6
"""Passages that one search gives the model."""
READ_CHARACTERS = 6_000
"""Of a document at once, some four pages; the model may read on."""
MAX_PRICES = 20

Query = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class ToolFailed(Exception):
    """The tool cannot do what it was asked; the message is for the model."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool found, with a note for the model."""

    passages: tuple[Passage, ...]
    note: str = ""


class SearchArguments(msgspec.Struct):
    """A question that can be understood alone."""

    query: Query
    language: Literal["en", "id", "it"] | None = None
    """Only documents in this language."""


class ReadArguments(msgspec.Struct):
    """A document, from a character on."""

    document_id: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


class PriceArguments(msgspec.Struct):
    """Words for a service, in any of the three languages; none for the whole list."""

    query: Annotated[str, msgspec.Meta(max_length=500)] = ""


_DESCRIPTIONS: Mapping[ToolName, tuple[str, type[msgspec.Struct]]] = {
    "search_knowledge_base": (
        "Search the knowledge base on doing business in Indonesia, by meaning and by words, in "
        "all languages. Gives numbered passages to cite. Ask one thing at a time.",
        SearchArguments,
    ),
    "read_document": (
        "Read on in a document whose id stands with a passage, from a character on.",
        ReadArguments,
    ),
    "get_service_prices": (
        "The prices of our own services: the only source for them. A price that is not in it is "
        "not known. Rows marked as examples are no offer: say so.",
        PriceArguments,
    ),
}


class ServiceTools:
    """Runs the tools for one caller: its groups and filters hold for all of them."""

    def __init__(
        self,
        knowledge_base: KnowledgeBase,
        names: Sequence[ToolName],
        filters: SearchFilters,
        groups: frozenset[str],
    ) -> None:
        self.definitions = [_definition(name) for name in names]
        self._knowledge_base = knowledge_base
        self._filters = filters
        self._groups = groups
        every: Mapping[ToolName, Callable[[Mapping[str, Any]], Awaitable[Outcome]]] = {
            "search_knowledge_base": self._search,
            "read_document": self._read,
            "get_service_prices": self._prices,
        }
        self._by_name: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Outcome]]] = {
            name: every[name] for name in names
        }

    async def run(self, name: str, arguments: Mapping[str, Any]) -> Outcome:
        """Carry out one call. Raises `ToolFailed` with what the model should know."""
        tool = self._by_name.get(name)
        if tool is None:
            raise ToolFailed("there is no such tool")
        try:
            return await tool(arguments)
        except msgspec.ValidationError as error:
            raise ToolFailed(f"wrong arguments: {error}") from error
        except TooMuchWaiting as error:
            raise ToolFailed(str(error)) from error
        except (IndexNotReady, StorageFailed, VectorsUnavailable) as error:
            raise ToolFailed("the knowledge base cannot be read at the moment") from error

    async def _search(self, given: Mapping[str, Any]) -> Outcome:
        asked = msgspec.convert(given, SearchArguments)
        filters = self._filters
        if asked.language:
            if filters.languages and asked.language not in filters.languages:
                raise ToolFailed(f"the caller asked for {sorted(filters.languages)} only")
            filters = replace(filters, languages=frozenset({asked.language}))
        found = await self._knowledge_base.search(asked.query, FOUND, filters, groups=self._groups)
        return Outcome(found.passages, "" if found.passages else "Nothing was found.")

    async def _read(self, given: Mapping[str, Any]) -> Outcome:
        asked = msgspec.convert(given, ReadArguments)
        entry, text = await self._document(asked.document_id)
        start, end = asked.offset, asked.offset + READ_CHARACTERS
        if start >= len(text):
            raise ToolFailed(f"the document has {len(text)} characters")
        note = f"It goes on at offset {end}." if end < len(text) else "This is its end."
        return Outcome((_passage(entry, text, start, min(end, len(text))),), note)

    async def _prices(self, given: Mapping[str, Any]) -> Outcome:
        asked = msgspec.convert(given, PriceArguments)
        entry, text = await self._document(PRICE_LIST)
        rows = priced_rows(text, asked.query)
        shown = tuple(_passage(entry, text, row.start, row.end) for row in rows[:MAX_PRICES])
        if not shown:
            return Outcome((), "The price list has nothing like it: its price is not known.")
        left_out = len(rows) - len(shown)
        return Outcome(shown, f"{left_out} more: ask for one service." if left_out else "")

    async def _document(self, document_id: str) -> tuple[Entry, str]:
        """A document that the caller may see and did not leave out. Raises `ToolFailed`."""
        asked_for = self._filters.document_ids
        only = replace(self._filters, document_ids=frozenset({document_id}))
        catalogue = self._knowledge_base.catalogue
        entries, _ = await catalogue.entries(Scope(only, self._groups), 1)
        text = await catalogue.text(document_id) if entries else None
        if text is None or (asked_for and document_id not in asked_for):
            raise ToolFailed(f"there is no document {document_id}")
        return entries[0], text


def _definition(name: ToolName) -> Tool:
    """The tool's definition for a model."""
    description, arguments = _DESCRIPTIONS[name]
    _, schemas = msgspec.json.schema_components([arguments])
    return Tool(name, description, schemas[arguments.__name__])


def _passage(entry: Entry, text: str, start: int, end: int) -> Passage:
    return Passage(
        document_id=entry.id,
        title=entry.title,
        section=entry.title,
        text=text[start:end],
        score=0.0,
        start=start,
        end=end,
        language=entry.language,
        uri=entry.uri,
        effective_date=entry.effective_date,
        jurisdiction=entry.jurisdiction,
    )
