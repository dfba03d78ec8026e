"""Whether a body arrived as it was sent: the hashes and checksums that S3 clients send along."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping

import google_crc32c

from labelog_server.problems import Problem

SHA256, UNSIGNED = "x-amz-content-sha256", "UNSIGNED-PAYLOAD"
CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "content-md5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
    "x-amz-checksum-crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "x-amz-checksum-crc32c": lambda body: int(google_crc32c.value(body)).to_bytes(4, "big"),
    "x-amz-checksum-sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda body: hashlib.sha256(body).digest(),
}
"""Headers, in base64, and what is in them."""


def refuse_damaged(headers: Mapping[str, str], body: bytes) -> None:
    """Raises Problem 400 for a body that is not what its headers say, 501 for one that is sent in signed pieces."""
    said = headers.get(SHA256, "")
    if said.startswith("STREAMING-"):
        raise Problem(501, f"a body is sent whole, with its hash or {UNSIGNED} in {SHA256}, not as {said}")
    if said not in ("", UNSIGNED) and said.lower() != hashlib.sha256(body).hexdigest():
        raise Problem(400, f"the body's hash is not what {SHA256} says", code="XAmzContentSHA256Mismatch")
    for name, made in CHECKSUMS.items():
        if name in headers and headers[name].strip() != base64.b64encode(made(body)).decode():
            raise Problem(400, f"the body is not what {name} says", code="BadDigest")
