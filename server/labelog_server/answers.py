"""Bytes as answers to GET and HEAD: validators, conditions and ranges (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from secrets import token_hex

from starlette.requests import Request
from starlette.responses import Response

from labelog_server.problems import Problem

CHANGES = "private, no-cache"
"""Cache-Control of what may be another thing later: keep it, but ask each time whether it still holds."""

STAYS = "private, max-age=3600"
"""Cache-Control of what is asked for at a revision."""

PACKED = "private, no-cache, no-transform"
"""Cache-Control of what is compressed as it is."""

MOST_RANGES = 16


def etag(version: bytes, variant: str = "") -> str:
    """A strong validator of one representation."""
    return f'"{version.hex()}{"-" if variant else ""}{variant}"'


def of_bytes(body: bytes | memoryview) -> str:
    """A strong validator of what has no cheaper one than its bytes."""
    return etag(blake2b(body, digest_size=16).digest())


def matches(header: str | None, tag: str, *, strongly: bool = False) -> bool:
    """Whether a list of entity tags names this one, whatever encoding it was sent in; strongly, as If-Match asks: then
    a weak one is of something like it only."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    found = re.findall(r'(?:W/)?"[^"]*"', header)
    return _bare(tag) in {_bare(each) for each in found if not (strongly and each.startswith("W/"))}


def _bare(tag: str) -> str:
    return re.sub(r"\+(gzip|zstd)$", "", tag.removeprefix("W/").strip('"'))


def refuse_other(request: Request, tag: str) -> None:
    """Raises Problem 412 if the client wants (If-Match) what is not there any more."""
    wanted = request.headers.get("if-match")
    if wanted is not None and not matches(wanted, tag, strongly=True):
        raise Problem(412, f"it is {tag} now, and not what If-Match says", headers={"ETag": tag})


def not_modified(request: Request, tag: str, headers: Mapping[str, str]) -> Response | None:
    """The answer 304, if the client has this already."""
    if not matches(request.headers.get("if-none-match"), tag):
        return None
    return Response(status_code=304, headers={**headers, "ETag": tag})


def answer(
    request: Request, body: bytes | memoryview, media_type: str, tag: str, headers: Mapping[str, str]
) -> Response:
    """A body with its validator: whole, or the ranges of it that were asked for."""
    headers = {**headers, "ETag": tag, "Accept-Ranges": "bytes"}
    wanted = request.headers.get("range")
    unless = request.headers.get("if-range")
    if wanted is None or (unless is not None and not matches(unless, tag, strongly=True)):
        return Response(body, headers=headers, media_type=media_type)
    ranges = _ranges(wanted, len(body))
    if ranges is None:
        return Response(body, headers=headers, media_type=media_type)
    if not ranges:
        raise Problem(416, f"there are {len(body)} bytes, and none of those that Range asks for",
                      headers={"Content-Range": f"bytes */{len(body)}"})  # fmt: skip
    if len(ranges) == 1:
        start, stop = ranges[0]
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return Response(body[start:stop], 206, headers, media_type)
    boundary = token_hex(12)
    parts = [
        f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: bytes {start}-{stop - 1}/{len(body)}\r\n\r\n"
        .encode() + body[start:stop] for start, stop in ranges
    ]  # fmt: skip
    whole = b"".join([*parts, f"\r\n--{boundary}--\r\n".encode()])
    return Response(whole, 206, headers, f"multipart/byteranges; boundary={boundary}")


def _ranges(header: str, size: int) -> list[tuple[int, int]] | None:
    """The parts of `size` bytes that a Range asks for, as far as they are there; None if it is no such header."""
    unit, _, rest = header.partition("=")
    items = [item.strip() for item in rest.split(",")]
    found = [re.fullmatch(r"(\d{0,20})-(\d{0,20})", item) for item in items]
    if unit.strip().lower() != "bytes" or not all(m and (m[1] or m[2]) for m in found) or len(items) > MOST_RANGES:
        return None
    ranges = []
    for match in found:
        assert match is not None
        if not match[1]:
            start, stop = max(0, size - int(match[2])), size
        else:
            start, stop = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
            if match[2] and int(match[2]) < start:
                return None
        if start < stop:
            ranges.append((start, stop))
    return ranges
