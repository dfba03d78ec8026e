"""Voxels as runs in bytes: the media type that clients and servers send them in. docs/http.md states its bytes."""

from __future__ import annotations

import struct

import numpy as np

from labelog.errors import Invalid, LabelogError
from labelog.geometry import Triple
from labelog.kernels.runs import Runs

RUNS = "application/vnd.labelog.runs"
HEADER = struct.Struct("<4s7I")
MAGIC = b"LRN1"


def encode(runs: Runs) -> bytes:
    """A box of runs in the media type `RUNS`."""
    head = HEADER.pack(MAGIC, *runs.shape, len(runs.palette), len(runs.ends), 0, 0)
    return b"".join([head, runs.palette.tobytes(), runs.offsets.tobytes(), runs.ends.tobytes(), runs.index.tobytes()])


def head(data: bytes, magic: bytes, shape: Triple) -> tuple[int, int]:
    """Labels in the palette, and the number after it, of bytes that say they have this shape. Raises Invalid."""
    if len(data) < HEADER.size or data[:4] != magic:
        raise Invalid(f"the body does not begin with {magic.decode()} and a header of {HEADER.size} bytes")
    _, nz, ny, nx, labels, number, *_ = HEADER.unpack_from(data)
    if (nz, ny, nx) != shape:
        raise Invalid(f"expected voxels of shape {shape}, found {(nz, ny, nx)}")
    return labels, number


def decode(data: bytes, shape: Triple) -> Runs:
    """The runs of bytes in the media type `RUNS`, of this shape. Raises Invalid.

    Nothing is allocated by what the bytes say of themselves before that was compared with their length and the shape.
    """
    labels, count = head(data, MAGIC, shape)
    rows = shape[0] * shape[1]
    expected = HEADER.size + 8 * labels + 4 * (rows + 1 + 2 * count)
    if len(data) != expected:
        raise Invalid(f"expected {expected} bytes of {labels} labels and {count} runs; found {len(data)}")
    palette = np.frombuffer(data, "<u8", labels, HEADER.size)
    numbers = np.frombuffer(data, "<u4", offset=HEADER.size + 8 * labels)
    offsets, ends, picks = np.split(numbers, [rows + 1, rows + 1 + count])
    try:
        return Runs(shape, palette, offsets, ends, picks)
    except (LabelogError, ValueError) as error:
        raise Invalid(f"the body's runs are none: {error}") from None
