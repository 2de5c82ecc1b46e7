"""Row 31: files that would have the decoder open other files or sockets."""

import struct
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from app.errors import ChildFailed, ChildFailure, MediaRejected
from app.media.decoder import LIMITS, Reply
from app.media.formats import format_of
from app.sandbox import Child
from tests.media.samples import data_url, picture, video

SDP = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
)
HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile '../../etc/passwd'\n"


def atom(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


NOT_TAKEN: dict[str, bytes] = {
    "ffconcat": CONCAT,
    "sdp": SDP,
    "hls": HLS,
    "dash": b'<?xml version="1.0"?><MPD><Period><BaseURL>file:///etc/</BaseURL></Period></MPD>',
    "an image sequence": b"frame%03d.png",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "webvtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\nx\n",
    "tiff": picture("TIFF"),
    "ico": picture("ICO"),
    "bmp": picture("BMP"),
    "ppm": picture("PPM"),
    "psd": b"8BPS\x00\x01" + b"\0" * 30,
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "pdf": b"%PDF-1.7\n",
    "avif": atom(b"ftyp", b"avif\0\0\0\0avifmif1"),
    "heic": atom(b"ftyp", b"heic\0\0\0\0mif1heic"),
    "jpeg 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    "avi": b"RIFF\0\0\0\0AVI LIST",
    "wav": b"RIFF\0\0\0\0WAVEfmt ",
    "another document in EBML": b"\x1aE\xdf\xa3\x84\x42\x82\x81x",
    "mpeg-ts": b"\x47\x40\x00\x10" + b"\0" * 184,
    "flv": b"FLV\x01\x05\0\0\0\x09",
    "nothing": b"",
}


@pytest.mark.parametrize("content", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_row_31_all_other_formats_are_refused_by_their_first_bytes(content: bytes) -> None:
    with pytest.raises(MediaRejected, match="is neither a PNG, JPEG"):
        format_of(content)


def with_data_elsewhere() -> bytes:
    """A QuickTime video whose frames are in another file, by an alias as FFmpeg reads it."""
    clip = video("libx264", "mov", 1)
    # Volume, name, no levels between the two; the path follows as an item of type 2.
    path = b"/etc/passwd"
    alias = bytes(10) + bytes([1]) + b"x".ljust(27, b"\0") + bytes(12)
    alias += bytes([6]) + b"passwd".ljust(63, b"\0") + bytes(16) + bytes(4)
    alias += bytes(16) + struct.pack(">HH", 2, len(path)) + path + b"\0" + b"\xff\xff\0\0"
    reference = atom(b"alis", bytes(4) + alias)
    return _replaced(clip, b"dref", bytes(4) + struct.pack(">I", 1) + reference)


def _replaced(content: bytes, kind: bytes, by: bytes) -> bytes:
    """The atoms with the content of those of one kind replaced, at any depth."""
    made, at = b"", 0
    while at < len(content):
        size, name = struct.unpack(">I4s", content[at : at + 8])
        inner = content[at + 8 : at + size]
        if name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            inner = _replaced(inner, kind, by)
        made += atom(name, by if name == kind else inner)
        at += size
    return made


def as_if(content: bytes) -> bytes:
    """Begins as MP4 does, and goes on as another format."""
    return atom(b"ftyp", b"isom\0\0\0\0isom") + content


OPEN_NOTHING: dict[str, Callable[[], bytes]] = {
    "a video": lambda: video("libx264", "mp4", 1),
    "data elsewhere": with_data_elsewhere,
    "a list behind a head": lambda: as_if(CONCAT),
    "a session behind a head": lambda: as_if(SDP),
    "a playlist behind a head": lambda: b"\x1aE\xdf\xa3\x8b\x42\x82\x84webm" + HLS,
    **{f"{name} as it is": partial(bytes, content) for name, content in NOT_TAKEN.items()},
}


@pytest.fixture(scope="module")
def strict() -> Iterator[Child]:
    with Child("tests.media.strict_child", LIMITS) as child:
        yield child


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filter tells")
@pytest.mark.parametrize("make", OPEN_NOTHING.values(), ids=OPEN_NOTHING)
def test_row_31_no_file_has_the_decoder_open_anything(
    make: Callable[[], bytes], strict: Child
) -> None:
    """The process would be ended, and this and all later files fail."""
    reply = strict.ask(data_url("video/mp4", make()), Reply)
    assert reply.pictures or reply.rejected


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filter tells")
@pytest.mark.parametrize("make", [lambda: CONCAT, with_data_elsewhere], ids=["list", "elsewhere"])
def test_row_31_the_filter_tells_when_a_careless_decoder_opens_a_file(
    make: Callable[[], bytes],
) -> None:
    with Child("tests.media.careless_child", LIMITS) as careless:
        with pytest.raises(ChildFailed) as failed:
            careless.ask(make(), object)
        assert failed.value.failure is ChildFailure.CRASH
