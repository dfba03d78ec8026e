"""A real server: the command in a process of its own, on a port that is free."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

COMMAND = ("-m", "labelog.cli")
TIMEOUT = 30  # seconds to wait for an answer: httpx's 5 are too few where much else runs


class Server:
    """A running `labelog serve`, or what `program` makes of it."""

    def __init__(self, folder: Path, *options: str, program: Sequence[str] = COMMAND, port: int = 0) -> None:
        self.folder = folder
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # a pipe would be full some time
        self.process = subprocess.Popen(
            [sys.executable, *program, "serve", str(folder), "--port", str(port), *options],
            stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        found = re.search(r"http://\S+:(\d+)", self.said)
        if found is None:
            raise RuntimeError(f"the server did not start: {self.stop()[1]}")
        self.address, self.port = found[0], int(found[1])

    def client(self, root: str = "/api/v1", **options) -> httpx.Client:
        return httpx.Client(base_url=self.address + root, timeout=TIMEOUT, **options)

    def workers(self) -> list[int]:
        """The processes that serve, if there are several."""
        pid = self.process.pid
        found = []
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                    found.append(int(child))
        return found

    def all_workers(self, count: int, killed: int | None = None) -> list[int]:
        """The same, once they are so many without one that was killed: another is begun in its place."""
        end = time.monotonic() + 30
        while len(found := self.workers()) < count or killed in found:
            assert time.monotonic() < end, f"{found} of {count} workers are there after 30 seconds"
            time.sleep(0.1)
        return found

    def stop(self, number: int = signal.SIGINT) -> tuple[int, list[str]]:
        """End it; its exit code and what it wrote to stderr. Killed, it takes its workers along."""
        workers = self.workers() if number == signal.SIGKILL else []
        self.process.send_signal(number)
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, number)
        self.process.communicate(timeout=60)
        self._log.seek(0)
        return self.process.returncode, self._log.read().splitlines()


def get(url: str, **options) -> httpx.Response:
    return httpx.get(url, timeout=TIMEOUT, **options)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()
