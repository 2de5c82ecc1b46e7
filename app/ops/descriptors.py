"""How many requests the process's file descriptors allow."""

import resource
from contextlib import suppress

import structlog

OWN = 64
"""Apart from requests: 38 when the service is ready, then the ledger and child processes."""
PER_REQUEST = 4
"""Its caller's connection, one to each model, and that of another caller who is refused."""

logger = structlog.get_logger(__name__)


def requests_allowed(wanted: int) -> int:
    """So many of `wanted` requests at once as never use the descriptors up; 1 at the least.

    Raises the process's soft limit to its hard one first.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses a soft limit that is unlimited
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    allowed = min(wanted, max(1, (limit - OWN) // PER_REQUEST))
    if allowed < wanted:
        logger.warning(
            "fewer requests at once than MAX_CONCURRENT_REQUESTS: raise the limit of open files",
            wanted=wanted,
            allowed=allowed,
            open_files=limit,
        )
    return allowed
