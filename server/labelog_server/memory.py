"""How much memory all requests may take together: for bodies, masks, arrays and answers."""

from __future__ import annotations

import threading

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelog_server.problems import Problem

SMALL = 2**17  # bytes of an answer that are as good as taken when they are sent
HELD = "held"  # where a request's scope has its share


class Memory:
    """Counts what requests hold, from when they say so until their answer is taken. Safe for several threads.

    Whoever needs more than is left is refused, not kept waiting: it may hold what others wait for.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most
        self._lock = threading.Lock()
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[HELD] = share = Share(self)

        async def taken(message: Message) -> None:
            if not share.size or message.get("more_body", False) or len(message.get("body", b"")) <= SMALL:
                await send(message)
                return
            await send({**message, "more_body": True})
            await send({"type": "http.response.body", "body": b""})  # waits until the client has what is before it

        try:
            await self._app(scope, receive, taken)
        finally:
            self.close(share)

    def hold(self, share: Share, size: int) -> None:
        """Raises Problem 413 or 503."""
        if size > self._most:
            raise Problem(413, f"this takes {size} bytes of memory; all requests together may take {self._most}")
        with self._lock:
            if share.over:  # a job goes on without its request
                return
            if self._held + size > self._most:
                raise Problem(503, f"this takes {size} bytes of memory, and requests before it hold all but "
                              f"{self._most - self._held}", headers={"Retry-After": "1"})  # fmt: skip
            self._held += size
            share.size += size

    def close(self, share: Share) -> None:
        with self._lock:
            self._held -= share.size
            share.size, share.over = 0, True


class Share:
    """What one request holds."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self.size, self.over = memory, 0, False
        self._turns = 0  # of what is there in turns, the most

    def hold(self, size: int) -> None:
        """Ask for so many bytes more. Raises Problem 413 or 503."""
        self._memory.hold(self, size)

    def hold_in_turn(self, size: int) -> None:
        """The same for what is gone before this is asked for the next time, as the objects of a list are."""
        if size > self._turns:
            self.hold(size - self._turns)
            self._turns = size


def share_of(scope: Scope) -> Share:
    """What a request holds, and may ask for more of."""
    found: Share = scope[HELD]
    return found
