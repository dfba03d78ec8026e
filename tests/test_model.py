"""A volume and a plain NumPy model of it, driven side by side.

The model keeps what each edit wrote and who takes out what, and makes the volume by replaying the live edits in
order. Nothing of the engine's cleverness is in it.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import labelog
import oracles
from conftest import SOAK
from labelog.engine import keeper, store

SHAPE, CHUNKS = (3, 7, 9), (2, 4, 5)
AUTHORS = st.sampled_from(["ana", "vendor/bo", "vendor/cy"])
SESSIONS = st.sampled_from([None, "left", "right"])
LABELS = st.sampled_from([0, 1, 2, 3, 2**64 - 1])
HANDLES = st.booleans()
SEEDS = st.integers(0, 99)
LARGE = st.sampled_from([None, (1, 200)])  # chunks that are many for a commit, bytes that are handed over at a time
LOADED = (np.indices(SHAPE).sum(axis=0) // 4 % 3).astype(np.uint64)


@dataclass
class Done:
    """A commit as the model sees it."""

    kind: str
    author: str
    session: str | None
    targets: tuple[int, ...] = ()
    mask: np.ndarray | None = None
    values: np.ndarray | None = None


def alive(done):
    """For each commit, whether it is live: no live later commit takes it out."""
    out: set[int] = set()
    for revision in reversed(range(len(done))):
        if revision not in out:
            out.update(done[revision].targets)
    return [revision not in out for revision in range(len(done))]


class Model:
    """Revisions, replayed: the live set anew for each commit, the voxels whenever it changed but for a new edit."""

    def __init__(self, ground):
        self.ground = ground
        self.done = [Done("create", "", None)]
        self.states = [ground.copy()]
        self.alive = [True]

    def trial(self):
        """A copy, to see what would be."""
        found = copy(self)
        found.done, found.states = list(self.done), list(self.states)
        return found

    @property
    def head(self):
        return self.states[-1]

    def live(self, revision):
        return self.alive[revision]

    def live_edits(self):
        return [r for r, d in enumerate(self.done) if d.kind == "edit" and self.alive[r]]

    def add(self, done):
        """Commit; how many voxels changed. An edit is the last to be replayed, over what those before it made."""
        self.done.append(done)
        ground, edits = self.head, [done]
        if done.kind != "edit":
            self.alive = alive(self.done)
            ground, edits = self.ground, [self.done[r] for r in self.live_edits()]
        else:
            self.alive = [*self.alive, True]
        self.states.append(oracles.replay(ground, [(edit.mask, edit.values) for edit in edits]))
        return int((self.states[-1] != self.states[-2]).sum())

    def latest(self, author, session, kinds, live):
        found = [r for r, d in enumerate(self.done) if d.kind in kinds and d.author == author
                 and session in (None, d.session) and (not live or self.live(r))]  # fmt: skip
        return max(found, default=None)

    def undoable(self, author, session):
        return self.latest(author, session, ("edit", "revert"), True)

    def redoable(self, author, session):
        undo = self.latest(author, session, ("undo",), True)
        since = self.latest(author, session, ("edit", "revert"), False)
        return None if undo is None or (since or 0) > undo else undo

    def revertible(self, author):
        """The author's actions that no live revert takes out."""
        taken = {t for r, d in enumerate(self.done) if d.kind == "revert" and self.live(r) for t in d.targets}
        return [r for r, d in enumerate(self.done) if d.kind in ("edit", "revert") and r not in taken
                and (d.author == author or d.author.startswith(author + "/"))]  # fmt: skip

    def take_out(self, kind, author, session, targets):
        """Voxels changed and left alone."""
        before = set(self.live_edits())
        changed = self.add(Done(kind, author, session, tuple(targets)))
        after = set(self.live_edits())
        toggled = before ^ after
        top = np.zeros(self.ground.shape, int)
        for r in sorted(after | toggled):
            top[self.done[r].mask] = r
        touched = np.zeros(self.ground.shape, bool)
        for r in toggled:
            touched |= self.done[r].mask
        left = int((touched & ~np.isin(top, sorted(toggled))).sum())
        return changed, left, int(touched.sum())


def boxes(shape=SHAPE):
    """Any box, drawn as one number: Hypothesis ends an example that has drawn too many. Small ones come first."""
    ranges = [[(a, b) for a in range(n) for b in range(a + 1, n + 1)] for n in shape]
    found = [labelog.Box(*zip(*sides, strict=True)) for sides in itertools.product(*ranges)]
    found.sort(key=lambda box: (box.voxels, box))
    return st.integers(0, len(found) - 1).map(lambda number: found[number])


BOXES = boxes()


