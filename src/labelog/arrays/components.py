"""Connected components of a plain array.

The array is cut into slabs, which threads label side by side, by runs or, where labels change nearly everywhere, voxel
by voxel. Components that go on from one slab into the next are joined by a forest of those few; the numbers of all
others follow from how many there are before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from labelog.arrays import boxes
from labelog.errors import Invalid
from labelog.geometry import reach
from labelog.kernels import components as kernel
from labelog.kernels import sides
from labelog.kernels.forest import Forest
from labelog.kernels.runs import Runs
from labelog.kernels.voxels import label_voxels

Numbers = NDArray[np.int64]
INT64 = np.dtype(np.int64)

SHORT = {1: 5, 2: 4, 3: 12}  # reach -> voxels to a run, below which voxels are faster than runs
ROWS = 16  # along each axis, by which that is told,
LONG = 2**16  # and voxels of each
MOST = 2**31  # voxels that are marked at a time


@overload
def connected_components(
    array: ArrayLike, connectivity: int | None = ..., *, dtype: DTypeLike | None = ...,
    return_N: Literal[False] = ..., threads: int | None = ...,
) -> NDArray[Any]: ...  # fmt: skip
@overload
def connected_components(
    array: ArrayLike, connectivity: int | None = ..., *, dtype: DTypeLike | None = ...,
    return_N: Literal[True], threads: int | None = ...,
) -> tuple[NDArray[Any], int]: ...  # fmt: skip
def connected_components(array: ArrayLike, connectivity: int | None = None, *, dtype: DTypeLike | None = None,
                         return_N: bool = False, threads: int | None = None) -> Any:  # fmt: skip
    """Number the connected components of equal labels.

    Voxels that touch and have the same label, other than 0, are one component. Components are numbered from 1 in the
    order (C order of the axes) of their first voxels; background stays 0.

    Parameters
    ----------
    array : integers or bool, 1 to 3 dimensions, any strides, at most 2^32 - 1 voxels along each axis; labels below 0
        are labels too.
    connectivity : how many neighbours a voxel has: 6 (at its faces), 18 (and edges) or 26 (and corners) in 3
        dimensions, 4 or 8 in 2, 2 in 1. By default those at its faces: 6, 4 or 2.
    dtype : an integer dtype for the result; by default the smallest unsigned one that holds it.
    return_N : whether to give the number of components too.
    threads : how many to use; by default one for each processor.

    Returns
    -------
    An array of the shape of `array`, its axes in the same order in memory; with `return_N` a tuple of it and the
    number of components.

    Raises Invalid for an array, a connectivity or a dtype that is none of these, and for a dtype that is too small.

    Notes
    -----
    Two passes with union-find (Rosenfeld and Pfaltz 1966, Sequential operations in digital picture processing), on
    runs of equal labels instead of voxels; where runs are short, on voxels (see `kernels/voxels.pyx`).
    """
    values = boxes.checked(array)
    far = reach(2 * values.ndim if connectivity is None else connectivity, values.ndim)
    if dtype is not None:
        dtype = _integer(dtype)
    if values.size == 0:
        out, count = np.zeros(values.shape, dtype or np.uint8), 0
        return (out, count) if return_N else out
    threads = boxes.thread_count(threads)
    turn = boxes.Turn.along_memory(values)
    box = turn.box(values)
    labelled, places = (_Voxels, _parts(box, threads)) if _restless(box, far) else (_Runs, boxes.slabs(box))
    slabs: list[_Slab] = boxes.each(lambda place: labelled(box[place], far), places, threads)
    numbering = _Numbering(slabs, far, threads)
    if not turn.in_order:
        numbering.order(slabs, places, turn.steps)
    out = np.empty_like(values, _fitting(dtype, numbering.count).newbyteorder("="), subok=False)
    target = turn.box(out)
    boxes.each(lambda k: slabs[k].fill(target[places[k]], numbering.of(k, out.dtype)), range(len(slabs)), threads)
    out = out if dtype is None else out.astype(dtype, copy=False)
    return (out, numbering.count) if return_N else out


def _integer(dtype: DTypeLike) -> np.dtype[Any]:
    found: object = repr(dtype)
    with suppress(TypeError, ValueError, SyntaxError):
        found = np.dtype(dtype)
        if found.kind in "iu":
            return found
    raise Invalid(f"expected an integer dtype for components, found {found}")


def _fitting(dtype: DTypeLike | None, count: int) -> np.dtype[Any]:
    if dtype is None:
        return np.min_scalar_type(count)
    if count > np.iinfo(np.dtype(dtype)).max:
        raise Invalid(f"expected a dtype that holds {count} components, found {np.dtype(dtype)}")
    return np.dtype(dtype)


def _restless(box: NDArray[Any], far: int) -> bool:
    """Whether runs are so short that voxels are faster, by some of the rows."""
    rows = box[:: -(-len(box) // ROWS), :: -(-box.shape[1] // ROWS), :LONG]
    runs = np.count_nonzero(rows[..., 1:] != rows[..., :-1]) + rows.shape[0] * rows.shape[1]
    return bool(rows.size < SHORT[far] * runs)


def _parts(box: NDArray[Any], threads: int) -> list[slice]:
    """A box cut along z for threads, none with more voxels than can be marked."""
    most = max(1, MOST // (box.shape[1] * box.shape[2]))
    depth = min(most, -(-len(box) // threads))
    return [slice(z, z + depth) for z in range(0, len(box), depth)]


Face = tuple[Runs, NDArray[np.uint64]]
"""What lies in a plane: the numbers there and, for each of the palette, its label."""


class _Slab(Protocol):
    """A slab's components, numbered from 1, and what lies in its first and its last plane."""

    count: int

    @property
    def first(self) -> Face: ...

    @property
    def last(self) -> Face: ...

    def fill(self, out: NDArray[Any], values: NDArray[Any]) -> None: ...

    def first_voxels(self, steps: Sequence[int]) -> NDArray[np.int64]: ...


