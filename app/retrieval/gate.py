"""The gate at the door: what is wrong with a text that could be read.

A fault refuses a file unless it is forced; a remark is stored with the document.
"""

import re
from dataclasses import dataclass

from app.events import Jurisdiction
from app.retrieval import personal_data, regulations
from app.retrieval.extractors.formats import Format
from app.retrieval.fingerprints import Fingerprint, fingerprint
from app.retrieval.loaders import LoadedFile

# Behind a statute's articles stand its explanations, most of which say that an article is
# clear enough. Where that begins early there are no articles before it.
_CLEAR_ENOUGH = re.compile(r"cukup\s+jelas", re.I)
_EXPLANATION = re.compile(r"\bPENJELASAN\b")
_MIN_CLEAR_ENOUGH = 3
_EARLY = 0.3
_HEAD_CHARACTERS = 1_000

_ERROR_PAGE = re.compile(
    r"\b(?:40[0-9]|50[0-9])\b|not found|access denied|forbidden|bad gateway|unavailable"
    r"|just a moment|tidak ditemukan|non trovata",
    re.I,
)
_ERROR_PAGE_CHARACTERS = 1_500


@dataclass(frozen=True, slots=True)
class Findings:
    """`faults` refuse the file unless forced, `remarks` are kept with it; a line each."""

    faults: tuple[str, ...]
    remarks: tuple[str, ...]
    is_explanation: bool
    jurisdiction: Jurisdiction | None
    fingerprint: Fingerprint


def examine(loaded: LoadedFile, name: str) -> Findings:
    """What is to be said of the file of that name."""
    text = loaded.text[loaded.body_start :]
    is_explanation = _is_explanation(text)
    return Findings(
        faults=tuple(_faults(loaded, text, name)),
        remarks=tuple(_remarks(text, is_explanation)),
        is_explanation=is_explanation,
        jurisdiction=regulations.jurisdiction(text),
        fingerprint=fingerprint(text),
    )


def _faults(loaded: LoadedFile, text: str, name: str) -> list[str]:
    faults = [
        f"holds {kind}: personal documents are not for a knowledge base"
        for kind in personal_data.identity_numbers(text)
    ]
    if contradiction := regulations.contradiction(name, loaded.title, text):
        faults.append(contradiction)
    if loaded.file_format is Format.HTML and _is_error_page(loaded.title, text):
        faults.append(f"is an error page: {loaded.title:.80}")
    return faults


def _remarks(text: str, is_explanation: bool) -> list[str]:
    remarks = [f"holds {kind}" for kind in personal_data.account_numbers(text)]
    if is_explanation:
        remarks.append("is the explanation of a regulation without its articles")
    return remarks


def _is_explanation(text: str) -> bool:
    clear = [match.start() for match in _CLEAR_ENOUGH.finditer(text)]
    if len(clear) < _MIN_CLEAR_ENOUGH:
        return False
    return clear[0] < _EARLY * len(text) or bool(_EXPLANATION.search(text[:_HEAD_CHARACTERS]))


def _is_error_page(title: str, text: str) -> bool:
    return len(text) < _ERROR_PAGE_CHARACTERS and bool(_ERROR_PAGE.search(f"{title}\n{text[:300]}"))
