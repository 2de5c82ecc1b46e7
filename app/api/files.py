"""Pictures and videos in a request, as data URLs."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Request
from pydantic import AfterValidator, Field

from app.api.streaming import while_connected
from app.media.decoder import Pictures, decoded

MAX_FILES = 8
"""Of one request, its history included; a video counts once."""
MAX_FILE_CHARS = 7_000_000
"""Five megabytes in base64: Anthropic's limit for a picture."""

_TAKEN = re.compile(
    r"data:(?:image/(?:png|jpeg|jpg|gif|webp)|video/(?:mp4|webm|quicktime));base64,", re.IGNORECASE
)


def _is_taken(value: str) -> str:
    if not value.startswith("data:"):
        # Whoever fetches addresses for strangers can be sent to its own network.
        raise ValueError("is an address, and none is fetched; send the file itself, as a data URL")
    if not _TAKEN.match(value):
        raise ValueError(
            "is of no known kind; expected data:image/png;base64,… (or jpeg, gif, webp) or "
            "data:video/mp4;base64,… (or webm, quicktime)"
        )
    return value


DataUrl = Annotated[str, Field(max_length=MAX_FILE_CHARS), AfterValidator(_is_taken)]
Files = Annotated[list[DataUrl], Field(max_length=MAX_FILES)]


def require_few(files: Sequence[str]) -> None:
    """Raises `ValueError` for more files in a request than are taken."""
    if len(files) > MAX_FILES:
        raise ValueError(f"holds {len(files)} files; at most {MAX_FILES} are taken in one request")


async def pictures_in(files: Sequence[str], request: Request) -> Pictures:
    """What became of each file. Raises `MediaRejected`, and `ClientDisconnect`."""
    return await while_connected(request, decoded(files)) if files else {}
