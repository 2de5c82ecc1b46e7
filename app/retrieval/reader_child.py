"""The process in which files are read."""

import email
import encodings
import xml

import stdnum

from app.errors import DocumentRejected
from app.retrieval import extractors
from app.retrieval.extractors.recognition import Recogniser
from app.retrieval.language import load_models
from app.retrieval.personal_data import load_tables
from app.retrieval.preparation import prepare
from app.retrieval.reader import Reply, Request
from app.sandbox import import_all, serve


def _handle(request: Request) -> Reply:
    try:
        return Reply(prepare(request.content, request.name, force=request.force))
    except DocumentRejected as error:
        return Reply(rejected=str(error))
    except RecursionError:
        return Reply(rejected="is nested too deeply")


if __name__ == "__main__":
    # Nothing can be opened once files are read: what a library imports when it is used, and the
    # modules of `extractors` do not, is imported here.
    for package in (email, encodings, xml, stdnum, extractors):
        import_all(package)
    load_models()
    load_tables()
    Recogniser.runs = True
    serve(_handle, Request)
