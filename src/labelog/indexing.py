"""NumPy's indexing, over volumes and images that are read box by box.

Integers, slices, Ellipsis, None and one integer array read boxes: along each axis the wanted coordinates are cut into
pieces without large gaps, the boxes that these span are read into a small array, and NumPy's own indexing does the
rest on it. Anything with several arrays or a boolean mask looks up single voxels.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import Box, Grid, Triple

GAPS = (1, 32, 32)  # along z, y, x: unwanted voxels in a row that are read rather than making two boxes of one

Axes = "zyx"


def expand(index: Any, shape: Triple) -> list[Any]:
    """An index as a list with one entry for each axis, and None where NumPy would put a new one."""
    entries = list(index) if isinstance(index, tuple) else [index]
    entries = [np.asarray(entry) if isinstance(entry, (list, np.ndarray)) else entry for entry in entries]
    used = sum(_axes(entry) for entry in entries)
    dots = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    if len(dots) > 1:
        raise OutOfBounds("an index can have only one Ellipsis ('...')")
    if used > 3:
        raise OutOfBounds(f"too many indices: a volume has 3 axes, the index has {used}")
    at = dots[0] if dots else len(entries)
    entries[at : at + len(dots)] = [slice(None)] * (3 - used)
    return entries


def _axes(entry: Any) -> int:
    if entry is None or entry is Ellipsis:
        return 0
    if isinstance(entry, np.ndarray) and entry.dtype == bool:
        return entry.ndim
    return 1


def read(index: Any, shape: Triple, dtype: np.dtype[Any], read_box: Callable[[Box, NDArray[Any]], None],
         lookup: Callable[[NDArray[np.int64]], NDArray[Any]]) -> Any:  # fmt: skip
    """What `array[index]` would give for an array of this shape and dtype."""
    entries = expand(index, shape)
    scalar = not (index is Ellipsis or (isinstance(index, tuple) and any(entry is Ellipsis for entry in index)))
    plain = _plain(entries, shape)
    if plain is not None:
        whole, result = plain
        out = np.empty(whole.shape, dtype)
        read_box(whole, out)
        out = out.reshape(result)
        return out if result or not scalar else out[()]
    arrays = [entry for entry in entries if isinstance(entry, np.ndarray) and entry.ndim > 0]
    if len(arrays) > 1 or any(entry.dtype == bool for entry in arrays):
        return _points(tuple(entries), shape, lookup)
    axis = 0
    pieces: list[list[tuple[int, int]]] = []
    rest: list[Any] = []
    for entry in entries:
        if entry is None:
            rest.append(None)
            continue
        cut, remapped = _along(entry, shape[axis], axis)
        pieces.append(cut)
        rest.append(remapped)
        axis += 1
    if sum(isinstance(entry, (int, np.integer)) for entry in rest) and len(arrays):
        rest = [np.array(entry) if isinstance(entry, int) else entry for entry in rest]
    box_shape = tuple(sum(stop - start for start, stop in cut) for cut in pieces)
    buffer = np.empty(box_shape, dtype)
    for parts in itertools.product(*(_placed(cut) for cut in pieces)):
        starts, stops, _ = zip(*parts, strict=True)
        target = tuple(slice(p, p + b - a) for a, b, p in parts)
        if all(b > a for a, b, _ in parts):
            read_box(Box(starts, stops), buffer[target])
    return buffer[tuple(rest)]


def _placed(cut: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Pieces, each with its place in the buffer."""
    lengths = [stop - start for start, stop in cut]
    return [(a, b, p) for (a, b), p in zip(cut, itertools.accumulate(lengths, initial=0), strict=False)]


def _along(entry: Any, length: int, axis: int) -> tuple[list[tuple[int, int]], Any]:
    """The pieces of an axis to read, and the entry that picks from them what was asked for."""
    if isinstance(entry, slice):
        start, stop, step = _indices(entry, length, axis)
        chosen = range(start, stop, step)
        if not chosen:
            return [(0, 0)], slice(0, 0)
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1
        if abs(step) <= GAPS[axis]:
            return [(low, high)], slice(None, None, step)
        cut = [(i, i + 1) for i in sorted(chosen)]
        return cut, slice(None, None, 1 if step > 0 else -1)
    if isinstance(entry, np.ndarray) and entry.ndim > 0:
        wanted = _coordinates(entry, length, axis)
        unique = np.unique(wanted)
        if not unique.size:
            return [(0, 0)], wanted
        breaks = np.flatnonzero(np.diff(unique) > GAPS[axis]) + 1
        cut = [(int(part[0]), int(part[-1]) + 1) for part in np.split(unique, breaks)]
        starts = np.array([start for start, _ in cut])
        places = np.array([place for _, _, place in _placed(cut)])
        which = np.searchsorted(starts, wanted, "right") - 1
        return cut, wanted - starts[which] + places[which]
    at = integer(entry, length, axis)
    return [(at, at + 1)], 0


def _indices(entry: slice, length: int, axis: int) -> tuple[int, int, int]:
    try:
        return entry.indices(length)
    except (TypeError, ValueError) as error:
        raise Invalid(f"cannot slice axis {Axes[axis]} by {entry}: {error}") from None


def integer(entry: Any, length: int, axis: int) -> int:
    """One coordinate, counted from the end if negative. Raises OutOfBounds outside, Invalid for no integer."""
    try:
        if isinstance(entry, (bool, np.bool)):
            raise TypeError
        at = operator.index(entry)
    except TypeError:
        raise OutOfBounds(
            f"an index is made of integers, slices, arrays of integers or booleans, '...' and None, not {entry!r}"
        ) from None
    if not -length <= at < length:
        raise OutOfBounds(f"index {at} is out of bounds for axis {Axes[axis]} with {length} voxels")
    return at + length if at < 0 else at


