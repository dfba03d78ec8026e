"""An edit: changes are staged, then committed as one revision, or none."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.engine import indexing
from labelog.engine.commit import Batch, Draft, Outcome, Patches, refuse_unseen
from labelog.engine.naming import Naming
from labelog.engine.occupancy import owned
from labelog.engine.store import Store, layered
from labelog.engine.table import Staged, Table
from labelog.engine.values import checked_label, checked_labels, label_set
from labelog.engine.views import LabelMap
from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import Box, Triple, whole
from labelog.kernels import spans
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Spans
from labelog.storage.journal import Kind

if TYPE_CHECKING:
    from labelog.engine.volume import Volume

UINT64 = np.dtype(np.uint64)


class Edit(Naming):
    """Changes to a volume that become one revision when the `with` block ends, or none if it raises.

    Voxels are chosen and labels fixed when a method is called, as the volume was when the edit began with what is
    staged so far; reading the edit shows the same. What a voxel had before is looked up at the commit, so edits of
    different voxels never undo one another.

    Labels are those of the instance view: merged labels count as one. A voxel that is given the label of the body
    that it belongs to already keeps the label that is stored of it, so that `cleave` finds it.

    Get one from `Volume.edit`. It belongs to the thread that entered it.

    Attributes
    ----------
    revision : the revision made; None if nothing was written.
    voxels : how many voxels got another label.
    written : how many were written, those that already had the label included.
    """

    def __init__(self, volume: Volume, draft: Draft, seen: int | None) -> None:
        self.revision: int | None = None
        self.voxels = 0
        self.written = 0
        self._volume = volume
        self._draft = draft
        self._seen = seen
        self._digest = blake2b(draft.digest, digest_size=16)
        self._staged: dict[int, list[Spans]] = {}
        self._thread: int | None = None
        self._over = False
        self._start = 0
        self._said = Staged()
        self._spare = []
        self._bodies: LabelMap | None = None
        self._bodies_of = self._said.bodies

    # Staging

    def __setitem__(self, index: Any, labels: ArrayLike) -> None:
        """Write labels to a box: `edit[10, 100:110, 200:210] = 7`, or an integer array that broadcasts to it."""
        self._mine()
        box, shape = indexing.box(index, self.shape)
        if np.ndim(labels) == 0:
            label = checked_label(labels)
            self._asked("box", tuple(box), label)
            self._stage_box(box, label)
            return
        array = checked_labels(labels)
        try:
            array = np.broadcast_to(array, shape).reshape(box.shape)
        except ValueError:
            raise Invalid(f"labels of shape {array.shape} do not fit the box {box} of shape {shape}") from None
        self._asked("array", tuple(box), array)
        staged = {}
        for chunk, part in self._store.grid.touching(box):
            values = array[part.relative(box.start).slices()]
            staged[chunk] = spans.array_spans(self._store.grid.chunks, self._local(chunk, part), values)
        self._stage(staged)

    def paint(self, label: int, where: ArrayLike, at: Iterable[int] | None = None, *,
              over: Iterable[int] | int | None = None) -> None:  # fmt: skip
        """Give voxels a label.

        Parameters
        ----------
        label : 0 to 2^64 - 1.
        where : with `at`, a mask: a boolean (or integer, not 0) array (z, y, x), or (y, x) for one slice. Without,
            spans: an integer array (n, 4), each row z, y, x0, x1 (half-open).
        at : the mask's first voxel (z, y, x).
        over : paint only where the label is one of these now.

        Raises Invalid or OutOfBounds, and changes nothing, if the mask or any span reaches outside the volume.
        """
        self._mine()
        label = checked_label(label)
        chosen = None if over is None else label_set(over)
        if at is None:
            self._paint_spans(label, where, chosen)
        else:
            self._paint_mask(label, where, at, chosen)

    def _paint_mask(self, label: int, where: ArrayLike, at: Iterable[int], over: set[int] | None) -> None:
        mask = np.asarray(where)
        if mask.dtype.kind not in "biu" or mask.ndim not in (2, 3):
            raise Invalid(f"a mask is a boolean array (z, y, x) or (y, x), not {mask.dtype} of shape {mask.shape}")
        if mask.ndim == 2:
            mask = mask[None]
        try:
            z, y, x = (whole(n) for n in at)
        except (TypeError, ValueError):
            raise Invalid(f"at must be the mask's first voxel (z, y, x), not {at!r}") from None
        size = mask.shape
        box = indexing.within(((z, y, x), (z + size[0], y + size[1], x + size[2])), self.shape)
        mask = np.ascontiguousarray(mask != 0).view(np.uint8) if mask.dtype != bool else mask.view(np.uint8)
        self._asked("mask", tuple(box), label, sorted(over or ()), mask)
        staged = {}
        for chunk, part in self._store.grid.touching(box):
            piece = mask[part.relative(box.start).slices()]
            staged[chunk] = spans.mask_spans(self._store.grid.chunks, self._local(chunk, part), piece, label)
        self._stage(staged, over)

    def _paint_spans(self, label: int, where: ArrayLike, over: set[int] | None) -> None:
        rows = np.asarray(where)
        if rows.size == 0:
            return
        if rows.dtype.kind not in "iu" or rows.ndim != 2 or rows.shape[1] != 4:
            raise Invalid(
                f"without `at`, expected spans: an integer array (n, 4) of z, y, x0, x1; found {rows.dtype} of shape "
                f"{rows.shape}"
            )
        limits = np.array([*self.shape, self.shape[2]])
        bad = ((rows < 0) | (rows >= limits + np.array([0, 0, 1, 1])) | (rows[:, 2:3] >= rows[:, 3:4])).any(axis=1)
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise OutOfBounds(f"span {first} ({rows[first].tolist()}) is empty, or outside the volume of {self.shape}")
        rows = rows.astype(np.int64)
        self._asked("spans", label, sorted(over or ()), rows)
        self._stage({chunk: _row_spans(*flat, label) for chunk, flat in self._by_chunk(rows).items()}, over)

    def _by_chunk(self, rows: NDArray[np.int64]) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows of z, y, x0, x1 as flat starts and stops within each chunk that they touch."""
        grid = self._store.grid
        cz, cy, cx = grid.chunks
        _, ny, nx = grid.counts
        pieces = -(-rows[:, 3] // cx) - rows[:, 2] // cx  # chunks that each row reaches into
        row = np.repeat(np.arange(len(rows)), pieces)
        kx = rows[row, 2] // cx + np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        z, y = rows[row, 0], rows[row, 1]
        x0, x1 = np.maximum(rows[row, 2], kx * cx) - kx * cx, np.minimum(rows[row, 3], (kx + 1) * cx) - kx * cx
        chunk = (z // cz * ny + y // cy) * nx + kx
        base = (z % cz * cy + y % cy) * cx
        order = np.lexsort((base + x0, chunk))
        groups = np.split(order, np.flatnonzero(np.diff(chunk[order])) + 1)
        return {int(chunk[g[0]]): (base[g] + x0[g], base[g] + x1[g]) for g in groups}

    def relabel(self, labels: Mapping[int, int], *, within: Box | tuple[Triple, Triple] | None = None) -> None:
        """Give all voxels of some labels other ones, all at once: `{5: 7, 7: 5}` swaps them.

        Parameters
        ----------
        labels : old label -> new label.
        within : only in this box; in the whole volume if None.
        """
        self._mine()
        mapping = {checked_label(old): checked_label(new) for old, new in dict(labels).items()}
        box = Box((0, 0, 0), self.shape) if within is None else indexing.within(within, self.shape)
        self._asked("relabel", tuple(box), sorted(mapping.items()))
        if not mapping:
            return
        grid = self._store.grid
        with self._store.journal.reading() as journal:
            known = None if 0 in mapping else {*journal.chunks(), *self._staged}
        staged = {}
        for chunk, part in grid.touching(box):
            if known is not None and chunk not in known:
                continue
            found = self._select(chunk, mapping)
            if found and part.shape != grid.chunks:
                inside = spans.box_spans(grid.chunks, self._local(chunk, part), part.shape, 0)
                found = spans.intersect(found, inside)
            if found:
                staged[chunk] = found
        self._stage(staged)

    def erase(self, label: int, *, within: Box | tuple[Triple, Triple] | None = None) -> None:
        """Give all own voxels of an object to the one that it lies in, or else to the background.

        What lies in it stays. `within` is a box, if only voxels in there shall be given away.
        """
        self._mine()
        with self._table() as table:
            body = table.body(checked_label(label))
            parent = table.parent(body)
        self.relabel({body: parent}, within=within)

    def _select(self, chunk: int, mapping: Mapping[int, int]) -> Spans:
        """A chunk's voxels that have one of these labels now, with their new ones."""
        runs = self._runs(chunk)
        new = [mapping.get(label) for label in self._map.values(runs).tolist()]
        chosen = [label is not None for label in new]
        if not any(chosen):
            return spans.nothing()
        return spans.select(runs, chosen, np.array([label or 0 for label in new], np.uint64))

    def _stage_box(self, box: Box, label: int) -> None:
        chunks = self._store.grid.chunks
        self._stage({chunk: spans.box_spans(chunks, self._local(chunk, part), part.shape, label)
                     for chunk, part in self._store.grid.touching(box)})  # fmt: skip

    def _stage(self, patches: Patches, over: set[int] | None = None) -> None:
        for chunk, patch in patches.items():
            if over is not None:
                patch = spans.intersect(patch, self._select(chunk, dict.fromkeys(over, 0)))
            if patch:
                self._staged.setdefault(chunk, []).append(patch)
                self._highest = max(self._highest, owned(patch.value))

    def _local(self, chunk: int, part: Box) -> Triple:
        return part.relative(self._store.grid.origin(chunk)).start

    def _asked(self, *what: Any) -> None:
        """Remember what was asked for, so that a repeated key can be told from a reused one."""
        if self._draft.key is not None:
            for item in what:
                data = np.ascontiguousarray(item) if isinstance(item, np.ndarray) else repr(item).encode()
                self._digest.update(data)  # type: ignore[arg-type]
                self._digest.update(b"\0")

    # Reading what is staged

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        return self._volume.shape

    def __getitem__(self, index: Any) -> Any:
        """The labels as they would be, read as from a volume."""
        self._mine()
        return indexing.read(index, self.shape, self._map.dtype,
                             lambda box, out: self._store.read(box, out, self._runs, self._map),
                             lambda points: self._store.lookup(points, self._runs, self._map))  # fmt: skip

    @property
    def _map(self) -> LabelMap:
        """Bodies, with the merges that are staged."""
        if not self._said.bodies:
            return self._store.label_map("instance", self._start, UINT64)
        if self._bodies is None or self._bodies_of is not self._said.bodies:
            self._bodies, self._bodies_of = LabelMap("instance", self._table, UINT64), self._said.bodies
        return self._bodies

    def _has_voxels(self, table: Table, label: int) -> bool:
        if any(table.journal.occupied(label, self._start)):
            return True
        patches = (self._patch(chunk) for chunk in self._staged)
        return any(patch is not None and (patch.value == np.uint64(label)).any() for patch in patches)

    def _runs(self, chunk: int) -> Runs:
        runs = self._store.runs(chunk, self._start)
        patch = self._patch(chunk)
        return spans.apply(runs, patch) if patch is not None else runs

    def _patch(self, chunk: int) -> Spans | None:
        """All that is staged in a chunk, the later over the earlier."""
        staged = self._staged.get(chunk)
        if staged is None:
            return None
        staged[:] = [layered(staged)]
        return staged[0]

    # Life

    @property
    def _store(self) -> Store:  # type: ignore[override]
        return self._volume.store

    def _mine(self) -> None:
        if self._over:
            raise Invalid("this edit is over; begin another")
        if self._thread is None:
            raise Invalid("an edit begins with `with volume.edit(...) as edit:`")
        if self._thread != threading.get_ident():
            raise Invalid("an edit belongs to the thread that began it; begin one in each thread")

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise Invalid("this edit has begun already; begin another")
        self._thread = threading.get_ident()
        self._start = self._store.head()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._mine()
        self._over = True
        if kind is None:
            self._commit()
        self._staged.clear()

    def _commit(self) -> None:
        patches = {chunk: patch for chunk in self._staged if (patch := self._patch(chunk))}
        if not (patches or self._said.facts) and self._draft.key is None:
            return
        draft = Draft(self._draft.author, self._draft.session, self._draft.message, self._draft.key,
                      self._digest.digest())  # fmt: skip

        def job(batch: Batch) -> Outcome:
            facts = self._facts(batch.turn.newest + 1)
            if not (patches or facts):
                return Outcome(None, 0, 0)
            if self._seen is not None:
                refuse_unseen(batch, patches, self._seen)
            return batch.write(Kind.EDIT, draft, patches, facts)

        outcome = self._volume.committer.commit(draft, job)
        self.revision, self.voxels, self.written = outcome.revision, outcome.voxels, outcome.written


def _row_spans(start: NDArray[np.int64], stop: NDArray[np.int64], label: int) -> Spans:
    """Spans of one label from ascending starts; they may overlap."""
    reach = np.maximum.accumulate(stop)
    first = np.concatenate([[True], start[1:] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    starts = start[first]
    return Spans(starts, reach[last], np.full(len(starts), label, np.uint64))
