"""Coarser scales of an image: the mean of the voxels that become one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.geometry import Triple


def halved(voxels: NDArray[Any], factors: Triple) -> NDArray[Any]:
    """The means of blocks of `factors` voxels (1 or 2 along each axis), in the same dtype.

    Integers are rounded to the nearest, ties to even, so that scale upon scale the picture grows neither brighter nor
    darker. At a far face of odd length it is the mean of those that there are.
    """
    odd = [(0, -n % f) for n, f in zip(voxels.shape, factors, strict=True)]
    if np.any(odd):
        voxels = np.pad(voxels, odd, mode="edge")  # a voxel twice has the mean of one
    z, y, x = factors
    parts = [voxels[i::z, j::y, k::x] for i, j, k in itertools.product(range(z), range(y), range(x))]
    return _float_mean(parts) if voxels.dtype.kind == "f" else _integer_mean(parts)


def _float_mean(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Of arrays of floats, added up with 64 bits; what is no number, or infinite, stays so."""
    total = np.zeros(parts[0].shape, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in parts:
            total += part
        return (total / len(parts)).astype(parts[0].dtype)


def _integer_mean(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Of 2, 4 or 8 arrays, without leaving their dtype: quotients and remainders are added up on their own."""
    count = len(parts)
    bits = count.bit_length() - 1
    mean, rest = parts[0] >> bits, parts[0] & (count - 1)
    for part in parts[1:]:
        mean += part >> bits
        rest += part & (count - 1)
    mean += rest >> bits
    rest &= count - 1
    mean += (rest > count // 2) | ((rest == count // 2) & (mean & 1 == 1))
    return mean
