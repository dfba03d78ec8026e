"""Objects made several: by masks, spans and seeds, and by components; beside a twin that holds it all in arrays."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelog
import oracles
from conftest import examples
from labelog import Invalid, NotFound, OutOfBounds
from labelog.engine.classes import LabelClass

CLASSES = [LabelClass(1, "cell"), LabelClass(2, "organelle"), LabelClass(3, "tissue")]
CELL, LEFT, RIGHT, MIDDLE, GRAIN, OTHER = 1, 2, 3, 4, 5, 6
LEFT_HALF = np.ones((2, 6, 10), bool)


@pytest.fixture
def volume(tmp_path):
    """A cell over rows 1 to 4 of 20; in it an organelle on the left, with a grain in it, one on the right, and one
    across the middle, at x = 10. Another cell is row 5."""
    with labelog.create(tmp_path / "v.labelog", (2, 6, 20), chunks=(1, 4, 7), classes=CLASSES) as volume:
        with volume.edit("maker") as edit:
            edit[:, 1:5] = CELL
            edit[0, 2, 2:6] = LEFT
            edit[0, 2, 4] = GRAIN
            edit[1, 3, 12:15] = RIGHT
            edit[1, 2, 8:12] = MIDDLE
            edit[0, 5] = OTHER
            edit.assign(CELL, cls="cell", name="A")
            edit.assign(OTHER, cls="cell")
            for label in (LEFT, RIGHT, MIDDLE):
                edit.assign(label, cls="organelle", parent=CELL)
            edit.assign(GRAIN, parent=LEFT)
        yield volume


def once(volume, method, *arguments, author="ana", **more):
    with volume.edit(author) as edit:
        return getattr(edit, method)(*arguments, **more)


def parents(volume):
    return {label.id: label.parent for label in volume.labels}


def sound(volume):
    assert volume.check().problems == []


def halves(volume):
    """The left half of the cell, x below 10, as a mask."""
    return once(volume, "split", CELL, LEFT_HALF, at=(0, 0, 0))


# By hand


def test_a_half_of_a_cell(volume):
    before, were = volume[...], parents(volume)
    split = halves(volume)
    (new,) = split.labels
    assert new == 7
    assert split[:3] == ((7,), {LEFT: 7}, (MIDDLE,))
    expected = before.copy()
    expected[..., :10][before[..., :10] == CELL] = new
    assert (volume[...] == expected).all()
    assert parents(volume) == were | {LEFT: new, new: 0}
    label = volume.labels[new]
    assert (label.cls, label.name, label.parent) == ("cell", None, 0)
    assert label.voxels == (expected == new).sum()
    assert volume.labels[CELL].voxels == (expected == CELL).sum()
    sound(volume)
    after = parents(volume)
    for back, forth in (
        (lambda: volume.undo("ana"), lambda: volume.redo("ana")),
        (lambda: volume.revert(2, by="bo"), lambda: volume.undo("bo")),
    ):
        back()
        assert (volume[...] == before).all()
        assert parents(volume) == were
        assert new not in volume.labels
        forth()
        assert (volume[...] == expected).all()
        assert parents(volume) == after
    assert (volume.at(1)[...] == before).all()
    sound(volume)


def test_a_mask_spans_and_seeds_may_say_the_same(volume):
    rows = [[z, y, 0, 10] for z in range(2) for y in range(6)]
    far, near = [(0, 1, 19), (1, 4, 19)], [(0, 1, 0), (1, 4, 0), (0, 1, 0)]
    found = []
    for arguments in ({"where": LEFT_HALF, "at": (0, 0, 0)}, {"where": rows}, {"seeds": [far, near]}):
        split = once(volume, "split", CELL, **arguments)
        found.append((volume[...] == split.labels[0], split[1].keys(), split[2]))
        volume.undo("ana")
    for mask, moved, straddling in found[1:]:
        assert (mask == found[0][0]).all()
        assert (moved, straddling) == found[0][1:]


def test_the_first_group_of_seeds_keeps_the_label(volume):
    split = once(volume, "split", CELL, seeds=[[(0, 1, 0)], np.array([[0, 1, 19]]), [(1, 4, 10)]])
    assert len(set(split.labels)) == 2
    assert [volume[0, 1, 0], volume[0, 1, 19], volume[1, 4, 10]] == [CELL, *split.labels]
    assert split.moved == {RIGHT: split.labels[1], MIDDLE: split.labels[1]}, "left is the first group's"
    assert split.straddling == ()
    sound(volume)


def test_what_no_seed_reaches_stays(volume):
    once(volume, "__setitem__", (slice(None), slice(1, 5), slice(15, 17)), 0)
    split = once(volume, "split", CELL, seeds=[[(0, 1, 0)], [(0, 1, 14)]])
    assert (volume[:, 1:5, 17:] == CELL).all()
    assert volume[0, 1, 14] == split.labels[0]


def test_a_seed_in_a_hole(volume):
    with volume.edit("ana") as edit:
        edit[0, 3, 9] = 0
        with pytest.raises(OutOfBounds, match=r"seed \(0, 3, 9\) is not in label 1"):
            edit.split(CELL, seeds=[[(0, 1, 0)], [(0, 3, 9)]])
        with pytest.raises(OutOfBounds, match=r"seed \(0, 3, 9\) is not in label 1"):
            edit.split(CELL, seeds=[[(0, 3, 9)], [(0, 1, 0)]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"where": np.zeros((2, 6, 20), bool), "at": (0, 0, 0)}, Invalid, "part 1 of label 1 would have no voxels"),
        ({"where": np.zeros((0, 4), int)}, Invalid, "part 1 of label 1 would have no voxels"),
        ({"where": [[0, 5, 0, 20]]}, Invalid, "part 1 of label 1 would have no voxels"),
        ({"where": [[1, 2, 8, 11]]}, Invalid, "part 1 of label 1 would have no voxels"),
        ({"where": np.ones((2, 6, 20), bool), "at": (0, 0, 0)}, Invalid, "the part is all of label 1"),
        ({"where": np.ones((2, 6, 20), bool), "at": (0, 0, 1)}, OutOfBounds, "does not lie within"),
        ({}, Invalid, "split takes a mask or spans, or seeds"),
        ({"where": [[0, 1, 0, 5]], "seeds": [[(0, 1, 0)], [(0, 1, 1)]]}, Invalid, "mask or spans, or seeds"),
        ({"seeds": [[(0, 1, 0)], [(0, 0, 0)]]}, OutOfBounds, r"seed \(0, 0, 0\) is not in label 1"),
        ({"seeds": [[(0, 1, 0)], [(0, 5, 3)]]}, OutOfBounds, r"seed \(0, 5, 3\) is not in label 1"),
        ({"seeds": [[(0, 1, 0)], [(9, -1, 2**70)]]}, OutOfBounds, "is not in label 1"),
        ({"seeds": [[(0, 1, 0)]]}, Invalid, "two or more groups"),
        ({"seeds": []}, Invalid, "two or more groups"),
        ({"seeds": [[(0, 1, 0)], []]}, Invalid, "two or more groups"),
        ({"seeds": [[(0, 1, 0)], [(0, 1)]]}, Invalid, "two or more groups"),
        ({"seeds": [(0, 1, 0), (0, 1, 5)]}, Invalid, "two or more groups"),
        ({"seeds": [[(0, 1, 0)], [(0, 1, 1.5)]]}, Invalid, "two or more groups"),
        ({"seeds": 5}, Invalid, "two or more groups"),
        ({"seeds": [[(0, 1, 0)], [(0, 1, 1), (0, 1, 0)]]}, Invalid, r"seed \(0, 1, 0\) is in two groups"),
    ],
)
def test_what_is_refused(volume, arguments, error, message):
    with volume.edit("ana") as edit:
        with pytest.raises(error, match=message):
            edit.split(CELL, **arguments)
    assert (edit.revision, volume.revision) == (None, 1), "nothing was staged"
    with volume.edit("ana") as edit:
        edit[1, 0, 19] = CELL
        with pytest.raises((Invalid, OutOfBounds)):
            edit.split(CELL, **arguments | ({"where": LEFT_HALF} if not arguments else {}))
        assert edit.split(CELL, [[1, 1, 0, 3]]).labels == (7,), "nor was a label used up"
    assert edit.voxels == 4


def test_no_object(volume):
    with volume.edit("ana") as edit:
        for label, error in ((0, Invalid), (9, NotFound), (-1, Invalid), (1.5, Invalid)):
            with pytest.raises(error):
                edit.split(label, [[0, 1, 0, 2]])
            with pytest.raises(error):
                edit.separate(label)
        for connectivity in (4, 8, "6", None):
            with pytest.raises(Invalid, match="connectivity"):
                edit.separate(CELL, connectivity)
        empty = edit.new(cls="cell")
        assert edit.separate(empty) == ((), {}, (), 0)
        with pytest.raises(Invalid, match="no voxels"):
            edit.split(empty, seeds=[[(0, 1, 0)], [(0, 1, 1)]])
        with pytest.raises(Invalid, match="no voxels"):
            edit.split(empty, LEFT_HALF, at=(0, 0, 0))
    sound(volume)


def test_all_own_voxels_but_not_all_that_lies_in_it(volume):
    """The object is then where its parts are; it is no empty one."""
    where = np.zeros((2, 6, 20), bool)
    where[volume[...] == CELL] = True
    split = once(volume, "split", CELL, where, at=(0, 0, 0))
    assert split[:3] == ((7,), {}, ())
    assert (volume.labels[CELL].voxels, volume.labels[CELL].whole.voxels) == (0, 11)
    sound(volume)


def test_an_empty_child_keeps_no_object_alive(volume):
    everything = np.ones((2, 6, 20), bool)
    with volume.edit("ana") as edit:
        empty = edit.new(cls="organelle", parent=CELL)
        with pytest.raises(Invalid, match="the part is all of label 1"):
            edit.split(CELL, everything, at=(0, 0, 0))
        assert edit.split(CELL, [[0, 1, 0, 3]]).moved == {}, "and goes nowhere"
    assert volume.labels[empty].parent == CELL


def test_a_part_that_has_only_what_lies_in_it(volume):
    split = once(volume, "split", CELL, [[0, 2, 2, 6]])
    assert split[:3] == ((7,), {LEFT: 7}, ())
    assert (volume.labels[7].voxels, volume.labels[7].whole.voxels) == (0, 4)
    assert volume.labels.subtree(7) == [7, LEFT, GRAIN]
    sound(volume)


def test_a_child_is_where_its_own_parts_are(volume):
    """LEFT alone is wholly in the part; the grain in it is not."""
    where = volume[...] == LEFT
    where[0, 1, :4] = True
    assert once(volume, "split", CELL, where, at=(0, 0, 0))[:3] == ((7,), {}, (LEFT,))
    assert volume.labels[LEFT].parent == CELL


def test_separate_what_is_connected(volume):
    with volume.edit("ana") as edit:
        for connectivity in (6, 18, 26):
            assert edit.separate(CELL, connectivity) == ((), {}, (), 0)
    assert edit.revision is None


def test_separate(volume):
    once(volume, "__setitem__", (slice(None), slice(1, 5), slice(6, 8)), 0)
    split = once(volume, "separate", CELL)
    assert split[:3] == ((7,), {LEFT: 7}, ())
    assert (volume[:, 1, :6] == 7).all()
    assert (volume[:, 1, 8:] == CELL).all()
    sound(volume)


def test_of_pieces_as_large_the_first_keeps_the_label(volume):
    with volume.edit("ana") as edit:
        edit[:] = 0
        for x in (0, 5, 12):
            edit[0, 3, x : x + 2] = 9
        edit[1, 0, 8:10] = 9
        assert len(edit.separate(9).labels) == 3
    assert volume[0, 3, 0] == 9
    assert volume[0, 3, [5, 12]].tolist() == [10, 11], "in the order of their first voxels"
    assert volume[1, 0, 8] == 12


def test_separate_across_edges_and_corners(volume):
    with volume.edit("ana") as edit:
        edit[:] = 0
        edit[0, 3, 6] = edit[0, 4, 7] = edit[1, 5, 8] = 9
    for connectivity, shown in ((26, [9, 9, 9]), (18, [9, 9, 10]), (6, [9, 11, 10])):
        once(volume, "separate", 9, connectivity)
        assert [volume[0, 3, 6], volume[0, 4, 7], volume[1, 5, 8]] == shown


def test_an_organelle_in_two_pieces_gets_no_cell_for_one(volume):
    """A piece of the cell that is only a piece of an organelle: there would be nothing to give it."""
    with volume.edit("ana") as edit:
        edit[:, 1:5, 6:8] = 0
        edit[0, 0, 19] = RIGHT
        edit[0, 0, 0] = RIGHT
        edit[0, 1, 0] = edit[0, 1, 19] = 0
        split = edit.separate(CELL)
    assert split[:3] == ((7,), {LEFT: 7}, (RIGHT,))
    assert volume.labels[RIGHT].parent == CELL
    assert len(once(volume, "separate", RIGHT).labels) == 2, "that is what helps"
    split = once(volume, "separate", CELL)
    assert len(split.labels) == 2
    assert sorted(split.moved) == [8, 9]
    sound(volume)


def test_a_merged_body(volume):
    """Its fragments are all written where they are in the part, and all come back."""
    once(volume, "merge", OTHER, [CELL])
    fragments = volume.view("fragment")[...]
    split = once(volume, "split", CELL, LEFT_HALF, at=(0, 0, 0))
    assert split[:3] == ((7,), {LEFT: 7}, (MIDDLE,))
    left = np.isin(fragments, (CELL, OTHER)) & (np.arange(20) < 10)
    assert ((volume[...] == 7) == left).all()
    assert (volume.view("fragment")[...][~left] == fragments[~left]).all()
    assert volume.labels[CELL].id == OTHER
    assert volume.labels[7].fragments == [7]
    once(volume, "cleave", CELL)
    assert volume.labels.children(CELL) == [RIGHT, MIDDLE]
    sound(volume)
    for _ in range(2):
        volume.undo("ana")
    assert (volume.view("fragment")[...] == fragments).all()
    assert volume.labels.children(OTHER) == [LEFT, RIGHT, MIDDLE]
    sound(volume)


def test_a_new_part_merged_back_in_the_same_edit(volume):
    before = volume[...]
    with volume.edit("ana") as edit:
        (new,) = edit.split(CELL, LEFT_HALF, at=(0, 0, 0)).labels
        edit.merge(CELL, [new])
        assert (edit[...] == before).all()
    assert edit.voxels == 0
    assert volume.labels.children(CELL) == [LEFT, RIGHT, MIDDLE]
    sound(volume)


def test_the_parent_is_named_on_its_own_account(volume):
    """Whoever put the cell into its parent may be undone, and the new part stays there."""
    once(volume, "__setitem__", (0, 0), 30, author="maker")
    once(volume, "assign", CELL, parent=30, author="lee")
    (new,) = halves(volume).labels
    assert volume.labels[new].parent == 30
    volume.undo("lee")
    assert (volume.labels[CELL].parent, volume.labels[new].parent) == (0, 30)
    sound(volume)


# Together with others


def test_others_paint_where_it_is_split(volume):
    late = volume.edit("ana")
    late.__enter__()
    split = late.split(CELL, LEFT_HALF, at=(0, 0, 0))
    with volume.edit("bo") as edit:
        edit[:, 1, 8:12] = 0
        edit[0, 4] = OTHER
        edit[0, 0, :3] = CELL
    late.__exit__(None, None, None)
    (new,) = split.labels
    assert (volume[0, 0, :3] == CELL).all(), "painted after it was split"
    assert (volume[0, 4, :10] == new).all(), "the split is the later one"
    assert (volume[0, 4, 10:] == OTHER).all()
    there = volume[...]
    for label in (CELL, OTHER, new):
        assert volume.labels[label].voxels == (there == label).sum()
    sound(volume)
    volume.undo("ana")
    assert (volume[0, 4] == OTHER).all()
    sound(volume)


def test_two_split_one_object_at_once(volume):
    edits = [volume.edit(author) for author in ("ana", "bo")]
    for edit in edits:
        edit.__enter__()
    first = edits[0].split(CELL, LEFT_HALF, at=(0, 0, 0))
    second = edits[1].split(CELL, LEFT_HALF, at=(0, 0, 5))
    for edit in edits:
        edit.__exit__(None, None, None)
    assert first.labels != second.labels
    there = volume[...]
    for label in (CELL, *first.labels, *second.labels):
        assert volume.labels[label].voxels == (there == label).sum()
    assert parents(volume)[LEFT] == first.labels[0]
    assert parents(volume)[MIDDLE] == second.labels[0]
    sound(volume)
    volume.undo("ana")
    assert parents(volume)[LEFT] == CELL
    sound(volume)


def test_what_was_moved_into_by_others_keeps_a_new_part_alive(volume):
    (new,) = halves(volume).labels
    once(volume, "assign", OTHER, parent=new, author="bo")
    with pytest.raises(labelog.Conflict, match=f"label {OTHER} lies in label {new}"):
        volume.undo("ana")
    assert parents(volume)[LEFT] == new
    sound(volume)


# Any volumes, beside the twin


class Twin:
    """Fragments, merges and what is said to lie in what, as arrays and dicts."""

    def __init__(self, fragments):
        self.fragments, self.merges, self.named, self.classes = fragments, [], {}, {}

    def copy(self):
        twin = Twin(self.fragments.copy())
        twin.merges, twin.named, twin.classes = list(self.merges), dict(self.named), dict(self.classes)
        return twin

    def body(self, label):
        return oracles.bodies(self.merges).get(label, label)

    @property
    def there(self):
        bodies = oracles.bodies(self.merges)
        return np.vectorize(lambda label: bodies.get(int(label), int(label)), otypes=[np.uint64])(self.fragments)

    @property
    def parents(self):
        return {label: self.body(parent) for label, parent in self.named.items() if self.body(label) == label}

    def circular(self):
        for label in self.parents:
            path = [label]
            while (label := self.parents.get(label, 0)) != 0:
                if label in path:
                    return True
                path.append(label)
        return False

    def write(self, mask, label):
        """As a commit does: what has the body already keeps its fragment."""
        self.fragments = np.where(mask & (self.there != np.uint64(self.body(label))), np.uint64(label), self.fragments)


class Pair:
    """A volume and its twin, changed side by side. `together` is one edit for all, else each has one."""

    def __init__(self, volume, twin, rng, together):
        self.volume, self.twin, self.rng, self.together = volume, twin, rng, together
        self.edit = None
        self.given = set()
        self.states = [twin.copy()]

    def run(self, actions):
        if self.together:
            with self.volume.edit("ana") as self.edit:
                for action in actions:
                    self.act(action)
            self.done()
        else:
            for action in actions:
                with self.volume.edit("ana") as self.edit:
                    self.act(action)
                self.done()

    def act(self, action):
        getattr(self, action)()
        assert (self.edit[...] == self.twin.there).all(), action

    def done(self):
        if self.edit.revision is not None:
            self.states.append(self.twin.copy())
        self.compare(self.volume.at(), self.twin)

    def compare(self, snapshot, twin):
        there = twin.there
        assert (snapshot[...] == there).all()
        found = {label.id: label for label in snapshot.labels}
        assert set(np.unique(there).tolist()) - {0} <= set(found)
        for label in found.values():
            assert label.voxels == (there == np.uint64(label.id)).sum()
            assert label.parent == twin.parents.get(label.id, 0)
            assert label.cls == twin.classes.get(label.id)

    def some_label(self):
        labels = sorted(set(np.unique(self.twin.fragments).tolist()) - {0})
        return int(self.rng.choice(labels)) if labels else None

    def some_box(self):
        cuts = [sorted(self.rng.choice(n + 1, 2, replace=False).tolist()) for n in self.twin.fragments.shape]
        return tuple(slice(a, b) for a, b in cuts)

    # What an edit does

    def paint(self):
        label, box = int(self.rng.integers(0, 6)), self.some_box()
        mask = np.zeros(self.twin.fragments.shape, bool)
        mask[box] = True
        self.edit[box] = label
        self.twin.write(mask, label)

    def merge(self):
        a, b = self.some_label(), self.some_label()
        if a is None or a == b:
            return
        trial = self.twin.copy()
        trial.merges.append((a, b))
        if not trial.circular():
            self.edit.merge(a, [b])
            self.twin.merges.append((a, b))

    def put(self):
        label, parent = self.some_label(), self.some_label()
        if label is None:
            return
        body = self.twin.body(label)
        trial = self.twin.copy()
        trial.named[body] = parent
        if not trial.circular():
            cls = str(self.rng.choice(["cell", "organelle"]))
            self.edit.assign(label, parent=parent, cls=cls)
            self.twin.named[body], self.twin.classes[body] = parent, cls

    def split_mask(self):
        if (label := self.some_label()) is None:
            return
        box = self.some_box()
        mask = self.rng.random(tuple(s.stop - s.start for s in box)) < self.rng.choice([0.5, 0.9, 1])
        parts = np.zeros(self.twin.fragments.shape, np.int64)
        parts[box] = mask
        self.divide(label, 1, parts, lambda: self.edit.split(label, mask, at=[s.start for s in box]))

    def split_spans(self):
        if (label := self.some_label()) is None:
            return
        z, y, x = self.twin.fragments.shape
        rows = [
            [*self.rng.integers(0, (z, y)).tolist(), *sorted(self.rng.choice(x + 1, 2, replace=False).tolist())]
            for _ in range(self.rng.integers(5))
        ]
        parts = np.zeros(self.twin.fragments.shape, np.int64)
        for z, y, x0, x1 in rows:
            parts[z, y, x0:x1] = 1
        self.divide(label, 1, parts, lambda: self.edit.split(label, np.array(rows, int).reshape(-1, 4)))

    def split_seeds(self):
        if (label := self.some_label()) is None:
            return
        extent = oracles.extent(self.twin.there, self.twin.parents, self.twin.body(label))
        points = self.rng.permutation(np.argwhere(extent)).tolist()
        groups = [points[k : k + int(self.rng.integers(1, 3))] for k in range(0, min(len(points), 6), 2)]
        if len(groups) < 2:
            return
        seeds = np.zeros(extent.shape, np.int32)
        for number, group in enumerate(groups, 1):
            seeds[tuple(np.array(group).T)] = number
        parts = np.maximum(oracles.nearest_seed(extent, seeds) - 1, 0)
        self.divide(label, len(groups) - 1, parts, lambda: self.edit.split(label, seeds=groups))

    def separate(self):
        if (label := self.some_label()) is None:
            return
        connectivity = int(self.rng.choice([6, 18, 26]))
        extent = oracles.extent(self.twin.there, self.twin.parents, self.twin.body(label))
        numbers = oracles.components(extent.astype(int), {6: 1, 18: 2, 26: 3}[connectivity])
        parts = oracles.largest_stays(numbers)
        self.divide(label, None, parts, lambda: self.edit.separate(label, connectivity))

    def divide(self, label, count, parts, do):
        """What the twin says of it, and what is done. Of `count` parts each must have something, unless it is None."""
        twin = self.twin
        body = twin.body(label)
        written, moved, straddling, stays = oracles.divided(twin.there, twin.parents, body, parts)
        met = sorted(set(written[written > 0].tolist()) | set(moved.values()))
        if (count is not None and met != list(range(1, count + 1))) or not stays:
            with pytest.raises(Invalid):
                do()
            return
        split = do()
        new = dict(zip(met, split.labels, strict=True))
        assert list(split.labels) == sorted(split.labels)
        assert not self.given & set(split.labels)
        assert all(label > state.fragments.max() for label in split.labels for state in [*self.states, twin])
        self.given |= set(split.labels)
        assert split.moved == {child: new[part] for child, part in moved.items()}
        assert split.straddling == tuple(sorted(straddling))
        if body in twin.named:
            twin.named |= dict.fromkeys(split.labels, twin.named[body])
        if body in twin.classes:
            twin.classes |= dict.fromkeys(split.labels, twin.classes[body])
        twin.named |= split.moved
        for part, label in new.items():
            twin.fragments = np.where(written == part, np.uint64(label), twin.fragments)


def blocks(rng, shape):
    """Labels 0 to 5 in blocks, with some noise."""
    coarse = rng.integers(0, 6, [-(-n // 3) for n in shape])
    out = coarse[np.ix_(*(np.arange(n) // 3 for n in shape))]
    noise = rng.random(shape) < 0.15
    return np.where(noise, rng.integers(0, 6, shape), out).astype(np.uint64)


SPLITS = ["split_mask", "split_spans", "split_seeds", "separate"]
ACTIONS = st.lists(st.sampled_from([*SPLITS, *SPLITS, "put", "put", "merge", "paint"]), min_size=1, max_size=5)


@examples(150)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 9)),
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6)),
    st.integers(0, 2**32),
    ACTIONS,
    st.booleans(),
)
def test_as_the_twin(shape, chunks, seed, actions, together):
    rng = np.random.default_rng(seed)
    folder = Path(tempfile.mkdtemp(prefix="labelog-split-"))
    try:
        fragments = blocks(rng, shape)
        with labelog.load(folder / "v.labelog", fragments, chunks=chunks, classes=CLASSES) as volume:
            pair = Pair(volume, Twin(fragments), rng, together)
            pair.run(["put", "put", "put", "put", *actions])
            assert volume.check().problems == []
            last = len(pair.states) - 1
            for back in range(last):
                volume.undo("ana")
                pair.compare(volume.at(), pair.states[last - back - 1])
            for forth in range(last):
                volume.redo("ana")
                pair.compare(volume.at(), pair.states[forth + 1])
            if last:
                volume.revert(author="ana", by="bo")
                pair.compare(volume.at(), pair.states[0])
            for revision, state in enumerate(pair.states):
                pair.compare(volume.at(revision), state)
            assert volume.check().problems == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)
