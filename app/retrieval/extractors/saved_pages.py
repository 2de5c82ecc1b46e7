"""Pages that a browser saved with their parts, as MHTML."""

import email
import email.policy
import re
from email.message import Message

from app.errors import DocumentRejected
from app.retrieval.extractors.encodings import decoded

_SAVED_PAGE = re.compile(
    rb"\s*(?:From: <Saved by|MIME-Version:|Content-Type: multipart/related)", re.I
)
_MAX_PARTS = 1_000


def page_of(content: bytes) -> bytes:
    """The page itself, in UTF-8, of one that was saved with its parts; other content as it is."""
    if not _SAVED_PAGE.match(content[:200]) or b"multipart/related" not in content[:4096].lower():
        return content
    message = email.message_from_bytes(content, policy=email.policy.default)
    for part in _parts(message):
        if part.get_content_type() in ("text/html", "application/xhtml+xml"):
            return text_of(part).encode()
    raise DocumentRejected("is a saved page that holds no HTML: save it again")


def _parts(message: Message) -> list[Message]:
    parts = []
    for part in message.walk():
        parts.append(part)
        if len(parts) > _MAX_PARTS:
            raise DocumentRejected(f"has more than {_MAX_PARTS} parts")
    return parts


def text_of(part: Message) -> str:
    """The text of a part, in whatever encoding it is."""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset()
    return decoded(content, charset)[0]
