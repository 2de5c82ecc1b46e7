"""Pictures and videos on their way to a model."""

import asyncio
import base64
import io
import signal
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing

import pytest
from msgspec.structs import replace
from PIL import Image

from app.errors import MediaRejected
from app.events import Picture
from app.limits import caller_name
from app.media.decoder import LIMITS, Decoder
from app.media.decoding import MAX_SHOWN_PIXELS, MAX_SIDE
from tests.media.samples import data_url, picture, video

PicturesOf = Callable[[str], Awaitable[tuple[Picture, ...]]]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with closing(Decoder()) as made:
        yield made


@pytest.fixture
def pictures_of(decoder: Decoder) -> PicturesOf:
    async def pictures(url: str) -> tuple[Picture, ...]:
        return (await decoder.decoded([url]))[url]

    return pictures


def opened(shown: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(shown.base64)))
    assert image.format == "JPEG"
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_a_picture_of_each_kind_is_made_afresh_at_a_size_that_models_take(
    kind: str, pictures_of: PicturesOf
) -> None:
    large = picture(kind, (3000, 1000))
    (shown,) = await pictures_of(data_url(f"image/{kind.lower()}", large))

    image = opened(shown)
    assert max(image.size) <= MAX_SIDE
    assert image.width * image.height <= MAX_SHOWN_PIXELS
    assert image.width == pytest.approx(3 * image.height, abs=3)
    red, green, blue = image.getpixel((5, 5))  # type: ignore[misc]
    assert red > 200 > 60 > max(green, blue)


async def test_a_picture_that_was_taken_sideways_is_turned_upright(pictures_of: PicturesOf) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # as phones note it: to be turned by a quarter
    sideways = picture("JPEG", (640, 480), exif=exif)
    (shown,) = await pictures_of(data_url("image/jpeg", sideways))

    assert opened(shown).size == (480, 640)


async def test_what_a_camera_notes_beside_the_picture_does_not_go_on(
    pictures_of: PicturesOf,
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    (shown,) = await pictures_of(data_url("image/jpeg", picture("JPEG", exif=exif)))

    assert b"taken at home" not in base64.b64decode(shown.base64)


@pytest.mark.parametrize(
    ("codec", "container", "declared"),
    [
        ("libx264", "mp4", "mp4"),
        ("libx264", "mov", "quicktime"),
        ("libvpx-vp9", "webm", "webm"),
        # What browsers record is WebM or Matroska, whatever they call it.
        ("libx264", "matroska", "webm"),
        ("libx264", "matroska", "x-matroska"),
    ],
)
async def test_a_video_is_shown_in_frames_over_its_whole_length(
    codec: str, container: str, declared: str, pictures_of: PicturesOf
) -> None:
    clip = video(codec, container, seconds=30)
    shown = await pictures_of(data_url(f"video/{declared}", clip))

    first, *_, last = [p.caption for p in shown]
    assert first == "Frame 1 of 6 of a video, at 0:00:"
    assert last.startswith("Frame 6 of 6 of a video, at 0:2")
    reds = [opened(p).getpixel((5, 5))[0] for p in shown]  # type: ignore[index]
    assert reds == sorted(reds)
    assert reds[-1] > reds[0] + 150


def png(size: tuple[int, int], *, rows: bool) -> bytes:
    """A black PNG of a few kilobytes; without `rows` it has fewer pixels than it says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    width, height = size
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes((3 * width + 1) * height if rows else 1_000_000), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


BOMB = png((50_000, 50_000), rows=False)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("data:image/png;base64,@@@", "is no base64", id="base64"),
        pytest.param(data_url("image/png", b"no picture"), "is neither a PNG", id="no-picture"),
        pytest.param(data_url("image/png", picture("BMP")), "is neither a PNG", id="other-format"),
        pytest.param(data_url("image/png", picture("PNG")[:80]), "is a damaged picture", id="cut"),
        pytest.param(data_url("image/png", BOMB), "50000 × 50000 pixels", id="bomb"),
        pytest.param(
            data_url("video/mp4", b"\0\0\0\x18ftypisom" + b"\0" * 999),
            "is a damaged",
            id="no-video",
        ),
        pytest.param(
            data_url("video/mp4", picture("PNG")), "is a picture, and not", id="a-picture"
        ),
        pytest.param(
            data_url("image/png", video("libx264", "mp4", 1)), "is a video, and not", id="a-video"
        ),
    ],
)
async def test_what_cannot_be_shown_is_refused_with_the_reason(
    url: str, why: str, decoder: Decoder
) -> None:
    good = data_url("image/png", picture("PNG"))
    with pytest.raises(MediaRejected, match=f"file 2 of 2 .*{why}") as rejected:
        await decoder.decoded([good, url])
    assert "Error" not in str(rejected.value)


async def test_the_first_bytes_tell_which_picture_it_is(pictures_of: PicturesOf) -> None:
    (shown,) = await pictures_of(data_url("image/png", picture("JPEG")))
    assert opened(shown).size == (640, 480)


async def test_a_decoder_that_takes_too_long_is_ended_and_the_next_one_is_ready() -> None:
    url = data_url("image/png", png((5_000, 5_000), rows=True))
    with closing(Decoder(replace(LIMITS, time_s=0.01))) as hurried:
        for _ in range(2):
            with pytest.raises(MediaRejected, match="file 1 of 1 cannot be decoded: it takes too"):
                await hurried.decoded([url])


async def test_decoding_that_nobody_waits_for_any_more_is_ended(decoder: Decoder) -> None:
    url = data_url("image/png", png((5_000, 5_000), rows=True))
    await decoder.decoded([data_url("image/png", picture("PNG"))])
    child = decoder._spare._next
    decoding = asyncio.create_task(decoder.decoded([url]))
    while decoder._spare._next is child:
        await asyncio.sleep(0)
    decoding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await decoding
    assert child
    assert await asyncio.to_thread(child._process.wait, 5) == -signal.SIGKILL


async def test_row_32_slow_pictures_of_one_key_do_not_keep_another_s_small_one_waiting() -> None:
    slow = [data_url("image/png", png((5_000, 5_000 + n), rows=True)) for n in range(4)]
    small = data_url("image/png", picture("PNG", (1, 1)))

    async def decode_for(caller: str, decoder: Decoder, files: list[str]) -> None:
        caller_name.set(caller)
        await decoder.decoded(files)

    with closing(Decoder()) as fresh:
        of_one = asyncio.create_task(decode_for("one", fresh, slow))
        await asyncio.sleep(0)
        await decode_for("other", fresh, [small])
        assert not of_one.done()
        await of_one
