"""The label table case by case: merges, containment, classes, views, regions; `test_model_table.py` has the rest."""

from __future__ import annotations

import csv
import io
import json
import pickle
from itertools import chain, combinations

import dask.array
import h5py
import numpy as np
import pyarrow
import pytest

import labelog
from concurrency import writers
from labelog import Box, Conflict, Invalid, NotFound
from labelog.engine.classes import LabelClass

CLASSES = [
    LabelClass(1, "cell", "#0101e0"),
    LabelClass(2, "organelle"),
    LabelClass(3, "granule", kind_of="organelle"),
    LabelClass(4, "mitochondrion", kind_of="organelle"),
]


@pytest.fixture
def volume(tmp_path):
    """Labels 1 to 6, four voxels each: label n in row n, across two chunks."""
    with labelog.create(tmp_path / "v.labelog", (2, 8, 20), chunks=(2, 8, 8), classes=CLASSES) as volume:
        with volume.edit("maker") as edit:
            for label in range(1, 7):
                edit[0, label, 6:10] = label
        yield volume


def row(volume, number, **view):
    return np.asarray(volume[0, number])[6:10].tolist()


def bodies(volume):
    """The label that each row shows."""
    return volume[0, 1:7, 6].tolist()


def edit(volume, author, method, *arguments, **fields):
    with volume.edit(author) as edit:
        getattr(edit, method)(*arguments, **fields)
    return edit


def sound(volume):
    assert volume.check().problems == []


# Merges


def test_undo_of_the_first_of_two_merges(volume):
    edit(volume, "ana", "merge", 1, [2])
    edit(volume, "bo", "merge", 2, [3])
    assert bodies(volume) == [1, 1, 1, 4, 5, 6]
    volume.undo("ana")
    assert bodies(volume) == [1, 2, 2, 4, 5, 6]
    assert volume.labels[3].id == 2
    assert volume.labels[2].fragments == [2, 3]
    volume.redo("ana")
    assert bodies(volume) == [1, 1, 1, 4, 5, 6]
    assert [volume.at(r)[0, 3, 6] for r in range(1, 6)] == [3, 3, 1, 2, 1]
    sound(volume)


def test_a_merge_does_not_depend_on_who_spoke_of_its_labels_before(volume):
    edit(volume, "ana", "assign", 1, name="ana's")
    edit(volume, "ana", "assign", 2, parent=1)
    edit(volume, "bo", "merge", 1, [3])
    edit(volume, "bo", "assign", 4, parent=2)
    volume.undo("ana")
    volume.undo("ana")
    assert bodies(volume)[:3] == [1, 2, 1]
    assert (volume.labels[1].name, volume.labels[4].parent) == (None, 2)
    sound(volume)


def test_undo_of_the_second_of_two_merges(volume):
    edit(volume, "ana", "merge", 1, [2])
    edit(volume, "bo", "merge", 2, [3])
    volume.undo("bo")
    assert bodies(volume) == [1, 1, 3, 4, 5, 6]


def test_two_authors_merge_the_same(volume):
    edit(volume, "ana", "merge", 1, [2])
    edit(volume, "bo", "merge", 1, [2])
    volume.undo("ana")
    assert bodies(volume)[:2] == [1, 1]
    volume.undo("bo")
    assert bodies(volume)[:2] == [1, 2]
    volume.redo("ana")
    assert bodies(volume)[:2] == [1, 1]
    sound(volume)


def test_a_merge_said_again_takes_its_later_place_in_the_order(volume):
    """1-2 and 3-2: first 1 takes 2, then 3 takes all. Said again, 1-2 is the later one, and no news to who is in 3."""
    edit(volume, "ana", "merge", 1, [2])
    edit(volume, "ana", "merge", 3, [2])
    assert bodies(volume)[:3] == [3, 3, 3]
    edit(volume, "bo", "merge", 1, [2])
    assert bodies(volume)[:3] == [1, 1, 1]
    volume.undo("bo")
    assert bodies(volume)[:3] == [3, 3, 3]
    sound(volume)


def test_merges_of_one_edit_go_by_their_order_within_it(volume):
    with volume.edit("ana") as edit:
        edit.merge(2, [1])
        edit.merge(3, [2])
        assert bodies(edit) == [3, 3, 3, 4, 5, 6]
    assert bodies(volume) == [3, 3, 3, 4, 5, 6]
    assert (edit.revision, edit.voxels, edit.written) == (2, 0, 0)
    with volume.edit("ana") as edit:
        edit.merge_all([(4, 5), (6, 4)])
    assert bodies(volume) == [3, 3, 3, 6, 6, 6]
    assert volume.undo("ana").voxels == 0
    assert bodies(volume) == [3, 3, 3, 4, 5, 6]


def test_cleave_of_a_middle_label_keeps_the_rest_together(volume):
    """The rest keeps its id, and so its name."""
    edit(volume, "ana", "merge", 3, [2])
    edit(volume, "ana", "merge", 2, [1])
    edit(volume, "ana", "assign", 3, name="three", cls="cell")
    edit(volume, "bo", "cleave", 2)
    assert bodies(volume)[:3] == [3, 2, 3]
    assert (volume.labels[1].name, volume.labels[1].cls) == ("three", "cell")
    volume.undo("bo")
    assert bodies(volume)[:3] == [3, 3, 3]
    edit(volume, "bo", "cleave", [3])
    assert bodies(volume)[:3] == [2, 2, 3], "who gave the id is gone"
    sound(volume)


def test_cleave_of_several(volume):
    edit(volume, "ana", "merge", 1, [2, 3, 4])
    edit(volume, "bo", "cleave", [3, 4])
    assert bodies(volume) == [1, 1, 3, 3, 5, 6]
    for labels, message in (
        ([5], "label 5 is not merged"),
        ([1, 2], "nothing to cleave"),
        ([1, 3], r"one body; .*\[1, 3\]"),
    ):
        with pytest.raises(Invalid, match=message):
            edit(volume, "bo", "cleave", labels)
    assert volume.revision == 3


