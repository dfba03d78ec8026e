"""Connections that are slow on purpose: a byte now and then, of a head, of a body, or of an answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import NamedTuple

BEAT = 1.0
"""Seconds from one byte of a connection to its next."""


class Begun(NamedTuple):
    """What is sent at once. If that is a whole request, its answer is then taken slowly; else its rest is sent so."""

    request: bytes
    whole: bool = False


class Slow:
    """One connection, which is made again when the server has had enough of it."""

    def __init__(self, port: int, begun: Begun) -> None:
        self._port, self._begun = port, begun
        self._open()

    def _open(self) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(30)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that an answer waits in the server
        self._socket.connect(("127.0.0.1", self._port))
        self._socket.sendall(self._begun.request)

    def beat(self) -> None:
        try:
            moved = len(self._socket.recv(1)) if self._begun.whole else self._socket.send(b"x")
        except OSError:
            moved = 0
        if not moved:
            self.close()
            self._open()

    def close(self) -> None:
        self._socket.close()


@contextmanager
def crowded(port: int, count: int, begun: Sequence[Begun]) -> Iterator[None]:
    """So many slow connections, which have begun their requests in these ways, in a process of their own."""
    context = get_context("spawn")
    ready, over = context.Event(), context.Event()
    process = context.Process(target=_trickle, args=(port, count, begun, ready, over))
    process.start()
    try:
        assert ready.wait(30), "the slow connections were not made"
        yield
        assert process.is_alive(), "the slow connections are gone"
    finally:
        over.set()
        process.join()


def _trickle(port: int, count: int, begun: Sequence[Begun], ready: Event, over: Event) -> None:
    slow = [Slow(port, begun[number % len(begun)]) for number in range(count)]
    for each in slow:
        each.beat()  # an answer is waited for until it begins
    ready.set()
    while not over.is_set():
        for each in slow:
            each.beat()
            time.sleep(BEAT / count)
    for each in slow:
        each.close()
