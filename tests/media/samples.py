"""Real pictures and videos, made where they are needed."""

import base64
import io
from typing import Any

import av
import numpy as np
from PIL import Image

FRAMES_A_SECOND = 5


def picture(kind: str, size: tuple[int, int] = (640, 480), **options: Any) -> bytes:
    """A red picture in one of Pillow's formats."""
    made = io.BytesIO()
    Image.new("RGB", size, (230, 20, 30)).save(made, kind, **options)
    return made.getvalue()


def video(codec: str, container: str, seconds: int) -> bytes:
    """A video that goes from black to red."""
    made = io.BytesIO()
    frames = seconds * FRAMES_A_SECOND
    with av.open(made, "w", format=container) as output:
        stream = output.add_stream(codec, rate=FRAMES_A_SECOND, width=64, height=48)
        assert isinstance(stream, av.VideoStream)
        for n in range(frames):
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[:, :, 0] = 255 * n // frames
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())
    return made.getvalue()


def data_url(kind: str, content: bytes) -> str:
    """The content as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