@pytest.mark.parametrize("merges", [
    [(1, 2), (1, 3), (1, 4), (1, 5)],
    [(1, 2), (2, 3), (3, 4), (4, 5)],
    [(2, 1), (3, 2), (4, 3), (5, 4)],
    [(1, 3), (2, 3), (3, 4), (5, 4)],
])  # fmt: skip
def test_any_labels_of_a_loaded_body_are_cleaved(tmp_path, merges):
    """Nothing is said of them but the merges, which the cleaving takes away."""
    array = np.arange(1, 7, dtype=np.uint8)[None, None]
    with labelog.load(tmp_path / "loaded.labelog", array, merges=merges) as volume:
        whole = volume[0, 0]
        for chosen in chain.from_iterable(combinations(range(1, 6), count) for count in range(1, 5)):
            edit(volume, "ana", "cleave", chosen)
            shown = volume[0, 0].tolist()
            cleaved, rest = ({shown[label - 1] for label in range(1, 6) if (label in chosen) is side}
                             for side in (True, False))  # fmt: skip
            assert len(cleaved) == len(rest) == 1 and cleaved != rest, (chosen, shown)
            assert cleaved <= set(chosen) and not rest & set(chosen)
            volume.undo("ana")
            assert (volume[0, 0] == whole).all()
        sound(volume)


def test_a_body_written_back_changes_no_voxel(volume):
    edit(volume, "ana", "merge", 1, [2, 3])
    with volume.edit("bo") as same:
        same[:] = volume[:]
    assert (same.voxels, same.written) == (0, volume.size)
    assert row(volume.view("fragment"), 2) == [2] * 4
    edit(volume, "ana", "cleave", 2)
    assert bodies(volume)[:3] == [1, 2, 1]
    assert volume.labels[2].voxels == 4
    sound(volume)


def test_what_is_painted_in_the_edit_that_merges(volume):
    """Bodies are those that the edit leaves, also where it painted before it merged or cleaved."""
    with volume.edit("ana") as both:
        both[0, 2, 6:8] = 1
        both.merge(1, [2])
    assert both.voxels == 0
    assert row(volume.view("fragment"), 2) == [2] * 4
    with volume.edit("ana") as apart:
        apart[0, 2, 6:8] = 1
        apart.cleave(2)
    assert apart.voxels == 2
    assert row(volume, 2) == [1, 1, 2, 2]
    sound(volume)


def test_tools_speak_of_bodies(volume):
    edit(volume, "ana", "merge", 1, [2])
    ones = np.ones((1, 8, 20), bool)
    with volume.edit("ana") as over:
        over.paint(5, ones, at=(0, 0, 0), over={2})  # nothing shows 2 any more
    assert over.revision is None
    with volume.edit("ana") as over:
        over.paint(5, ones, at=(0, 0, 0), over={1})
    assert over.voxels == 8
    volume.undo("ana")
    edit(volume, "ana", "relabel", {1: 6})
    assert (row(volume, 1), row(volume, 2)) == ([6] * 4, [6] * 4)
    volume.undo("ana")
    assert edit(volume, "ana", "erase", 2).voxels == 8, "an object is found by any of its labels"


def test_a_merge_with_what_is_not_there(volume):
    for labels in ([9], [2, 9]):
        with pytest.raises(NotFound, match="there is no label 9") as caught:
            edit(volume, "ana", "merge", 1, labels)
        assert caught.value.label == 9
    with pytest.raises(Invalid, match="label 1 can't be merged with itself"):
        edit(volume, "ana", "merge", 1, [2, 1])
    with pytest.raises(Invalid, match="in pairs, not as 7"):
        edit(volume, "ana", "merge_all", [(1, 2), 7])
    with pytest.raises(Invalid, match="label 0 is background"):
        edit(volume, "ana", "merge", 0, [1])
    with volume.edit("ana") as gone:
        gone[0, 7, 0] = 9
        gone[0, 7, 0] = 0
        with pytest.raises(NotFound):
            gone.merge(1, [9])
    assert volume.revision == 2


def test_a_view_is_pinned_while_others_merge(volume):
    pinned, objects, head = volume.view("instance"), volume.labels, volume.at()
    with labelog.open(volume.address) as other:
        edit(other, "bo", "merge", 1, [2])
        assert bodies(other)[:2] == [1, 1]
        assert bodies(volume)[:2] == [1, 1], "another handle's merge is seen at once"
    assert bodies(pinned)[:2] == bodies(head)[:2] == [1, 2]
    assert (objects[2].id, volume.labels[2].id) == (2, 1)


# Facts and containment


def test_undo_beneath_an_undone_fact(volume):
    edit(volume, "ana", "assign", 1, name="ana's")
    edit(volume, "bo", "assign", 1, name="bo's")
    volume.undo("ana")
    assert volume.labels[1].name == "bo's"
    volume.undo("bo")
    assert volume.labels[1].name is None
    volume.redo("ana")
    assert volume.labels[1].name == "ana's"
    assert [volume.at(r).labels[1].name for r in range(6)[1:]] == [None, "ana's", "bo's", "bo's", None]
    sound(volume)


def test_fields_are_undone_one_by_one(volume):
    edit(volume, "ana", "assign", 1, name="a", cls="cell", weight=[1, {"b": 2}])
    edit(volume, "bo", "assign", 1, name="b")
    edit(volume, "bo", "assign", 1, weight=None)
    volume.undo("ana")
    label = volume.labels[1]
    assert (label.name, label.cls, label.attributes) == ("b", None, {})
    volume.undo("bo")
    volume.redo("ana")
    assert (volume.labels[1].name, volume.labels[1].attributes) == ("b", {"weight": [1, {"b": 2}]})


