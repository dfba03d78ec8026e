"""HTTP/1.1 with an end to waiting, for which uvicorn has none: for a request's head, and for an answer to be taken.

Bodies are waited for in `bodies`, as their bytes are counted there. What is refused here never was a request, so it has
no line in the log.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from labelog_server.problems import MEDIA_TYPE, details
from labelog_server.settings import Settings

END_STREAMS = "end_streams"
"""What the application's lifespan gives to connections: a function that ends answers which have no end."""

ending = threading.Event()
"""Set once this process was told to end. Then uvicorn tells the connections that it knows, and waits for all: one that
is being accepted at that moment it would wait for, and answer, until time is up."""

SOON = 0.1  # seconds that such a connection has to send a request

SMALL = 2**17  # bytes of a body that are copied in less time than it takes to send a head by itself


class Connection(h11.Connection):
    """What is sent, in as few pieces as need be: a head goes with a small body, and a large body is not copied."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self._head = b""  # which waits for its body

    def send(self, event: h11.Event) -> Any:
        pieces = self.send_with_data_passthrough(event)
        if pieces is None:
            return None
        if isinstance(event, h11.Response) and 0 < _length(event) <= SMALL:
            self._head = b"".join(pieces)
            return b""
        if self._head:
            pieces, self._head = [self._head, *pieces], b""
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _length(response: h11.Response) -> int:
    """The length of a body, as its head says; 0 if it does not."""
    return next((int(value) for name, value in response.headers if name == b"content-length"), 0)


class Patient(H11Protocol):
    """One connection, and what its client still owes."""

    def __init__(self, limits: Settings, **given: Any) -> None:
        super().__init__(**given)
        self.conn = Connection()
        self._limits = limits
        self._head: asyncio.TimerHandle | None = None  # runs while a head is owed, or the rest of a body nobody wants
        self._answer: asyncio.TimerHandle | None = None  # runs while bytes of an answer wait to be taken

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # so that `pause_writing` tells of all that is not taken at once
        if len(self.connections) > self._limits.max_connections:
            most = self._limits.max_connections
            self._refuse(503, f"{most} connections are open already", (b"retry-after", b"1"))
        else:
            self._watch()
        if ending.is_set():
            self.loop.call_later(SOON, self._end)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if ending.is_set() and self.cycle is not None:
            self.cycle.keep_alive = False
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head = _stop(self._head)
        self._answer = _stop(self._answer)

    def shutdown(self) -> None:
        """The server ends. What has begun is answered first; a stream would go on for as long as its client wants."""
        super().shutdown()
        self.app_state[END_STREAMS]()

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        seconds = self._limits.time_for(self.transport.get_write_buffer_size())
        self._answer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answer = _stop(self._answer)

    def _watch(self) -> None:
        """Begin to wait for what is owed, if that is not so already; cease to if nothing is."""
        answered = self.cycle is not None and self.cycle.response_complete
        theirs = self.conn.their_state
        if theirs is h11.IDLE or (theirs is h11.SEND_BODY and answered):
            if self._head is None:
                self._head = self.loop.call_later(self._limits.head_seconds, self._too_slow)
        else:
            self._head = _stop(self._head)

    def _too_slow(self) -> None:
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(408, f"a request's head is sent within {self._limits.head_seconds:g} seconds")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; h11 knows what is wrong with it."""
        error = sys.exception()
        self._refuse(getattr(error, "error_status_hint", 400), f"{msg} {error or ''}".strip())

    def _refuse(self, status: int, detail: str, *headers: tuple[bytes, bytes]) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps(details(status, detail)).encode()
            told = [
                (b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"), *headers,
            ]  # fmt: skip
            reason = HTTPStatus(status).phrase.encode()
            for event in (h11.Response(status_code=status, headers=told, reason=reason), h11.Data(data=body),
                          h11.EndOfMessage()):  # fmt: skip
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _stop(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """No timer, in the place of one that may run."""
    if timer is not None:
        timer.cancel()
    return None
