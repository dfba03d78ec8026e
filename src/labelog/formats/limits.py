"""What a file may declare, checked before memory is taken by what it says.

A slice has at most 2**29 voxels (16,384 x 32,768), a volume at most 2**42; what one slab takes is bounded by the
slice. A compressed file cannot hold more than its codec's largest ratio times its own bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Corrupt, Invalid

MAX_SLICE = 2**29
MAX_VOLUME = 2**42
SLAB_BYTES = 64 * 2**20
"""A slab of several slices is about this large; one of a single slice is as large as the slice."""

DEFLATE_RATIO = 1040
"""Deflate codes at most 258 bytes in 2 bits, 1032 to 1; the rest is for its headers."""


def volume_shape(shape: Sequence[int], where: str) -> tuple[int, int, int]:
    """`shape` as (z, y, x), where (y, x) is one slice; Invalid if it is neither, empty, or beyond the limits."""
    sizes = tuple(int(n) for n in shape)
    if len(sizes) == 2:
        sizes = (1, *sizes)
    if len(sizes) != 3 or min(sizes) < 1:
        raise Invalid(f"{where}: expected a shape (z, y, x), each at least 1; found {tuple(shape)}")
    z, y, x = sizes
    if y * x > MAX_SLICE:
        raise Invalid(f"{where}: slices of {y} x {x} voxels; at most {MAX_SLICE} in a slice are read or written")
    if z * y * x > MAX_VOLUME:
        raise Invalid(f"{where}: {z} x {y} x {x} voxels; at most {MAX_VOLUME} in a volume are read or written")
    return z, y, x


def label_dtype(dtype: np.dtype[Any], where: str) -> np.dtype[Any]:
    """The dtype in native byte order, bool as uint8; Invalid unless it is of integers."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "ui":
        raise Invalid(f"{where}: labels are integers of 8 to 64 bits; found {dtype}")
    return dtype.newbyteorder("=")


def voxel_dtype(dtype: np.dtype[Any], where: str, image: bool) -> np.dtype[Any]:
    """The same for the grey values of an image, which may be floats and negative too; as `label_dtype` for labels."""
    if not image or dtype.kind != "f":
        return label_dtype(dtype, where)
    if dtype.itemsize > 8:
        raise Invalid(f"{where}: an image's floats have 16 to 64 bits; found {dtype}")
    return dtype.newbyteorder("=")


def check_labels(slab: NDArray[Any], where: str) -> None:
    """Invalid, naming the voxel, if the array (n, y, x) has a negative label."""
    if slab.dtype.kind == "i" and int(slab.min()) < 0:
        at = tuple(int(i) for i in np.unravel_index(int(slab.argmin()), slab.shape))
        raise Invalid(f"{where}: labels are not negative; found {int(slab[at])} at {at} of it", label=int(slab[at]))


def check_stored(declared: int, stored: int, ratio: int, where: str) -> None:
    """Corrupt if `declared` bytes cannot come out of the `stored` ones, whatever they are."""
    if declared > stored * ratio:
        raise Corrupt(f"{where}: declares {declared} bytes of voxels, but only {stored} bytes are stored for them")


def slab_depth(shape: tuple[int, int, int], dtype: np.dtype[Any], most: int = 2**62) -> int:
    """How many slices a slab of about SLAB_BYTES has; 1 to `most`."""
    return max(1, min(most, shape[0], SLAB_BYTES // (shape[1] * shape[2] * dtype.itemsize)))