def _coordinates(entry: NDArray[Any], length: int, axis: int) -> NDArray[np.int64]:
    if entry.size == 0:
        return entry.astype(np.int64)
    if entry.dtype.kind not in "iu":
        raise OutOfBounds(f"arrays used as indices must be of integers or booleans, not {entry.dtype}")
    low, high = int(entry.min()), int(entry.max())
    for at in (low, high):
        integer(at, length, axis)
    wanted = entry.astype(np.int64)
    return np.where(wanted < 0, wanted + length, wanted)


def _points(index: tuple[Any, ...], shape: Triple,
            lookup: Callable[[NDArray[np.int64]], NDArray[Any]]) -> NDArray[Any]:  # fmt: skip
    """NumPy finds the coordinates of the result's voxels, by indexing three arrays that take no memory."""
    z, y, x = np.ix_(*(np.arange(n) for n in shape))
    try:
        wanted = [np.broadcast_to(axis, shape)[index] for axis in (z, y, x)]
    except IndexError as error:
        raise OutOfBounds(str(error)) from None
    flat = np.stack([np.ravel(axis) for axis in wanted], axis=1)
    return lookup(flat).reshape(np.shape(wanted[0]))


def _plain(entries: list[Any], shape: Triple) -> tuple[Box, tuple[int, ...]] | None:
    """The box that integers and slices with step 1 choose, and the shape of the result; None for other entries."""
    start, stop, result = [], [], []
    for axis, entry in enumerate(entries):
        if isinstance(entry, slice):
            low, high, step = _indices(entry, shape[axis], axis)
            if step != 1:
                return None
            high = max(low, high)
            result.append(high - low)
        elif entry is None or (isinstance(entry, np.ndarray) and (entry.ndim or entry.dtype == bool)):
            return None
        else:
            low = integer(entry, shape[axis], axis)
            high = low + 1
        start.append(low)
        stop.append(high)
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])), tuple(result)


def box(index: Any, shape: Triple) -> tuple[Box, tuple[int, ...]]:
    """The box of an assignment, and the shape that NumPy would give it (without the axes of single integers)."""
    plain = _plain(expand(index, shape), shape)
    if plain is None:
        raise Invalid("assignment takes a box: integers and slices with step 1; paint a mask for anything else")
    return plain


def within(value: Any, shape: Triple) -> Box:
    """A Box, or a pair of corners, checked to lie in a volume of this shape.

    Raises OutOfBounds, or Invalid for what is no box.
    """
    try:
        (z0, y0, x0), (z1, y1, x1) = ([operator.index(n) for n in corner] for corner in value)
    except (TypeError, ValueError):
        raise Invalid(f"expected a Box: ((z0, y0, x0), (z1, y1, x1)), found {value!r}") from None
    found = Box((z0, y0, x0), (z1, y1, x1))
    if not all(a <= b for a, b in zip(*found, strict=True)):
        raise OutOfBounds(f"the box {found} ends before it begins", box=found)
    if not all(0 <= a <= b <= n for a, b, n in zip(*found, shape, strict=True)):
        raise OutOfBounds(f"the box {found} does not lie within the volume's {Box((0, 0, 0), shape)}", box=found)
    return found


class Voxels:
    """An array (z, y, x) that is read box by box and never changes: what snapshots, views and images have in common.

    Whoever is one has `shape`, `chunks` and `dtype`, and fills arrays in `_fill`.
    """

    ndim = 3
    shape: Triple
    chunks: Triple
    dtype: np.dtype[Any]

    def _fill(self, box: Box, out: NDArray[Any]) -> None:
        raise NotImplementedError

    def _lookup(self, points: NDArray[np.int64]) -> NDArray[Any]:
        """Single voxels, points (n, 3): from each chunk, the smallest box that holds those in it."""
        out = np.empty(len(points), self.dtype)
        counts = Grid(self.shape, self.chunks).counts
        number = np.ravel_multi_index(tuple((points // np.array(self.chunks)).T), counts)
        order = np.argsort(number, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
            if len(group):
                here = points[group]
                (z0, y0, x0), (z1, y1, x1) = here.min(axis=0).tolist(), (here.max(axis=0) + 1).tolist()
                found = self.read(Box((z0, y0, x0), (z1, y1, x1)))
                out[group] = found[tuple((here - (z0, y0, x0)).T)]
        return out

    @property
    def size(self) -> int:
        """Voxels."""
        return math.prod(self.shape)

    def read(self, box: Box | tuple[Triple, Triple] | None = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The values of a box.

        Parameters
        ----------
        box : half-open bounds, start and stop (z, y, x), in voxels of this array; the whole of it if None.
        out : a writable array of the box's shape and of this dtype to fill, of any strides; a new one if None.

        Raises OutOfBounds for a box outside the array, Invalid for an `out` that does not fit, Corrupt (naming the
        place) for damaged bytes.
        """
        bounds = Box((0, 0, 0), self.shape) if box is None else within(box, self.shape)
        if out is None:
            out = np.empty(bounds.shape, self.dtype)
        elif not (isinstance(out, np.ndarray) and out.dtype == self.dtype and out.shape == bounds.shape):
            found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise Invalid(f"out must be a {self.dtype} array of shape {bounds.shape}, not {found}")
        elif not out.flags.writeable:
            raise Invalid("out must be writable")
        self._fill(bounds, out)
        return out

    def __getitem__(self, index: Any) -> Any:
        return read(index, self.shape, self.dtype, self._fill, self._lookup)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("voxels are decoded: an array of them is always a copy")
        values = self.read()
        return values if dtype is None else values.astype(dtype, copy=False)

    def __len__(self) -> int:
        return self.shape[0]
