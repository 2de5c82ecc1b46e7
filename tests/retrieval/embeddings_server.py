"""A real server of OpenAI's embeddings API on loopback, with the bundled model behind it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from app.retrieval.e5 import E5Embedder

Answer = Callable[[dict[str, Any]], Response]


@dataclass
class EmbeddingsServer:
    """What it was asked; `answer` may be replaced to have it misbehave."""

    answer: Answer
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@contextmanager
def embeddings_server(embedder: E5Embedder) -> Iterator[EmbeddingsServer]:
    """The server, for the length of the block."""
    server = EmbeddingsServer(lambda body: _embedded(embedder, body))
    app = FastAPI()

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        server.keys.append(request.headers.get("authorization"))
        server.bodies.append(await request.json())
        return server.answer(server.bodies[-1])

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        running = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + 60
            while not running.started:
                assert time.monotonic() < deadline, "the embeddings server did not start"
                time.sleep(0.01)
            yield server
        finally:
            running.should_exit = True
            thread.join()


def _embedded(embedder: E5Embedder, body: dict[str, Any]) -> Response:
    vectors = embedder.embed_passages(body["input"])
    rows = [
        {"object": "embedding", "index": i, "embedding": (vector * 2).tolist()}
        for i, vector in enumerate(vectors)
    ]
    # The order is not promised, and not every model's vectors have the length of one.
    return JSONResponse({"object": "list", "model": body["model"], "data": rows[::-1]})
