"""Polygons and brush strokes on a slice as voxels: decided in whole numbers, so the same for everybody, anywhere.

Positions are in voxels from the edge of the volume, as on a canvas: voxel 3 reaches from 3 to 4, and its centre is at
3.5. They are rounded to 1/256 of a voxel, and all that follows is exact.

A voxel is in a polygon if its centre is, by the even-odd rule: a ring within a ring is a hole. Of a centre on an edge
that edge decides which has the inside at greater coordinates, so polygons side by side share no voxel and miss none.

A voxel is in a stroke if its centre is no further from the path than the radius.

        row of centres  - - - o - - o-/-o - - o - -       an edge crosses the row: the centres from there on
                                     /                    change sides
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import Triple, checked_axis, triple, whole

UNIT = 256  # to a voxel
HALF = UNIT // 2
FAR = 2**20  # voxels that a shape may span, so that products stay within 63 bits
MOST = 2**26  # crossings of a polygon, or voxels looked at for a stroke

Plane = tuple[int, int]


def polygon(rings: Sequence[ArrayLike], axis: int, index: int, shape: Triple) -> NDArray[np.int64]:
    """The voxels of a polygon on a slice, as `Edit.paint` takes them: rows of z, y, x0, x1 (n, 4).

    Parameters
    ----------
    rings : arrays (n, 2) of positions along the two other axes, in the order z, y, x; each ring is closed by itself.
    axis, index : the slice: 0 is across z.
    shape : of the volume. What lies outside is left out.

    Raises Invalid for rings that are none or span more than 2^20 voxels, OutOfBounds for a slice that is not there.
    """
    plane = _plane(axis, index, shape)
    try:
        points = [_points(ring, 3) for ring in rings]
    except TypeError:  # they are none
        points = []
    if not points:
        raise Invalid("a polygon has a ring of at least 3 points")
    low = _spanned(np.concatenate(points))
    y0, x0 = np.concatenate([ring - low for ring in points]).T
    y1, x1 = np.concatenate([np.roll(ring, -1, axis=0) - low for ring in points]).T
    up = y1 < y0
    y0, y1 = np.where(up, y1, y0), np.where(up, y0, y1)
    x0, x1 = np.where(up, x1, x0), np.where(up, x0, x1)
    first, last = -((HALF - y0) // UNIT), -((HALF - y1) // UNIT)  # rows whose centre is in y0 <= centre < y1
    offset = low // UNIT
    first, last = np.maximum(first, -offset[0]), np.minimum(last, plane[0] - offset[0])
    count = np.maximum(last - first, 0)
    if count.sum() > MOST:
        raise Invalid(f"the edges of a polygon cross rows at most {MOST} times; these do {count.sum()} times")
    edge = np.repeat(np.arange(len(count)), count)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    dy = (y1 - y0)[edge]
    across = (x0[edge] - HALF) * dy + (row * UNIT + HALF - y0[edge]) * (x1 - x0)[edge]
    column = -(-across // (dy * UNIT))  # the first whose centre is not left of the edge
    order = np.lexsort((column, row))
    row, column = row[order][::2] + offset[0], column[order] + offset[1]
    return _rows(row, column[::2], column[1::2], axis, index, plane)


def brush(path: ArrayLike, radius: float, axis: int, index: int, shape: Triple) -> NDArray[np.int64]:
    """The voxels of a round brush moved along a path on a slice, as `Edit.paint` takes them: rows of z, y, x0, x1.

    Parameters
    ----------
    path : an array (n, 2) of positions along the two other axes, in the order z, y, x, joined by straight lines; one
        point is a dot.
    radius : in voxels.
    axis, index, shape : as of `polygon`.

    Raises Invalid for a path or radius that is none, and for segments whose boxes hold more than 2^26 voxels;
    OutOfBounds for a slice that is not there.
    """
    plane = _plane(axis, index, shape)
    points = _points(path, 1)
    _spanned(points)
    if not (isinstance(radius, (int, float)) and 0 <= radius <= FAR):
        raise Invalid(f"the radius of a brush is a number of voxels from 0 to {FAR}, not {radius!r}")
    reach = round(radius * UNIT)
    low = np.maximum((points.min(axis=0) - reach) // UNIT, 0)
    high = np.minimum((points.max(axis=0) + reach) // UNIT + 1, plane)
    if (low >= high).any():
        return np.zeros((0, 4), np.int64)
    ends = points[1:] if len(points) > 1 else points
    boxes = (np.abs(ends - points[: len(ends)]) + 2 * reach) // UNIT + 2
    looked_at = int(np.prod(np.minimum(boxes, high - low), axis=1).sum())
    if max(math.prod((high - low).tolist()), looked_at) > MOST:
        raise Invalid(f"the boxes of a stroke's segments hold at most {MOST} voxels; send it as several strokes")
    taken = np.zeros(high - low, bool)
    for start, stop in zip(points, ends, strict=False):
        _sweep(taken, start - low * UNIT, stop - low * UNIT, reach)
    edges = np.diff(np.pad(taken, ((0, 0), (1, 1))).view(np.int8), axis=1)
    row, begin = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    return _rows(row + low[0], begin + low[1], end + low[1], axis, index, plane)


def _sweep(taken: NDArray[np.bool_], start: NDArray[np.int64], stop: NDArray[np.int64], reach: int) -> None:
    """Take the voxels no further than `reach` from a segment."""
    first = np.maximum((np.minimum(start, stop) - reach) // UNIT, 0)
    last = np.minimum((np.maximum(start, stop) + reach) // UNIT + 1, taken.shape)
    if (first >= last).any():
        return
    (dy, dx), length = (stop - start).tolist(), int(((stop - start) ** 2).sum())
    within = math.isqrt(reach * reach * length)  # |cross| <= reach * sqrt(length), both sides whole
    x = np.arange(first[1], last[1]) * UNIT + HALF - start[1]
    for top in range(int(first[0]), int(last[0]), 256):
        bottom = min(top + 256, int(last[0]))
        y = (np.arange(top, bottom) * UNIT + HALF - start[0])[:, None]
        near = (y * y + x * x <= reach * reach) | ((y - dy) ** 2 + (x - dx) ** 2 <= reach * reach)
        along = y * dy + x * dx
        near |= (along >= 0) & (along <= length) & (np.abs(y * dx - x * dy) <= within) & (length > 0)
        taken[top:bottom, first[1] : last[1]] |= near


def _plane(axis: int, index: int, shape: Triple) -> Plane:
    axis, shape = checked_axis(axis), triple("shape", shape)
    try:
        index = whole(index)
    except TypeError:
        raise Invalid(f"the index of a slice is a whole number, not {index!r}") from None
    if not 0 <= index < shape[axis]:
        raise OutOfBounds(f"there is no slice {'zyx'[axis]} = {index}; they go from 0 to {shape[axis] - 1}")
    first, second = (n for number, n in enumerate(shape) if number != axis)
    return first, second


def _points(given: ArrayLike, least: int) -> NDArray[np.int64]:
    """Positions in units. Raises Invalid."""
    try:
        points = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < least or not (np.abs(points) < 2**31).all():
        raise Invalid(f"expected {least} or more points, each two positions in voxels; found {str(given)[:60]}")
    return np.rint(points * UNIT).astype(np.int64)


def _spanned(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest voxel that points lie in, in units. Raises Invalid."""
    low: NDArray[np.int64] = points.min(axis=0) // UNIT * UNIT
    if (points.max(axis=0) - low > FAR * UNIT).any():
        raise Invalid(f"a shape spans at most {FAR} voxels")
    return low


def _rows(row: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64], axis: int, index: int,
          plane: Plane) -> NDArray[np.int64]:  # fmt: skip
    """Rows of the slice as rows of the volume."""
    start, stop = np.maximum(start, 0), np.minimum(stop, plane[1])
    there = start < stop
    row, start, stop = row[there], start[there], stop[there]
    fixed = np.full(len(row), index)
    if axis == 0:
        return np.column_stack([fixed, row, start, stop])
    if axis == 1:
        return np.column_stack([row, fixed, start, stop])
    size = stop - start
    column = np.repeat(start - (np.cumsum(size) - size), size) + np.arange(size.sum())
    return np.column_stack([np.repeat(row, size), column, np.full(len(column), index), np.full(len(column), index + 1)])