def test_reparenting_under_a_label_that_an_undo_removes(volume):
    with volume.edit("ana") as made:
        cell = made.new(cls="cell")
    edit(volume, "bo", "assign", 2, parent=cell)
    before = volume.revision
    with pytest.raises(Conflict, match=f"label 2 (lies in|names) label {cell}, which would be no more") as caught:
        volume.undo("ana")
    assert caught.value.label == 2
    assert (volume.revision, volume.commit(2).live, volume.labels[2].parent) == (before, True, cell)
    sound(volume)
    volume.undo("bo")
    volume.undo("ana")
    assert cell not in volume.labels
    with pytest.raises(Conflict, match="which would be no more"):
        volume.redo("bo")
    sound(volume)


def test_a_class_that_an_undo_removes(volume):
    edit(volume, "ana", "new_class", "thing")
    edit(volume, "bo", "assign", 2, cls="thing")
    with pytest.raises(Conflict, match="label 2 has class 5, which would be no more"):
        volume.undo("ana")
    volume.undo("bo")
    volume.undo("ana")
    with pytest.raises(Conflict, match="label 2 would have class 5, which is not there any more"):
        volume.redo("bo")
    sound(volume)


def test_undo_that_would_make_a_circle(volume):
    edit(volume, "ana", "assign", 2, parent=1)
    edit(volume, "bo", "assign", 2, parent=0)
    edit(volume, "bo", "assign", 1, parent=2)
    with pytest.raises(Conflict, match="its own ancestor"):
        volume.revert(3)
    with pytest.raises(Invalid, match="its own ancestor"):
        edit(volume, "ana", "assign", 2, parent=1)
    with pytest.raises(Invalid, match="its own ancestor"):
        edit(volume, "ana", "assign", 3, parent=3)
    assert volume.revision == 4
    sound(volume)


def test_a_merge_that_would_make_a_circle(volume):
    edit(volume, "ana", "assign", 2, parent=1)
    edit(volume, "ana", "assign", 3, parent=2)
    with pytest.raises(Invalid, match="its own ancestor"):
        edit(volume, "bo", "merge", 3, [1])
    edit(volume, "bo", "merge", 1, [3])  # 3 is 1 now, at the top
    assert volume.labels.children(1) == [2]
    edit(volume, "bo", "assign", 1, name="whole")
    sound(volume)


def test_undo_of_a_merge_that_would_make_a_circle(volume):
    """1 is its own body again once it is out of 3, and lies in 2 again, which lies in it."""
    edit(volume, "ana", "merge", 1, [4])
    edit(volume, "bo", "merge", 3, [4])
    edit(volume, "bo", "cleave", [1])
    edit(volume, "bo", "assign", 1, parent=2)
    volume.revert(4, by="lee")
    edit(volume, "bo", "assign", 2, parent=1)
    assert volume.labels[2].parent == 3
    with pytest.raises(Conflict, match="its own ancestor"):
        volume.revert(2, by="lee")
    assert volume.labels[1].id == 3
    sound(volume)


def test_an_edit_that_others_made_impossible_meanwhile(volume):
    with volume.edit("ana") as made:
        cell = made.new(cls="cell")
    late = volume.edit("bo")
    late.__enter__()
    late.assign(2, parent=cell)
    late[0, 7, 0] = 7
    volume.undo("ana")
    with pytest.raises(Invalid, match="which would be no more"):
        late.__exit__(None, None, None)
    assert (volume.revision, volume[0, 7, 0]) == (3, 0)


def test_a_refused_fact_leaves_the_edit_as_it_was(volume):
    with volume.edit("ana") as edit:
        edit.merge(1, [2])
        edit.assign(3, parent=1)
        with pytest.raises(Invalid):
            edit.assign(1, parent=3, name="lost")
        with pytest.raises(NotFound, match="there is no class 'no'; there are: cell, organelle, granule"):
            edit.assign(1, cls="no", name="lost")
        with pytest.raises(Invalid):
            edit.merge(3, [2])
        assert bodies(edit)[:3] == [1, 1, 3]
        edit.assign(1, cls="cell")
    assert (volume.labels[1].name, volume.labels[1].cls, volume.labels[3].parent) == (None, "cell", 1)
    sound(volume)


def test_children_of_what_was_merged_lie_in_the_body(volume):
    edit(volume, "ana", "assign", 3, parent=1)
    edit(volume, "ana", "assign", 4, parent=2)
    edit(volume, "ana", "assign", 5, parent=4)
    edit(volume, "bo", "merge", 1, [2])
    labels = volume.labels
    assert labels.children(2) == [3, 4]
    assert labels.subtree(1) == [1, 3, 4, 5]
    assert labels.ancestors(5) == [4, 1]
    assert (labels[1].voxels, labels[1].whole.voxels) == (8, 20)
    assert labels[1].box == Box((0, 1, 6), (1, 3, 10))
    assert labels[1].whole.box == Box((0, 1, 6), (1, 6, 10))
    assert labels[1].chunks == ((0, 0, 0), (0, 0, 1))
    assert labels[4].parent == 1
    volume.undo("bo")
    assert volume.labels.children(2) == [4]


def test_erase_gives_to_the_parent(volume):
    edit(volume, "ana", "assign", 2, parent=1)
    edit(volume, "ana", "merge", 1, [3])
    edit(volume, "ana", "assign", 4, parent=3)
    edit(volume, "bo", "erase", 2)
    assert row(volume.view("fragment"), 2) == [1] * 4
    edit(volume, "bo", "erase", 4, within=((0, 0, 0), (1, 8, 8)))
    assert row(volume, 4) == [1, 1, 4, 4]
    edit(volume, "bo", "erase", 1)
    assert row(volume, 1) == row(volume, 2) == row(volume, 3) == [0] * 4
    assert volume.labels[2].voxels == 0, "what is said of it stays"
    for _ in range(3):
        volume.undo("bo")
    assert bodies(volume)[:3] == [1, 2, 1]
    sound(volume)


