"""An edit: changes are staged, then committed as one revision, or none."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from labelog import indexing
from labelog.engine import drawing
from labelog.engine.change import Moment, Patches, Settled, Work, measure
from labelog.engine.commit import Batch, Draft, Outcome
from labelog.engine.filling import Filling
from labelog.engine.naming import MADE
from labelog.engine.preview import Preview, previewed
from labelog.engine.separating import Separating
from labelog.engine.shaping import Shaping
from labelog.engine.splitting import Extent, Parts, Split, by_seeds, checked_seeds
from labelog.engine.store import Store, layered
from labelog.engine.table import Staged, Table
from labelog.engine.values import checked_label, checked_labels, checked_mapping, checked_object, fitted, label_set
from labelog.engine.views import LabelMap
from labelog.errors import Conflict, Invalid
from labelog.geometry import Box, Triple
from labelog.image import Image
from labelog.kernels import spans
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Spans
from labelog.storage.commits import Reader
from labelog.storage.facts import OWN_IDS
from labelog.storage.journal import CLASS, LISTED, PARENT, Key, Kind, Space

if TYPE_CHECKING:
    from labelog.engine.volume import Volume

UINT64 = np.dtype(np.uint64)


class Edit(Shaping, Filling, Separating):
    """Changes to a volume that become one revision when the `with` block ends, or none if it raises.

    Voxels are chosen and labels fixed when a method is called, as the volume was when the edit began with what is
    staged so far; reading the edit shows the same. What a voxel had before is looked up at the commit, so edits of
    different voxels never undo one another.

    Labels are those of the instance view: merged labels count as one. A voxel that is given the label of the body
    that it belongs to already keeps the label that is stored of it, so that `cleave` finds it.

    Sent again under a key, an edit is staged as the volume was just before it was made, and makes the same labels. What
    others committed while it was first staged is there then; where that is in the way, it is refused. Whether it is the
    same is told by what was asked for. A label that the edit made is told by its place among those that it made, but in
    arrays and attributes by its number, which is another if the first one has not been committed yet. An attempt that
    had begun before another one of the same key was committed, and gave out other labels than that one, is a Conflict
    with `again`: begun once more, it gives the same.

    Get one from `Volume.edit`. It belongs to the thread that entered it.

    Attributes
    ----------
    revision : the revision made; None if nothing was written.
    voxels : how many voxels got another label.
    written : how many were written, those that already had the label included.
    spans : how many spans of voxels have been staged so far, 16 bytes each.
    """

    def __init__(self, volume: Volume, draft: Draft, seen: int | None, begin: int | None = None,
                 labels: Iterable[int] = ()) -> None:  # fmt: skip
        self.revision: int | None = None
        self.voxels = 0
        self.written = 0
        self._volume = volume
        self._draft = draft
        self._seen = seen
        self._digest = blake2b(draft.digest, digest_size=16)
        self._staged: dict[int, list[Spans]] = {}
        self.spans = 0
        self._expected: Patches = {}
        self._thread: int | None = None
        self._over = False
        self._begin = begin
        self._start = 0
        self._said = Staged()
        self._spare = list(labels)[::-1]
        self._made = {}
        self._bodies: LabelMap | None = None
        self._bodies_of = 0  # the version of what is staged of merges

    # Staging

    def __setitem__(self, index: Any, labels: ArrayLike) -> None:
        """Write labels to a box: `edit[10, 100:110, 200:210] = 7`, or an integer array that broadcasts to it.

        The index is as NumPy takes it: integers and slices with step 1, `...`, counted from the end if negative. What a
        slice has beyond the volume is not there to be written: of 20 voxels along an axis, 10:30 is 10:20. A single
        index beyond it is OutOfBounds, as are boxes, masks and spans in the other methods.

        Raises Invalid or OutOfBounds, and changes nothing.
        """
        self._mine()
        box, shape = indexing.box(index, self.shape)
        if np.ndim(labels) == 0:
            label = checked_label(labels)
            self._asked("box", tuple(box), self._called(label))
            self._stage_box(box, label)
            return
        array = fitted(labels, shape, box)
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
        drawn = drawing.drawn(self._store.grid, where, at, label)
        self._asked("paint", self._called(label), sorted(map(self._called, chosen or ())), np.asarray(where),
                    None if at is None else tuple(at))  # fmt: skip
        self._stage(drawn, chosen)

    def change(self, box: Box | tuple[Triple, Triple], labels: ArrayLike) -> None:
        """As `edit[box] = labels`, of the voxels only that this would give to another object; others are not written.

        Parameters
        ----------
        box : half-open bounds.
        labels : an integer array of the box's shape.

        So what was read and is written back is no edit at all, and an undo takes back what differs. Raises Invalid or
        OutOfBounds, and changes nothing.
        """
        self._mine()
        bounds = indexing.within(box, self.shape)
        array = checked_labels(labels)
        if array.shape != bounds.shape:
            raise Invalid(f"labels of shape {array.shape} do not fit the box {bounds} of shape {bounds.shape}")
        self._asked("change", tuple(bounds), array)
        staged = {}
        for chunk, part in self._store.grid.touching(bounds):
            values, local = array[part.relative(bounds.start).slices()], self._local(chunk, part)
            runs = Runs.from_dense(values)
            shown = np.empty(part.shape, np.uint64)
            runs.fill(shown, (0, 0, 0), self._map.values(runs))  # a label that was merged shows as its body
            differs = np.not_equal(self[part.slices()], shown)
            where = spans.mask_spans(self._store.grid.chunks, local, differs.view(np.uint8), 0)
            staged[chunk] = spans.intersect(spans.array_spans(self._store.grid.chunks, local, values), where)
        self._stage(staged)

    def expect(self, box: Box | tuple[Triple, Triple]) -> None:
        """Let the commit be a Conflict if any voxel of a box got another label after `seen`, written here or not.

        Raises OutOfBounds, Invalid if the edit was begun without `seen`.
        """
        self._mine()
        bounds = indexing.within(box, self.shape)
        if self._seen is None:
            raise Invalid("to expect voxels to be as they were, begin the edit with `seen`, a revision")
        self._asked("expect", tuple(bounds))
        for chunk, part in self._store.grid.touching(bounds):
            here = spans.box_spans(self._store.grid.chunks, self._local(chunk, part), part.shape, 0)
            self._expected[chunk] = spans.overlay(self._expected.get(chunk, spans.nothing()), here)

    def relabel(self, labels: Mapping[int, int], *, within: Box | tuple[Triple, Triple] | None = None) -> None:
        """Give all voxels of some labels other ones, all at once: `{5: 7, 7: 5}` swaps them.

        Parameters
        ----------
        labels : old label -> new label. Old ones that nothing has change nothing; one that stays what it is (`{4: 4}`)
            is written anew, over what others have painted meanwhile.
        within : only in this box; in the whole volume if None.

        Raises Invalid or OutOfBounds, and changes nothing.
        """
        self._mine()
        mapping = checked_mapping(labels)
        box = Box((0, 0, 0), self.shape) if within is None else indexing.within(within, self.shape)
        self._asked(
            "relabel", tuple(box), sorted((self._called(old), self._called(new)) for old, new in mapping.items())
        )
        if mapping:
            self._exchange(mapping, box)

    def _exchange(self, mapping: dict[int, int], box: Box) -> None:
        grid, known = self._store.grid, self._holding(mapping)
        bodies = self._map

        def select(item: tuple[int, Box]) -> tuple[int, Spans]:
            chunk, part = item
            found = self._select(chunk, mapping, bodies)
            if found and part.shape != grid.chunks:
                found = spans.intersect(found, spans.box_spans(grid.chunks, self._local(chunk, part), part.shape, 0))
            return chunk, found

        parts = [item for item in grid.touching(box) if known is None or item[0] in known]
        self._stage(dict(self._store.ahead(select, parts, len(parts) * math.prod(grid.chunks))))

    def _holding(self, labels: Iterable[int]) -> set[int] | None:
        """The chunks that can hold any of these labels now; None for all."""
        if 0 in labels:
            return None
        with self._table() as table:
            members = {member for label in labels for member in table.members(label)}
            return {chunk for member in members for chunk in table.journal.haunted(member)} | {*self._staged}

    def erase(self, label: int, *, within: Box | tuple[Triple, Triple] | None = None) -> None:
        """Give all own voxels of an object to the one that it lies in, or else to the background.

        What lies in it stays. `within` is a box, if only voxels in there shall be given away. A label that nothing has
        is none to erase, and no error.
        """
        self._mine()
        label = checked_label(label)
        box = Box((0, 0, 0), self.shape) if within is None else indexing.within(within, self.shape)
        self._asked("erase", tuple(box), self._called(label))
        with self._table() as table:
            body = table.body(label)
            parent = table.parent(body)
        self._exchange({body: parent}, box)

    def split(self, label: int, where: ArrayLike | None = None, at: Iterable[int] | None = None, *,
              seeds: Iterable[Iterable[Triple]] | None = None) -> Split:  # fmt: skip
        """Make new objects of parts of one.

        Own voxels are given new labels, of the same class and parent. What lies in the object moves along if it is
        wholly in a new part, and stays if not.

        Parameters
        ----------
        label : the object; the body, if it is merged with others.
        where, at : the part that gets a new label: a mask or spans, as for `paint`.
        seeds : instead of that, two groups of voxels (z, y, x) in the object, or more: each voxel goes to the group
            that is nearest on ways inside the object, by steps through faces. The first group keeps the label, also
            of what no seed reaches. Takes 5 bytes of memory for each voxel of the object's bounds.

        Raises Invalid if a part is everything, or has neither own voxels nor anything wholly in it; OutOfBounds for a
        seed outside the object. Then nothing is staged.
        """
        self._mine()
        if (where is None) == (seeds is None):
            raise Invalid("split takes a mask or spans, or seeds")
        label = checked_object(label)
        extent = self._extent(label)
        if seeds is not None:
            groups = checked_seeds(seeds)
            self._asked("split", self._called(label), groups)
            return self._divide(extent, *by_seeds(extent, groups))
        assert where is not None
        drawn = drawing.drawn(self._store.grid, where, at, 1)
        self._asked("split", self._called(label), np.asarray(where), None if at is None else tuple(at))
        return self._divide(extent, 1, lambda chunk: drawn.get(chunk, spans.nothing()))

    def _extent(self, label: int) -> Extent:
        self._listed(label)
        with self._table() as table:
            body = table.body(label)
            return Extent(self._store, table, body, self._chunks(table, [body]), self._runs, self._map.values)

    def _chunks(self, table: Table, bodies: Iterable[int]) -> set[int]:
        """Where bodies, and what lies in them, may have voxels."""
        members = {member for body in bodies for each in table.subtree(body) for member in table.members(each)}
        return {*self._staged, *(entry.chunk for entry in table.journal.occupied(members, self._start))}

    def _divide(self, extent: Extent, count: int, parts: Parts, *, skip: bool = False) -> Split:
        """Stage new objects for parts 1 to `count`; those that would have nothing are skipped, or Invalid."""
        written, within, straddling, stays = extent.divide(parts)
        met = {number for patch in written.values() for number in patch.value.tolist()} | set(within.values())
        missing = set(range(1, count + 1)) - met
        if missing and not skip:
            raise Invalid(f"part {min(missing)} of label {extent.body} would have no voxels", label=extent.body)
        if met and not stays:
            raise Invalid(f"the part is all of label {extent.body}; nothing would keep the label", label=extent.body)
        with self._table() as table:
            known = table.fields(Space.LABEL, extent.body)
        fields = {name: value for name, value in known.items() if name in (CLASS, PARENT)} | {LISTED: MADE}
        said = self._listed(fields.get(PARENT)) if met else {}
        given = {0: 0} | {number: self._take() for number in sorted(met)}
        labels = [given[number] for number in sorted(met)]
        moved = {child: given[number] for child, number in within.items()}
        said |= {Key(Space.LABEL, label, name): value for label in labels for name, value in fields.items()}
        said |= {Key(Space.LABEL, child, PARENT): label for child, label in moved.items()}
        if said:
            self._say_all(said)
        values = np.array([given.get(number, 0) for number in range(count + 1)], np.uint64)
        self._stage({chunk: Spans(patch.start, patch.stop, values[patch.value.astype(np.int64)])
                     for chunk, patch in written.items()})  # fmt: skip
        return Split(tuple(labels), moved, tuple(straddling))

    def _select(self, chunk: int, mapping: Mapping[int, int], bodies: LabelMap | None = None) -> Spans:
        """A chunk's voxels that have one of these labels now, with their new ones."""
        runs = self._runs(chunk)
        new = [mapping.get(label) for label in (bodies or self._map).values(runs).tolist()]
        chosen = [label is not None for label in new]
        if not any(chosen):
            return spans.nothing()
        return spans.select(runs, chosen, np.array([label or 0 for label in new], np.uint64))

    def _stage_box(self, box: Box, label: int) -> None:
        chunks = self._store.grid.chunks
        self._stage({chunk: spans.box_spans(chunks, self._local(chunk, part), part.shape, label)
                     for chunk, part in self._store.grid.touching(box)})  # fmt: skip

    def _stage(self, patches: Mapping[int, Spans], over: set[int] | None = None) -> None:
        if over is not None:  # all of them first: a chunk that cannot be read leaves nothing staged
            patches = {chunk: spans.intersect(patch, self._select(chunk, dict.fromkeys(over, 0)))
                       for chunk, patch in patches.items()}  # fmt: skip
        for chunk, patch in patches.items():
            if patch:
                self._staged.setdefault(chunk, []).append(patch)
                self.spans += len(patch)
                self._highest = max(self._highest, patch.highest(OWN_IDS))

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
        store = self._store
        return indexing.read(index, self.shape, self._map.dtype,
                             lambda box, out: store.read(store.grid, box, out, self._runs, self._map),
                             lambda points: store.lookup(store.grid, points, self._runs, self._map))  # fmt: skip

    @property
    def _map(self) -> LabelMap:
        """Bodies, with the merges that are staged."""
        moved = self._said.moved
        if not moved:
            return self._store.label_map("instance", self._start, UINT64)
        if self._bodies is None or self._bodies_of != moved.version:
            self._bodies, self._bodies_of = LabelMap("instance", self._table, UINT64), moved.version
        return self._bodies

    def _view(self, name: str) -> LabelMap:
        """What labels are in a view, with what is staged."""
        return self._map if name == "instance" else LabelMap(name, self._table, UINT64)

    def _image(self) -> Image:
        return self._volume.at(self._start).image

    def _has_voxels(self, table: Table, label: int) -> bool:
        if any(table.journal.occupied([label], self._start)):
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

    @property
    def at(self) -> int:
        """The revision that it is staged on."""
        return self._start

    @property
    def made(self) -> tuple[int, ...]:
        """The labels of the objects that it made, in order."""
        return tuple(self._made)

    def preview(self) -> Preview:
        """What a commit of what is staged would do, and where `seen` would refuse it. Nothing is written."""
        self._mine()
        with self._store.journal.reading() as journal:
            moment = Moment(self._store, journal, self._start)
            return previewed(moment, moment.table(self._facts(self._start + 1)), self._patches(), self._seen)

    def _patches(self) -> Patches:
        return {chunk: patch for chunk in sorted(self._staged) if (patch := self._patch(chunk))}

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

    def take_over(self) -> None:
        """Let the edit, once begun, belong to the thread that calls this. No two may use it at a time."""
        if self._thread is not None:
            self._thread = threading.get_ident()
        self._mine()

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise Invalid("this edit has begun already; begin another")
        self._thread = threading.get_ident()
        self._start = self._store.head() if self._begin is None else self._begin
        used = self._in_use(self._spare)
        if self._draft.key is not None and self._begin_again(self._draft.key):
            return self
        if used:
            self._over = True
            raise Invalid(f"label {used[0]} is in use, or was never set aside", label=used[0])
        return self

    def _in_use(self, labels: list[int]) -> list[int]:
        """Of labels that are said to be set aside, those that are not, or that something was made of."""
        if not labels:
            return []
        with self._store.table(self._store.head()) as table:
            limit = table.journal.next_label()
            return [label for label in labels if label >= limit or table.is_said(label)
                    or any(table.journal.occupied([label], table.revision))]  # fmt: skip

    def _begin_again(self, key: str) -> bool:
        """Begin where the edit of the same key did, if there is one, and hand out the labels that it made."""
        with self._store.journal.reading() as journal:
            receipt = journal.receipt(self._draft.author, key)
            if receipt is None or receipt.revision is None:
                return False
            made = _made_by(journal, receipt.revision)
        if self._begin is None:
            self._start = receipt.revision - 1
        self._spare = made[::-1]
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._mine()
        self._over = True
        if kind is None:
            self._commit()
        self._staged.clear()

    def _commit(self) -> None:
        patches = self._patches()
        if not (patches or self._said.facts or self._expected) and self._draft.key is None:
            return
        draft = Draft(self._draft.author, self._draft.session, self._draft.message, self._draft.key,
                      self._digest.digest())  # fmt: skip

        refused: Patches = {}

        def job(batch: Batch) -> Outcome:
            facts = self._facts(batch.newest + 1)
            if self._expected:  # also where nothing is left to write: another may just have written the same
                self._refuse_unexpected(batch)
            if not (patches or facts):
                return Outcome(None, 0, 0)

            def refuse(voxels: int, box: Box | None) -> None:
                if voxels:
                    raise self._unseen(voxels, "to be written", box, batch, refused)

            return batch.write(draft, Work(Kind.EDIT, patches, settle, refuse, facts))

        def settle(moment: Moment, chunk: int) -> Settled:
            if self._seen is None:
                return Settled(patches[chunk], spans.nothing(), 0)
            refused[chunk] = spans.intersect(moment.since(chunk, self._seen), patches[chunk])
            return Settled(patches[chunk], refused[chunk], 0)

        outcome = self._volume.committer.commit(draft, job, patches)
        if self._made and outcome.revision is not None and outcome.record is None:
            self._refuse_other_labels(outcome.revision)
        self.revision, self.voxels, self.written = outcome.revision, outcome.voxels, outcome.written

    def _refuse_other_labels(self, revision: int) -> None:
        """Raise Conflict if the edit of the same key, made while this one was staged, has other labels than it gave."""
        with self._store.journal.reading() as journal:
            if not self._made.keys() <= set(_made_by(journal, revision)):
                raise Conflict(f"revision {revision} was made under the key {self._draft.key!r} meanwhile, with other "
                               "labels than this attempt gave; begun again it gives the same",
                               key=self._draft.key, again=True)  # fmt: skip

    def _refuse_unexpected(self, batch: Batch) -> None:
        """Raise Conflict if voxels that were to be as they were got another label after `seen`."""
        assert self._seen is not None
        changed = {chunk: spans.intersect(batch.since(chunk, self._seen), patch)
                   for chunk, patch in self._expected.items()}  # fmt: skip
        voxels, box = measure(self._store, changed)
        if voxels:
            raise self._unseen(voxels, "to be as they were", box, batch, changed)

    def _unseen(self, voxels: int, what: str, box: Box | None, batch: Batch, refused: Patches) -> Conflict:
        text = f"{voxels} of the voxels {what} were changed after revision {self._seen}, within {box}"
        rows = drawing.label_rows(self._store.grid, refused)
        return Conflict(text, box=box, voxels=voxels, revision=batch.newest, refused=rows)


def _made_by(journal: Reader, revision: int) -> list[int]:
    """The labels of the objects that an edit made, in order."""
    made = [fact for fact in journal.facts_by(revision)
            if fact.key.space is Space.LABEL and fact.key.field == LISTED and fact.value == MADE]  # fmt: skip
    return [fact.key.subject for fact in sorted(made, key=lambda fact: fact.step)]
