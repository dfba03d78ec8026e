"""The pages of a TIFF, checked before they are decoded: the chain of pages, and where their bytes lie.

tifffile ends a broken chain of pages with a log message, and fills missing strips with zeros; labels would be lost
without an error. So the chain is walked here first, and each strip and tile is looked for in the file.
"""

from __future__ import annotations

import math
import os
import struct
from typing import Any, BinaryIO

from labelog.errors import Corrupt, Unsupported
from labelog.formats.limits import DEFLATE_RATIO, check_stored, volume_shape

RATIOS = {
    1: 1,  # none
    2: 2**17,  # CCITT
    3: 2**17,
    4: 2**17,
    5: 4096,  # LZW: 12 bits name a string of fewer bytes than there are codes
    8: DEFLATE_RATIO,
    32946: DEFLATE_RATIO,
    32773: 64,  # PackBits: 2 bytes repeat up to 128 times
    34925: 2**17,  # LZMA
    34926: 2**17,  # Zstandard
    50000: 2**17,
}
"""Lossless compressions, and how many bytes one of theirs can stand for at most."""


def page_offsets(file: BinaryIO, path: str) -> list[int]:
    """Where each page of the TIFF begins. Corrupt, naming the page, for a chain that leaves the file or loops."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = struct.unpack(order + "H", head[2:4])[0] if order and len(head) >= 8 else 0
    if order is None or version not in (42, 43) or (version == 43 and len(head) < 16):
        raise Corrupt(f"{path} is not a TIFF: it begins with {head[:4]!r}", path=path)
    count, entry, link = ("H", 12, "I") if version == 42 else ("Q", 20, "Q")
    offset = struct.unpack_from(order + link, head, 4 if version == 42 else 8)[0]
    offsets: list[int] = []
    seen: set[int] = set()
    while offset:
        page = len(offsets)
        if offset in seen:
            raise Corrupt(f"{path} is damaged: page {page} is an earlier page again", path=path, page=page)
        tags = _number(file, order + count, offset, size)
        after = None if tags is None or not 0 < tags <= 4096 else offset + struct.calcsize(order + count) + tags * entry
        following = None if after is None else _number(file, order + link, after, size)
        if following is None:
            message = f"{path} is damaged or cut short: page {page} begins at byte {offset} of {size}"
            raise Corrupt(message, path=path, page=page)
        offsets.append(offset)
        seen.add(offset)
        offset = following
    if not offsets:
        raise Corrupt(f"{path} is damaged: it has no pages", path=path)
    return offsets


def check_page(page: Any, size: int, where: str) -> None:
    """Look for the strips or tiles of tifffile's page in a file of `size` bytes, and compare with its pixels.

    Corrupt if there are too few of them, any lies outside the file, or they are too small for what they declare;
    Invalid for a page beyond the limits; Unsupported for lossy or unknown compression.
    """
    if page.compression not in RATIOS:
        raise Unsupported(f"{where}: compression {page.compression!r} is lossy or unknown; labels need a lossless one")
    height, width, samples = int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)
    if page.dtype is None or min(height, width, samples) < 1 or page.imagedepth != 1:
        raise Corrupt(f"{where} is damaged: it declares {height} x {width} pixels of {samples} samples")
    volume_shape((height, width), where)
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = math.prod(page.chunked)
    if not len(offsets) == len(counts) == expected:
        raise Corrupt(f"{where} is damaged: it has {len(offsets)} strips or tiles; expected {expected}")
    for index, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        if count < 1 or offset < 1 or offset + count > size:
            raise Corrupt(f"{where}: strip or tile {index} is at bytes {offset} to {offset + count}, of {size}")
    pixels = expected * math.prod(page.chunks) if page.is_tiled else height * width * samples
    check_stored(pixels * int(page.bitspersample) // 8, sum(counts), RATIOS[page.compression], where)
    if page.is_tiled:
        volume_shape((int(page.tilelength), int(page.tilewidth)), where)


def _number(file: BinaryIO, form: str, offset: int, size: int) -> int | None:
    length = struct.calcsize(form)
    if offset + length > size:
        return None
    file.seek(offset)
    return int(struct.unpack(form, file.read(length))[0])
