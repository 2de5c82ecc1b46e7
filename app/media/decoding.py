"""Bytes that say they are a picture or a video, into pictures. Runs in the child alone."""

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Final

import av
import av.error
from PIL import Image, ImageOps, UnidentifiedImageError

from app.errors import MediaRejected
from app.events import Picture

MAX_SIDE: Final = 1568
MAX_SHOWN_PIXELS: Final = 1_150_000
"""A larger picture is scaled down by Anthropic's API itself (its vision guide)."""
MAX_PIXELS: Final = 50_000_000
"""Of what was sent: any camera's; decoded it takes 150 MB."""
MAX_FRAMES: Final = 6

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_QUALITY = 90


# The bound is ours to check, and says what it is.
Image.MAX_IMAGE_PIXELS = None


def pictures_of(url: str) -> list[Picture]:
    """The picture in a data URL, or frames of the video. Raises `MediaRejected`."""
    head, _, encoded = url.partition(",")
    try:
        content = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise MediaRejected("is no base64") from None
    return _frames(content) if head.startswith("data:video/") else [_picture(content)]


def _picture(content: bytes) -> Picture:
    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            _require_bounded(image.width, image.height)
            image.draft("RGB", (MAX_SIDE, MAX_SIDE))
            return _shown(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise MediaRejected("is no PNG, JPEG, GIF or WebP picture") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaRejected(f"is a damaged picture ({type(error).__name__})") from error


def _shown(image: Image.Image, caption: str = "") -> Picture:
    """Made afresh, so that nothing but the pixels goes on: no place, no camera, no payload."""
    scale = min(1.0, (MAX_SHOWN_PIXELS / (image.width * image.height)) ** 0.5)
    side = min(MAX_SIDE, max(1, int(max(image.size) * scale)))
    image.thumbnail((side, side))
    opaque = Image.new("RGB", image.size, "white")
    rgba = image.convert("RGBA")
    opaque.paste(rgba, mask=rgba)
    made = BytesIO()
    opaque.save(made, "JPEG", quality=_QUALITY)
    return Picture(base64.b64encode(made.getvalue()).decode(), caption)


def _frames(content: bytes) -> list[Picture]:
    try:
        with av.open(BytesIO(content), "r", metadata_errors="ignore") as container:
            if not container.streams.video:
                raise MediaRejected("holds no video")
            stream = container.streams.video[0]
            _require_bounded(stream.codec_context.width, stream.codec_context.height)
            frames = _spread(container.decode(stream))
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaRejected(f"is a damaged video ({type(error).__name__})") from error
    if not frames:
        raise MediaRejected("holds no frame that can be shown")
    return [_shown(image, _caption(n, len(frames), at)) for n, (at, image) in enumerate(frames, 1)]


def _spread(frames: Iterator[av.VideoFrame]) -> list[tuple[float, Image.Image]]:
    """At most `MAX_FRAMES`, at even distances in time, whatever length the video says it has.

    Twice as many are kept on the way; when there are more, every other one goes.
    """
    kept: list[tuple[float, Image.Image]] = []
    distance, due = 0.0, 0.0
    for frame in frames:
        at = frame.time or 0.0
        if at < due:
            continue
        _require_bounded(frame.width, frame.height)
        image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV declares no types
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        kept.append((at, image))
        if len(kept) > 2 * MAX_FRAMES:
            del kept[1::2]
            distance = (kept[-1][0] - kept[0][0]) / (len(kept) - 1)
        due = kept[-1][0] + distance
    shown = min(len(kept), MAX_FRAMES)
    return [kept[n * len(kept) // shown] for n in range(shown)]


def _caption(number: int, frames: int, at: float) -> str:
    minutes, seconds = divmod(int(at), 60)
    return f"Frame {number} of {frames} of a video, at {minutes}:{seconds:02}:"


def _require_bounded(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaRejected(
            f"has {width} × {height} pixels; at most {MAX_PIXELS // 1_000_000} million are taken"
        )
