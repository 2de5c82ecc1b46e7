"""uvicorn, told to stop: what is under way is finished first, what comes new is refused.

uvicorn alone closes its port at once, so that new callers meet a refused connection and a
readiness check cannot say why.
"""

import asyncio
import gc
import os
import signal
import socket
import time
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.admission import Admission
from app.settings import Settings

HEAD_LIMIT_S = 20.0
"""For the head of a request, from the connection or its first byte on."""
UNREAD_LIMIT_S = 40.0
"""For a client that takes nothing of what lies ready for it: longer than an answer waits for it."""
LAST_BYTES_S = 5
"""For connections that are still open once nothing is under way."""


def server_config(app: FastAPI | str, settings: Settings) -> uvicorn.Config:
    """How the app is served."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        http=PromptProtocol,
        ws="none",
        server_header=False,
        # Anybody can send X-Forwarded-For; whose word counts is the application's to say.
        proxy_headers=False,
        timeout_graceful_shutdown=LAST_BYTES_S,
    )


# Python's own 700 has the collector run several times a request, and now and then through all that
# was ever loaded: a fifth of a second in which nobody is answered.
_COLLECTED_AFTER = 10_000
_LOADED_BY_TICK = 200
"""In tenths of a second: what is there by then, the models' libraries among it, stays."""
_ACCEPTED_A_TURN = 16
"""Connections in one turn of the loop; each costs a new one a call of the system's, 1 µs."""


class PromptProtocol(HttpToolsProtocol):
    """uvicorn's, but for clients that never end a request's head, or never read its answer.

    It would wait for ever, even where it has closed the connection: asyncio closes it for good
    once all is sent.
    """

    _head_due: asyncio.TimerHandle | None = None
    _reading_due: asyncio.TimerHandle | None = None
    _unanswered: tuple[RequestResponseCycle, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A first request is due."""
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        """A request has begun."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._head_is_there()
        super().on_headers_complete()
        asked = (*self._unanswered, self.cycle)
        self._unanswered = tuple(cycle for cycle in asked if cycle and not cycle.response_complete)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: uvicorn would advise a package, and the request has its answer and line."""

    def data_received(self, data: bytes) -> None:
        """Something has come; what follows an answer ought to be a request."""
        if self.timeout_keep_alive_task:
            # uvicorn lets go of its timer here, though this may be the rest of a refused body.
            self._expect_head()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more, of no request: uvicorn tells the last one alone of it."""
        self._head_is_there()
        self._stop_expecting_reading()
        for cycle in self._unanswered:
            cycle.disconnected = not cycle.response_complete
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


class DrainingServer(uvicorn.Server):
    """At the first SIGTERM serves on until nothing is under way, then ends.

    A second one, Ctrl-C, or `drain_s` seconds end it as uvicorn does.
    """

    def __init__(self, config: uvicorn.Config, drain_s: float) -> None:
        super().__init__(config)
        self._drain_s = drain_s
        self._drained_by: float | None = None
        gc.set_threshold(_COLLECTED_AFTER)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen as often as connections are to be accepted in one turn of the loop.

        libuv accepts one. With a thousand streams a turn takes a tenth of a second and more, and
        whoever came new, a health check too, waited behind all who came before.
        """
        await super().startup(sockets)
        protocol = partial(
            PromptProtocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        descriptors = [sock.fileno() for server in self.servers for sock in server.sockets]
        for descriptor in descriptors * (_ACCEPTED_A_TURN - 1):
            again = socket.socket(fileno=os.dup(descriptor))
            listening = await loop.create_server(protocol, sock=again, backlog=self.config.backlog)
            self.servers.append(listening)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal; what follows is done in `on_tick`."""
        if sig != signal.SIGTERM or not self.started or self._drained_by is not None:
            super().handle_exit(sig, frame)
            return
        self._drained_by = time.monotonic() + self._drain_s
        self._admission.closing = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to end, ten times a second."""
        if counter == _LOADED_BY_TICK:
            gc.freeze()
        if self._drained_by is not None and (
            self._admission.under_way == 0 or time.monotonic() > self._drained_by
        ):
            return True
        return await super().on_tick(counter)

    @property
    def _admission(self) -> Admission:
        admission: Admission = self.lifespan.state["admission"]
        return admission
