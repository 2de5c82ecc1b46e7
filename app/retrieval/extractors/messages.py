"""E-mails into Markdown."""

import email
import email.policy
from email.message import EmailMessage

from app.retrieval.extractors import html
from app.retrieval.extractors.extracted import Extracted
from app.retrieval.extractors.saved_pages import text_of
from app.retrieval.warnings import DocumentWarning

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def extract(content: bytes) -> Extracted:
    """A message: its headers, its text, and in a warning what is attached."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    headers = [f"{name}: {message[name]}" for name in _HEADERS if message[name]]
    body = message.get_body(preferencelist=("html", "plain"))
    text = ""
    if body is not None:
        text = text_of(body)
        if body.get_content_type() == "text/html":
            text = html.fragment(text)
    attached = [
        part.get_filename() or part.get_content_type() for part in message.iter_attachments()
    ]
    warnings = tuple(
        DocumentWarning("not_read", f"attached file {name} is not read: ingest it by itself")
        for name in attached[:20]
    )
    subject = str(message["Subject"] or "").strip()
    head = "\n".join(headers)
    return Extracted(f"{head}\n\n{text.strip()}\n", True, subject or None, warnings=warnings)
