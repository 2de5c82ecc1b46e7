"""Becomes a program that is confined: `-m app.sandbox.program CPU_S MEMORY READABLE COMMAND…`."""

import os
import sys

from app.sandbox.confinement import confine_program

if __name__ == "__main__":
    cpu_s, memory_bytes, readable, *command = sys.argv[1:]
    confine_program(int(cpu_s), int(memory_bytes), readable.split(os.pathsep))
    os.execv(command[0], command)  # noqa: S606 - what the service chose
