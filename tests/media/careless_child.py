"""As the strict one, with a decoder that takes any format: what the filter is to notice."""

from io import BytesIO

import av

from app.media.decoding import warm_up
from app.sandbox import seccomp, serve

CARELESS = {
    "safe": "0",
    "protocol_whitelist": "file",
    "enable_drefs": "1",
    "use_absolute_path": "1",
}


def _handle(content: bytes) -> int:
    with av.open(BytesIO(content), options=CARELESS) as container:
        return len(container.streams)


if __name__ == "__main__":
    seccomp._REFUSE = 0x80000000  # end the process
    warm_up()
    serve(_handle, bytes)
