"""The gate at the door: what is wrong with a text that could be read.

A fault refuses a file unless it is forced; a warning is stored with the document.
"""

import re
from dataclasses import dataclass

from app.events import Jurisdiction
from app.retrieval import personal_data, regulations
from app.retrieval.error_pages import error_page
from app.retrieval.extractors.formats import Format
from app.retrieval.fingerprints import Fingerprint, fingerprint
from app.retrieval.loaders import LoadedFile
from app.retrieval.warnings import DocumentWarning

# Behind a statute's articles stand its explanations, most of which say that an article is
# clear enough. Where that begins early there are no articles before it.
_CLEAR_ENOUGH = re.compile(r"cukup\s+jelas", re.I)
_EXPLANATION = re.compile(r"\bPENJELASAN\b")
_MIN_CLEAR_ENOUGH = 3
_EARLY = 0.3
_HEAD_CHARACTERS = 1_000

_PAGES = (Format.HTML, Format.MARKDOWN, Format.TEXT)


@dataclass(frozen=True, slots=True)
class Findings:
    """`faults` refuse the file unless forced, a line each; `warnings` are kept with it."""

    faults: tuple[str, ...]
    warnings: tuple[DocumentWarning, ...]
    is_explanation: bool
    jurisdiction: Jurisdiction | None
    fingerprint: Fingerprint


def examine(loaded: LoadedFile, name: str) -> Findings:
    """What is to be said of the file of that name."""
    text = loaded.text[loaded.body_start :]
    is_explanation = _is_explanation(text)
    return Findings(
        faults=tuple(_faults(loaded, text, name)),
        warnings=tuple(_warnings(text, is_explanation)),
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
    words = error_page(loaded.title, text) if loaded.file_format in _PAGES else None
    if words:
        faults.append(f"is an error or log-in page, which says nothing but: {words}")
    return faults


def _warnings(text: str, is_explanation: bool) -> list[DocumentWarning]:
    details = [f"holds {kind}" for kind in personal_data.account_numbers(text)]
    if is_explanation:
        details.append("is the explanation of a regulation without its articles")
    return [DocumentWarning("content", detail) for detail in details]


def _is_explanation(text: str) -> bool:
    clear = [match.start() for match in _CLEAR_ENOUGH.finditer(text)]
    if len(clear) < _MIN_CLEAR_ENOUGH:
        return False
    return clear[0] < _EARLY * len(text) or bool(_EXPLANATION.search(text[:_HEAD_CHARACTERS]))
