"""What is scarce is shared by caller: see `FairQueue` and `FairLock` for time and
`FairSpace` for bytes.
"""

from contextvars import ContextVar
from typing import Final

from app.limits.fair_lock import FairLock
from app.limits.fair_queue import FairQueue
from app.limits.fair_space import FairSpace

__all__ = ["SERVICE", "FairLock", "FairQueue", "FairSpace", "caller_name"]

SERVICE: Final = "the service"
"""The caller of what no request asked for: the bundled knowledge, and an ingest of the CLI."""

caller_name: ContextVar[str] = ContextVar("caller_name", default=SERVICE)
"""Whose work this is: `key NAME` or `address NETWORK`, set for each request."""