def set_up(volume, large):
    """A handle that makes commits before their turn, and hands them over in pieces, if they are large."""
    if large is not None:
        volume.committer.large, volume.committer.piece = large
    return volume


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="labelog-model-")) / "v.labelog"
        self.patch = pytest.MonkeyPatch()
        for module in (keeper, store):  # so that folding and keeping happen within a few edits
            self.patch.setattr(module, "FOLD_AT", 3)
        self.patch.setattr(keeper, "KEEP_AT", 5)

    @initialize(loaded=st.booleans(), large=LARGE)
    def begin(self, loaded, large):
        path = self.path
        self.model = Model(LOADED.copy() if loaded else np.zeros(SHAPE, np.uint64))
        first = labelog.load(path, LOADED, chunks=CHUNKS) if loaded else labelog.create(path, SHAPE, chunks=CHUNKS)
        self.large = large
        self.handles = [set_up(first, large), self.opened(path)]

    def teardown(self):
        try:
            if hasattr(self, "handles"):
                report = self.handles[0].check()
                assert report.ok, report.problems
                assert report.revisions == len(self.model.states)
                for revision, expected in enumerate(self.model.states):
                    assert (self.handles[1].at(revision)[...] == expected).all(), revision
                for volume in self.handles:
                    volume.close()
        finally:
            self.patch.undo()
            self.remove()

    def remove(self):
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def opened(self, address):
        return set_up(labelog.open(address), self.large)

    def committed(self, edit, mask, values, author, session=None):
        if not mask.any():
            assert edit.revision is None
            return
        changed = self.model.add(Done("edit", author, session, (), mask, values))
        assert (edit.revision, edit.voxels, edit.written) == (len(self.model.states) - 1, changed, mask.sum())

    @rule(h=HANDLES, author=AUTHORS, session=SESSIONS, box=BOXES, label=LABELS)
    def paint_box(self, h, author, session, box, label):
        mask, values = np.zeros(SHAPE, bool), np.full(SHAPE, label, np.uint64)
        mask[box.slices()] = True
        with self.handles[h].edit(author, session=session) as edit:
            edit[box.slices()] = label
        self.committed(edit, mask, values, author, session)

    @rule(h=HANDLES, author=AUTHORS, box=BOXES, seed=SEEDS)
    def paint_array(self, h, author, box, seed):
        labels = np.random.default_rng(seed).integers(0, 4, box.shape).astype(np.uint16)
        mask, values = np.zeros(SHAPE, bool), np.zeros(SHAPE, np.uint64)
        mask[box.slices()], values[box.slices()] = True, labels
        with self.handles[h].edit(author) as edit:
            edit[box.slices()] = labels
        self.committed(edit, mask, values, author)

    @rule(h=HANDLES, author=AUTHORS, box=BOXES, label=LABELS, seed=SEEDS, over=st.none() | st.sets(LABELS))
    def paint_mask(self, h, author, box, label, seed, over):
        drawn = np.random.default_rng(seed).integers(0, 2, box.shape).astype(bool)
        mask = np.zeros(SHAPE, bool)
        mask[box.slices()] = drawn
        if over is not None:
            mask &= np.isin(self.model.head, np.array(sorted(over), np.uint64))
        with self.handles[h].edit(author) as edit:
            edit.paint(label, drawn, at=box.start, over=over)
        self.committed(edit, mask, np.full(SHAPE, label, np.uint64), author)

    @rule(h=HANDLES, author=AUTHORS, label=LABELS, rows=st.lists(BOXES, min_size=1, max_size=4))
    def paint_spans(self, h, author, label, rows):
        spans = [(b.start[0], b.start[1], b.start[2], b.stop[2]) for b in rows]
        mask = np.zeros(SHAPE, bool)
        for z, y, x0, x1 in spans:
            mask[z, y, x0:x1] = True
        with self.handles[h].edit(author) as edit:
            edit.paint(label, spans)
        self.committed(edit, mask, np.full(SHAPE, label, np.uint64), author)

    @rule(h=HANDLES, author=AUTHORS, labels=st.dictionaries(LABELS, LABELS, max_size=3), box=st.none() | BOXES)
    def relabel(self, h, author, labels, box):
        inside = np.zeros(SHAPE, bool)
        inside[box.slices() if box else ...] = True
        head, values = self.model.head, self.model.head.copy()
        mask = inside & np.isin(head, np.array(sorted(labels), np.uint64))
        for old, new in labels.items():
            values[head == np.uint64(old)] = new
        with self.handles[h].edit(author) as edit:
            edit.relabel(labels, within=box)
        self.committed(edit, mask, values, author)

    @rule(h=HANDLES, author=AUTHORS, label=LABELS, box=BOXES, other=LABELS)
    def paint_then_erase(self, h, author, label, box, other):
        """Tools see what is staged."""
        values = self.model.head.copy()
        values[box.slices()] = label
        mask = np.zeros(SHAPE, bool)
        mask[box.slices()] = True
        mask |= values == np.uint64(other)
        values[values == np.uint64(other)] = 0
        with self.handles[h].edit(author) as edit:
            edit[box.slices()] = label
            edit.erase(other)
            seen = edit[...]
        assert (seen == np.where(mask, values, self.model.head)).all()
        self.committed(edit, mask, values, author)

    @rule(h=HANDLES, author=AUTHORS, box=BOXES)
    def give_up(self, h, author, box):
        with pytest.raises(ZeroDivisionError):
            with self.handles[h].edit(author) as edit:
                edit[box.slices()] = 9
                raise ZeroDivisionError
        assert edit.revision is None

    def taken_out(self, commit, kind, author, session, targets):
        assert (commit.kind, commit.author, commit.targets) == (kind, author, tuple(targets))
        changed, left, written = self.model.take_out(kind, author, session, targets)
        assert (commit.voxels, commit.left_alone, commit.written) == (changed, left, written)

    @rule(h=HANDLES, author=AUTHORS, session=SESSIONS, back=st.booleans())
    def undo_or_redo(self, h, author, session, back):
        """One rule, as Hypothesis leaves some out of an example, and either says little without the other."""
        volume, model = self.handles[h], self.model
        kind, target = ("redo", model.redoable(author, session)) if back else ("undo", model.undoable(author, session))
        act = volume.redo if back else volume.undo
        if target is None:
            with pytest.raises(labelog.NothingToUndo):
                act(author, session=session)
        else:
            self.taken_out(act(author, session=session), kind, author, session, [target])

    @rule(h=HANDLES, by=AUTHORS, data=st.data(), strict=st.booleans())
    def revert(self, h, by, data, strict):
        revision = data.draw(st.integers(0, len(self.model.done)))
        exists = 0 < revision < len(self.model.done)
        if not exists or not self.model.live(revision):
            with pytest.raises(labelog.NothingToUndo):
                self.handles[h].revert(revision, by=by)
            return
        try:
            commit = self.handles[h].revert(revision, by=by, strict=strict)
        except labelog.Conflict as error:
            assert strict
            assert error.voxels == self.model.trial().take_out("revert", by, None, [revision])[1] > 0
            return
        self.taken_out(commit, "revert", by, None, [revision])
        assert not (strict and commit.left_alone)

    @rule(h=HANDLES, by=AUTHORS, author=st.sampled_from(["ana", "vendor", "vendor/bo"]))
    def revert_author(self, h, by, author):
        targets = self.model.revertible(author)
        if not targets:
            with pytest.raises(labelog.NothingToUndo):
                self.handles[h].revert(author=author, by=by)
        else:
            self.taken_out(self.handles[h].revert(author=author, by=by), "revert", by, None, targets)

    @rule(h=HANDLES)
    def compact(self, h):
        self.handles[h].compact()

    @rule(h=HANDLES)
    def close_and_reopen(self, h):
        path = self.handles[h].address
        self.handles[h].close()
        self.handles[h] = self.opened(path)

    @rule(h=HANDLES, data=st.data(), box=BOXES)
    def read_an_old_revision(self, h, data, box):
        revision = data.draw(st.integers(0, len(self.model.states) - 1))
        assert (self.handles[h].at(revision).read(box) == self.model.states[revision][box.slices()]).all()

    @rule(h=HANDLES, data=st.data(), back=st.integers(0, 3))
    def read_a_scale(self, h, data, back):
        revision = max(0, len(self.model.states) - 1 - back)
        scale = self.handles[h].at(revision).scale(1)
        box = data.draw(boxes(scale.shape))
        expected = oracles.scaled(self.model.states[revision], [(2, 2, 2)] * scale.number)
        assert (scale.read(box) == expected[box.slices()]).all()

    @precondition(lambda self: len(self.model.done) > 1)
    @rule(h=HANDLES, box=BOXES)
    def blame(self, h, box):
        expected = np.zeros(SHAPE, np.uint64)
        for revision in self.model.live_edits():
            expected[self.model.done[revision].mask] = revision
        assert (self.handles[h].blame(box) == expected[box.slices()]).all()

    @invariant()
    def same(self):
        if hasattr(self, "handles"):
            for volume in self.handles:
                assert volume.revision == len(self.model.states) - 1
                assert (volume[...] == self.model.head).all()

    @rule(data=st.data(), box=BOXES)
    def versions_are_those_of_what_is_stored(self, data, box):
        """Whatever a handle has in memory, and however that came about."""
        revision = data.draw(st.integers(0, len(self.model.states) - 1))
        one, other = (volume.at(revision).view("semantic").version(box) for volume in self.handles)
        assert one == other


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=2000 if SOAK else 200, stateful_step_count=500 if SOAK else 75)
