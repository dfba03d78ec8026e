"""The chunks of a PNG file, walked before anything is decoded: what it declares, and that every CRC holds.

Pillow skips the CRCs of the pixel data, and gives no bit depth; so this is read here, a chunk at a time.

    signature | IHDR | ... PLTE ... | IDAT ... IDAT | ... | IEND        each: length, type, data, CRC
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from labelog.errors import Corrupt, Unsupported

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8), RGB: (8, 16), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and steps down and across, of the seven pictures of an interlaced one."""


@dataclass(frozen=True)
class Header:
    """Size in pixels, bits per channel and colour type (GREY, RGB, ...) of one PNG."""

    height: int
    width: int
    depth: int
    kind: int
    interlaced: bool

    def stored_bytes(self) -> int:
        """Bytes of the decompressed pixel data: rows, each behind its filter; interlaced, of seven pictures."""
        total = 0
        for y, x, down, across in ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            height, width = -(-(self.height - y) // down), -(-(self.width - x) // across)
            if height > 0 and width > 0:
                total += height * (1 + (width * self.depth * CHANNELS[self.kind] + 7) // 8)
        return total

    def __str__(self) -> str:
        names = {GREY: "grey", RGB: "RGB", PALETTE: "palette", GREY_ALPHA: "grey with alpha", RGBA: "RGBA"}
        return f"{self.height} x {self.width} pixels of {self.depth}-bit {names[self.kind]}"


def read_header(file: BinaryIO, path: Path) -> Header:
    """What the PNG declares; leaves the file after IHDR. Corrupt if there is none that a PNG can have."""
    if file.read(8) != SIGNATURE:
        raise Corrupt(f"{path} is not a PNG: it does not begin with the signature of one", path=str(path))
    kind, data = _chunk(file, path, keep=13)
    if kind != b"IHDR" or len(data) != 13:
        raise Corrupt(f"{path} is damaged: it does not begin with a header of 13 bytes", path=str(path))
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", data)
    if depth not in DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise Corrupt(f"{path} is damaged: no PNG has {depth}-bit pixels of colour type {colour}", path=str(path))
    if height < 1 or width < 1:
        raise Corrupt(f"{path} is damaged: it declares {height} x {width} pixels", path=str(path))
    return Header(height, width, depth, colour, bool(interlace))


def check_chunks(file: BinaryIO, path: Path) -> tuple[Header, bytes]:
    """Header and palette (3 bytes an entry) of a PNG that is whole.

    Corrupt if it is cut short, a CRC does not match, or its data is not as many pixels as it declares, which Pillow
    would fill up with zeros; Unsupported if it is an animation.
    """
    header = read_header(file, path)
    palette, kind, pixels = b"", b"", _Inflated(header.stored_bytes())
    while kind != b"IEND":
        kind, data = _chunk(file, path, keep=768, pixels=pixels)
        if kind == b"PLTE":
            palette = data
        elif kind == b"acTL":
            raise Unsupported(f"{path} is an animated PNG; expected one slice", path=str(path))
    if pixels.missing:
        message = f"{path} is damaged: it declares {header}, but {pixels.missing} of their bytes are missing"
        raise Corrupt(message, path=str(path))
    return header, palette


class _Inflated:
    """Counts what the pixel data decompresses to, in small pieces, up to the `missing` bytes that are declared."""

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self._stream = zlib.decompressobj()

    def feed(self, data: bytes) -> None:
        while data and self.missing and not self._stream.eof:
            self.missing -= len(self._stream.decompress(data, min(self.missing, 2**20)))
            data = self._stream.unconsumed_tail


def _chunk(file: BinaryIO, path: Path, keep: int, pixels: _Inflated | None = None) -> tuple[bytes, bytes]:
    """Type and first `keep` bytes of the next chunk, its CRC checked over all of it."""
    start = file.tell()
    head = file.read(8)
    if len(head) < 8:
        raise Corrupt(f"{path} is cut short at byte {start + len(head)}, before its last chunk", path=str(path))
    left, kind = struct.unpack(">I4s", head)
    crc, kept = zlib.crc32(kind), b""
    while left:
        data = file.read(min(left, 2**20))
        if not data:
            raise Corrupt(f"{path} is cut short: {left} bytes of chunk {kind!r} are missing", path=str(path))
        crc, left = zlib.crc32(data, crc), left - len(data)
        kept = kept or data[:keep]
        if kind == b"IDAT" and pixels is not None:
            pixels.feed(data)
    stored = file.read(4)
    if stored != crc.to_bytes(4, "big"):
        raise Corrupt(f"{path} is damaged: the checksum of chunk {kind!r} at byte {start} is wrong", path=str(path))
    return kind, kept
