"""The bytes of a plain array, for programs that know arrays and no volumes: what the two codecs `labelog.runs` write.

An array of up to three axes is one box of runs; of four axes, each place along the slowest is a box of its own. Rows
go along memory: along the last axis, or along the first of an array in Fortran order.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.arrays.boxes import checked, integers
from labelog.errors import Corrupt, Invalid
from labelog.geometry import MAX_CHUNK
from labelog.kernels import codec
from labelog.kernels.runs import Runs
from labelog.storage.base import sealed, unsealed
from labelog.storage.layout import ARRAY_HEADER, ARRAY_LENGTH, ARRAY_MAGIC, FORMAT

AXES = 4
DTYPES = {dtype.str.encode(): dtype for code in ("bool", *np.typecodes["AllInteger"])
          for dtype in (np.dtype(code), np.dtype(code).newbyteorder())}  # fmt: skip


def pack_array(array: ArrayLike) -> bytes:
    """The bytes of an array of integers or bool in 1 to 4 dimensions, any strides and byte order; it may be empty.

    Raises Invalid for others, and where the last three axes of rows have more than 2^27 voxels.
    """
    given = integers(array, AXES)
    order = b"F" if _is_fortran(given) else b"C"
    bits = checked(given, AXES)
    turned = _unsigned(bits.T if order == b"F" else bits)
    pieces = []
    for volume in turned.reshape(_boxes(turned.shape)) if turned.size else ():
        body = codec.encode(Runs.from_dense(volume))
        pieces += [ARRAY_LENGTH.pack(len(body)), body]
    lengths = (1,) * (AXES - given.ndim) + given.shape
    head = ARRAY_HEADER.pack(ARRAY_MAGIC, FORMAT, 0, given.dtype.str.encode(), order, given.ndim, *lengths)
    return sealed(head, b"".join(pieces))


def unpack_array(data: bytes, place: str) -> NDArray[Any]:
    """The array of these bytes, its integers and axes in the order in memory that they had.

    Raises Corrupt or Unsupported, naming `place`.
    """
    _, code, order, ndim, *lengths = unsealed(data, ARRAY_HEADER, ARRAY_MAGIC, place)
    try:
        shape = _shape(code, order, ndim, lengths)
        boxes = _boxes(shape) if math.prod(shape) else (0, 1, 1, 1)
        bodies = list(_bodies(data, boxes[0]))
        decoded = (codec.decode(body, boxes[1:]) for body in bodies)
        first = list(islice(decoded, 1))  # before memory is taken for a shape that the bytes do not have
        array = np.empty(shape, DTYPES[code].newbyteorder("="))
        for runs, out in zip(chain(first, decoded), array.reshape(boxes), strict=True):
            _write(runs, out)
    except (Corrupt, Invalid) as error:
        raise Corrupt(f"{place} is damaged: {error}") from error
    array = array.astype(DTYPES[code], copy=False)
    return array.T if order == b"F" else array


def _shape(code: bytes, order: bytes, ndim: int, lengths: list[int]) -> tuple[int, ...]:
    """The axes that a header declares, x last. Raises Corrupt if it declares no array of integers."""
    sound = code in DTYPES and order in b"CF" and 1 <= ndim <= AXES and all(n == 1 for n in lengths[: AXES - ndim])
    if not sound or math.prod(n or 1 for n in lengths) * 8 > sys.maxsize:  # which also an empty array must not have
        found = f"{code!r} in order {order!r}, {ndim} axes of {lengths}"
        raise Corrupt(f"expected an array of integers in 1 to {AXES} dimensions, found {found}")
    shape = tuple(lengths[AXES - ndim :])
    return shape[::-1] if order == b"F" else shape


def _write(runs: Runs, out: NDArray[Any]) -> None:
    """Write runs into a box of their shape. Raises Corrupt for labels that the box's dtype does not have."""
    bits = _unsigned(out)
    most = 1 if out.dtype == bool else np.iinfo(bits.dtype).max
    if int(runs.palette.max()) > most:
        raise Corrupt(f"expected {out.dtype}, found a label of {int(runs.palette.max())}")
    runs.fill(bits, (0, 0, 0), runs.palette.astype(bits.dtype))


def _bodies(data: bytes, count: int) -> Iterator[memoryview]:
    """The body of each volume: as many as declared, and nothing after them."""
    at, view = ARRAY_HEADER.size, memoryview(data)
    if count * ARRAY_LENGTH.size > len(data) - at:
        raise Corrupt(f"{count} volumes cannot be in {len(data) - at} bytes")
    for _ in range(count):
        (length,) = ARRAY_LENGTH.unpack_from(view, at) if len(data) - at >= ARRAY_LENGTH.size else (len(data),)
        at += ARRAY_LENGTH.size
        if length > len(data) - at:
            raise Corrupt("the bytes end within a volume")
        yield view[at : at + length]
        at += length
    if at != len(data):
        raise Corrupt(f"{len(data) - at} bytes follow the last volume")


def _boxes(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A shape as volumes of three axes each, within the limits of a chunk."""
    n, nz, ny, nx = (1,) * (AXES - len(shape)) + shape
    if nz * ny * nx > MAX_CHUNK:
        raise Invalid(f"a box of runs has at most {MAX_CHUNK} voxels, not {nz} x {ny} x {nx}; make chunks smaller")
    return n, nz, ny, nx


def _is_fortran(array: NDArray[Any]) -> bool:
    """Whether the first axis is the one that goes along memory."""
    steps = [abs(step) for step, n in zip(array.strides, array.shape, strict=True) if n > 1]
    return len(steps) > 1 and steps[0] < steps[-1]


def _unsigned(array: NDArray[Any]) -> NDArray[Any]:
    """The same bits as labels: -1 of int16 is 65535."""
    return array.view(np.dtype(f"u{array.itemsize}"))
