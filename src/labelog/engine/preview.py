"""What an edit would do, and what a commit did: which voxels it writes, with which labels, and which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labelog.engine import drawing
from labelog.engine.change import Moment, Patches, bounds, keeping_fragments
from labelog.engine.drawing import LabelRows
from labelog.engine.store import Store
from labelog.engine.table import Table
from labelog.geometry import Box
from labelog.kernels import spans
from labelog.kernels.spans import Spans


@dataclass(frozen=True)
class Preview:
    """What a commit of what is staged would do.

    Attributes
    ----------
    revision : the one that it was worked out at.
    voxels : how many voxels would get another label.
    written : how many would be written, those that already have the label included.
    boxes : where voxels would get another label: the bounds in each chunk.
    runs : all that would be written.
    refused : of that, with the labels that they have now, the voxels that others gave another label after `seen`. If
        there are any, a commit is a Conflict.
    """

    revision: int
    voxels: int
    written: int
    boxes: tuple[Box, ...]
    runs: LabelRows
    refused: LabelRows


def previewed(moment: Moment, table: Table, patches: Mapping[int, Spans], seen: int | None) -> Preview:
    """What comes of patches at a moment, with this label table."""
    voxels = written = 0
    boxes, asked, refused = [], {}, {}
    for chunk, patch in patches.items():
        before = moment.chunk(chunk)
        delta = before.diff(patch)
        if table.merged or table.staged.moved:
            delta = before.diff(keeping_fragments(delta, table))
        voxels, written = voxels + delta.changed, written + delta.written
        asked[chunk] = delta.new
        box = bounds(moment.store, chunk, delta.changes())
        boxes += [box] if box else []
        if seen is not None:
            refused[chunk] = spans.intersect(moment.since(chunk, seen), patch)
    grid = moment.store.grid
    return Preview(moment.newest, voxels, written, tuple(boxes), drawing.label_rows(grid, asked),
                   drawing.label_rows(grid, refused))  # fmt: skip


def written(store: Store, revision: int) -> LabelRows:
    """What a commit wrote. The revision must be there."""
    with store.journal.reading() as journal:
        chunks = journal.changed_chunks(revision - 1, revision)
        patches: Patches = {chunk: store.written(journal, chunk, revision).new for chunk in sorted(chunks)}
    return drawing.label_rows(store.grid, patches)