def test_labels_may_come_as_numpy_gives_them(volume):
    cell = volume[0, 1, 6]
    assert isinstance(cell, np.uint64)
    with volume.edit("ana") as edit:
        edit.assign(volume[0, 2, 6], parent=cell, cls=np.uint8(1))
        edit.merge(cell, volume[0, 3:5, 6])
        made = edit.new(parent=cell, cls=np.int64(3))
        edit.merge_all(np.array([[5, 6]], np.uint16))
    assert bodies(volume) == [1, 2, 1, 1, 5, 5]
    assert volume.labels.children(cell) == [2, made]
    assert (volume.labels[np.uint64(2)].cls, volume.labels[made].cls) == ("cell", "granule")
    assert [label.id for label in volume.labels.where(parent=cell)] == [2, made]
    sound(volume)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cls": True}, "no class True"),
        ({"cls": 1.0}, "no class 1.0"),
        ({"cls": 9}, "no class 9; there are: cell"),
        ({"cls": [1]}, "no class"),
        ({"parent": -1}, "a label is from 0"),
        ({"parent": "x"}, "a whole number"),
        ({"parent": 77}, "no label 77: it has no voxels"),
        ({"name": 5}, "a text, not 5"),
        ({"weight": {1, 2}}, "attribute weight is something that JSON can say"),
        ({"weight": float("nan")}, "attribute weight is something that JSON can say"),
        ({"weight": ["\ud800"]}, "attribute weight is something that JSON can say"),
        ({"name": "\ud800"}, "a text, not"),
    ],
)
def test_what_can_not_be_said(volume, fields, message):
    with pytest.raises((Invalid, NotFound), match=message):
        edit(volume, "ana", "assign", 1, **fields)
    with pytest.raises((Invalid, NotFound), match=message):
        edit(volume, "ana", "new", **fields)
    assert volume.revision == 1
    sound(volume)


def test_strict_speaks_of_facts_too(volume):
    edit(volume, "ana", "assign", 1, name="a")
    edit(volume, "bo", "assign", 1, name="b")
    with pytest.raises(Conflict, match="name of label 1 was written again by revision 3") as caught:
        volume.undo("ana", strict=True)
    assert caught.value.revision == 3
    edit(volume, "ana", "assign", 2, name="a")
    with pytest.raises(Conflict, match="name of label 1"):  # ana's last edit is newer, but said nothing of it
        volume.revert(author="ana", by="lee", strict=True)
    assert volume.undo("ana", strict=True).targets == (4,)
    assert volume.undo("bo", strict=True).targets == (3,)


def test_sizes_and_boxes_at_every_revision(volume):
    with volume.edit("ana") as grown:
        grown[1, 7, 19] = 1
    edit(volume, "ana", "erase", 1, within=((1, 0, 0), (2, 8, 20)))
    edit(volume, "ana", "erase", 1, within=((0, 0, 0), (2, 8, 8)))
    edit(volume, "ana", "erase", 1)
    volume.undo("ana")
    found = [(label.voxels, label.box) for r in range(1, 5) for label in [volume.at(r).labels[1]]]
    small = Box((0, 1, 6), (1, 2, 10))
    half = Box((0, 1, 8), (1, 2, 10))
    assert found == [(4, small), (5, Box((0, 1, 6), (2, 8, 20))), (4, small), (2, half)]
    assert 1 not in volume.at(0).labels
    assert 1 not in volume.at(5).labels
    assert (volume.labels[1].voxels, volume.labels[1].box) == (2, half)
    with pytest.raises(NotFound, match="there is no label 1 at revision 5"):
        volume.at(5).labels[1]
    sound(volume)


# New labels


def test_new_labels_are_nobody_elses(volume):
    with volume.edit("ana") as first, pytest.raises(ZeroDivisionError):
        given_up = first.new()
        raise ZeroDivisionError
    with volume.edit("bo") as second:
        second[0, 7, 0] = 50
        made = second.new()
        assert made > 50, "what the edit itself paints is taken"
        second[0, 7, 1] = made
        second[0, 7, 2] = made + 1
        assert second.new() == made + 2
    with volume.edit("ana") as third:
        assert third.new() > made + 2 > given_up
    sound(volume)


def test_high_labels_do_not_disturb_new_ones(volume):
    with volume.edit("ana") as edit:
        edit[0, 7] = 2**64 - 1
        edit[1, 7] = 2**62
        assert edit.new() == 7
        edit.assign(2**63, name="far up")
    with volume.edit("ana") as edit:
        assert edit.new() == 8
        edit[1, 7] = 2**62 - 10
    with volume.edit("ana") as edit:
        assert edit.new() == 2**62 - 9
    sound(volume)


@pytest.mark.parametrize("label", [2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1])
def test_labels_about_the_sign_of_what_stores_them(volume, label):
    with volume.edit("ana") as edit:
        edit[0, 7] = label
        edit.assign(label, name="high")
    assert volume.view("fragment")[0, 7, 0] == volume.view()[0, 7, 0] == label
    assert (volume.view().dtype, volume.labels[label].name) == (np.uint64, "high")
    assert volume.labels.where(name="high")[0].voxels == volume.shape[2]
    sound(volume)


def made(volume, who, labels):
    """So many new labels, each painted; some in edits that are given up."""
    volume = writers.opened(volume)
    found = []
    for number in range(labels):
        try:
            with volume.edit(f"writer-{who}") as edit:
                found += [edit.new(name=f"{who}"), edit.new()]
                edit[0, who, number] = found[-1]
                if number % 3 == 2:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    return found


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_no_label_is_given_twice(tmp_path, processes):
    with labelog.create(tmp_path / "v.labelog", (2, 8, 20), chunks=(2, 8, 8)) as volume:
        where = volume.address if processes else volume
        found = list(chain(*writers.together([(made, (where, who, 6)) for who in range(8)], processes=processes)))
        assert len(found) == len(set(found)) == 8 * 12
        sound(volume)


