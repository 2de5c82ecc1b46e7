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

from app.api.admission import Admission
from app.errors import ConfigurationError
from app.protocol import BoundedProtocol
from app.settings import Settings

LAST_BYTES_S = 5
"""For connections that are still open once nothing is under way."""


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How the app is served; it starts under this alone (`require_own_server`)."""
    app.state.within_bounds = True
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        http=BoundedProtocol,
        ws="none",
        server_header=False,
        # Anybody can send X-Forwarded-For; whose word counts is the application's to say.
        proxy_headers=False,
        timeout_graceful_shutdown=LAST_BYTES_S,
    )


OWN_SERVER_ALONE = (
    "start the service with `zantara serve`: uvicorn and other servers by themselves bound "
    "neither a request's head nor what waits on a connection, and believe X-Forwarded-For"
)


def require_own_server(app: FastAPI) -> None:
    """Raises `ConfigurationError` under a server that bounds no request before the app has it."""
    if not getattr(app.state, "within_bounds", False):
        raise ConfigurationError(OWN_SERVER_ALONE)


# Python's own 700 has the collector run several times a request, and now and then through all that
# was ever loaded: a fifth of a second in which nobody is answered.
_COLLECTED_AFTER = 10_000
_LOADED_BY_TICK = 200
"""In tenths of a second: what is there by then, the models' libraries among it, stays."""
_ACCEPTED_A_TURN = 16
"""Connections in one turn of the loop; each costs a new one a call of the system's, 1 µs."""


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
            BoundedProtocol,
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
