"""Reading server-sent events off a provider's byte stream.

Our own rather than httpx-sse: a provider that sends a line without end must
not fill the memory, and httpx-sse 0.4.3 has no limit.
"""

from app.errors import FailureKind, ProviderError

MAX_EVENT_BYTES = 1_000_000
"""Far above any chunk of a chat completion (a few hundred bytes)."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""May be the first character of a stream, and belongs to no line."""


class SSEDecoder:
    """Incremental decoder: bytes in, the `data` of complete events out.

    Any split of a stream gives the same events; CR, LF and CRLF end a line.
    Comments and fields other than `data` are dropped.
    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
    """

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._at_the_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that `chunk` completes.

        Raises `ProviderError` (protocol) for an event over `MAX_EVENT_BYTES`.
        """
        if not chunk:
            return []
        self._unfinished.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk and not self._ends_in_cr():
            self._grow(len(chunk))
            return []
        text, waiting = b"".join(self._unfinished), b""
        if b"\r" in text:
            if text.endswith(b"\r"):
                # It may be the first half of a CRLF: wait for the rest.
                text, waiting = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._unfinished = [rest + waiting]
        if self._at_the_start and lines:
            self._at_the_start = False
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        events = self._take(lines)
        # With the field's name and the line's end: lines of nothing fill the memory too.
        self._size = sum(map(len, self._data)) + len(b"data:\n") * len(self._data)
        self._grow(len(rest))
        return events

    def _ends_in_cr(self) -> bool:
        return len(self._unfinished) > 1 and self._unfinished[-2].endswith(b"\r")

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events, data = [], self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif data and not line:
                if event := b"\n".join(data):
                    events.append(event)
                data.clear()
        return events

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_EVENT_BYTES:
            raise ProviderError(
                FailureKind.PROTOCOL, f"an event of more than {MAX_EVENT_BYTES} bytes"
            )