# What is found


def test_where(volume):
    edit(volume, "ana", "assign", 1, cls="cell", name="A")
    edit(volume, "ana", "assign", 2, cls="granule", parent=1, name="g")
    edit(volume, "ana", "assign", 3, cls="mitochondrion", parent=1)
    edit(volume, "ana", "assign", 4, cls="organelle", parent=2)
    edit(volume, "ana", "assign", 5, name="g")
    edit(volume, "ana", "merge", 1, [6])

    def found(**what):
        return [label.id for label in volume.labels.where(**what)]

    assert found() == [label.id for label in volume.labels] == [1, 2, 3, 4, 5]
    assert len(volume.labels) == 5
    assert found(cls="organelle") == found(cls=2) == [2, 3, 4], "kinds of it count"
    assert found(cls="granule") == [2]
    assert found(parent=1) == found(parent=6) == [2, 3]
    assert found(parent=0) == [1, 5]
    assert found(name="g") == [2, 5]
    assert found(name="g", parent=0) == [5]
    assert found(cls="organelle", parent=1, name="g") == [2]
    assert found(box=((0, 2, 0), (1, 4, 20))) == [2, 3]
    assert found(box=((0, 6, 0), (2, 8, 20))) == [1], "a fragment shows its body"
    assert found(box=((0, 0, 0), (2, 8, 6))) == []
    assert found(box=((0, 0, 0), (2, 8, 8)), cls="cell") == [1]
    assert found(after=2) == [3, 4, 5] and found(after=2, limit=2) == [3, 4] and found(limit=0) == []
    assert found(cls="organelle", after=2, limit=1) == [3] and found(parent=0, limit=2) == [1, 5]
    assert found(parent=0, after=1, limit=1) == [5] and found(after=5, limit=9) == found(after=2**64 - 1, limit=9) == []
    assert (6 in volume.labels, 7 in volume.labels, 0 in volume.labels, "x" in volume.labels) == (True, *[False] * 3)
    with pytest.raises(NotFound, match="no class 'x'"):
        found(cls="x")
    with pytest.raises(labelog.OutOfBounds):
        found(box=((0, 0, 0), (9, 9, 9)))
    assert "<Label 2, granule, 'g', in 1>" in repr(volume.labels[2])


def test_objects_in_pages(tmp_path):
    """Labels above 2^63, which are stored as negative numbers, are above all others; what is gone is passed over."""
    labels = [1, 2, 700, 2**63 - 1, 2**63, 2**63 + 5, 2**64 - 1]
    array = np.array([[[*labels, 0]]], np.uint64)
    with labelog.load(tmp_path / "v.labelog", array) as volume:
        with volume.edit("ana") as edit:
            edit.erase(2)
            edit.merge(2**63, [1])
            edit.assign(5, name="nowhere")
        there = [5, 700, 2**63 - 1, 2**63, 2**63 + 5, 2**64 - 1]
        for at, expected in ((0, labels), (1, there)):
            for size in (1, 2, 3, 9):
                found = [0]
                while page := volume.at(at).labels.where(after=found[-1], limit=size):
                    assert len(page) <= size
                    found += [label.id for label in page]
                assert found[1:] == expected, (at, size)
        assert [label.voxels for label in volume.labels.where(after=2**63 - 1, limit=1)] == [2]


def test_a_page_costs_no_more_than_it_has(tmp_path, monkeypatch):
    array = np.arange(1, 20_001, dtype=np.uint64).reshape(20, 20, 50)
    with labelog.load(tmp_path / "v.labelog", array, chunks=(4, 10, 10)) as volume:
        monkeypatch.setattr(labelog.engine.objects.Labels, "_all", None)  # which looks up all of them
        page = volume.labels.where(after=9_000, limit=10)
        assert [label.id for label in page] == list(range(9_001, 9_011)) and page[3].voxels == 1


def test_history_of_a_label(volume):
    edit(volume, "ana", "assign", 1, name="a")
    edit(volume, "ana", "assign", 2, parent=1)
    edit(volume, "ana", "merge", 3, [4])
    edit(volume, "ana", "cleave", 4)
    volume.undo("ana")
    found = {label: [c.revision for c in volume.history(label=label)] for label in range(1, 6)}
    assert found == {1: [3, 2, 1], 2: [3, 1], 3: [6, 5, 4, 1], 4: [6, 5, 4, 1], 5: [1]}
    box = ((0, 0, 0), (2, 8, 20))
    assert [c.revision for c in volume.history(label=1, box=box)] == [1]


def test_new_gives_no_label_that_the_edit_has_spoken_of(volume):
    with volume.edit("ana") as edit:
        edit.assign(7, name="mine")
        edit.assign(2**62, name="of my own kind")
        assert [edit.new(), edit.new()] == [8, 9]
        edit.assign(20, name="mine too")
        assert edit.new() == 21
    assert volume.labels[7].name == "mine"
    assert volume.labels[8].name is None
    sound(volume)


def test_keys_of_edits_of_the_table(volume):
    def merge(others, key):
        with volume.edit("ana", key=key) as edit:
            edit.merge(1, others)
            edit.assign(1, name="one")
        return edit.revision, edit.voxels

    assert merge([2], "k") == merge([2], "k") == (2, 0)
    with pytest.raises(Conflict, match="another edit"):
        merge([3], "k")
    assert merge([3], "l") == (3, 0)
    assert volume.revision == 3


# Views


