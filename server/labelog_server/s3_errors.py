"""Errors as S3 tells them: whatever fails below /s3, in whatever layer, is a problem that becomes XML here.

So is what fails elsewhere of a request that is signed as S3 clients sign: it is of a bucket that is not here.
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelog_server import problems
from labelog_server.bodies import decompressed
from labelog_server.signature import ALGORITHM

ROOT = "/s3"
XML = "application/xml"
NO_BUCKET = "NoSuchBucket"
MOST = 2**24  # bytes of a problem: it names the key once or twice

CODES = {
    400: (400, "InvalidRequest"),
    401: (403, "AccessDenied"),
    403: (403, "AccessDenied"),
    404: (404, "NoSuchKey"),
    405: (405, "MethodNotAllowed"),
    408: (400, "RequestTimeout"),
    409: (409, "OperationAborted"),
    412: (412, "PreconditionFailed"),
    413: (400, "EntityTooLarge"),
    415: (501, "NotImplemented"),
    416: (416, "InvalidRange"),
    421: (403, "AccessDenied"),
    422: (400, "InvalidArgument"),
    429: (503, "SlowDown"),
    501: (501, "NotImplemented"),
    503: (503, "SlowDown"),
}
"""The status and code that S3 has for a problem's status, unless the problem says a code of its own."""


def is_below(path: str) -> bool:
    return path == ROOT or path.startswith(f"{ROOT}/")


def is_meant(scope: Scope) -> bool:
    """Whether an S3 client sent a request, to a bucket of ours or another one."""
    return is_below(scope["path"]) or Headers(scope=scope).get("authorization", "").startswith(f"{ALGORITHM} ")


class S3Errors:
    """Turns problems into S3's errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_meant(scope):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def told(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                kind = MutableHeaders(raw=message["headers"]).get("content-type", "")
                if kind.startswith(problems.MEDIA_TYPE):
                    start = message
                    return
            elif start is not None:
                body += message.get("body", b"")
                if message.get("more_body", False):
                    return
                message = {"type": "http.response.body", "body": _xml(start, body, scope["path"])}
                await send(start)
            await send(message)

        await self._app(scope, receive, told)


def _xml(start: Message, body: bytes, path: str) -> bytes:
    """The body as XML; status and headers of `start` are changed so that they fit. Of HEAD there is none."""
    headers = MutableHeaders(raw=start["headers"])
    if "content-encoding" in headers:  # as that of a long key is, which its problem names
        body = decompressed(body, headers["content-encoding"], MOST) if body else body
        del headers["content-encoding"]
    problem: dict[str, Any] = json.loads(body) if body else {}
    status, code = CODES.get(start["status"], (start["status"], "InternalError"))
    if start["status"] == 404 and not is_below(path):
        code = NO_BUCKET
    start["status"] = status
    headers["content-type"] = XML
    root = ElementTree.Element("Error")
    for name, value in (
        ("Code", problem.get("code", code)),
        ("Message", problem.get("detail", "")),
        ("Resource", path),
    ):
        ElementTree.SubElement(root, name).text = "".join(c if c.isprintable() else "?" for c in str(value))
    made = xml(root) if body else b""
    headers["content-length"] = str(len(made))
    start["headers"] = headers.raw
    return made


def xml(root: ElementTree.Element) -> bytes:
    made: bytes = ElementTree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return made
