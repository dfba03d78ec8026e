"""What a mutant is made of: bytes taken apart into numbers and streams, and put together again as a writer would.

A change of the codec's bytes is a change of `Body.of` and `Body.bytes`, and of nothing else here.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple, Self

import blosc2
from google_crc32c import extend, value

PLAIN = {"codec": blosc2.Codec.ZSTD, "clevel": 2, "typesize": 1, "filters": [blosc2.Filter.NOFILTER], "nthreads": 1}


class Body(NamedTuple):
    """The body of a chunk: how many labels and runs, and its streams, expanded."""

    counts: tuple[int, ...]
    streams: tuple[bytes, ...]

    @classmethod
    @lru_cache(1000)
    def of(cls, data: bytes) -> Self:
        at, streams = 8, []
        while at < len(data):
            n, stored = struct.unpack_from("<II", data, at)
            streams.append(expanded(data[at + 8 : at + 8 + stored], n))
            at += 8 + stored
        return cls(struct.unpack_from("<II", data), tuple(streams))

    def bytes(self, is_packed: bool) -> bytes:
        """The body, its streams compressed where that is shorter; or as they are, which a reader has to take too."""
        framed = [(len(s), compressed(s) if is_packed else s) for s in self.streams]
        counts = struct.pack("<II", *(n & 0xFFFFFFFF for n in self.counts))
        return counts + b"".join(struct.pack("<II", n, len(block)) + block for n, block in framed)


def expanded(block: bytes, n: int) -> bytes:
    """What a block of a chunk or a delta holds."""
    return block if len(block) == n else bytes(blosc2.decompress2(block))


def compressed(data: bytes) -> bytes:
    """A block, as `expanded` takes it."""
    if len(data) < 48:
        return data
    block = bytes(blosc2.compress2(data, **PLAIN))
    return block if len(block) < len(data) else data


@lru_cache(1000)
def delta_body(data: bytes) -> bytes:
    """The body of a delta, expanded."""
    (n,) = struct.unpack_from("<I", data)
    return expanded(data[4:], n) if n else data[4:]


def delta_bytes(body: bytes, is_packed: bool) -> bytes:
    """The inverse."""
    if is_packed and body:
        return struct.pack("<I", len(body)) + compressed(body)
    return bytes(4) + body


def sealed(data: bytes) -> bytes:
    """The same bytes with the CRC that they should have, as chunks and plain arrays have it."""
    if len(data) < 12:
        return data
    return data[:8] + extend(value(data[:8]), data[12:]).to_bytes(4, "little") + data[12:]