def test_views(volume):
    edit(volume, "ana", "assign", 1, cls="cell")
    edit(volume, "ana", "assign", 2, cls="granule", parent=1)
    edit(volume, "ana", "assign", 3, parent=2)
    edit(volume, "ana", "merge", 4, [5])
    edit(volume, "ana", "assign", 5, cls="mitochondrion")  # speaks of the body, 4

    def shown(name):
        return volume.view(name)[0, 1:7, 6].tolist()

    assert shown("fragment") == [1, 2, 3, 4, 5, 6]
    assert shown("instance") == [1, 2, 3, 4, 4, 6]
    assert shown("semantic") == [1, 3, 3, 4, 4, 0]
    assert shown("cell") == [1, 1, 1, 0, 0, 0]
    assert shown("organelle") == [0, 2, 2, 4, 4, 0]
    assert shown("granule") == [0, 2, 2, 0, 0, 0]
    assert volume.at(2).view("semantic")[0, 1:7, 6].tolist() == [1, 0, 0, 0, 0, 0]
    with pytest.raises(NotFound, match="no view 'x'; there are instance, fragment, semantic, cell, organelle"):
        volume.view("x")


def test_dtypes_of_views(volume):
    assert volume.view("semantic").dtype == volume.view("fragment").dtype == np.uint8
    before = volume.view("fragment")
    with volume.edit("ana") as edit:
        edit[0, 7, :4] = 300
        edit[0, 7, 4:6] = 2**40
    assert volume.view("fragment").dtype == volume.view("cell").dtype == np.uint64, "no fact, but a label, is new"
    assert volume.view("semantic").dtype == np.uint8
    assert before[...].dtype == np.uint8
    small = volume.view("fragment", dtype="uint16")
    assert small[0, 1:7, 8].tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(Invalid, match=f"view fragment has the value {2**40}, which uint16 does not hold"):
        small[0, 7]
    with volume.edit("ana") as edit:
        edit[0, 7, :6] = 1
    assert volume.view("fragment", dtype="uint8")[0, 7, :6].tolist() == [1] * 6, "300 is there no more"
    assert volume.view("fragment", dtype=np.int8)[0, 1:7, 6].dtype == np.int8
    for dtype in ("float32", "bool", "no dtype", ">u4", "-1:2,:", "(1,i4", object):
        with pytest.raises(Invalid, match="a view is of an integer dtype"):
            volume.view("fragment", dtype=dtype)
    out = np.empty((1, 1, 4), np.uint8)
    assert volume.view("semantic").read(((0, 1, 6), (1, 2, 10)), out) is out
    with pytest.raises(Invalid, match="out must be a uint8 array"):
        volume.view("semantic").read(((0, 1, 6), (1, 2, 10)), np.empty((1, 1, 4), np.uint16))


def test_views_travel(volume):
    edit(volume, "ana", "merge", 1, [2])
    view = volume.view("instance", dtype="uint32", unannotated=255)
    again = pickle.loads(pickle.dumps(view))
    edit(volume, "bo", "merge", 1, [3])
    assert (again.revision, again.dtype, again.name) == (2, np.uint32, "instance")
    assert (np.asarray(again) == view[...]).all()
    assert again == view != volume.view("instance", dtype="uint32", unannotated=255)
    lazy = dask.array.from_array(view, chunks=view.chunks)
    assert lazy.dtype == np.uint32
    assert (lazy.compute(scheduler="threads") == view[...]).all()
    assert lazy.name == dask.array.from_array(again, chunks=again.chunks).name


# Tables


@pytest.fixture
def labelled(volume):
    with volume.edit("ana") as edit:
        edit[1, 0, 0] = 2**64 - 1
        edit.assign(1, cls="cell", name='a "cell", or so', weight=1.5, tags=["x"])
        edit.assign(2**64 - 1, parent=1)
        edit.assign(77, name="no voxels")
        edit.merge(3, [4])
    return volume


def test_table_as_csv_and_json(labelled):
    rows = list(csv.DictReader(io.StringIO(labelled.labels.to_csv())))
    assert [r["label"] for r in rows] == ["1", "2", "3", "5", "6", "77", str(2**64 - 1)]
    one, three, last = rows[0], rows[2], rows[-1]
    assert (one["class"], one["name"], one["voxels"]) == ("cell", 'a "cell", or so', "4")
    assert json.loads(one["attributes"]) == {"weight": 1.5, "tags": ["x"]}
    assert [three[c] for c in ("voxels", "z0", "y0", "x0", "z1", "y1", "x1")] == ["8", "0", "3", "6", "1", "5", "10"]
    assert (rows[-2]["voxels"], rows[-2]["z0"], last["parent"]) == ("0", "", "1")
    loaded = json.loads(labelled.labels.to_json())
    assert [r["label"] for r in loaded] == [r["label"] for r in rows]
    assert (loaded[0]["attributes"], loaded[-2]["z0"]) == ({"weight": 1.5, "tags": ["x"]}, None)
    assert labelled.at(1).labels.to_csv().count("\n") == 7


def test_table_in_pandas_and_arrow(labelled):
    frame = labelled.labels.to_pandas()
    assert frame["label"].tolist() == [1, 2, 3, 5, 6, 77, 2**64 - 1]
    assert frame["label"].dtype == frame["voxels"].dtype == np.uint64
    assert frame["voxels"].tolist() == [4, 4, 8, 4, 4, 0, 1]
    table = labelled.labels.to_arrow()
    assert table.schema.field("label").type == pyarrow.uint64()
    assert table["label"].to_pylist() == frame["label"].tolist()
    assert table["z0"].to_pylist() == [0, 0, 0, 0, 0, None, 1]
    assert json.loads(table["attributes"][0].as_py()) == {"weight": 1.5, "tags": ["x"]}
    assert labelled.at(0).labels.to_pandas().empty
    assert labelled.at(0).labels.to_arrow().num_rows == 0


# Regions


