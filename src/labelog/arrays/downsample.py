"""A plain array of labels at half its resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.arrays import boxes
from labelog.errors import Invalid
from labelog.geometry import whole
from labelog.kernels.downsample import downsample_dense


def downsample(
    array: ArrayLike, factors: int | Sequence[int] = 2, *, threads: int | None = None
) -> NDArray[Any]:  # fmt: skip
    """Halve an array of labels along some axes, by the mode.

    Each voxel of the result has the label that most voxels of its window have. Of labels that equally many have, it is
    the smallest that is not 0 (so thin objects are not lost to the background), negative ones coming after all others.
    Where an axis is of odd length, the last window has the voxels that are left.

    Parameters
    ----------
    array : integers or bool, 1 to 3 dimensions, any strides.
    factors : 1 or 2 for each axis, such as (1, 2, 2); or one number for all.
    threads : how many to use; by default one for each processor.

    Returns
    -------
    An array of the same dtype, its axes in the same order in memory, each axis as long as there are windows.

    Raises Invalid for an array or factors that are none of these.
    """
    values = boxes.checked(array)
    chosen = _factors(factors, values.ndim)
    turn = boxes.Turn.along_memory(values)
    out = np.empty([-(-values.shape[axis] // chosen[axis]) for axis in turn.axes], values.dtype)
    out = out.transpose(np.argsort(turn.axes))
    if values.size:
        box, target = turn.box(values), turn.box(out)
        windows = _of_box([chosen[axis] for axis in turn.axes])

        def halve(place: slice) -> None:
            part = target[place.start // windows[0] : -(-place.stop // windows[0])]
            downsample_dense(box[place], windows, part)

        boxes.each(halve, boxes.slabs(box, windows[0]), boxes.thread_count(threads))
    return out.astype(bool) if np.asarray(array).dtype == bool else out


def _factors(factors: int | Sequence[int], ndim: int) -> list[int]:
    try:
        chosen = [whole(f) for f in (factors if np.ndim(factors) else [factors] * ndim)]  # type: ignore[union-attr]
    except TypeError:
        chosen = []
    if len(chosen) != ndim or not all(f in (1, 2) for f in chosen):
        raise Invalid(f"expected factors of 1 or 2, one for each of {ndim} axes; found {factors!r}")
    return chosen


def _of_box(factors: list[int]) -> tuple[int, int, int]:
    """Factors along the axes of `Turn.box`, those that it adds being 1."""
    if len(factors) == 2:
        return factors[0], 1, factors[1]
    z, y, x = [1] * (3 - len(factors)) + factors
    return z, y, x
