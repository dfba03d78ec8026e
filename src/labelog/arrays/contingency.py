"""The contingency table of two plain arrays: how many voxels each pair of labels has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.arrays import boxes
from labelog.errors import Invalid
from labelog.kernels.overlap import overlap_dense

MOST = 32  # dimensions
PIECE = 2**20  # voxels that a thread takes at a time: few enough for a table of all of them
MANY = 2**20  # entries that are gathered before equal ones become one

Entries = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]
"""Labels of a, labels of b, voxels: the entries of a table in any order, equal ones perhaps several times."""


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

    Returns the table, each side's labels in its array's dtype. Raises Invalid for arrays that are none of these.

    Notes
    -----
    Counted are stretches of voxels in which neither array changes; see `kernels/overlap.pyx`.
    """
    left, right = boxes.checked(a, MOST), boxes.checked(b, MOST)
    if left.shape != right.shape:
        raise Invalid(f"expected two arrays of one shape, found {left.shape} and {right.shape}")
    pieces = list(_pieces(*_turned(_bits(left), _bits(right)))) if left.size else []
    found = summed(boxes.each(lambda piece: overlap_dense(*piece), pieces, threads or os.cpu_count() or 1))
    return _sorted(_labels(found.a, left.dtype), _labels(found.b, right.dtype), found.voxels)


def summed(parts: Iterable[Entries]) -> Contingency:
    """One table of the entries of many; a and b are uint64."""
    waiting: list[Entries] = []
    size, most = 0, MANY
    for part in parts:
        waiting.append(part)
        size += len(part[0])
        if size >= most:
            waiting = [_merged(waiting)]
            size = len(waiting[0][0])
            most = max(MANY, 2 * size)
    a, b, voxels = _merged(waiting)
    return Contingency(a, b, voxels.astype(np.int64))


def _merged(parts: list[Entries]) -> Entries:
    a, b, voxels = (np.concatenate([np.zeros(0, np.uint64), *(part[side] for part in parts)]) for side in range(3))
    order = _order(a, b)
    a, b = a[order], b[order]
    first = np.flatnonzero(np.append(True, (a[1:] != a[:-1]) | (b[1:] != b[:-1]))[: len(a)])
    return a[first], b[first], np.add.reduceat(voxels[order], first) if len(a) else voxels


def _order(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.intp]:
    """What puts entries in order: by a, then b."""
    if max(a.max(initial=0), b.max(initial=0)) < 2**32:
        return np.argsort(a << np.uint64(32) | b)
    return np.lexsort((b, a))


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """The array as unsigned integers of the same size."""
    return array.view(np.dtype(f"u{array.itemsize}"))


def _labels(values: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bits as what they were."""
    return values.astype(f"u{dtype.itemsize}").view(dtype)


def _sorted(a: NDArray[Any], b: NDArray[Any], voxels: NDArray[np.int64]) -> Contingency:
    """In order also where labels are below 0."""
    if "i" not in (a.dtype.kind, b.dtype.kind):
        return Contingency(a, b, voxels)
    order = np.lexsort((b, a))
    return Contingency(a[order], b[order], voxels[order])


def _turned(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both with the same axes, in an order that goes along the first one's memory; as one row if that is one."""
    axes = sorted(range(a.ndim), key=lambda axis: -abs(a.strides[axis]))
    a, b = a.transpose(axes), b.transpose(axes)
    if a.flags.c_contiguous and b.flags.c_contiguous:
        return a.reshape(-1), b.reshape(-1)
    return a, b


def _pieces(a: NDArray[Any], b: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Both cut into the same boxes (z, y, x) of at most PIECE voxels."""
    if a.ndim > 3:
        for each in zip(a, b, strict=True):
            yield from _pieces(*each)
        return
    a, b = (array[(None,) * (3 - array.ndim)] for array in (a, b))
    axis = next((axis for axis in range(3) if a.shape[axis] > 1), 2)
    step = max(1, PIECE // math.prod(a.shape[axis + 1 :]))
    for start in range(0, a.shape[axis], step):
        cut = (slice(None),) * axis + (slice(start, start + step),)
        if step == 1 and axis < 2 and a[cut].size > PIECE:
            yield from _pieces(a[cut], b[cut])
        else:
            yield a[cut], b[cut]