def test_unannotated(volume):
    mask = np.zeros((1, 2, 4), bool)
    mask[0, :, ::2] = True
    with volume.edit("ana") as edit:
        edit.set_region("seen", "annotated", ((0, 0, 4), (1, 3, 12)))
        edit.set_region("dotted", "gold", ((0, 6, 0), (1, 8, 4)), mask)
        edit.set_region("torn", "ignore", ((0, 1, 8), (1, 4, 9)))
    expected = np.full((2, 8, 20), 255)
    labels = volume[...].astype(int)
    expected[0, :3, 4:12] = 0
    expected[0, 6:8, 0:4:2] = 0
    expected[labels > 0] = labels[labels > 0]
    expected[0, 1:4, 8] = 255
    view = volume.view("instance", unannotated=255)
    assert view.dtype == np.uint8
    assert (view[...] == expected).all()
    assert (view[0, 1:7, 5:9] == expected[0, 1:7, 5:9]).all()
    assert (view[::1, 2, ::3] == expected[::1, 2, ::3]).all()
    assert (view[[0, 1, 0], [1, 1, 6], [8, 0, 1]] == expected[[0, 1, 0], [1, 1, 6], [8, 0, 1]]).all()
    assert view[0, 0, 4] == 0
    assert volume.view("instance", unannotated=300).dtype == np.uint16
    assert (np.asarray(volume.at(1).view(unannotated=255)) == np.where(labels, labels, 255)).all()
    assert (volume.regions["dotted"].voxels, volume.regions["seen"].voxels) == (4, 24)
    assert (volume.regions["dotted"].mask == mask).all()
    for value, message in (
        (256, "uint8 does not hold unannotated=256"),
        (-1, "from 0"),
        (True, "not True"),
        (1.0, "1.0"),
    ):
        with pytest.raises(Invalid, match=message):
            volume.view("instance", dtype="uint8", unannotated=value)


def test_regions_change_and_go(volume):
    box = ((0, 0, 0), (1, 2, 3))
    edit(volume, "ana", "set_region", "a", "gold", box)
    edit(volume, "bo", "set_region", "a", "ignore", ((0, 0, 0), (2, 8, 20)))
    volume.undo("ana")
    assert volume.regions["a"].kind == "ignore"
    volume.undo("bo")
    assert volume.regions == {}
    volume.redo("ana")
    assert volume.regions["a"].box == Box(*box)
    edit(volume, "ana", "remove_region", "a")
    assert volume.regions == {}
    with pytest.raises(NotFound, match="no region 'a'; there are: none"):
        edit(volume, "ana", "remove_region", "a")
    for arguments, message in [
        (("", "gold", box), "a line of text, not ''"),
        (("b", "silver", box), "one of annotated, gold, ignore, not 'silver'"),
        (("b", "gold", ((0, 0, 0), (0, 1, 1))), "has none"),
        (("b", "gold", box, np.ones((1, 1, 1), bool)), r"shape \(1, 2, 3\), not bool of shape \(1, 1, 1\)"),
        (("b", "gold", box, np.ones((1, 2, 3))), "boolean array"),
        (("b", "gold", ((0, 0, 0), (3, 1, 1))), "volume"),
    ]:
        with pytest.raises(Invalid, match=message):
            edit(volume, "ana", "set_region", *arguments)
    sound(volume)


# Classes


def test_classes_added_renamed_undone(volume):
    with volume.edit("ana") as edit_:
        core = edit_.new_class("core", kind_of="granule", within=("granule", "core"), colour="#010101")
        edit_.assign(1, cls="core")
    assert core == 5
    edit(volume, "bo", "assign_class", "core", name="dense core")
    assert volume.classes["dense core"] == LabelClass(5, "dense core", "#010101", "granule", ("granule", "dense core"))
    assert volume.labels[1].cls == "dense core"
    edit(volume, "bo", "assign_class", "organelle", name="part")
    assert volume.classes["granule"].kind_of == "part"
    assert [label.id for label in volume.labels.where(cls="part")] == [1]
    volume.undo("bo")
    volume.undo("bo")
    assert volume.at(2).classes == volume.classes
    edit(volume, "bo", "assign", 2, cls="core")
    with pytest.raises(Conflict, match=r"label 2 (has|would have) class 5, which"):
        volume.undo("ana")
    volume.undo("bo")
    volume.undo("ana")
    assert "core" not in volume.classes
    edit(volume, "bo", "new_class", "core", id=9)
    with pytest.raises(Conflict, match="'core' is there twice"):
        volume.redo("ana")
    sound(volume)


def test_two_people_change_one_class(volume):
    """One renames, the other colours, at the same time: both count."""
    with volume.edit("ana") as ana:
        ana.assign_class("cell", colour="#020202")
        edit(volume, "bo", "assign_class", "cell", name="platelet")
    assert volume.classes["platelet"].colour == "#020202"
    volume.undo("bo")
    assert volume.classes["cell"].colour == "#020202"
    volume.undo("ana")
    assert volume.classes == {entry.name: entry for entry in CLASSES}


def test_classes_that_do_not_go_together(volume):
    for method, arguments, fields, message in [
        ("new_class", ["cell"], {}, "'cell' is there twice"),
        ("new_class", ["x"], {"id": 1}, "there is a class 1 already: 'cell'"),
        ("new_class", ["x"], {"id": -1}, "found -1"),
        ("new_class", ["x"], {"within": "cell"}, "within is a list of names of classes; found 'cell'"),
        ("new_class", ["x"], {"within": 5}, "within is a list of names of classes; found 5"),
        ("new_class", ["semantic"], {}, "there is a view of that name"),
        ("new_classes", [[5]], {}, "expected a list of LabelClass; found 5"),
        ("new_classes", [5], {}, "expected a list of LabelClass; found 5"),
        ("new_classes", [[LabelClass(9, "x", within="cell")]], {}, "within is a list of names of classes"),
        ("assign_class", ["cell"], {"within": "cell"}, "within is a list of names of classes; found 'cell'"),
        ("assign_class", ["cell"], {"name": "fragment"}, "there is a view of that name"),
        ("new_class", [" "], {}, "a line of text"),
        ("new_class", ["x"], {"kind_of": "y"}, "'x' names 'y'; there is no class"),
        ("new_class", ["x"], {"colour": "#0101E0ff"}, "that of 'cell'"),
        ("assign_class", ["organelle"], {"kind_of": "granule"}, "is a kind of"),
        ("assign_class", ["granule"], {"name": "cell"}, "there twice"),
        ("assign_class", ["x"], {"name": "y"}, "no class 'x'"),
    ]:
        with pytest.raises((Invalid, NotFound), match=message):
            edit(volume, "ana", method, *arguments, **fields)
    assert volume.revision == 1
    edit(volume, "ana", "new_classes", [LabelClass(1, "body"), LabelClass(7, "x", within=("body",))])
    assert list(volume.classes) == ["body", "organelle", "granule", "mitochondrion", "x"]
    assert volume.classes["body"].colour is None


