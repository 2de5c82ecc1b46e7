"""Text into vectors, by any server that speaks OpenAI's embeddings API."""

from collections.abc import Sequence

import httpx
import msgspec
import numpy as np

from app.errors import VectorsUnavailable
from app.retrieval.embedder import Vectors

# Well below the 300,000 tokens that OpenAI takes at once, and the seconds that a small server has.
BATCH = 32
MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Thirty-two vectors of 4,096 dimensions take some 3 MB of JSON."""
CONNECT_TIMEOUT_S = 2.0
# A question is given up after three seconds by the search; a batch of passages may take long.
READ_TIMEOUT_S = 60.0


class _Embedding(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Embedding]


class RemoteEmbedder:
    """`POST {url}/embeddings`. Safe to use from any thread."""

    def __init__(self, url: str, model: str, dimension: int, key: str | None) -> None:
        self.name = f"{model} at {httpx.URL(url).host}"
        self.dimension = dimension
        self._model = model
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            follow_redirects=False,
            trust_env=False,
        )

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of questions, shape `(len(texts), dimension)`, in the order given."""
        return self._embed_in_batches(texts)

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of passages, shape `(len(texts), dimension)`, in the order given."""
        return self._embed_in_batches(texts)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _embed_in_batches(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            vectors[start : start + len(batch)] = self._embed(batch)
        return vectors

    def _embed(self, texts: Sequence[str]) -> Vectors:
        answer = self._ask({"model": self._model, "input": list(texts), "encoding_format": "float"})
        rows = {row.index: row.embedding for row in answer.data}
        if sorted(rows) != list(range(len(texts))):
            raise self._unusable(f"it sent {len(rows)} vectors for {len(texts)} texts")
        lengths = {len(row) for row in rows.values()}
        if lengths != {self.dimension}:
            raise self._unusable(
                f"its vectors have {sorted(lengths)} dimensions, not {self.dimension}: "
                "set EMBEDDINGS_DIMENSIONS"
            )
        with np.errstate(over="ignore"):
            vectors = np.array([rows[i] for i in range(len(texts))], dtype=np.float32)
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and (norms > 0).all()):
            raise self._unusable("it sent a vector without a direction")
        unit: Vectors = vectors / norms
        return unit

    def _ask(self, body: dict[str, object]) -> _Answer:
        try:
            with self._client.stream("POST", "/embeddings", json=body) as response:
                if response.status_code != 200:
                    raise self._unusable(f"HTTP {response.status_code}")
                read = bytearray()
                for chunk in response.iter_bytes():
                    read += chunk
                    if len(read) > MAX_ANSWER_BYTES:
                        raise self._unusable(f"its answer is over {MAX_ANSWER_BYTES} bytes")
            return msgspec.json.decode(read, type=_Answer)
        except httpx.HTTPError as error:
            raise self._unusable(type(error).__name__) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._unusable("its answer is not OpenAI's embeddings object") from error

    def _unusable(self, why: str) -> VectorsUnavailable:
        return VectorsUnavailable(f"the embeddings server {self._client.base_url}: {why}")
