"""What is done to a volume on a server is what the same calls do to one on disk."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import numpy as np
import pytest

import labelog
from labelog.remote import request
from server.conftest import labels, make_cells

MASK = np.random.default_rng(3).random((2, 9, 13)) < 0.4
ARRAY = np.random.default_rng(4).integers(0, 5, (3, 20, 30)).astype(np.int16)
HIGH = 2**64 - 1


@pytest.fixture
def twin(tmp_path):
    """The volume as `far` was, on disk."""
    make_cells(tmp_path)
    with labelog.open(tmp_path / "cells.labelog") as volume:
        yield volume


def voxels(edit):
    edit[10:12, 0:5, 0:5] = 12
    edit[3, 4, 5] = HIGH
    edit[4:7, 10:30, -40:-10] = ARRAY
    edit.paint(7, MASK, at=(3, 4, 5))
    edit.paint(np.uint64(8), MASK[0], at=(9, 40, 40))
    edit.paint(9, [[0, 1, 2, 30], [0, 2, 2, 31]], over=[0, 1])
    edit.paint(9, np.zeros((1, 2, 2), bool), at=(0, 0, 0))
    edit.relabel({11: 21, 21: 11}, within=((0, 0, 0), (20, 30, 70)))
    edit.erase(202)
    edit.change(((0, 0, 0), (3, 20, 30)), ARRAY)
    edit[5:5] = 3
    return edit[...]


def objects(edit):
    cell = edit.new(cls="cell", name="A", quality=[1, None])
    parts = [edit.split(HIGH, [[5, 10, 30, 40]])]
    edit[2:9, 5:40, 5:50] = cell
    seen = edit[4]
    inner = edit.new("mitochondrion", cell, size=2)
    edit.paint(inner, MASK, at=(3, 10, 10), over=cell)
    parts += edit.split(cell, MASK, at=(5, 20, 20)), edit.split(cell, seeds=[[(3, 6, 6)], [(8, 38, 48), (8, 38, 47)]])
    apart = edit.separate(101), edit.separate([1, 2], 26), edit.separate(cls="cell", below=2)
    edit.assign(12, cls="mitochondrion", parent=cell, name="b", weight=np.float64(2))
    edit.assign(12, name=None, weight=None)
    edit.merge(13, [23, 33])
    edit.merge_all([(1, 2), (31, 41)])
    edit.cleave(33)
    return [seen, edit.made, cell, inner, *parts, *apart, edit[...]]


def shapes(edit):
    one = edit.fill((15, 50, 60), 77, within=((10, 40, 50), (20, 60, 70)))
    two = edit.fill_mask((15, 50, 60), axis=0, connectivity=8, over=[77, 0])
    edit[1:9, 3:33, 3:33] = 500
    edit[4, 10, 10] = 0
    found = [(f.voxels, f.box, f.spans) for f in (one, two)]
    found += [edit.fill_holes(500), edit.fill_holes(500, axis=0, over=None, below=100), edit.dilate(500, 2, over=None),
              edit.erode(500, 40.0, unit="nm", axis=1, within=((0, 0, 0), (20, 60, 30)))]  # fmt: skip
    edit[[slice(12, 13), slice(0, 3), slice(0, 3)][0], 0:3, 0:3] = 500
    found += [edit.remove_islands(500, below=10)]
    edit[15, 3:30, 3:30] = 500
    return [*found, edit.interpolate(500, [8, 15]), edit[...]]


def classes(edit):
    number = edit.new_class("vesicle", colour="#010203", kind_of="mitochondrion", within=["cell"])
    edit.new_classes([labelog.LabelClass(number + 1, "x"), labelog.LabelClass(number + 2, "y", within=())])
    edit.assign_class("x", name="z", kind_of="vesicle")
    edit.assign_class(number, within=None, colour=None)
    edit.set_region("seen", "annotated", ((0, 0, 0), (5, 30, 30)))
    edit.set_region("part", "ignore", ((0, 0, 0), (2, 3, 4)), np.arange(24).reshape(2, 3, 4) % 2)
    edit.set_region("gone", "gold", ((0, 0, 0), (2, 3, 4)))
    edit.remove_region("gone")
    return [number]


def same(one, other):
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, np.ndarray):
        assert np.array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("work", [voxels, objects, shapes, classes])
def test_edits_do_the_same(far, near, twin, work):
    with far.edit("vendor/bo", "why", session="left") as one:
        found = work(one)
    with twin.edit("vendor/bo", "why", session="left") as other:
        expected = work(other)
    same(found, expected)
    assert (one.revision, one.voxels, one.written) == (1, other.voxels, other.written)
    assert np.array_equal(near[...], twin[...])
    assert near.labels.to_json() == twin.labels.to_json()
    assert near.classes == twin.classes and near.regions == twin.regions
    commit, expected = far.commit(1), twin.commit(1)
    assert (commit.author, commit.message, commit.session, commit.voxels) == ("vendor/bo", "why", "left", other.voxels)
    assert near.check().ok
    for volume in (far, twin):
        assert volume.undo("vendor/bo").voxels == other.voxels
    assert np.array_equal(far[...], twin[...])


WRONG = [
    lambda edit: edit.relabel("a"),
    lambda edit: edit.merge(5, "7"),
    lambda edit: edit.cleave(None),
    lambda e: e.paint(-1, MASK, at=(0, 0, 0)),
    lambda e: e.paint(1, MASK, at=(19, 0, 0)),
    lambda e: e.paint(1, [[0, 0, 0, 71]]),
    lambda e: e.__setitem__(np.s_[0, 0, 0:2], [-1, 2]),
    lambda e: e.__setitem__(20, 1),
    lambda e: e.__setitem__([1, 2], 1),
    lambda e: e.__setitem__(0, 1.5),
    lambda e: e.relabel({1: -1}),
    lambda e: e.erase(1, within=((0, 0, 0), (1, 1, 99))),
    lambda e: e.split(99999, MASK, at=(0, 0, 0)),
    lambda e: e.split(1),
    lambda e: e.split(12, [[0, 0, 0, 1]]),
    lambda e: e.new(cls="dog"),
    lambda e: e.new(name=5),
    lambda e: e.new(x={1}),
    lambda e: e.assign(0, name="a"),
    lambda e: e.assign(1, parent=1),
    lambda e: e.assign(1, parent=99999),
    lambda e: e.merge(1, 1),
    lambda e: e.cleave(1),
    lambda e: e.new_class("cell"),
    lambda e: e.assign_class("dog", name="x"),
    lambda e: e.remove_region("x"),
    lambda e: e.set_region("x", "y", ((0, 0, 0), (1, 1, 1))),
    lambda e: e.fill((20, 0, 0), 1),
    lambda e: e.fill(3, 1),
    lambda e: e.fill((0, 0, 0), 77, limit=1),
    lambda e: e.fill((0, 0, 0), 77, view="dog"),
    lambda e: e.fill((0, 0, 0), 1, tolerance=3),
    lambda e: e.dilate(1, -1),
    lambda e: e.fill_holes(1, axis=7),
    lambda e: e.interpolate(1, [0, 99]),
    lambda e: e.separate(99999),
    lambda e: e.separate(below=-1),
    lambda e: e.expect(((0, 0, 0), (1, 1, 1))),
]


@pytest.fixture(scope="module")
def pair(served, tmp_path_factory):
    """A volume on the server, and its twin on disk, for many tests."""
    folder = tmp_path_factory.mktemp("twin")
    for name, place in (("pair", served.folder), ("twin", folder)):
        labelog.load(place / f"{name}.labelog", labels(), chunks=(8, 16, 32), classes="platelet").close()
    with labelog.open(f"{served.address}/volumes/pair") as far, labelog.open(folder / "twin.labelog") as near:
        yield far, near


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_refused_is_not_staged(pair, wrong):
    kinds = []
    for volume in pair:
        with volume.edit("ana") as edit:
            edit[0, 0, 0:3] = 9
            with pytest.raises(labelog.LabelogError) as raised:
                wrong(edit)
            edit[0, 1, 0:3] = 9
        assert edit.written == 6
        kinds.append(type(raised.value))
        text = str(raised.value)
        assert "operation" not in text
    assert kinds[0] is kinds[1]


@pytest.mark.parametrize("ask", [
    lambda volume: volume.check(7),
    lambda volume: volume.compact(progress=7),
    lambda volume: volume.labels.problems(progress=7),
    lambda volume: volume.components(progress=7),
    lambda volume: volume.fill_mask((0, 0, 0), progress=7),
    lambda volume: volume.edit("ana").__enter__().fill((0, 0, 0), 5, progress=7),
    lambda volume: volume.edit("ana").__enter__().fill_mask((0, 0, 0), progress=7),
])  # fmt: skip
def test_what_cannot_be_told_of_progress_is_refused_at_once(pair, ask):
    for volume in pair:
        with pytest.raises(labelog.Invalid, match="progress is a function"):
            ask(volume)


@pytest.mark.parametrize("forgets", [False, True])
def test_each_operation_is_sent_once_to_be_tried(far, near, monkeypatch, forgets):
    """Or an edit of many would cost their square. What the server has forgotten it is sent again."""
    sent = []

    def counted(self, operations, more, body=request.Request._body):
        sent.append(len(operations))
        return body(self, operations, more)

    monkeypatch.setattr(request.Request, "_body", counted)
    spare = [near.edit("ana").__enter__().new() for _ in range(3)]
    with far.edit("ana", labels=spare) as edit:
        for n in range(20):
            made = edit.new(name=f"n{n}")
            edit.paint(made, [[0, n, 0, 9]])
            assert edit[0, n, 3:5].tolist() == [made, made]
            with pytest.raises(labelog.NotFound) if n == 7 else nullcontext():
                edit.assign(made, cls="dog" if n == 7 else "cell")
            if n == 8:
                edit.fill_mask((9, 9, 9))
            if forgets and n == 12:
                edit._trial = "of another worker"
        assert list(edit.made[:3]) == spare
    expected = 3 * 20 + (3 * 20 - 1) + 3 * 7 + 2 + 3  # tried, done, all again after the refusal, and what is over
    assert abs(sum(sent) - expected - forgets * 3 * 12) < 9, sent
    assert len(edit.made) == 20 and sorted(edit.made) == [label.id for label in near.labels.where() if label.name]


def test_an_edit_that_raises_does_nothing(far):
    with pytest.raises(ZeroDivisionError):
        with far.edit("ana") as edit:
            edit[0] = 9
            edit.new()
            raise ZeroDivisionError
    assert edit.revision is None and far.revision == 0
    with far.edit("ana") as edit:
        pass
    assert edit.revision is None
    for wrong in (lambda: edit.paint(1, MASK, at=(0, 0, 0)), lambda: edit[0], edit.__enter__, lambda: far.edit()[0]):
        with pytest.raises(labelog.Invalid):
            wrong()
    with far.edit("ana") as edit:
        errors = []

        def elsewhere():
            with pytest.raises(labelog.Invalid) as raised:
                edit[0] = 1
            errors.append(raised.value)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert len(errors) == 1


def test_an_edit_sees_the_volume_as_it_began(far, near):
    with far.edit("ana") as edit:
        with near.edit("bo") as other:
            other[0, 0, 0:4] = 5
        edit.paint(6, [[0, 0, 0, 8]], over=5)
        assert not (edit[0, 0] == 6).any()
        edit[0, 0, 2:3] = 6
        assert edit.at == 0
    assert far[0, 0, 0:4].tolist() == [5, 5, 6, 5]
    assert far.blame(((0, 0, 0), (1, 1, 4))).tolist() == [[[1, 1, 2, 1]]]


def test_seen_and_preview(far, near):
    with near.edit("bo") as edit:
        edit[0, 0, 0:4] = 5
    told, raised = [], []
    for volume in (far, near):
        with pytest.raises(labelog.Conflict) as error:
            with volume.edit("ana", seen=0) as edit:
                edit[0, 0, 2:6] = 6
                told.append(list(vars(edit.preview()).values()))
        raised.append(error.value)
    same(*told)
    one, two = raised
    assert str(one) == str(two) and (one.box, one.voxels, one.revision) == (two.box, two.voxels, two.revision)
    same(list(one.refused), list(two.refused))
    with far.edit("ana", seen=1) as edit:
        edit.expect(((0, 0, 0), (1, 1, 4)))
        edit[0, 0, 2:6] = 6
    with pytest.raises(labelog.Conflict, match="to be as they were"):
        with far.edit("ana", seen=1) as edit:
            edit.expect(((0, 0, 0), (1, 1, 4)))
            edit[9] = 6


def test_undo_redo_and_revert(far, twin):
    found = []
    for volume in (far, twin):
        for author, label in (("ana", 7), ("bo/left", 8), ("ana", 9)):
            with volume.edit(author, session="s") as edit:
                edit[0, 0, label : label + 5] = label
        commits = [volume.undo("ana", session="s", message="oh"), volume.redo("ana"), volume.revert(2, by="lee"),
                   volume.revert(6, by="lee"), volume.revert(author="ana", by="lee")]  # fmt: skip
        for wrong in (lambda v=volume: v.undo("nobody"), lambda v=volume: v.redo("ana"), lambda v=volume: v.revert(99)):
            with pytest.raises(labelog.NothingToUndo):
                wrong()
        for wrong in (lambda v=volume: v.revert(), lambda v=volume: v.undo("a//b"), lambda v=volume: v.revert("x")):
            with pytest.raises(labelog.Invalid):
                wrong()
        with pytest.raises(labelog.Conflict) as raised:
            volume.revert(1, by="lee", strict=True) if volume.commit(1).live else volume.undo("lee", strict=True)
        found.append([[(c.revision, c.kind, c.author, c.voxels, c.written, c.left_alone, c.targets, c.message)
                       for c in commits], getattr(raised.value, "voxels", None)])  # fmt: skip
    assert found[0] == found[1]
    assert np.array_equal(far[...], twin[...])


def test_names_of_any_script(far):
    with far.edit("лаб/アナ", "é", session="ö") as edit:
        edit[0, 0, 0] = 5
        edit.new(name="σ")
    assert far.commit(1).author == "лаб/アナ"
    assert [commit.revision for commit in far.history("лаб")] == [1]
    assert far.undo("лаб/アナ").author == "лаб/アナ"


def test_a_key_makes_an_edit_once(far):
    made = []
    for _ in range(2):
        with far.edit("ana", key="k1") as edit:
            made.append(edit.new(cls="cell"))
            edit[0, 0, 0:3] = made[-1]
            edit.paint(made[-1], [[1, 0, 0, 5]], over=int(far.at(0)[1, 0, 1]))
            found = edit[1, 0, 0:5].tolist()
        assert edit.revision == 1 and edit.voxels > 3 and found[1] == made[0]
    assert made[0] == made[1] and far.revision == 1
    with pytest.raises(labelog.Conflict, match="for another edit"):
        with far.edit("ana", key="k1") as edit:
            edit[5] = 1
    for _ in range(2):
        with far.edit("ana", key="nothing"):
            pass
        assert far.undo("ana", key="k2").revision == 2
        assert far.redo("ana", key="k3").revision == 3


def test_labels_that_are_not_ones_own_are_refused(far, near):
    with near.edit("ana") as edit:
        used = edit.new()
    spare = near.edit("ana")
    with pytest.raises(ZeroDivisionError):
        with spare:
            free = spare.new()
            raise ZeroDivisionError
    for volume in (near, far):
        for wrong in ([used], [free + 50], [1]):
            with pytest.raises(labelog.Invalid, match="in use, or was never set aside"):
                with volume.edit("ana", labels=wrong):
                    pass
    with far.edit("ana", labels=[free]) as edit:
        assert edit.new() == free


def test_reading_only(address, far):
    with labelog.open(address, "r") as volume:
        assert volume.mode == "r"
        with pytest.raises(labelog.ReadOnly):
            with volume.edit("ana") as edit:
                edit[0] = 1
        for write in (lambda: volume.undo("ana"), lambda: volume.revert(1)):
            with pytest.raises(labelog.ReadOnly):
                write()
        assert volume.fill_mask((0, 10, 10)).voxels == far.fill_mask((0, 10, 10)).voxels
    assert far.revision == 0


def test_fills_that_are_only_asked_about(far, near):
    for view in ("instance", "semantic"):
        for given in ({}, {"axis": 0, "connectivity": 8}, {"within": ((0, 0, 0), (9, 9, 9)), "over": [0]}):
            one, two = (v.view(view).fill_mask((0, 0, 0), **given) for v in (far, near))
            assert (one.voxels, one.box) == (two.voxels, two.box) and np.array_equal(one.spans, two.spans)
    for wrong in (lambda: far.scale(1).fill_mask((0, 0, 0)), lambda: far.fill_mask((99, 0, 0))):
        with pytest.raises(labelog.Invalid):
            wrong()


def test_images_are_attached_where_they_lie(far, tmp_path):
    with pytest.raises(labelog.Unsupported, match="where the volume lies"):
        far.attach_image(tmp_path)
    with far.edit("ana") as edit, pytest.raises(labelog.Unsupported):
        edit.set_image(None)


def test_no_more_operations_than_a_request_has(far, monkeypatch):
    monkeypatch.setattr(request, "MOST", 3)
    with pytest.raises(labelog.Invalid, match="3 operations; this one has 4"):
        with far.edit("ana") as edit:
            for x in range(4):
                edit[0, 0, x] = 5
