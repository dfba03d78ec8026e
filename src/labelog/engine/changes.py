"""Where a commit changed something, and of which labels: what a program needs that shows a volume while others edit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from labelog.engine.snapshot import Revision
from labelog.engine.store import Store
from labelog.geometry import Box
from labelog.storage.journal import LISTED, MERGE, PARENT, Fact, Space

MOST = 256
"""Chunks of a commit that are looked at one by one; beyond, `Changes` is coarse."""


@dataclass(frozen=True)
class Changes:
    """What a commit changed.

    Attributes
    ----------
    boxes : where voxels got another label: the bounds in each chunk, ascending. Of a commit that wrote in more than
        256 chunks one box that holds all of those.
    labels : those that voxels got or lost, and those that something was said of; ascending. None if there were too
        many chunks to look.
    said : whether the label table changed: views may then differ also where no voxel did.
    """

    boxes: tuple[Box, ...]
    labels: tuple[int, ...] | None
    said: bool


def changes(store: Store, revision: int) -> Changes:
    """What a commit changed. The revision must be there."""
    with store.journal.reading() as journal:
        facts = [] if revision == 0 else journal.facts_by(revision)
        chunks = sorted(journal.changed_chunks(revision - 1, revision))
        if len(chunks) > MOST:
            return Changes((reduce(Box.union, map(store.grid.box, chunks)),), None, bool(facts))
        labels = {label for fact in facts for label in _named(fact)}
        boxes = []
        for chunk in chunks:
            delta = store.written(journal, chunk, revision)
            changed = delta.changes()
            bounds = changed.bounds(store.grid.chunks)
            if bounds is not None:
                z0, z1, y0, y1, x0, x1 = bounds
                boxes.append(Box((z0, y0, x0), (z1, y1, x1)).shift(store.grid.origin(chunk)))
                differs = delta.old.value != delta.new.value
                labels.update(delta.old.value[differs].tolist(), changed.value.tolist())
    return Changes(tuple(boxes), tuple(sorted(labels - {0})), bool(facts))


def differing(one: Revision, other: Revision, box: Box) -> tuple[Box, ...]:
    """Where two revisions of a volume have other values in a box: the bounds in each chunk, ascending; if that is in
    more than 256 chunks, one box that holds all of those."""
    boxes = []
    for _, part in one.grid.touching(box):
        if one.version(part) != other.version(part):
            where = np.argwhere(one.read(part) != other.read(part))
            if len(where):
                start, stop = where.min(axis=0).tolist(), (where.max(axis=0) + 1).tolist()
                boxes.append(Box(tuple(start), tuple(stop)).shift(part.start))
    return tuple(boxes) if len(boxes) <= MOST else (reduce(Box.union, boxes),)


def _named(fact: Fact) -> list[int]:
    """The labels that a fact is about."""
    if fact.key.space is not Space.LABEL or fact.key.field == LISTED:
        return []
    other = fact.value if fact.key.field == PARENT or fact.key.field.startswith(MERGE) else None
    return [fact.key.subject, *([other] if isinstance(other, int) else [])]
