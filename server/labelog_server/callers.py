"""How often a token may ask, and who is not listened to: a body is taken only from somebody who may send one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from labelog_server.access import presented
from labelog_server.problems import Problem, of_problem

BURST = 10.0  # seconds' worth of requests that may come at once
LOGIN = "/session"
LONGEST_LOGIN = 2**16


class Callers:
    """Refuses tokens that ask more often than so many times a second, and bodies without a token that holds."""

    def __init__(self, app: ASGIApp, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._rate, self._clock = app, rate, clock
        self._left: dict[str, tuple[float, float]] = {}  # token -> requests that it may send at once, and when that was

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._admit(scope)
            except Problem as problem:
                await of_problem(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Raises Problem 401 or 429."""
        try:
            token = presented(Request(scope))
        except Problem:
            if _may_be_large(scope):
                raise
            return  # some routes are for everybody; the others refuse it themselves
        if token is not None:
            self._count(token.id, token.name)

    def _count(self, number: str, name: str) -> None:
        now = self._clock()
        left, before = self._left.get(number, (self._rate * BURST, now))
        left = min(self._rate * BURST, left + self._rate * (now - before))
        if left < 1:
            wait = math.ceil((1 - left) / self._rate)
            raise Problem(429, f"the token of {name} is good for {self._rate:g} requests a second",
                          headers={"Retry-After": str(wait)})  # fmt: skip
        self._left[number] = left - 1, now


def _may_be_large(scope: Scope) -> bool:
    """Whether a body comes that is no login."""
    headers = Headers(scope=scope)
    size = headers.get("content-length", "0")
    most = LONGEST_LOGIN if scope["path"] == LOGIN else 0
    return "transfer-encoding" in headers or not size.isdigit() or int(size) > most
