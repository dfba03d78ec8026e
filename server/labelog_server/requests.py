"""What the server says of itself: a line of JSON for each request, and counts for Prometheus.

Both are made at each request, so the line is put together here, and handed on without asking who calls.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from json.encoder import encode_basestring_ascii as quoted

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelog_server.answers import CHANGES
from labelog_server.problems import unforeseen

log = logging.getLogger("labelog.requests")

METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}  # that are counted by name


class Requests:
    """Counts requests, and writes a line of each when its answer is over; answers those that met an error nobody has
    foreseen. What says nothing of how long it holds is asked for again each time."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        count = Counter("labelog_requests", "Requests answered", ["method", "route", "status"], registry=registry)
        seconds = Histogram("labelog_request_seconds", "From a request's head to its answer's end", ["route"],
                            registry=registry)  # fmt: skip
        self._count, self._seconds = cache(count.labels), cache(seconds.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, sent, begun = time.perf_counter(), 500, 0, False

        async def counted(message: Message) -> None:
            nonlocal status, sent, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                if not any(name == b"cache-control" for name, _ in message["headers"]):  # nor is it kept by a guess
                    message["headers"] = [*message["headers"], (b"cache-control", CHANGES.encode())]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception as error:  # of those that get further, uvicorn cuts the connection, whatever is still sent
            if begun:
                raise
            await unforeseen(scope["method"], scope["path"], error)(scope, receive, counted)
        finally:
            self._tell(scope, status, sent, time.perf_counter() - start)

    def _tell(self, scope: Scope, status: int, sent: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._count(method, route, str(status)).inc()
        self._seconds(route).observe(seconds)
        if log.isEnabledFor(logging.INFO):
            client = scope.get("client") or ("", 0)
            line = (
                f'{{"time": {time.time():.3f}, "method": {quoted(scope["method"])}, "path": {quoted(scope["path"])}, '
                f'"status": {status}, "bytes": {sent}, "ms": {1000 * seconds:.2f}, "client": {quoted(client[0])}}}'
            )
            log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, line, (), None))
