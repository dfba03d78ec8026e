"""Bodies in and out: limits, decompression of requests, compression of answers, HEAD."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import zstandard
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelog_server import parts
from labelog_server.memory import share_of
from labelog_server.problems import Problem, of_problem
from labelog_server.settings import Settings

LEAST = 1024  # bytes of an answer from which it is worth compressing
PIECE = 2**20
FEW = 2**16  # bytes that are compressed in less time than it takes to let another thread do it
COMPRESSED = (b"image/png", b"text/event-stream", b"multipart/byteranges")


class Sent(NamedTuple):
    """A request as it came: before HEAD became GET, and its body was decompressed."""

    method: str
    body: bytes


class Bodies:
    """Gives routes whole, decompressed bodies within limits, of those in several parts the JSON; sends their answers
    compressed if the client takes that.

    An answer to HEAD is that to GET without its body. `scope["sent"]` is the request as it came.
    """

    def __init__(self, app: ASGIApp, limits: Settings) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, headers = scope, dict(scope["headers"])
        body = b""
        if b"content-length" in headers or b"transfer-encoding" in headers:
            hold = share_of(scope).hold
            try:
                body = await self._whole(scope, receive, hold)
                scope["sent"] = Sent(scope["method"], body)
                body = await self._decoded(scope, body, hold)
                kind = headers.get(b"content-type", b"").decode("latin-1")
                if kind.split(";")[0].strip().lower() == parts.TYPE:
                    body, others = parts.split(kind, body)
                    scope = {**scope, "headers": _as_json(scope["headers"], len(body)), "parts": others}
            except Problem as problem:
                await of_problem(problem)(scope, receive, send)
                return
        else:
            scope["sent"] = Sent(scope["method"], body)
        head = scope["method"] == "HEAD"
        if head:
            scope = {**scope, "method": "GET"}
        answer = _Answer(send, headers, head)
        try:
            await self._app(scope, _once(body, receive), answer.send)
        finally:
            asked["route"] = scope.get("route")  # for the log and the counts, which know the request as it came

    async def _whole(self, scope: Scope, receive: Receive, hold: Callable[[int], None]) -> bytes:
        """The body as sent. Raises Problem 400, 408, 503, and 413 as soon as it is known to be too large."""
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._limits.max_body:
            raise _too_large(int(announced), self._limits.max_body)
        try:
            return await self._received(receive, hold)
        except TimeoutError:
            least = f"{self._limits.body_seconds:g} seconds, and one more for each {self._limits.slowest} bytes"
            raise Problem(408, f"a body is sent within {least}", headers={"Connection": "close"}) from None

    async def _decoded(self, scope: Scope, data: bytes, hold: Callable[[int], None]) -> bytes:
        """The body, decompressed. Raises Problem 400, 413, 415 or 503."""
        encoding = Headers(scope=scope).get("content-encoding", "identity").strip().lower()
        if encoding in ("", "identity"):
            return data
        found = await run_in_threadpool(decompressed, data, encoding, self._limits.max_decoded)
        hold(len(found))
        return found

    async def _received(self, receive: Receive, hold: Callable[[int], None]) -> bytes:
        """The body as it was sent. Raises Problem 400, 413 or 503, TimeoutError."""
        data = bytearray()
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(self._limits.time_for(0)) as time:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "the request ended before its body did")
                piece = message.get("body", b"")
                hold(len(piece))
                data += piece
                if len(data) > self._limits.max_body:
                    raise _too_large(len(data), self._limits.max_body)
                if not message.get("more_body", False):
                    return bytes(data)
                time.reschedule(begun + self._limits.time_for(len(data)))


def _as_json(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    """The headers of a body of several parts as those of its JSON."""
    kept = [item for item in headers if item[0] not in (b"content-type", b"content-length")]
    return [*kept, (b"content-type", b"application/json"), (b"content-length", str(size).encode())]


def _too_large(size: int, most: int) -> Problem:
    return Problem(413, f"a body may have {most} bytes; this one has {size} or more")


def decompressed(data: bytes, encoding: str, most: int) -> bytes:
    """A body that was sent as gzip or zstd. No more than `most` bytes are ever made of it."""
    try:
        if encoding == "zstd":
            reader = zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(data, read_across_frames=True)
            found = reader.read(most + 1)
        elif encoding == "gzip":
            stream = zlib.decompressobj(wbits=31)
            found = stream.decompress(data, most + 1)
            if len(found) <= most and not stream.eof:
                raise Problem(400, "the body is no gzip: it ends too early")
            if stream.unused_data:
                raise Problem(400, f"the body is no gzip: {len(stream.unused_data)} bytes or more come after its end")
        else:
            raise Problem(
                415,
                f"a body may be sent as gzip or zstd, not as {encoding!r}",
                headers={"Accept-Encoding": "gzip, zstd"},
            )
    except (zlib.error, zstandard.ZstdError) as error:
        raise Problem(400, f"the body is no {encoding}: {error}") from None
    if len(found) > most:
        raise Problem(413, f"a body may have {most} bytes once decompressed; this one has more")
    return found


def _once(body: bytes, receive: Receive) -> Receive:
    """The body in one message; what comes after it is the client's leaving."""
    sent = False

    async def get() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return get


class _Answer:
    """Passes an answer on. If it comes in one piece, it may be compressed."""

    def __init__(self, send: Send, asked: dict[bytes, bytes], head: bool) -> None:
        self._send, self._asked, self._head = send, asked, head
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            if not message.get("more_body", False):
                message = {**message, "body": await self._encoded(start, message.get("body", b""))}
            await self._send(start)
        if self._head:
            message = {**message, "body": b""}
        await self._send(message)

    async def _encoded(self, start: Message, body: bytes) -> bytes:
        told = dict(start["headers"])
        start["headers"] = [*start["headers"], (b"vary", b"Accept-Encoding")]
        if (
            len(body) < LEAST
            or start["status"] == 206
            or told.get(b"content-type", b"").split(b";")[0] in COMPRESSED
            or b"no-transform" in told.get(b"cache-control", b"")
        ):
            return body
        name, compress = preferred(self._asked.get(b"accept-encoding", b"").decode("latin-1"))
        if compress is None or b"range" in self._asked:
            return body
        body = compress(body) if len(body) <= FEW else await run_in_threadpool(compress, body)
        headers = MutableHeaders(raw=start["headers"])
        headers["Content-Encoding"], headers["Content-Length"] = name, str(len(body))
        if "etag" in headers:
            headers["ETag"] = headers["etag"][:-1] + f'+{name}"'
        return body


def _zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(body)


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 1, mtime=0)


@lru_cache(256)
def preferred(accepted: str) -> tuple[str, Callable[[bytes], bytes] | None]:
    """What an Accept-Encoding likes best of what there is: zstd, gzip, or nothing."""
    weights = {}
    for item in accepted.split(","):
        name, _, rest = item.strip().partition(";")
        try:
            weights[name.strip().lower()] = float(rest.partition("=")[2] or 1)
        except ValueError:
            continue
    known = {"zstd": _zstd, "gzip": _gzip}
    best = max(known, key=lambda name: weights.get(name, weights.get("*", 0)))
    return (best, known[best]) if weights.get(best, weights.get("*", 0)) > 0 else ("identity", None)
