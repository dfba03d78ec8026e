"""How many voxels each value of a view has, and where: of a whole volume from the index, of a box from its runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelog.engine.views import seen_runs
from labelog.geometry import MAX_AXIS, Box, Triple
from labelog.kernels import extents as kernel

if TYPE_CHECKING:
    from labelog.engine.snapshot import Revision

MANY = 2**18  # entries that are gathered before those of one label become one


class Extents(NamedTuple):
    """Labels and where they are, an entry for each that has voxels, ascending by label; background is not among them.

    Attributes
    ----------
    label : uint64.
    voxels : int64, how many there are.
    start, stop : int64, (n, 3): half-open bounds, z, y, x in the volume.
    """

    label: NDArray[np.uint64]
    voxels: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def box(self, entry: int) -> Box:
        """The bounds of an entry."""
        return Box(tuple(self.start[entry].tolist()), tuple(self.stop[entry].tolist()))


NOTHING = Extents(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64))


def indexed(seen: Revision) -> Extents:
    """The extents of all of a view, from the index: no voxel is read."""
    store = seen.volume.store

    def batches() -> Iterator[Extents]:
        with store.journal.reading() as journal:
            for chunk, found in journal.all_extents(seen.revision, store.grid.chunks):
                yield _placed(found, store.grid.origin(chunk))

    found = merged(batches())
    values = seen.values(found.label)
    return merged([Extents(values, *found[1:])])


def walked(seen: Revision, box: Box) -> Extents:
    """The extents of a box of a view, from the runs of its chunks."""
    grid = seen.grid

    def of_chunk(item: tuple[int, Box]) -> Extents:
        chunk, part = item
        origin = grid.origin(chunk)
        runs = seen_runs(*seen.valued(chunk))
        return _placed(kernel.counted(runs, part.relative(origin).start, part.shape), origin)

    return merged(seen.volume.store.mapped(of_chunk, grid.touching(box), box.voxels))


def _placed(found: kernel.Extents, origin: Triple) -> Extents:
    """What there is in a chunk, in voxels of the volume."""
    corners = found.bounds.astype(np.int64).reshape(-1, 2, 3) + np.array(origin)
    return Extents(found.labels, found.voxels.astype(np.int64), corners[:, 0], corners[:, 1])


def merged(parts: Iterable[Extents]) -> Extents:
    """One entry for each label, of all its entries; none for 0."""
    total, waiting, size = NOTHING, list[Extents](), 0
    for part in parts:
        waiting.append(part)
        size += len(part.label)
        if size >= MANY + len(total.label):
            total, waiting, size = _added(total, *waiting), [], 0
    return _added(total, *waiting)


def _added(*parts: Extents) -> Extents:
    label, voxels, start, stop = (np.concatenate(column) for column in zip(*parts, strict=True))
    labels, entry = np.unique(label, return_inverse=True)
    sums = np.zeros(len(labels), np.int64)
    np.add.at(sums, entry, voxels)
    low, high = np.full((len(labels), 3), MAX_AXIS, np.int64), np.zeros((len(labels), 3), np.int64)
    np.minimum.at(low, entry, start)
    np.maximum.at(high, entry, stop)
    there = labels != 0
    return Extents(labels[there], sums[there], low[there], high[there])
