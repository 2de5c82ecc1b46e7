"""File formats into text, each through the library that knows it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from app.errors import DocumentRejected
from app.retrieval.extractors.extracted import MAX_CHARACTERS, Extracted
from app.retrieval.extractors.formats import Format
from app.retrieval.extractors.normalisation import normalised, repaired


def extract(content: bytes, file_format: Format) -> Extracted:
    """The text of a file. Raises `DocumentRejected`, and on hostile bytes whatever the
    format's library raises."""
    extracted = _extractor(file_format)(content)
    if not extracted.pages:
        text, warnings = repaired(normalised(extracted.text))
        extracted = replace(extracted, text=text, warnings=extracted.warnings + warnings)
    if len(extracted.text) > MAX_CHARACTERS:
        raise DocumentRejected(f"holds more than {MAX_CHARACTERS // 10**6} million characters")
    return extracted


def _extractor(file_format: Format) -> Callable[[bytes], Extracted]:
    # Each library takes up to a second to load: only the one that is needed.
    match file_format:
        case Format.MARKDOWN | Format.TEXT:
            from app.retrieval.extractors import plain

            return plain.extract_markdown if file_format is Format.MARKDOWN else plain.extract_text
        case Format.HTML | Format.MHTML:
            from app.retrieval.extractors import html

            return html.extract
        case Format.EML:
            from app.retrieval.extractors import messages

            return partial(messages.extract, extract_file=extract)
        case Format.PDF:
            from app.retrieval.extractors import pdf

            return pdf.extract
        case Format.DOCX:
            from app.retrieval.extractors import docx

            return docx.extract
        case Format.XLSX | Format.XLS | Format.ODS:
            from app.retrieval.extractors import spreadsheet

            return spreadsheet.extract
        case Format.PPTX:
            from app.retrieval.extractors import pptx

            return pptx.extract
        case Format.ODT | Format.ODP:
            from app.retrieval.extractors import opendocument

            return opendocument.extract
        case Format.RTF:
            from app.retrieval.extractors import rtf

            return rtf.extract
        case Format.IMAGE:
            from app.retrieval.extractors import image

            return image.extract
        case Format.EPUB:
            from app.retrieval.extractors import epub

            return epub.extract
        case Format.YAML | Format.XML:
            from app.retrieval.extractors import trees

            return trees.extract_yaml if file_format is Format.YAML else trees.extract_xml
        case Format.CSV:
            from app.retrieval.extractors import table

            return table.extract
        case Format.JSON | Format.JSONL:
            from app.retrieval.extractors import json_records

            return (
                json_records.extract if file_format is Format.JSON else json_records.extract_lines
            )
