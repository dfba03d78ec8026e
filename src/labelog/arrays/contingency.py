"""The contingency table of two plain arrays: how many voxels each pair of labels has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.arrays import boxes
from labelog.errors import Invalid
from labelog.kernels.overlap import overlap_dense
from labelog.kernels.pairs import in_order, merged

Entries = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]
"""Labels of a, labels of b, voxels: the entries of a table."""

MOST = 32  # dimensions
PIECE = 2**24  # voxels that a thread takes at a time, at most


class Contingency(NamedTuple):
    """A sparse contingency table: an entry for each pair of labels that has voxels, ascending by a, then b.

    Attributes
    ----------
    a, b : the labels; 0, the background, is one of them.
    voxels : int64, how many voxels have the one label in the first volume and the other in the second.

    `scipy.sparse.coo_array((voxels, (a, b)))` is the table as a matrix, if labels are small.
    """

    a: NDArray[Any]
    b: NDArray[Any]
    voxels: NDArray[np.int64]

    def sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many voxels the entries' labels have, each in its own volume: int64, two for each entry."""
        return _totals(self.a, self.voxels), _totals(self.b, self.voxels)

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each entry's two labels, 0 to 1."""
        left, right = self.sizes()
        return np.asarray(self.voxels / (left + right - self.voxels))

    def variation_of_information(self) -> tuple[float, float]:
        """H(b | a) and H(a | b), in bits: how much b cuts up what is one in a, and the other way round. 0 is none.

        All labels count, background too. Meila, Comparing clusterings: an information based distance, 2007.
        """
        left, right = self.sizes()
        share = self.voxels / max(1, self.voxels.sum())
        return float(share @ np.log2(left / self.voxels)), float(share @ np.log2(right / self.voxels))

    def rand_index(self) -> float:
        """The adjusted Rand index: 1 for the same partition, about 0 for what agrees by chance.

        All labels count, background too. Hubert and Arabie, Comparing partitions, 1985.
        """
        both, left, right = (_pairs(counts) for counts in (self.voxels, *_marginals(self)))
        total = _pairs(self.voxels.sum(keepdims=True))
        expected = left * right / total if total else 0.0
        most = (left + right) / 2
        return (both - expected) / (most - expected) if most != expected else 1.0


def _totals(labels: NDArray[Any], voxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each entry the voxels of all entries with its label."""
    _, place = np.unique(labels, return_inverse=True)
    totals = np.zeros(int(place.max(initial=-1)) + 1, np.int64)
    np.add.at(totals, place, voxels)
    return np.asarray(totals[place])


def _marginals(table: Contingency) -> Iterator[NDArray[np.int64]]:
    """The voxels of each label of a, and of each of b."""
    for labels, totals in zip((table.a, table.b), table.sizes(), strict=True):
        yield totals[np.unique(labels, return_index=True)[1]]


def _pairs(counts: NDArray[np.int64]) -> float:
    """How many pairs of voxels there are within each, together."""
    exact = counts.astype(np.float64)
    return float((exact * (exact - 1) / 2).sum())


def contingency(a: ArrayLike, b: ArrayLike, *, threads: int | None = None) -> Contingency:
    """Count the voxels of each pair of labels that two arrays have at the same places.

    Parameters
    ----------
    a, b : integers or bool, of one shape, any dimensions and strides; labels below 0 are labels too.
    threads : how many to use; by default one for each processor.

    Returns the table, each side's labels in its array's dtype, uint8 for bool. Raises Invalid for arrays that are none
    of these.

    Notes
    -----
    Counted are stretches of voxels in which neither array changes; see `kernels/overlap.pyx`.
    """
    left, right = boxes.checked(a, MOST), boxes.checked(b, MOST)
    if left.shape != right.shape:
        raise Invalid(f"expected two arrays of one shape, found {left.shape} and {right.shape}")
    threads = boxes.thread_count(threads)
    most = max(boxes.SLAB, min(PIECE, left.size // (4 * threads))) if threads > 1 else PIECE
    pieces = list(_pieces(*_turned(_bits(left), _bits(right)), most)) if left.size else []
    signs = _sign(left.dtype), _sign(right.dtype)

    def count(piece: tuple[NDArray[Any], NDArray[Any]]) -> Entries:
        a, b, voxels = overlap_dense(*(side if side.ndim == 3 else side.reshape(1, 1, -1) for side in piece))
        return in_order(_turned_sign(a, signs[0]), _turned_sign(b, signs[1]), voxels)

    found = summed(boxes.each(count, pieces, threads))
    labels_a, labels_b = (_turned_sign(*side) for side in zip(found[:2], signs, strict=True))
    return Contingency(_labels(labels_a, left.dtype), _labels(labels_b, right.dtype), found.voxels)


def summed(parts: Iterable[Entries]) -> Contingency:
    """One table of the entries of many, each as `in_order` gives them; a and b are uint64.

    They are merged as soon as the one before is not much longer: so no entry is in many merges.
    """
    lists: list[Entries] = []
    for part in parts:
        lists.append(part)
        while len(lists) > 1 and len(lists[-2][0]) <= 2 * len(lists[-1][0]):
            lists[-2:] = [merged(*lists[-2:])]
    while len(lists) > 1:
        lists[-2:] = [merged(*lists[-2:])]
    a, b, voxels = lists[0] if lists else np.zeros((3, 0), np.uint64)
    return Contingency(a, b, voxels.view(np.int64))


def _turned_sign(values: NDArray[np.uint64], sign: np.uint64) -> NDArray[np.uint64]:
    return values ^ sign if sign else values


def _sign(dtype: np.dtype[Any]) -> np.uint64:
    """The bit that puts labels below 0 before others, if it is turned."""
    return np.uint64(1 << 8 * dtype.itemsize - 1 if dtype.kind == "i" else 0)


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """The array as unsigned integers of the same size."""
    return array.view(np.dtype(f"u{array.itemsize}"))


def _labels(values: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bits as what they were."""
    return values.astype(f"u{dtype.itemsize}", copy=False).view(dtype)


def _turned(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both with the same axes, in an order that goes along the first one's memory; as one row if that is one."""
    axes = sorted(range(a.ndim), key=lambda axis: -abs(a.strides[axis]))
    a, b = a.transpose(axes), b.transpose(axes)
    if a.flags.c_contiguous and b.flags.c_contiguous:
        return a.reshape(-1), b.reshape(-1)
    return a, b


def _pieces(a: NDArray[Any], b: NDArray[Any], most: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Both cut into the same pieces of at most so many voxels: boxes (z, y, x), or of more axes."""
    if a.ndim < 3:
        a, b = (array[(None,) * (3 - array.ndim)] for array in (a, b))
    axis = next((axis for axis in range(a.ndim) if a.shape[axis] > 1), a.ndim - 1)
    step = max(1, most // math.prod(a.shape[axis + 1 :]))
    for start in range(0, a.shape[axis], step):
        cut = (slice(None),) * axis + (slice(start, start + step),)
        if step == 1 and axis < a.ndim - 1 and a[cut].size > most:
            yield from _pieces(a[cut], b[cut], most)
        else:
            yield a[cut], b[cut]
