"""uvicorn's HTTP protocol, bounded: a client takes only so much before it is known.

uvicorn bounds neither a request's head nor what waits to be answered, and waits for ever for a
head that does not end and for a client that does not read, even where it has closed the
connection: asyncio closes it for good once all is sent.
"""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Final, NoReturn

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request, and of what a chunked body may hold that is no body, such as extensions."""
MAX_FRAMING: Final = 16
"""Bytes of framing that each byte of a chunked body may have on top: one in a chunk has five."""
MAX_HEADER_LINES: Final = 128
MAX_TARGET_BYTES: Final = 8 * 1024
"""Of the path and the query, so that few parameters fit."""
MAX_UNANSWERED: Final = 4
"""Requests on a connection: with so many it is read no further until one is answered."""
MAX_WAITING: Final = 2_000
"""Connections that wait for a head, of all clients: for one more the oldest of them is closed."""
MAX_WAITING_BYTES: Final = 16_000_000
"""Of all that lies in memory for them."""
HEAD_LIMIT_S = 20.0
"""For the head of a request, from the connection or its first byte on."""
UNREAD_LIMIT_S = 40.0
"""For a client that takes nothing of what lies ready for it: longer than an answer waits for it."""
REFUSAL_S: Final = 1.0
"""For a client to read why it was refused: a connection with unread bytes is reset at its end."""

_PIECE: Final = 16 * 1024
"""Parsed at once, at the most."""
_END_OF_HEAD: Final = b"\r\n\r\n"


class WaitingConnections:
    """The connections of which a head is due, or the rest of what they sent, the oldest first.

    Who opens thousands and sends little takes memory from nobody, and keeps nobody out: a client
    that means it sends its head at once.
    """

    def __init__(self) -> None:
        self._bytes_of: dict[BoundedProtocol, int] = {}
        self._bytes = 0

    def add(self, connection: "BoundedProtocol", held: int) -> None:
        """Count a connection, or what it holds now; close the oldest while there is too much."""
        self._bytes += held - self._bytes_of.get(connection, 0)
        self._bytes_of[connection] = held
        while len(self._bytes_of) > MAX_WAITING or self._bytes > MAX_WAITING_BYTES:
            oldest = next(iter(self._bytes_of))
            self.remove(oldest)
            oldest.transport.abort()

    def remove(self, connection: "BoundedProtocol") -> None:
        """Count it no longer."""
        self._bytes -= self._bytes_of.pop(connection, 0)


_waiting = WaitingConnections()


class Flow(FlowControl):
    """Reads on only where the connection is not held up."""

    held = False

    def resume_reading(self) -> None:
        """Called by uvicorn for each request that wants its body, or has its answer."""
        if not self.held:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The parser is given pieces with one head each, and pauses between them."""

    flow: Flow
    _unparsed: bytes = b""
    _parsed = 0
    """How much of it was parsed all the same, while the rest waits."""
    _piece = 0
    """Bytes that the parser is given at the moment."""
    _fed = 0
    """Bytes that it was given since the request began, its head among them."""
    _of_body = 0
    _in_head = True
    _refusal: HTTPStatus = HTTPStatus.BAD_REQUEST
    _refused = False
    _head_due: asyncio.TimerHandle | None = None
    _reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A first request is due."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._expect_head()
        _waiting.add(self, 0)

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        self._unparsed = self._unparsed[self._parsed :] + data
        self._parsed = 0
        self._parse()

    def _parse(self) -> None:
        """Parse what has come, up to the request that is one too many."""
        data = self._unparsed
        while (
            self._parsed < len(data) and len(self._unanswered) < MAX_UNANSWERED and self._is_open()
        ):
            start, end = self._parsed, min(self._parsed + _PIECE, len(data))
            found = data.find(_END_OF_HEAD, start, end)
            self._parsed = end if found < 0 else found + len(_END_OF_HEAD)
            self._feed(data[start : self._parsed])
        if self._parsed == len(data) or not self._is_open():
            self._unparsed, self._parsed = b"", 0
        was_held, self.flow.held = self.flow.held, len(self._unanswered) >= MAX_UNANSWERED
        if self.flow.held:
            self.flow.pause_reading()
        elif was_held:
            self.flow.resume_reading()
        self._count_waiting()

    def _count_waiting(self) -> None:
        left = len(self._unparsed) - self._parsed
        if not self._is_open() or not (left or self._in_head or not self._unanswered):
            _waiting.remove(self)
        else:
            _waiting.add(self, left + (self._fed if self._in_head else 0))

    def _feed(self, piece: bytes) -> None:
        if self.timeout_keep_alive_task:
            # uvicorn lets go of its timer here, though this may be the rest of a refused body.
            self._expect_head()
        self._piece = len(piece)
        self._fed += self._piece
        super().data_received(piece)
        if self._is_open() and self._fed > MAX_HEAD_BYTES + (1 + MAX_FRAMING) * self._of_body:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _is_open(self) -> bool:
        return not self._refused and not self.transport.is_closing()

    def on_message_begin(self) -> None:
        """A request has begun."""
        super().on_message_begin()
        self._fed, self._of_body = self._piece, 0
        self._in_head = True
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is there, or a trailer, which nobody asked for."""
        if not self._in_head:
            return
        if name.lower() == b"cookie":
            # There are none, and Python's parser of them takes the square of their length.
            return
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADER_LINES:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._head_is_there()
        if self._fed > MAX_HEAD_BYTES:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if len(self.url) > MAX_TARGET_BYTES:
            self._stop_parsing(HTTPStatus.REQUEST_URI_TOO_LONG)
        if not self.url.startswith(b"/"):
            self._host_of_target()
        super().on_headers_complete()
        self._unanswered.append(self.cycle)

    def _host_of_target(self) -> None:
        """Of a target such as http://host/path the host counts (RFC 9112, 3.2.2)."""
        _, _, rest = self.url.partition(b"://")
        host = rest.split(b"/", 1)[0].split(b"?", 1)[0]
        self.headers[:] = [header for header in self.headers if header[0] != b"host"]
        self.headers.append((b"host", host))

    def on_body(self, body: bytes) -> None:
        """A part of the body is there."""
        self._of_body += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        """A request has its answer: the next one's turn."""
        self._unanswered.popleft()
        super().on_response_complete()
        self._parse()

    def _stop_parsing(self, status: HTTPStatus) -> NoReturn:
        """Raises, as the parser's callbacks do to stop it: uvicorn then sends its 400."""
        self._refusal = status
        raise ValueError(status.phrase)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """What came is no HTTP, or too long."""
        self._refuse(self._refusal)

    def _refuse(self, status: HTTPStatus) -> None:
        """Close, with an answer where no other one is due."""
        self._refused = True
        self._head_is_there()
        if self._unanswered:
            self.transport.close()
            return
        text = status.phrase.encode()
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (status, text, len(text), text)
        )
        self.flow.pause_reading()
        self.transport.write_eof()
        self.loop.call_later(REFUSAL_S, self.transport.close)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: uvicorn would advise a package, and the request has its answer and line."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more, of no request: uvicorn tells the last one alone of it."""
        _waiting.remove(self)
        self._head_is_there()
        self._stop_expecting_reading()
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads less than is written."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._stop_expecting_reading()
        super().resume_writing()

    def _expect_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reading_due = self.loop.call_later(UNREAD_LIMIT_S, self._require_reading, unread)

    def _require_reading(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() < unread:
            self._expect_reading()  # slow, but it reads
        else:
            self.transport.abort()

    def _stop_expecting_reading(self) -> None:
        if self._reading_due:
            self._reading_due.cancel()

    def _expect_head(self) -> None:
        self._head_is_there()
        self._head_due = self.loop.call_later(HEAD_LIMIT_S, self.transport.close)

    def _head_is_there(self) -> None:
        if self._head_due:
            self._head_due.cancel()
