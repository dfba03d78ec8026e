"""`Level`: the array that holds one scale of an image, seen along z, y, x whatever its own axes are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Invalid
from labelog.geometry import Box, Lengths, Triple, triple
from labelog.image.address import reading

PLAIN = ("t", "c", "z", "y", "x")
"""The axes of an array that does not name its own: the last two of these, or more."""


@dataclass(frozen=True)
class Level:
    """One scale of an image.

    Attributes
    ----------
    array : a Zarr or Blosc2 array: sliced by whole numbers and slices, it gives NumPy arrays.
    axes : which axis of `array` is z, y, x; None where it has no z. Its other axes have length 1.
    shape, chunks : voxels along z, y, x.
    dtype : in native byte order.
    where : the array's address, for errors.
    voxel_size : along z, y, x in `unit`; None where the source does not say.
    translation : where the centre of the first voxel is, along z, y, x in `unit`.
    """

    array: Any
    axes: tuple[int | None, int, int]
    shape: Triple
    chunks: Triple
    dtype: np.dtype[Any]
    where: str
    voxel_size: Lengths | None = None
    unit: str | None = None
    translation: Lengths = (0.0, 0.0, 0.0)

    @classmethod
    def of(cls, array: Any, names: Sequence[str] | None, where: str, **scale: Any) -> Self:
        """The level of an array whose axes have these names (None: as `PLAIN`).

        Raises Invalid for an array that is not (z, y, x), or not of numbers.
        """
        shape = tuple(int(n) for n in array.shape)
        if names is None:
            names = PLAIN[len(PLAIN) - len(shape) :] if 2 <= len(shape) <= len(PLAIN) else ("?",) * len(shape)
        axes = _axes(shape, names, where)
        dtype = np.dtype(array.dtype)
        if dtype.kind not in "buif":
            raise Invalid(f"{where}: expected an image of integers or floats, found {dtype}", path=where)
        whole = triple(f"{where}: shape", [1 if axis is None else shape[axis] for axis in axes])
        chunks = triple(f"{where}: chunks", [1 if axis is None else int(array.chunks[axis]) for axis in axes])
        return cls(array, axes, whole, chunks, dtype.newbyteorder("="), where, **scale)

    def fill(self, box: Box, out: NDArray[Any]) -> None:
        """Read a box within the level into an array of its shape."""
        index: list[int | slice] = [0] * len(self.array.shape)
        for axis, part in zip(self.axes, box.slices(), strict=True):
            if axis is not None:
                index[axis] = part
        with reading(f"{self.where}, box {box}"):
            voxels = np.asarray(self.array[tuple(index)])
            there = [axis for axis in self.axes if axis is not None]
            voxels = voxels.transpose([sorted(there).index(axis) for axis in there])
            out[...] = voxels.reshape(box.shape)


def _axes(shape: tuple[int, ...], names: Sequence[str], where: str) -> tuple[int | None, int, int]:
    """Where z, y and x are among the axes of these names; Invalid if they are not, or others are longer than 1."""
    told = ", ".join(f"{name}: {n}" for name, n in zip(names, shape, strict=False))
    if len(names) != len(shape) or "y" not in names or "x" not in names or len(set(names)) < len(names):
        raise Invalid(f"{where}: expected axes z, y, x; found {told or 'none'} of shape {shape}", path=where)
    others = [name for name, n in zip(names, shape, strict=True) if name not in ("z", "y", "x") and n != 1]
    if others:
        raise Invalid(
            f"{where}: expected one grey value a voxel, axes z, y, x; found {told}: an image has one channel and one "
            "time, so store each on its own",
            path=where,
        )
    return (names.index("z") if "z" in names else None), names.index("y"), names.index("x")
