"""What a search is narrowed to, and by whom it is asked."""

from dataclasses import dataclass
from datetime import date

from app.retrieval.records import Partition

# A document that only others may read must not hide one from a caller: it supersedes
# what is open to its own group alone, a public one supersedes anything. And a law that is
# not yet in force must not hide the one that is.
SUPERSEDED = (
    "EXISTS (SELECT 1 FROM documents newer WHERE newer.supersedes = d.id AND newer.id <> d.id "
    "AND newer.access IN ('public', d.access) "
    "AND coalesce(newer.effective_date, '') <= date('now'))"
)
"""SQL: whether the document `d` is superseded today (UTC).

An index keeps a document where it belonged when it was written or last compared with
the store: the day on which it is superseded, searches drop it from what they found.
"""


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """What a search is narrowed to; what is empty narrows nothing.

    The dates are inclusive; a document without an effective date lies in no range.
    """

    document_ids: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    collections: frozenset[str] = frozenset()
    effective_from: date | None = None
    effective_to: date | None = None
    include_superseded: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller may see of what was asked for: checked within every query.

    `groups` are the caller's access groups; without any, nothing is found.
    """

    filters: SearchFilters
    groups: frozenset[str]

    @property
    def picks_documents(self) -> bool:
        """Whether it asks for more than whole partitions."""
        filters = self.filters
        return bool(
            filters.document_ids
            or filters.collections
            or filters.effective_from
            or filters.effective_to
        )

    def covers(self, partition: Partition) -> bool:
        """Whether it reaches into the partition."""
        languages = self.filters.languages
        return (
            partition.access in self.groups
            and (not languages or partition.language in languages)
            and (self.filters.include_superseded or not partition.superseded)
        )

    def condition(self) -> tuple[str, list[str]]:
        """SQL on the document `d`, with its parameters."""
        filters = self.filters
        conditions = [_is_one_of("d.access", len(self.groups))]
        parameters = sorted(self.groups)
        for column, values in (
            ("d.id", filters.document_ids),
            ("d.language", filters.languages),
            ("d.collection", filters.collections),
        ):
            if values:
                conditions.append(_is_one_of(column, len(values)))
                parameters += sorted(values)
        if filters.effective_from:
            conditions.append("d.effective_date >= ?")
            parameters.append(filters.effective_from.isoformat())
        if filters.effective_to:
            conditions.append("d.effective_date <= ?")
            parameters.append(filters.effective_to.isoformat())
        if not filters.include_superseded:
            conditions.append(f"NOT {SUPERSEDED}")
        return " AND ".join(conditions), parameters


def _is_one_of(column: str, count: int) -> str:
    return f"{column} IN ({','.join('?' * count)})"
