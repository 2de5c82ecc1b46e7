"""Pictures and videos on their way to a model."""

import base64
import io
import struct
import zlib

import pytest
from PIL import Image

from app.errors import MediaRejected
from app.events import Picture
from app.media.decoder import decoded
from app.media.decoding import MAX_SHOWN_PIXELS, MAX_SIDE
from tests.media.samples import data_url, picture, video


async def pictures_of(url: str) -> tuple[Picture, ...]:
    return (await decoded([url]))[url]


def opened(shown: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(shown.base64)))
    assert image.format == "JPEG"
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_a_picture_of_each_kind_is_made_afresh_at_a_size_that_models_take(kind: str) -> None:
    large = picture(kind, (3000, 1000))
    (shown,) = await pictures_of(data_url(f"image/{kind.lower()}", large))

    image = opened(shown)
    assert max(image.size) <= MAX_SIDE
    assert image.width * image.height <= MAX_SHOWN_PIXELS
    assert image.width == pytest.approx(3 * image.height, abs=3)
    red, green, blue = image.getpixel((5, 5))  # type: ignore[misc]
    assert red > 200 > 60 > max(green, blue)


async def test_a_picture_that_was_taken_sideways_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # as phones note it: to be turned by a quarter
    sideways = picture("JPEG", (640, 480), exif=exif)
    (shown,) = await pictures_of(data_url("image/jpeg", sideways))

    assert opened(shown).size == (480, 640)


async def test_what_a_camera_notes_beside_the_picture_does_not_go_on() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    (shown,) = await pictures_of(data_url("image/jpeg", picture("JPEG", exif=exif)))

    assert b"taken at home" not in base64.b64decode(shown.base64)


@pytest.mark.parametrize(("codec", "container"), [("libx264", "mp4"), ("libvpx-vp9", "webm")])
async def test_a_video_is_shown_in_frames_over_its_whole_length(codec: str, container: str) -> None:
    shown = await pictures_of(data_url(f"video/{container}", video(codec, container, seconds=30)))

    first, *_, last = [p.caption for p in shown]
    assert first == "Frame 1 of 6 of a video, at 0:00:"
    assert last.startswith("Frame 6 of 6 of a video, at 0:2")
    reds = [opened(p).getpixel((5, 5))[0] for p in shown]  # type: ignore[index]
    assert reds == sorted(reds)
    assert reds[-1] > reds[0] + 150


def bomb() -> bytes:
    """A PNG of a few kilobytes that says it has 2.5 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("data:image/png;base64,@@@", "is no base64", id="base64"),
        pytest.param(data_url("image/png", b"GIF of another kind"), "is no PNG", id="no-picture"),
        pytest.param(data_url("image/png", picture("BMP")), "is no PNG", id="another-format"),
        pytest.param(data_url("image/png", picture("PNG")[:80]), "is a damaged picture", id="cut"),
        pytest.param(data_url("image/png", bomb()), "50000 × 50000 pixels", id="bomb"),
        pytest.param(data_url("video/mp4", b"\0" * 999), "is a damaged video", id="no-video"),
    ],
)
async def test_what_cannot_be_shown_is_refused_with_the_reason(url: str, why: str) -> None:
    good = data_url("image/png", picture("PNG"))
    with pytest.raises(MediaRejected, match=f"file 2 of 2 .*{why}"):
        await decoded([good, url])


async def test_a_decoder_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.media.decoder.TIME_LIMIT_S", 0.0)
    with pytest.raises(MediaRejected, match="too long"):
        await pictures_of(data_url("image/png", picture("PNG")))
