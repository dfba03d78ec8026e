"""Flood fill of plain arrays: a walk from slab to slab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.arrays import boxes
from labelog.arrays.walk import Walk
from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import Grid, reach, whole
from labelog.kernels.components import label_dense
from labelog.kernels.fill import write
from labelog.kernels.runs import Runs

Seed = int | Sequence[int]


def flood(array: ArrayLike, seed: Seed, connectivity: int | None = None, *,
          threads: int | None = None) -> NDArray[np.bool_]:  # fmt: skip
    """The voxels that a flood fill would take, as a mask.

    Parameters are those of `flood_fill`. Returns a bool array of the shape of `array`, its axes in the same order in
    memory.
    """
    values = _raw(boxes.integers(array))
    fill = _Fill(values, seed, connectivity, threads)
    axes = fill.turn.axes
    out = np.zeros([values.shape[axis] for axis in axes], bool).transpose(np.argsort(axes))
    fill.write(_raw(out), np.uint8(1))
    return out


def flood_fill(array: ArrayLike, seed: Seed, new_label: int, connectivity: int | None = None, *,
               in_place: bool = False, threads: int | None = None) -> NDArray[Any]:  # fmt: skip
    """Give a label to all voxels that have the label of one, and hang together with it.

    Parameters
    ----------
    array : integers or bool, 1 to 3 dimensions, any strides.
    seed : where to begin, an index for each axis.
    new_label : what its dtype holds.
    connectivity : how many neighbours a voxel has: 6 (at its faces), 18 (and edges) or 26 (and corners) in 3
        dimensions, 4 or 8 in 2, 2 in 1. By default those at its faces: 6, 4 or 2.
    in_place : change `array` itself, a writable and aligned NumPy array, instead of a copy.
    threads : how many to use; by default one for each processor.

    Returns
    -------
    An array like `array`, or `array` itself.

    Raises Invalid for an array, a label or a connectivity that is none of these, OutOfBounds for a seed outside the
    array. Then nothing was changed.

    Notes
    -----
    The array is cut into slabs. Those that the fill comes to are divided into connected components (see
    `connected_components`), and it goes on from one to the other where these touch; the others are not looked at.
    """
    if in_place and not (isinstance(array, np.ndarray) and array.flags.behaved):
        raise Invalid("only a writable and aligned NumPy array can be filled in place")
    given = boxes.integers(array)
    label = _fitting(new_label, given.dtype)
    fill = _Fill(_raw(given), seed, connectivity, threads)
    out = given if in_place else np.empty_like(given, subok=False)
    fill.write(_raw(out), _raw(label)[0], rest=None if in_place else _raw(given))
    return array if isinstance(array, np.ndarray) and in_place else out


class _Fill:
    """A walk through the voxels of an array that equal one of them."""

    def __init__(self, values: NDArray[Any], seed: Seed, connectivity: int | None, threads: int | None) -> None:
        far = reach(2 * values.ndim if connectivity is None else connectivity, values.ndim)
        self.turn = boxes.Turn.along_memory(values)
        self.threads = boxes.thread_count(threads)
        first = _inside(seed, values.shape)
        value, box = values[first], self.turn.box(values)
        self.slabs = boxes.slabs(box)

        def components(slab: int) -> Runs:
            return label_dense((box[self.slabs[slab]] == value).view(np.uint8), far)[0]

        several = self.threads > 1 and len(self.slabs) > 1
        with ThreadPoolExecutor(self.threads, "labelog") if several else nullcontext() as pool:
            grid = Grid(box.shape, (self.slabs[0].stop, *box.shape[1:]))
            self.parts = Walk(components, grid, self.turn.voxel(first), reach=far, pool=pool).parts

    def write(self, out: NDArray[Any], value: Any, rest: NDArray[Any] | None = None) -> None:
        """Give the voxels that were reached a value, and the others what they have in `rest`."""
        target = self.turn.box(out)
        source = None if rest is None else self.turn.box(rest)

        def write_slab(number: int) -> None:
            place = self.slabs[number]
            if source is not None:
                np.copyto(target[place], source[place])
            if number in self.parts:
                write(self.parts[number].components, self.parts[number].reached, target[place], value)

        boxes.each(write_slab, range(len(self.slabs)), self.threads)


def _raw(values: NDArray[Any]) -> NDArray[Any]:
    """The same memory as unsigned integers: what is equal stays equal, negative or in another byte order."""
    return values.view(f"=u{values.itemsize}")


def _inside(seed: Seed, shape: tuple[int, ...]) -> tuple[int, ...]:
    try:
        first = tuple(whole(n) for n in (seed if isinstance(seed, Iterable) else [seed]))
    except TypeError:
        first = ()
    if len(first) != len(shape):
        raise Invalid(f"the seed of a fill in {len(shape)} dimensions must be as many whole numbers, not {seed!r}")
    if not all(0 <= i < n for i, n in zip(first, shape, strict=True)):
        raise OutOfBounds(f"the seed {first} is not within the array of shape {shape}")
    return first


def _fitting(label: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A label as an array of one, or Invalid."""
    try:
        value = int(label) if isinstance(label, (bool, np.bool_)) else whole(label)
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    except TypeError:
        raise Invalid(f"the new label must be a whole number, not {label!r}") from None
    if not least <= value <= most:
        raise Invalid(f"the new label must be from {least} to {most}, as {dtype} holds, not {value}")
    return np.array([value], dtype)
