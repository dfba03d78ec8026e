"""The contingency table of volumes: chunk over chunk, on runs, whatever their chunk shapes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog import arrays, indexing
from labelog.arrays import boxes
from labelog.arrays.contingency import Contingency, Entries, summed
from labelog.engine.snapshot import Revision
from labelog.engine.volume import Volume
from labelog.errors import Invalid
from labelog.geometry import Box, Grid, Triple
from labelog.kernels.overlap import overlap_runs
from labelog.kernels.pairs import in_order
from labelog.kernels.runs import Runs
from labelog.progress import Progress, checked_progress

Valued = tuple[Runs, NDArray[Any]]
"""A chunk's runs, and the value of each entry of their palette."""


def contingency(a: Any, b: Any, *, within: Box | tuple[Triple, Triple] | None = None,
                threads: int | None = None, progress: Progress | None = None) -> Contingency:  # fmt: skip
    """Count the voxels of each pair of labels that two volumes or arrays have at the same places.

    Parameters
    ----------
    a, b : each a volume (as it is now), snapshot or view, or an array of integers or bool; of one shape. Arrays may
        have any number of dimensions and any strides, three beside a volume.
    within : a box, where a volume is among them; all voxels by default.
    threads : how many to use for two arrays; by default one for each processor. Volumes use those they were opened
        with.
    progress : where a volume is among them, called with chunks compared, chunks in all. What it raises ends it.

    Returns
    -------
    `Contingency`: the labels of a, those of b and the voxels of each pair that there is, ascending; background 0 is a
    label as any other. Labels are of the dtype of the array or view, uint8 for bool.

    Raises Invalid for what is none of these, for shapes that differ, and for labels below 0 beside a volume;
    OutOfBounds for a box outside; Corrupt (naming the chunk) for damaged bytes.

    Notes
    -----
    Rows are walked side by side from one place where either changes to the next; volumes as runs, without any dense
    chunk. No pair is counted that is not there, so labels may be up to 2^64 - 1.
    """
    checked_progress(progress)
    seen = _seen(a), _seen(b)
    stored = seen[0] if seen[0] is not None else seen[1]
    if stored is None:
        if within is not None:
            raise Invalid("within= takes a volume; of two arrays, give the parts that are to be compared")
        return arrays.contingency(a, b, threads=threads)
    boxes.thread_count(threads)
    left, right = (_Array(side, stored.chunks) if found is None else found
                   for side, found in zip((a, b), seen, strict=True))  # fmt: skip
    if left.shape != right.shape:
        raise Invalid(f"expected two volumes or arrays of one shape, found {left.shape} and {right.shape}")
    box = Box((0, 0, 0), left.shape) if within is None else indexing.within(within, left.shape)
    grids = Grid(left.shape, left.chunks), Grid(right.shape, right.chunks)

    def of_chunk(item: tuple[int, Box]) -> Entries:
        chunk, part = item
        mine, origin = left.valued(chunk), grids[0].origin(chunk)
        found = [
            _overlap(mine, shared.relative(origin), right.valued(other), shared.relative(grids[1].origin(other)))
            for other, shared in grids[1].touching(part)
        ]
        a, b, voxels = (np.concatenate(column) for column in zip(*found, strict=True))
        return in_order(a, b, voxels)

    chunks = list(grids[0].touching(box))

    def told() -> Iterator[Entries]:
        for done, found in enumerate(stored.mapped(of_chunk, chunks, box.voxels), 1):
            yield found
            if progress is not None:
                progress(done, len(chunks))

    found = summed(told())
    return Contingency(found.a.astype(left.dtype), found.b.astype(right.dtype), found.voxels)


def _seen(value: Any) -> Revision | None:
    """What is stored, at a revision; None for anything else, which is to be an array."""
    if isinstance(value, (str, os.PathLike)):
        raise Invalid(f"expected a volume, view or array, found a path: {os.fspath(value)!r}; labelog.open opens it")
    return value.at() if isinstance(value, Volume) else value if isinstance(value, Revision) else None


class _Array:
    """A plain array as a volume is read: chunk by chunk, as runs."""

    def __init__(self, array: Any, chunks: Triple) -> None:
        self._array = boxes.checked(array)
        if self._array.ndim != 3:
            raise Invalid(f"expected an array of 3 dimensions beside a volume, found {self._array.ndim}")
        self.shape: Triple = self._array.shape
        self.dtype = self._array.dtype
        self.chunks = chunks

    def valued(self, chunk: int) -> Valued:
        box = Grid(self.shape, self.chunks).box(chunk)
        try:
            runs = Runs.from_dense(self._array[box.slices()])
        except Invalid as error:
            raise Invalid(f"array from {box.start} on: {error}") from None
        return runs, runs.palette


def _overlap(a: Valued, box_a: Box, b: Valued, box_b: Box) -> Entries:
    """The pairs of two chunks where they lie over one another: in boxes of one shape, from each one's origin."""
    entry_a, entry_b, voxels = overlap_runs(a[0], b[0], box_a.start, box_b.start, box_a.shape)
    return a[1][entry_a].astype(np.uint64, copy=False), b[1][entry_b].astype(np.uint64, copy=False), voxels
