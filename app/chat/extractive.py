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

_GREETINGS = {
    "it": "Sono ZANTARA. In questo momento nessun modello è disponibile, ma posso citare la base "
    "di conoscenza: chiedimi di società, visti, codici KBLI o tasse in Indonesia.",
    "id": "Saya ZANTARA. Saat ini tidak ada model yang tersedia, tetapi saya dapat mengutip basis "
    "pengetahuan: tanyakan soal perusahaan, visa, kode KBLI, atau pajak di Indonesia.",
    "en": "I am ZANTARA. No model is available right now, but I can quote the knowledge base: ask "
    "me about companies, visas, KBLI codes or tax in Indonesia.",
}


def greet(language: str | None) -> str:
    """What small talk gets, in every language where its own is too short to tell."""
    return _GREETINGS[language] if language else "\n\n".join(_GREETINGS.values())


def quote(passages: Sequence[Passage], language: str | None) -> str:
    """Markdown that quotes the first passages under their citation numbers."""
    introduction = _INTRODUCTIONS[language or "en"]
    quotes = [
        f"**{passage.section or passage.title}** [{n}]\n\n{_block_quote(passage.text)}"
        for n, passage in enumerate(passages[:QUOTED], 1)
    ]
    return "\n\n".join([introduction, *quotes])


def _block_quote(text: str) -> str:
    # The headings stand above the quote already.
    lines = [line for line in text.strip().splitlines() if not line.startswith("#")]
    return "\n".join(f"> {line}".rstrip() for line in "\n".join(lines).strip().splitlines())
