"""Which labels are in a chunk, and where: the index from which sizes, boxes and searches come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labelog.geometry import Box
from labelog.kernels.extents import exchanged, extents
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Delta
from labelog.storage.facts import OWN_IDS, Facts, Occupied

if TYPE_CHECKING:
    from labelog.kernels.extents import Bounds

FEW = 16  # labels of a chunk up to which they are looked up one by one

NOWHERE = Box((0, 0, 0), (0, 0, 0))


def counted(chunk: int, revision: int, runs: Runs, labels: set[int] | None = None) -> list[Occupied]:
    """Labels of a chunk (all but 0 if None), ascending, with their voxels and local bounds as of a revision."""
    palette = runs.palette.tolist()
    chosen = [label != 0 if labels is None else label in labels for label in palette]
    voxels, bounds = extents(runs, np.array(chosen, np.uint8))
    met = sorted((palette[place], place) for place in np.flatnonzero(voxels).tolist())
    found = []
    for label, place in met:
        z0, y0, x0, z1, y1, x1 = bounds[place].tolist()
        found.append(Occupied(label, chunk, revision, int(voxels[place]), Box((z0, y0, x0), (z1, y1, x1))))
    return found


def occupancy(journal: Facts, chunk: int, revision: int, delta: Delta, runs: Runs) -> list[Occupied]:
    """What a delta changed, given the chunk after it: an entry for each label that lost or gained voxels; ascending.

    Few labels are reckoned from what the journal has of them; the chunk is walked where they are many, or where one
    lost voxels at its bounds.
    """
    changed = exchanged(delta, runs.shape)
    found: dict[int, Occupied | None] = dict.fromkeys(sorted(changed))
    if len(changed) <= FEW:
        before = {entry.label: entry for entry in journal.occupied_in(chunk, list(found), revision)}
        for label in found:
            was = before.get(label) or Occupied(label, chunk, revision, 0, NOWHERE)
            found[label] = _reckoned(was, revision, *changed[label])
    open_ = {label for label, entry in found.items() if entry is None}
    if open_:
        found |= {entry.label: entry for entry in counted(chunk, revision, runs, open_)}
    return [entry or Occupied(label, chunk, revision, 0, NOWHERE) for label, entry in found.items()]


def recounted(chunk: int, revision: int, delta: Delta, runs: Runs) -> list[Occupied]:
    """As `occupancy`, by walking the chunk."""
    differs = delta.old.value != delta.new.value
    labels = {*delta.old.value[differs].tolist(), *delta.new.value[differs].tolist()} - {0}
    found = {entry.label: entry for entry in counted(chunk, revision, runs, labels)}
    return [found.get(label) or Occupied(label, chunk, revision, 0, NOWHERE) for label in sorted(labels)]


def _reckoned(before: Occupied, revision: int, gained: int, more: Bounds, lost: int, less: Bounds) -> Occupied | None:
    """A label's entry after it gained and lost voxels, within these bounds; None if it can't be told."""
    count = before.voxels + gained - lost
    if not count:
        return Occupied(before.label, before.chunk, revision, 0, NOWHERE)
    box = Box(more[:3], more[3:])
    if before.voxels:
        if lost and any(a == b for a, b in zip(less, (*before.box.start, *before.box.stop), strict=True)):
            return None
        box = before.box.union(box) if gained else before.box
    return Occupied(before.label, before.chunk, revision, count, box)


def owned(labels: NDArray[np.uint64]) -> int:
    """The highest label that bears on which ones are handed out; 0 if none does."""
    return int(labels.max(initial=0, where=labels < np.uint64(OWN_IDS)))
