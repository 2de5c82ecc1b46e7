"""Markdown and plain text, as they are."""

from app.retrieval.extractors.extracted import Extracted, decoded


def extract_markdown(content: bytes) -> Extracted:
    """The file's own text."""
    return Extracted(decoded(content), is_markdown=True)


def extract_text(content: bytes) -> Extracted:
    """The file's own text."""
    return Extracted(decoded(content), is_markdown=False)
