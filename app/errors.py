"""Every error that crosses a module's border.

ZantaraError
├── ConfigurationError        the settings cannot work; stops the start
├── ProviderError             one model call failed; `kind` decides what follows
├── AnswerUnavailable         no model answered, and nothing else may
├── ChildFailed               a child process took too much, or failed; `failure` says how
├── MediaRejected             a picture or video that cannot be shown to a model
├── TooMuchWaiting            a caller that asks for more than its share of what is scarce
└── RetrievalError            the knowledge base cannot be searched or changed
    ├── EmbedderMismatch      the index was made by another embedder
    ├── IndexNotReady         still being built
    ├── DocumentRejected      a file that cannot be indexed
    ├── StorageFailed         the disk or the database file, not the caller
    │   └── DataDirInUse      another process, a running service, has the directory
    └── VectorsUnavailable    the embedder or the vector index; the lexical half still answers

Anything else that is raised is a bug, and crashes loudly.
"""

from enum import StrEnum


class FailureKind(StrEnum):
    """The one kind that every failure of a provider has."""

    AUTHENTICATION = "authentication"
    PAYMENT = "payment"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    SERVER = "server"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_FIRST_CONTENT = "timeout_first_content"
    TIMEOUT_IDLE = "timeout_idle"
    TIMEOUT_TOTAL = "timeout_total"
    CONNECTION = "connection"
    CERTIFICATE = "certificate"
    NO_DESCRIPTORS = "no_descriptors"
    PROTOCOL = "protocol"
    EMPTY = "empty"
    CONTINUATION_MISMATCH = "seam"  # a continuation that does not go on from what was said
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    BAD_REQUEST = "bad_request"
    CIRCUIT_OPEN = "circuit_open"
    SPENDING_LIMIT = "spending_limit"  # ours, for the day: the call was not made

    @property
    def is_timeout(self) -> bool:
        """Whether a time limit of ours ran out."""
        return self.name.startswith("TIMEOUT")


class ZantaraError(Exception):
    """Base of all errors of the service."""


class ConfigurationError(ZantaraError):
    """The settings cannot work; the message says which one and what to do."""


class ProviderError(ZantaraError):
    """One call of a model failed.

    `detail` is safe to log and to show: it never holds a key or a prompt.
    `retry_after_s` is what the provider asked for, in seconds, already clamped.
    """

    def __init__(
        self,
        kind: FailureKind,
        detail: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s


class AnswerUnavailable(ZantaraError):
    """No model could answer. `failures` maps a provider's name to its last error."""

    def __init__(self, message: str, failures: dict[str, ProviderError]) -> None:
        super().__init__(message)
        self.failures = failures

    @property
    def retry_after_s(self) -> float:
        """Seconds after which another try makes sense; 5 when nobody said."""
        waits = [e.retry_after_s for e in self.failures.values() if e.retry_after_s is not None]
        return min(waits, default=5.0)


class ChildFailure(StrEnum):
    """Why a child process made nothing of a request."""

    TIME = "takes too long"
    MEMORY = "takes too much memory"
    OUTPUT = "makes too long an answer"
    CRASH = "makes its process crash"
    ERROR = "makes its library fail"
    STOPPED = "was stopped"


class ChildFailed(ZantaraError):
    """A child process made nothing of a request; the message names no class and no path.

    `traceback` is for the log.
    """

    def __init__(self, failure: ChildFailure, traceback: str = "") -> None:
        super().__init__(failure.value)
        self.failure = failure
        self.traceback = traceback


class MediaRejected(ZantaraError):
    """A picture or a video cannot be taken; the message says why, on one line."""


class TooMuchWaiting(ZantaraError):
    """A caller has too much waiting or held already; the message says of what, on one line."""

    retry_after_s = 2


class RetrievalError(ZantaraError):
    """The knowledge base cannot be searched or changed."""


class EmbedderMismatch(RetrievalError):
    """The index was made by another embedder than the one configured."""


class IndexNotReady(RetrievalError):
    """The index is still being built."""


class DocumentRejected(RetrievalError):
    """A file cannot be indexed; the message says why, on one line."""


class StorageFailed(RetrievalError):
    """The store cannot be read or written: a full disk, a damaged or locked file."""


class DataDirInUse(StorageFailed):
    """Another process has the data directory: a service that can be asked instead."""


class VectorsUnavailable(RetrievalError):
    """The embedder or the vector index failed; the lexical index may still answer."""
