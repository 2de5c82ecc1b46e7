"""Child processes for hostile or heavy work: one launcher, one protocol, bounds.

The service starts a `Child`, whose module calls `serve`. Messages are msgspec structs, encoded as
MessagePack behind their length, over two pipes: of a child that was taken over only data is
decoded, into the expected type, where pickle would run its code.

A confined child can open no file, open no socket and start no process once it serves; what it
needs is imported before. `Confinement` tells by which of the kernel's means.
"""

from app.sandbox.child import import_all, run_program, serve
from app.sandbox.confinement import Confinement
from app.sandbox.launcher import Child, Spare
from app.sandbox.messages import Limits, Program

__all__ = [
    "Child",
    "Confinement",
    "Limits",
    "Program",
    "Spare",
    "import_all",
    "run_program",
    "serve",
]