# Loading


def test_load_with_a_table(tmp_path):
    labels = np.arange(2 * 8 * 8).reshape(2, 8, 8) // 32
    table = {1: {"cls": "cell", "name": "one", "parent": 0},
             np.uint64(2): {"parent": np.uint64(1), "cls": 3, "score": 0.5}}  # fmt: skip
    with labelog.load(tmp_path / "v.labelog", labels, chunks=(1, 8, 4), classes=CLASSES, table=table,
                      merges=np.array([[2, 3]])) as volume:  # fmt: skip
        assert np.unique(volume).tolist() == [0, 1, 2]
        assert repr(list(volume.labels)) == "[<Label 1, cell, 'one'>, <Label 2, granule, in 1>]"
        assert volume.labels[3].voxels == 64
        assert volume.labels[2].attributes == {"score": 0.5}
        with volume.edit("ana") as edit:
            edit.cleave(3)
            assert edit.new() == 4
        assert np.unique(volume.view("cell")).tolist() == [0, 1]
        assert volume.labels[3].parent == 0
        sound(volume)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"table": {7: 5}}, "label 7: expected what is known of it by name, not 5"),
        ({"table": [(1, 2, 3)]}, "a table is label -> what is known of it"),
        ({"table": 5}, "a table is label -> what is known of it"),
        ({"table": {1: {"cls": "cell"}}}, "there is no class 'cell'; there are: none"),
        ({"table": {0: {"name": "x"}}}, "label 0 is background"),
        ({"table": {1: {"parent": 1}}}, "its own ancestor"),
        ({"table": {1: {"parent": 2}, 2: {"parent": 1}}}, "its own ancestor"),
        ({"table": {1: {"parent": 2}}, "merges": [(1, 2)]}, "its own ancestor"),
        ({"merges": [(1, 1)]}, "label 1 can't be merged with itself"),
        ({"merges": [(1,)]}, "in pairs"),
        ({"merges": 5}, "in pairs"),
        ({"merges": [(0, 1)]}, "label 0 is background"),
        ({"classes": [LabelClass(1, "a"), LabelClass(2, "a")]}, "'a' is there twice"),
        ({"classes": "no such file"}, "does not exist"),
    ],
)
def test_a_table_that_can_not_be_loaded_leaves_nothing(tmp_path, more, message):
    with pytest.raises((Invalid, NotFound), match=message):
        labelog.load(tmp_path / "v.labelog", np.ones((2, 8, 8), int), **more)
    assert list(tmp_path.iterdir()) == []


def test_fragments_of_a_fly(tmp_path, data):
    """Real fragments and the bodies that they make: what is shown is the array mapped by the table."""
    with h5py.File(data / "fib25/groundtruth.h5") as file:
        stack, transforms = file["stack"][...], file["transforms"][...]
    bodies = dict(transforms.tolist())
    first = {}
    for fragment, body in bodies.items():
        if fragment:
            first.setdefault(body, fragment)
    pairs = [(first[body], fragment) for fragment, body in bodies.items() if fragment and first[body] != fragment]
    expected = np.zeros(stack.max() + 1, np.uint64)
    for fragment, body in bodies.items():
        expected[fragment] = first[body] if fragment else 0
    with labelog.load(tmp_path / "fly.labelog", stack, merges=pairs) as volume:
        assert (volume[...] == expected[stack]).all()
        assert (volume.view("fragment")[...] == stack).all()
        largest, second = np.argsort(np.bincount(expected[stack[stack > 0]].astype(int)))[:-3:-1].tolist()
        members = np.flatnonzero(expected == largest)
        assert volume.labels[largest].fragments == members.tolist()
        assert volume.labels[largest].voxels == np.isin(stack, members).sum()
        edit(volume, "ana", "merge", second, [largest])
        edit(volume, "bo", "cleave", members[3])
        expected[members] = second
        expected[members[3]] = members[3]
        assert (volume[...] == expected[stack]).all()
        volume.undo("ana")
        expected[members] = largest
        expected[members[3]] = members[3]
        assert (volume[...] == expected[stack]).all()
        assert (volume.at(0)[100:110] == np.where(np.isin(stack, members), largest, expected[stack])[100:110]).all()
        sound(volume)


def test_statistics_of_a_region(volume):
    """As NumPy counts the instance labels in its box, or where its mask is."""
    mask = np.random.default_rng(4).integers(0, 2, (2, 5, 9)).astype(bool)
    with volume.edit("ana") as edit:
        edit[0:2, 1:4, 2:9], edit[0, 5:7, 1:6] = 1, 2
        edit.merge(1, 2)
        edit.set_region("all of it", "gold", ((0, 0, 0), volume.shape))
        edit.set_region("some", "annotated", ((0, 2, 1), (2, 7, 10)), mask)
    seen = volume[...]
    for name, inside in (("all of it", seen), ("some", seen[0:2, 2:7, 1:10][mask])):
        labels, voxels = np.unique(inside, return_counts=True)
        assert volume.labels.voxels_in(name) == dict(zip(labels.tolist(), voxels.tolist(), strict=True))
    assert set(volume.labels.voxels_in("some")) >= {0, 1}
    with pytest.raises(NotFound, match="no region 'none such'; there are: all of it, some"):
        volume.labels.voxels_in("none such")
