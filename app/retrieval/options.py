"""What is said about documents from outside, by who ingests them."""

from dataclasses import dataclass

from app.retrieval.records import PUBLIC

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Of a collection; an access group's name is `records.ACCESS_GROUP`."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Comes before what a file's own front matter says.

    `collection` stands before the documents' ids, `access` names the one group that
    may read them. `force` indexes what the gate would refuse, with its faults as marks.
    With `only_own` nothing is replaced or superseded that was not sent from the same root.
    """

    collection: str | None = None
    access: str = PUBLIC
    force: bool = False
    effective_date: str | None = None
    supersedes: str | None = None
    only_own: bool = False

    @property
    def said(self) -> bytes:
        """All that changes a document, `force` not: what is indexed is not asked about again."""
        return repr((self.collection, self.access, self.effective_date, self.supersedes)).encode()


NOTHING_SAID = IngestOptions()
