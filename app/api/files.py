"""Pictures and videos in a request, as data URLs or at addresses."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Request
from pydantic import AfterValidator, Field

from app.api.streaming import while_connected
from app.media.decoder import Decoder, Pictures
from app.media.fetching import in_data_urls

MAX_FILES = 8
"""Of one request, its history included; a video counts once."""
MAX_FILE_BYTES = 5_000_000
"""Anthropic's limit for a picture."""
MAX_FILE_CHARS = 7_000_000
"""As many bytes in base64."""
MAX_ADDRESS_CHARS = 2_000

_TAKEN = re.compile(
    r"data:(?:image/(?:png|jpeg|jpg|gif|webp)|video/(?:mp4|webm|quicktime|x-matroska));base64,",
    re.IGNORECASE,
)


def _is_taken(value: str) -> str:
    if value.startswith("https://"):
        if len(value) > MAX_ADDRESS_CHARS:
            raise ValueError(f"is an address of more than {MAX_ADDRESS_CHARS} characters")
        return value
    if not value.startswith("data:"):
        raise ValueError("is no https address and no data URL; send the file as a data URL")
    if not _TAKEN.match(value):
        raise ValueError(
            "is of no known kind; expected data:image/png;base64,… (or jpeg, gif, webp) or "
            "data:video/mp4;base64,… (or webm, quicktime, x-matroska)"
        )
    return value


FileAddress = Annotated[str, Field(max_length=MAX_FILE_CHARS), AfterValidator(_is_taken)]
Files = Annotated[list[FileAddress], Field(max_length=MAX_FILES)]


def require_few(files: Sequence[str]) -> None:
    """Raises `ValueError` for more files in a request than are taken."""
    if len(files) > MAX_FILES:
        raise ValueError(f"holds {len(files)} files; at most {MAX_FILES} are taken in one request")


async def pictures_in(files: Sequence[str], request: Request) -> Pictures:
    """What became of each file. Raises `MediaRejected`, `TooMuchWaiting` and `ClientDisconnect`."""
    if not files:
        return {}
    decoder: Decoder = request.state.decoder
    with while_connected(request.receive):
        data_urls = await in_data_urls(files, request.state.file_hosts)
        pictures = await decoder.decoded(list(data_urls.values()))
    return {file: pictures[url] for file, url in data_urls.items()}
