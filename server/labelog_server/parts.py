"""Requests in several parts (multipart/related, RFC 2387): JSON first, then arrays that it names.

Forms of web pages cannot send this type, which is why it is not multipart/form-data.
"""

from __future__ import annotations

import re
from email.message import Message
from email.parser import HeaderParser
from typing import NamedTuple

from labelog_server.problems import Problem

TYPE = "multipart/related"
MOST_PARTS = 10_000


class Part(NamedTuple):
    """What an array is sent as, and its bytes."""

    media_type: str
    dtype: str
    data: bytes


def split(content_type: str, body: bytes) -> tuple[bytes, dict[str, Part]]:
    """The JSON of a body, and the parts beside it by Content-ID. Raises Problem 400 or 415."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = str(head.get_param("boundary") or "")
    if not re.fullmatch(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", boundary):
        raise Problem(400, f"{TYPE} names its boundary")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if len(pieces) < 3 or not pieces[-1].startswith(b"--") or len(pieces) > MOST_PARTS + 2:
        raise Problem(
            400, f"expected 1 to {MOST_PARTS} parts between lines of --{boundary}, and --{boundary}-- at the end"
        )
    (_, root), *others = map(_part, pieces[1:-1])
    if root.media_type != "application/json":
        raise Problem(415, f"the first part is application/json, not {root.media_type}")
    found = dict(others)
    if len(found) != len(others) or "" in found:
        raise Problem(400, "each part after the first has a Content-ID of its own")
    return root.data, found


def _part(piece: bytes) -> tuple[str, Part]:
    """A part's name, and the part."""
    headers, found, data = piece.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not found:
        raise Problem(400, "a part has headers, an empty line, and its bytes")
    head = HeaderParser().parsestr(headers.decode("latin-1"))
    name = str(head.get("Content-ID", "")).strip().removeprefix("<").removesuffix(">")
    return name, Part(head.get_content_type(), str(head.get_param("dtype") or "uint64"), data)
