"""Runs of equal values in raster order. Labels have some 25 voxels to a run, so work per run is cheap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_starts(values: NDArray[Any]) -> NDArray[np.intp]:
    """Where in the flat, non-empty array `values` each run of equal values starts; the first is 0."""
    return np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))


def run_lengths(starts: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """How long each run is, in an array of `size` values."""
    return np.diff(starts, append=size)


def distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
    """The sorted distinct values, where each is first, and for each value which one it is; all flat."""
    found, first, which = np.unique(values, return_index=True, return_inverse=True)
    return found, first, which.reshape(-1)
