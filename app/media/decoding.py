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
from app.media.formats import MediaFormat, format_of
from app.sandbox import import_all

MAX_SIDE: Final = 1568
MAX_SHOWN_PIXELS: Final = 1_150_000
"""A larger picture is scaled down by Anthropic's API itself (its vision guide)."""
MAX_PIXELS: Final = 50_000_000
"""Of what was sent: any camera's; decoded it takes 150 MB."""
MAX_FRAMES: Final = 6
MAX_FRAMES_DECODED: Final = 10_000
"""Of one video: more than five minutes of a phone's."""

_QUALITY = 90
_CODECS: Final = "h264,hevc,mpeg4,mjpeg,prores,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d"
"""FFmpeg's names of the decoders of videos that phones, browsers and cameras write."""
_CLOSED: Final = {
    # Files may name others, which nobody may open; only what is read from memory is there.
    "protocol_whitelist": "none",
    "enable_drefs": "0",
    "use_absolute_path": "0",
    "codec_whitelist": _CODECS,
}

# The bound is ours to check, and says what it is.
Image.MAX_IMAGE_PIXELS = None


def warm_up() -> None:
    """Import all that decoding needs, some of which the libraries import when it is used."""
    import_all(av)
    Image.init()
    for file_format in ("PNG", "JPEG", "GIF", "WEBP"):
        made = BytesIO()
        Image.new("P", (8, 8)).convert("RGB").save(made, file_format)
        _picture(made.getvalue(), MediaFormat(file_format))


def pictures_of(url: str) -> list[Picture]:
    """The picture in a data URL, or frames of the video.

    What the file is its first bytes tell: a JPEG that is declared a PNG is shown all the same.

    Raises:
        MediaRejected: It cannot be shown, or is a video that is declared a picture or the reverse.
    """
    head, _, encoded = url.partition(",")
    try:
        content = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise MediaRejected("is no base64") from None
    file_format = format_of(content)
    if file_format.is_video is not head.lower().startswith("data:video/"):
        actual, expected = ("video", "video") if file_format.is_video else ("picture", "image")
        raise MediaRejected(f"is a {actual}, and not declared as data:{expected}/…")
    if file_format.is_video:
        return _frames(content, file_format)
    return [_picture(content, file_format)]


def _picture(content: bytes, file_format: MediaFormat) -> Picture:
    try:
        with Image.open(BytesIO(content), formats=(file_format,)) as image:
            _require_bounded(image.width, image.height)
            image.draft("RGB", (MAX_SIDE, MAX_SIDE))
            ImageOps.exif_transpose(image, in_place=True)
            return _shown(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise MediaRejected("is a damaged picture") from error


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


def _frames(content: bytes, file_format: MediaFormat) -> list[Picture]:
    try:
        with av.open(
            BytesIO(content), "r", file_format.value, options=_CLOSED, metadata_errors="ignore"
        ) as container:
            if not container.streams.video:
                raise MediaRejected("holds no video")
            stream = container.streams.video[0]
            if stream.codec_context.name not in _CODECS.split(","):
                raise MediaRejected("is a video of a codec that is not taken: send H.264 or VP9")
            _require_bounded(stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.thread_count = 1
            frames = _spread(container.decode(stream))
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaRejected("is a damaged video") from error
    if not frames:
        raise MediaRejected("holds no frame that can be shown")
    return [_shown(image, _caption(n, len(frames), at)) for n, (at, image) in enumerate(frames, 1)]


def _spread(frames: Iterator[av.VideoFrame]) -> list[tuple[float, Image.Image]]:
    """At most `MAX_FRAMES`, at even distances in time, whatever length the video says it has.

    Twice as many are kept on the way; when there are more, every other one goes.
    """
    kept: list[tuple[float, Image.Image]] = []
    distance, due = 0.0, 0.0
    for number, frame in enumerate(frames):
        if number >= MAX_FRAMES_DECODED:
            raise MediaRejected(f"has more than {MAX_FRAMES_DECODED:,} frames: send a shorter one")
        at = frame.time or 0.0
        if at < due:
            continue
        _require_bounded(frame.width, frame.height)
        image: Image.Image = frame.to_image(threads=1)  # type: ignore[no-untyped-call]  # PyAV declares no types
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
