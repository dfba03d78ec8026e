"""How many requests are carried out, or wait for that, at a time."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelog_server.problems import response


class Places:
    """Refuses requests while there is no place for them. A stream of events gives its place up when it begins."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most
        self._taken = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._taken >= self._most:
            refusal = response(
                503, f"{self._most} requests are being carried out already", headers={"Retry-After": "1"}
            )
            await refusal(scope, receive, send)
            return
        place = 1
        self._taken += place

        async def passed(message: Message) -> None:
            nonlocal place
            if message["type"] == "http.response.start" and _is_stream(message):
                self._taken -= place
                place = 0
            await send(message)

        try:
            await self._app(scope, receive, passed)
        finally:
            self._taken -= place


def _is_stream(start: Message) -> bool:
    return any(name == b"content-type" and kind.startswith(b"text/event-stream") for name, kind in start["headers"])
