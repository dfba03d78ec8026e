"""What the server says of itself: a line of JSON for each request, and counts for Prometheus."""

from __future__ import annotations

import json
import logging
import time

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("labelog.requests")


class Requests:
    """Counts requests, and writes a line of each when its answer is over."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._count = Counter("labelog_requests", "Requests answered", ["method", "route", "status"], registry=registry)
        self._seconds = Histogram("labelog_request_seconds", "From a request's head to its answer's end", ["route"],
                                  registry=registry)  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, sent = time.perf_counter(), 500, 0

        async def counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            self._tell(scope, status, sent, time.perf_counter() - start)

    def _tell(self, scope: Scope, status: int, sent: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._count.labels(scope["method"], route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        client = scope.get("client") or ("", 0)
        log.info(json.dumps({
            "time": round(time.time(), 3), "method": scope["method"], "path": scope["path"], "status": status,
            "bytes": sent, "ms": round(1000 * seconds, 2), "client": client[0],
        }))  # fmt: skip
