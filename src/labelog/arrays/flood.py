"""Flood fill of plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.arrays import boxes
from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import reach, whole
from labelog.kernels.flood import flooded, write

Seed = int | Sequence[int]

WORD = 64  # voxels of a row that the kernel takes at a time


def flood(array: ArrayLike, seed: Seed, connectivity: int | None = None, *,
          threads: int | None = None) -> NDArray[np.bool_]:  # fmt: skip
    """The voxels that a flood fill would take, as a mask.

    Parameters are those of `flood_fill`. Returns a bool array of the shape of `array`, its axes in the same order in
    memory.
    """
    values = _raw(boxes.integers(array))
    axes = boxes.Turn.along_memory(values).axes
    out = np.zeros([values.shape[axis] for axis in axes], bool).transpose(np.argsort(axes))
    _fill(values, _raw(out), np.uint8(1), seed, connectivity, threads)
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
    The fill goes on from row to row, 64 voxels at a time (see `kernels/flood.pyx`), along memory or, where such rows
    are shorter, along the longest axis. Voxels that it does not come to are not looked at, but those of bool are
    all, whether their bytes are 0 and 1. Threads share the planes that it has reached, and deal them anew as it goes
    on; what lies in one plane is filled by one.
    """
    if in_place:
        _check_can_be_filled(array)
    given = boxes.integers(array)
    label, values = _fitting(new_label, given.dtype), _raw(given)
    out = np.asarray(array) if in_place else np.empty_like(given, subok=False)
    _fill(values, _raw(out), _raw(label)[0], seed, connectivity, threads, rest=None if in_place else values)
    return array if isinstance(array, np.ndarray) and in_place else out


def _fill(values: NDArray[Any], out: NDArray[Any], value: Any, seed: Seed, connectivity: int | None,
          threads: int | None, rest: NDArray[Any] | None = None) -> None:  # fmt: skip
    """Give the voxels of `out` that a fill of `values` reaches a value, and the others what they have in `rest`."""
    far = reach(2 * values.ndim if connectivity is None else connectivity, values.ndim)
    turn = boxes.Turn.along_memory(values, row=WORD)
    threads = boxes.thread_count(threads)
    first = turn.voxel(_inside(seed, values.shape))
    box, target = turn.box(values), turn.box(out)
    source = None if rest is None else turn.box(rest)
    walkers = 1 if box.size <= boxes.SLAB else threads
    with boxes.team(walkers) as every:
        words = flooded(box, first, far, walkers, every)

        def write_slab(place: slice) -> None:
            if source is not None:
                np.copyto(target[place], source[place])
            write(words[place], target[place], value)

        every(write_slab, boxes.slabs(target))


def _check_can_be_filled(array: ArrayLike) -> None:
    if not isinstance(array, np.ndarray):
        found = f"an object of type {type(array).__name__}"
    elif not array.flags.writeable:
        found = "one that is read-only"
    elif not array.flags.aligned:
        found = "one that is not aligned"
    else:
        return
    raise Invalid(f"only a writable and aligned NumPy array can be filled in place, not {found}")


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
