"""E-mails into Markdown."""

import email
import email.policy
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage

from app.errors import DocumentRejected
from app.retrieval.extractors import html
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.formats import Format, format_of
from app.retrieval.extractors.saved_pages import text_of
from app.retrieval.warnings import DocumentWarning

ExtractFile = Callable[[bytes, Format], Extracted]

_MAX_ATTACHMENTS = 20
_MAX_NAME = 100
_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def extract(content: bytes, extract_file: ExtractFile) -> Extracted:
    """A message: its headers, its text, and what is attached, by `extract_file`."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    headers = [f"{name}: {message[name]}" for name in _HEADERS if message[name]]
    body = message.get_body(preferencelist=("html", "plain"))
    text = ""
    if body is not None:
        text = text_of(body)
        if body.get_content_type() == "text/html":
            text = html.fragment(text)
    texts: list[str] = []
    warnings: list[DocumentWarning] = []
    for n, part in enumerate(message.iter_attachments()):
        name = " ".join((part.get_filename() or part.get_content_type()).split())[:_MAX_NAME]
        if n >= _MAX_ATTACHMENTS:
            detail = f"more than {_MAX_ATTACHMENTS} files are attached: ingest them by themselves"
            warnings.append(DocumentWarning("not_read", detail))
            break
        try:
            read = _attachment(part, name, extract_file)
        except DocumentRejected as error:
            detail = f"the attached file {name} is not read: it {error}"
            warnings.append(DocumentWarning("not_read", detail))
            continue
        texts.append(f"## {name}\n\n{read.text.strip()}")
        places = (f"{name}, {w.where}" if w.where else name for w in read.warnings)
        warnings += (replace(w, where=p) for w, p in zip(read.warnings, places, strict=True))
    subject = str(message["Subject"] or "").strip()
    head = "\n".join(headers)
    whole = "\n\n".join([head, text.strip(), *texts])
    return Extracted(f"{whole}\n", True, subject or None, warnings=tuple(warnings))


def _attachment(part: EmailMessage, name: str, extract_file: ExtractFile) -> Extracted:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        raise DocumentRejected("is a message within the message: save it as a file of its own")
    found = format_of(content, name)
    if found is Format.EML:
        raise DocumentRejected("is a message within the message: save it as a file of its own")
    return extract_file(content, found)
