"""Meshes are made in a process beside the server: zmesh keeps the interpreter to itself, for a second if the object is
large, and nobody would be answered meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from labelog.engine.snapshot import View
from labelog_server.precomputed import mesh_bytes
from labelog_server.problems import Problem


class Mesher:
    """One such process, begun when the first mesh is asked for. Safe for several threads; one mesh at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def made(self, seen: View, label: int) -> bytes:
        """The mesh of an object, as `mesh_bytes`. Raises as that does, and Problem 503 if the process was killed."""
        pool = self._running()
        try:
            return pool.submit(mesh_bytes, seen, label).result()
        except BrokenProcessPool:
            with self._lock:
                if self._pool is pool:
                    self._pool = None
            raise Problem(503, "the process that makes meshes was killed, as it is where memory is short; ask again",
                          headers={"Retry-After": "1"}) from None  # fmt: skip

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin)
            return self._pool

    def close(self) -> None:
        """End the process, once it has made the mesh that it is at."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In that process: Ctrl-C is the server's affair, and the server's end is its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_server, daemon=True).start()


def _end_with_server() -> None:
    server = multiprocessing.parent_process()
    assert server is not None
    server.join()
    os._exit(1)
