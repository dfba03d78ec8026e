"""Clients of an HTTP server on this machine, in processes of their own: each a thread with one connection."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np

PROCESSES = 2


class Connection:
    """HTTP/1.1, as little of it as measuring needs, so that the client takes little of the machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(2**16)

    def ask(self, request: bytes) -> tuple[int, int]:
        """Status and length of the answer."""
        self._socket.sendall(request)
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            piece = self._socket.recv(2**16)
            if not piece:
                raise ConnectionError("the server has hung up")
            head += piece
        start = head.lower().index(b"content-length:", 0, end) + 15
        length = int(head[start : head.index(b"\r\n", start)])
        left = length - (len(head) - end - 4)
        while left:
            got = self._socket.recv_into(self._buffer, min(left, len(self._buffer)))
            if not got:
                raise ConnectionError("the server has hung up")
            left -= got
        return int(head[9:12]), length

    def close(self) -> None:
        self._socket.close()


def get(path: str) -> bytes:
    """A request that takes its answer as it is, not compressed."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: identity\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def crowd() -> Iterator[ProcessPoolExecutor]:
    """Processes for clients, which have begun when they are needed, and do not look through their modules for garbage
    while they keep time."""
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), initializer=gc.freeze) as pool:
        list(pool.map(time.sleep, [0.2] * PROCESSES))
        yield pool


def rate(pool: ProcessPoolExecutor, port: int, requests: Sequence[bytes], each: int) -> float:
    """Requests a second of clients that ask as fast as they are answered: one for each of `requests`, `each` times."""
    shares = [requests[number::PROCESSES] for number in range(PROCESSES)]
    started = time.time() + 0.2
    ends = pool.map(_hurry, [port] * PROCESSES, shares, [each] * PROCESSES, [started] * PROCESSES)
    return len(requests) * each / (max(ends) - started)


def _hurry(port: int, requests: Sequence[bytes], each: int, start: float) -> float:
    done: list[bytes] = []

    def run(request: bytes) -> None:
        connection = Connection(port)
        _until(start)
        for _ in range(each):
            status, _ = connection.ask(request)
            assert status == 200, status
        connection.close()
        done.append(request)

    _together([threading.Thread(target=run, args=(request,)) for request in requests])
    assert len(done) == len(requests), "a client failed"
    return time.time()


def latencies(pool: ProcessPoolExecutor, port: int, clients: Sequence[Sequence[bytes]],
              a_second: float) -> list[list[float]]:  # fmt: skip
    """For each client the seconds from when a request was due to its answer's end; one is due so often, late or not."""
    start = time.time() + 0.3
    numbers = [range(number, len(clients), PROCESSES) for number in range(PROCESSES)]
    parts = [pool.submit(_keep_time, port, {n: clients[n] for n in share}, a_second, start) for share in numbers]
    found = {number: times for part in parts for number, times in part.result().items()}
    return [found[number] for number in range(len(clients))]


def _keep_time(port: int, clients: Mapping[int, Sequence[bytes]], a_second: float,
               start: float) -> dict[int, list[float]]:  # fmt: skip
    found: dict[int, list[float]] = {number: [] for number in clients}

    def run(number: int) -> None:
        connection = Connection(port)
        first = start + np.random.default_rng(number).random() / a_second  # not all at the same moment
        for turn, request in enumerate(clients[number]):
            _until(due := first + turn / a_second)
            status, _ = connection.ask(request)
            assert status == 200, status
            found[number].append(time.time() - due)
        connection.close()

    _together([threading.Thread(target=run, args=(number,)) for number in clients])
    assert all(len(found[number]) == len(clients[number]) for number in clients), "a client failed"
    return found


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def _together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
