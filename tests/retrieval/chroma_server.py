"""A real `chroma run`, as several processes share it."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path


class ChromaServer:
    """A server on a free loopback port, with a directory of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns when it listens."""
        self.process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("chroma"),
            *("run", "--path", self._folder, "--host", "127.0.0.1", "--port", str(self.port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout
        async with asyncio.timeout(30):
            async for line in self.process.stdout:
                if b"listening on address" in line:
                    # It logs its requests, and stands still when nobody reads them.
                    self._reading = asyncio.create_task(self.process.stdout.read())
                    return
        raise AssertionError("chroma run ended before it listened")

    async def stop(self) -> None:
        if self.process:
            self.process.kill()
            await self._reading
            await self.process.wait()
            self.process = None
