"""The answer without a model: the best passages, quoted and cited."""

from collections.abc import Sequence

from app.events import Passage

QUOTED = 3
"""Passages quoted; the sources list has the rest."""

_INTRODUCTIONS = {
    "it": "Nessun modello è disponibile in questo momento: ecco i passaggi della base di "
    "conoscenza più vicini alla domanda.",
    "id": "Saat ini tidak ada model yang tersedia: berikut bagian basis pengetahuan yang paling "
    "dekat dengan pertanyaan Anda.",
    "en": "No model is available right now: here are the passages of the knowledge base closest "
    "to your question.",
}


def quote(passages: Sequence[Passage], language: str) -> str:
    """Markdown that quotes the first passages under their citation numbers."""
    introduction = _INTRODUCTIONS.get(language, _INTRODUCTIONS["en"])
    quotes = [
        f"**{passage.section or passage.title}** [{n}]\n\n{_block_quote(passage.text)}"
        for n, passage in enumerate(passages[:QUOTED], 1)
    ]
    return "\n\n".join([introduction, *quotes])


def _block_quote(text: str) -> str:
    # The headings stand above the quote already.
    lines = [line for line in text.strip().splitlines() if not line.startswith("#")]
    return "\n".join(f"> {line}".rstrip() for line in "\n".join(lines).strip().splitlines())