class _Runs:
    def __init__(self, array: NDArray[Any], far: int) -> None:
        self._runs, labels = kernel.label_dense(array, far)
        self.count = len(labels) - 1
        faces = [sides.cut(self._runs, (side, 0, 0)).compacted() for side in (-1, 1)]
        self.first, self.last = ((face, labels[face.palette]) for face in faces)

    def fill(self, out: NDArray[Any], values: NDArray[Any]) -> None:
        self._runs.fill(out, (0, 0, 0), values)

    def first_voxels(self, steps: Sequence[int]) -> NDArray[np.int64]:
        return kernel.first_voxels(self._runs, steps)


class _Voxels:
    def __init__(self, array: NDArray[Any], far: int) -> None:
        self._array, self._marks = array, label_voxels(array, far)
        self.count = self._marks.count

    @property
    def first(self) -> Face:
        return self._face(0)

    @property
    def last(self) -> Face:
        return self._face(-1)

    def _face(self, z: int) -> Face:
        plane = self._marks.plane(z)
        labels = np.zeros(self.count + 1, np.uint64)
        labels[plane] = self._array[z].astype(np.uint64)
        face = Runs.from_dense(plane[None])
        return face, labels[face.palette]

    def fill(self, out: NDArray[Any], values: NDArray[Any]) -> None:
        self._marks.fill(values, out)

    def first_voxels(self, steps: Sequence[int]) -> NDArray[np.int64]:
        return self._marks.first_voxels(steps)


class _Numbering:
    """The numbers of all slabs' components. `joined` are those that are one with a component before, `into`."""

    def __init__(self, slabs: list[_Slab], far: int, threads: int) -> None:
        counts = [slab.count for slab in slabs]
        self.base = np.cumsum([0, *counts])

        def joins(k: int) -> Numbers:
            (a, labels_a), (b, labels_b) = slabs[k].last, slabs[k + 1].first
            found: Numbers = sides.touching(a, b, labels_a, labels_b, far - 1).astype(np.int64)
            found += self.base[k : k + 2] - 1
            return found

        pairs = boxes.each(joins, range(len(slabs) - 1), threads)
        ids, flat = np.unique(np.concatenate([np.zeros((0, 2), np.int64), *pairs]), return_inverse=True)
        forest = Forest(len(ids))
        forest.union(*flat.reshape(-1, 2).T)
        roots = forest.roots()
        others = roots != np.arange(len(ids))
        self.joined, self.into = ids[others], ids[roots[others]]
        self.count = int(self.base[-1]) - len(self.joined)
        self.rank: Numbers | None = None

    def of(self, slab: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The number of each of a slab's components, 0 for the background, in a dtype that holds all."""
        start, stop = self.base[slab : slab + 2]
        low, high = np.searchsorted(self.joined, (start, stop))
        joined, into = self.joined[low:high] - start + 1, self.into[low:high]
        numbers = np.ones(stop - start + 1, dtype)  # steps from each number to the next
        numbers[joined] = 0
        numbers[0] = start - low
        np.cumsum(numbers, dtype=dtype, out=numbers)
        numbers[0] = 0
        numbers[joined] = into + 1 - np.searchsorted(self.joined, into)
        return numbers if self.rank is None else self.rank[numbers].astype(dtype)

    def order(self, slabs: list[_Slab], places: list[slice], steps: Sequence[int]) -> None:
        """Number by the least place of a component's voxels instead; steps as for `kernel.first_voxels`."""
        first = np.full(self.count + 1, np.iinfo(np.int64).max)
        for k, (slab, place) in enumerate(zip(slabs, places, strict=True)):
            least = slab.first_voxels(steps) + place.start * steps[0]
            np.minimum.at(first, self.of(k, INT64)[1:], least[1:])
        first[0] = -1
        self.rank = np.empty(self.count + 1, np.int64)
        self.rank[np.argsort(first)] = np.arange(self.count + 1)
