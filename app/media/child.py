"""The process in which one picture or video is decoded."""

from app.errors import MediaRejected
from app.media.decoder import Reply
from app.media.decoding import pictures_of, warm_up
from app.sandbox import serve


def handle(url: str) -> Reply:
    """Decode the file in a data URL."""
    try:
        return Reply(tuple(pictures_of(url)))
    except MediaRejected as error:
        return Reply(rejected=str(error))


if __name__ == "__main__":
    warm_up()
    serve(handle, str)
