"""Running the server: uvicorn, until it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import gc
import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, TextIO, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from labelog.errors import Exists
from labelog_server.app import create_app
from labelog_server.catalog import Catalog
from labelog_server.patience import Patient, ending
from labelog_server.settings import Settings

FILES = 65_536
KEPT, ARENAS = 2**26, 4  # bytes of free memory, in each of so many arenas
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of malloc.h
METRICS = "PROMETHEUS_MULTIPROC_DIR"  # where the counts of several processes are added up


def serve(settings: Settings, host: str, port: int, out: TextIO) -> None:
    """Serve until Ctrl-C; requests that are running then are answered first.

    Says where on `out`, and writes a line of JSON for each request to stderr. Raises Exists if something listens there.
    """
    names = Catalog(settings.paths, settings.cache_bytes).names()
    listener = _listening(host, port)
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    print(
        f"serving {', '.join(names) or 'no volume yet'} at http://{shown}:{port} (Ctrl-C ends it)", file=out, flush=True
    )
    if settings.workers == 1:
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once more when all is over
            uvicorn.Server(_config(settings)).run([listener])
    else:
        with TemporaryDirectory(prefix="labelog-") as shared:
            os.environ[METRICS] = shared
            Workers(_config(replace(settings, shared=Path(shared))), [listener]).run()


class Workers(Multiprocess):
    """uvicorn's, but one that dies while it is asked for a sign of life is missed at once, not when time is up: its end
    of the pipe is its own only, so that the pipe ends with it. And an interrupt, which a terminal sends to all of them,
    waits until a worker that begins can take it: Python would end its imports with a traceback."""

    def init_processes(self) -> None:
        with _not_interrupted():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            process.child_conn.close()
        with _not_interrupted():
            super().keep_subprocess_alive()


@contextlib.contextmanager
def _not_interrupted() -> Iterator[None]:
    """Interrupts wait; those of processes that begin meanwhile, until `worker`."""
    resource_tracker.ensure_running()  # as it begins, it lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        partial(worker, settings), factory=True, workers=settings.workers, access_log=False, log_level="warning",
        timeout_graceful_shutdown=30, timeout_keep_alive=20, timeout_worker_healthcheck=60, server_header=False,
        ws="none", http=cast(Any, partial(Patient, settings)),
    )  # fmt: skip


def worker(settings: Settings) -> FastAPI:
    """What each process serves; one of several ends when that which began them has."""
    _log_to_stderr()
    _allow_many_files()
    _keep_memory()
    _tell_of_the_end()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # uvicorn takes it by now
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    app = create_app(settings)
    _leave_out_of_collections()
    return app


def _tell_of_the_end() -> None:
    """Connections are told too when uvicorn is."""
    uvicorns = {number: cast(Any, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)}

    def told(number: int, frame: FrameType | None) -> None:
        ending.set()
        uvicorns[signal.Signals(number)](number, frame)

    for number in uvicorns:
        signal.signal(number, told)


def _leave_out_of_collections() -> None:
    """What is there by now stays: to look through it for garbage would hold up all requests for a tenth of a second."""
    gc.collect()
    gc.freeze()


def _end_after(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _allow_many_files() -> None:
    """As many files and connections as the system lets this user have; by default it is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_memory() -> None:
    """Let glibc keep memory for the next answer: the system takes longer to give new pages than a slice to be read."""
    with contextlib.suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, KEPT // 2)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_ARENA_MAX, ARENAS)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, proto=socket.IPPROTO_TCP)  # else asyncio sets no TCP_NODELAY: 40 ms an answer
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Exists(f"something else listens on port {port} already; --port names another") from error
        raise
    return listener


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nobody reads them, each line
    for name in ("labelog.requests", "labelog.http"):
        logging.getLogger(name).addHandler(handler)
    logging.getLogger("labelog.requests").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's says what nobody knows: not that a client spoke no HTTP, nor that answers which
    clients did not take in time were broken off when the server was ended."""
    broken_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not broken_off and not record.getMessage().startswith("Invalid HTTP")
