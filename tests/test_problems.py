"""What is wrong with objects: each kind by hand, and all of them beside a twin that has SciPy's components."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import labelog
import oracles
from conftest import examples
from labelog import Invalid, NotFound
from labelog.engine.classes import LabelClass
from labelog.engine.problems import Problem

CLASSES = [
    LabelClass(1, "cell", within=()),
    LabelClass(2, "organelle", within=("cell",)),
    LabelClass(3, "granule", kind_of="organelle", within=("cell",)),
    LabelClass(4, "core", within=("organelle",)),
    LabelClass(5, "thing"),
]


@pytest.fixture
def volume(tmp_path):
    with labelog.create(tmp_path / "v.labelog", (2, 6, 20), chunks=(1, 4, 7), classes=CLASSES) as volume:
        yield volume


def found(volume, **how):
    """(kind, label) of each problem."""
    return [(problem.kind, problem.label) for problem in volume.labels.problems(**how)]


def paint(volume, boxes, **facts):
    """Labels in boxes (y, x0, x1) of slice 0; then what they are."""
    with volume.edit("ana") as edit:
        for label, (y, x0, x1) in boxes:
            edit[0, y, x0:x1] = label
        for label, fields in facts.items():
            edit.assign(int(label[1:]), **fields)


def test_nothing_wrong(volume):
    assert found(volume) == []
    paint(volume, [(1, (1, 0, 20)), (2, (1, 4, 9))], _1={"cls": "cell"}, _2={"cls": "granule", "parent": 1})
    assert found(volume) == [], "what lies in a cell, and a kind of what may lie in it"


def test_empty(volume):
    with volume.edit("ana") as edit:
        edit.assign(7, cls="thing")
        outer = edit.new(cls="thing")
        edit[0, 0, 0] = inner = edit.new(cls="thing", parent=outer)
        hollow = edit.new(cls="thing")
        nothing = edit.new(cls="thing", parent=hollow)
    assert (outer, inner) == (8, 9)
    assert found(volume) == [("empty", 7), ("empty", hollow), ("empty", nothing)], "8 has what lies in it"
    with volume.edit("ana") as edit:
        edit[0, 0, 0] = 0
    assert found(volume) == [("empty", label) for label in (7, outer, inner, hollow, nothing)]
    assert Problem("empty", 7, "it has no voxels") in list(volume.labels.problems())


def test_disconnected(volume):
    paint(volume, [(1, (1, 0, 3)), (1, (1, 4, 5)), (1, (3, 3, 4)), (2, (5, 0, 20))],
          _1={"cls": "thing"}, _2={"cls": "thing"})  # fmt: skip
    assert list(volume.labels.problems()) == [Problem("disconnected", 1, "it is 3 pieces")]


def test_connectivity(volume):
    with volume.edit("ana") as edit:
        edit[0, 3, 6] = edit[0, 4, 7] = edit[1, 5, 8] = 1  # an edge, then a corner, across chunks
        edit.assign(1, cls="thing")
    for connectivity, message in ((6, "it is 3 pieces"), (18, "it is 2 pieces")):
        assert [p.message for p in volume.labels.problems(connectivity=connectivity)] == [message]
    assert found(volume, connectivity=26) == []
    with volume.edit("ana") as edit:
        edit[0, 5, 8] = edit.new(cls="thing", parent=1)  # shares a face with the last, an edge with the one before
    assert found(volume) == [("disconnected", 1)]
    assert found(volume, connectivity=18) == []
    with pytest.raises(Invalid, match="connectivity"):
        volume.labels.problems(connectivity=8)


def test_halves_that_an_organelle_joins(volume):
    paint(volume, [(1, (1, 0, 5)), (2, (1, 5, 9)), (1, (1, 9, 20))],
          _1={"cls": "cell"}, _2={"cls": "organelle", "parent": 1})  # fmt: skip
    assert found(volume) == []
    with volume.edit("ana") as edit:
        edit[0, 1, 6] = edit.new(cls="core", parent=2)
    assert found(volume) == [], "what lies in what lies in it joins it too"
    with volume.edit("ana") as edit:
        edit[0, 1, 7] = 0
    assert found(volume) == [("disconnected", 1), ("disconnected", 2)]


def test_two_objects_that_touch_are_not_one(volume):
    paint(volume, [(1, (1, 0, 5)), (2, (1, 5, 9)), (1, (1, 9, 20))], _1={"cls": "thing"}, _2={"cls": "thing"})
    assert found(volume) == [("disconnected", 1)]


def test_parts_that_are_apart_from_the_whole(volume):
    paint(volume, [(1, (1, 0, 5)), (2, (4, 5, 9))], _1={"cls": "cell"}, _2={"cls": "organelle", "parent": 1})
    assert list(volume.labels.problems()) == [Problem("disconnected", 1, "it is 2 pieces")]


def test_merged(volume):
    paint(volume, [(1, (1, 0, 5)), (2, (1, 5, 9)), (3, (4, 0, 2))],
          _1={"cls": "thing"}, _2={"cls": "thing"}, _3={"cls": "cell"})  # fmt: skip
    with volume.edit("ana") as edit:
        edit.merge(2, [1])
    assert found(volume) == [], "its fragments touch"
    with volume.edit("ana") as edit:
        edit.merge(3, [1])
    assert found(volume) == [("disconnected", 3)]
    with volume.edit("ana") as edit:
        edit[0, 2:4, 0] = edit.new(cls="organelle", parent=1)
    assert found(volume) == [], "and what lies in one of them joins them"
    assert [(p.kind, p.label) for p in volume.at(1).labels.problems()] == []
    assert [(p.kind, p.label) for p in volume.at(3).labels.problems()] == [("disconnected", 3)]


def test_unclassified(volume):
    paint(volume, [(1, (1, 0, 5)), (2, (1, 5, 9)), (3, (3, 0, 5))], _3={"cls": "thing"}, _2={"name": "two"})
    assert list(volume.labels.problems()) == [
        Problem("unclassified", 1, "it has no class"),
        Problem("unclassified", 2, "it has no class"),
    ]
    with volume.edit("ana") as edit:
        edit.merge(3, [1])
    assert ("unclassified", 1) not in found(volume), "merged, it has the class of the body"


@pytest.mark.parametrize(
    ("cls", "parent", "message"),
    [
        ("cell", None, None),
        ("cell", "thing", "a cell lies in no other object; it lies in label 9, of class thing"),
        ("cell", "", "a cell lies in no other object; it lies in label 9, of no class"),
        ("organelle", None, "an organelle lies in a cell; it lies in nothing"),
        ("organelle", "cell", None),
        ("organelle", "granule", "an organelle lies in a cell; it lies in label 9, of class granule"),
        ("organelle", "", "an organelle lies in a cell; it lies in label 9, of no class"),
        ("core", "organelle", None),
        ("core", "granule", None),
        ("core", "cell", "a core lies in an organelle; it lies in label 9, of class cell"),
        ("thing", None, None),
        ("thing", "cell", None),
        ("thing", "", None),
    ],
)
def test_misplaced(volume, cls, parent, message):
    paint(volume, [(1, (1, 0, 5))], _1={"cls": cls})
    if parent is not None:
        with volume.edit("ana") as edit:
            edit[0, 1, 5:9] = 9
            edit.assign(9, cls=parent or None)
            edit.assign(1, parent=9)
    assert [p.message for p in volume.labels.problems() if p.label == 1] == ([] if message is None else [message])


def test_several_classes_may_hold_it(volume):
    with volume.edit("ana") as edit:
        edit.assign_class("core", within=["organelle", "thing"])
        edit[0, 0, 0] = edit.new(cls="core")
    (problem,) = volume.labels.problems()
    assert problem.message == "a core lies in an organelle or a thing; it lies in nothing"
    with volume.edit("ana") as edit:
        edit.assign_class("core", within=None)
    assert found(volume) == []


def test_a_region(volume):
    paint(volume, [(1, (0, 0, 2)), (2, (1, 8, 12)), (3, (4, 15, 16))])
    with volume.edit("ana") as edit:
        edit.new()
        edit[0, 2, 18] = edit.new(parent=2)
        edit.set_region("here", "annotated", ((0, 0, 0), (1, 3, 11)))
        edit.set_region("corner", "gold", ((0, 0, 0), (1, 1, 3)), np.array([[[False, False, True]]]))
    assert found(volume, region="here") == [("unclassified", 1), ("unclassified", 2), ("disconnected", 2)], (
        "objects with own voxels there, looked at as a whole"
    )
    assert found(volume, region="corner") == [("unclassified", 1)], "the bounds of a region count, not its mask"
    with pytest.raises(NotFound, match="there is no region 'there'; there are: corner, here"):
        volume.labels.problems(region="there")
    with pytest.raises(NotFound):
        volume.at(1).labels.problems(region="here")


def test_progress(volume):
    paint(volume, [(1, (0, 0, 2)), (2, (1, 8, 12)), (3, (4, 15, 16))])
    seen = []
    list(volume.labels.problems(progress=lambda *done: seen.append(done)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_separate_is_what_helps(volume):
    paint(volume, [(1, (1, 0, 5)), (2, (1, 2, 3)), (1, (3, 0, 2)), (2, (3, 8, 9))],
          _1={"cls": "cell"}, _2={"cls": "organelle", "parent": 1})  # fmt: skip
    assert found(volume) == [("disconnected", 1), ("disconnected", 2)]
    with volume.edit("ana") as edit:
        edit.separate(2)
        edit.separate(1)
    assert found(volume) == []


# Any volumes, beside the twin


def twin(there, parents, classes, labels, connectivity):
    """Kinds and labels of problems, and how many pieces."""
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    kinds = {cls.id: {cls.name} | ({cls.kind_of} - {None}) for cls in CLASSES}
    within = {cls.name: cls.within for cls in CLASSES}
    names = {cls.id: cls.name for cls in CLASSES}
    for label in labels:
        cls, parent = classes.get(label), parents.get(label, 0)
        if cls is None:
            yield "unclassified", label, None
        elif (allowed := within[names[cls]]) is not None and (
            not (kinds.get(classes.get(parent), set()) & set(allowed)) if parent else allowed
        ):
            yield "misplaced", label, None
        count = ndimage.label(oracles.extent(there, parents, label), structure)[1]
        if count == 0:
            yield "empty", label, None
        elif count > 1:
            yield "disconnected", label, f"it is {count} pieces"


@examples(100)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 9)),
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6)),
    st.integers(0, 2**32),
    st.sampled_from([0.05, 0.3, 1]),
)
def test_as_the_twin(shape, chunks, seed, noise):
    rng = np.random.default_rng(seed)
    folder = Path(tempfile.mkdtemp(prefix="labelog-problems-"))
    coarse = rng.integers(0, 7, [-(-n // 3) for n in shape])
    array = coarse[np.ix_(*(np.arange(n) // 3 for n in shape))]
    array = np.where(rng.random(shape) < noise, rng.integers(0, 7, shape), array).astype(np.uint64)
    try:
        with labelog.load(folder / "v.labelog", array, chunks=chunks, classes=CLASSES) as volume:
            merges, parents, classes = [], {}, {}
            with volume.edit("ana") as edit:
                for label in range(1, 7):
                    cls = int(rng.integers(0, 6))
                    parent = int(rng.integers(0, label))
                    parent = parent if parent in volume.labels else 0
                    edit.assign(label, cls=cls or None, parent=parent)
                    parents[label] = parent
                    if cls:
                        classes[label] = cls
                for a, b in rng.integers(1, 7, (int(rng.integers(0, 3)), 2)).tolist():
                    try:
                        edit.merge(a, [b])
                    except (Invalid, NotFound):
                        continue
                    merges.append((a, b))
            bodies = {label: label for label in range(7)} | oracles.bodies(merges)
            there = np.array([bodies[label] for label in array.ravel().tolist()], np.uint64).reshape(shape)
            parents = {label: bodies[parent] for label, parent in parents.items() if bodies[label] == label}
            labels = [label.id for label in volume.labels]
            for connectivity in (6, 18, 26):
                expected = list(twin(there, parents, classes, labels, connectivity))
                problems = list(volume.labels.problems(connectivity=connectivity))
                assert [(p.kind, p.label) for p in problems] == [(kind, label) for kind, label, _ in expected]
                for problem, (_, _, message) in zip(problems, expected, strict=True):
                    assert message in (None, problem.message)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
