"""Which labels are in a chunk, and where: the index from which sizes, boxes and searches come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labelog.geometry import Box
from labelog.kernels.extents import extents
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Delta
from labelog.storage.facts import OWN_IDS, Occupied

NOWHERE = Box((0, 0, 0), (0, 0, 0))


def counted(chunk: int, revision: int, runs: Runs) -> dict[int, Occupied]:
    """All labels of a chunk but 0, with their voxels and local bounds, as of a revision."""
    voxels, bounds = extents(runs)
    found = {}
    for label, count, (z0, y0, x0, z1, y1, x1) in zip(runs.palette.tolist(), voxels.tolist(), bounds.tolist(),
                                                      strict=True):  # fmt: skip
        if label and count:
            found[label] = Occupied(label, chunk, revision, count, Box((z0, y0, x0), (z1, y1, x1)))
    return found


def occupancy(chunk: int, revision: int, delta: Delta, runs: Runs) -> list[Occupied]:
    """What a delta changed, given the chunk after it: an entry for each label that lost or gained voxels."""
    differs = delta.old.value != delta.new.value
    labels = np.union1d(delta.old.value[differs], delta.new.value[differs]).tolist()
    found = counted(chunk, revision, runs) if labels else {}
    return [found.get(label) or Occupied(label, chunk, revision, 0, NOWHERE) for label in labels if label]


def owned(labels: NDArray[np.uint64]) -> int:
    """The highest label that bears on which ones are handed out; 0 if none does."""
    return int(labels.max(initial=0, where=labels < np.uint64(OWN_IDS)))
