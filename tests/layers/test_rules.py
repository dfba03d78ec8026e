"""Each rule, and each kind of disagreement, on one row of voxels."""

from __future__ import annotations

import numpy as np
import pytest

from labelog.engine.classes import LabelClass
from labelog.errors import Invalid
from labelog.formats import Stack
from labelog.layers import combine

CELL, MITO, ALPHA, VESSEL, BODY, CORE = range(1, 7)


def row(combined):
    return np.concatenate(list(combined.slabs()))[0, 0].tolist()


def told(combined):
    """Kind, object, what was found, voxels, what was done."""
    return [(one.kind, one.name, one.found, one.voxels, one.done) for one in combined.report.disagreements]


def test_an_object_has_the_class_of_most_of_its_voxels(together):
    layers = {"semantic": [CELL, ALPHA, ALPHA, VESSEL, CELL], "cell": [9, 9, 9, 9, 9], "organelle": [0, 5, 5, 5, 0]}
    combined = together(**layers)
    assert row(combined) == [9, 5, 5, 5, 9]
    assert combined.table == {5: {"cls": "alpha granule", "parent": 9}, 9: {"cls": "cell"}}
    assert told(combined) == [("class", "organelle 5", "canalicular vessel", 1, "kept")]
    combined = together(**layers, trust="semantic")
    assert row(combined) == [9, 5, 5, 10, 9]
    assert combined.table[10] == {"cls": "canalicular vessel", "parent": 9}
    assert told(combined) == [("class", "organelle 5", "canalicular vessel", 1, "now a new canalicular vessel")]


def test_an_organelle_of_no_kind_is_an_organelle(together, views):
    layers = {"semantic": [CELL, CELL, VESSEL, 0, 0, 0], "cell": [9] * 6, "organelle": [0, 5, 5, 5, 5, 5]}
    combined = together(**layers)
    assert combined.table[5] == {"cls": "organelle", "parent": 9}
    assert views(combined)["organelle"].ravel().tolist() == layers["organelle"]
    assert told(combined) == [
        ("class", "organelle 5", "background", 3, "kept"),
        ("class", "organelle 5", "canalicular vessel", 1, "kept"),
        ("class", "organelle 5", "cell", 1, "kept"),
    ]
    combined = together(**layers, trust="semantic")
    assert row(combined) == [9, 9, 5, 0, 0, 0]
    assert combined.table[5] == {"cls": "canalicular vessel", "parent": 9}
    assert told(combined) == [
        ("class", "organelle 5", "background", 3, "now background"),
        ("class", "organelle 5", "cell", 1, "now cell 9"),
    ]


@pytest.mark.parametrize("trust", ["instance", "semantic"])
def test_a_granule_of_body_and_core_is_a_granule_with_a_core(together, trust):
    semantic = [CELL, BODY, CORE, CORE, CORE, BODY, CORE, CELL]
    combined = together(semantic, trust, cell=[3] * 8, organelle=[0, 5, 5, 5, 5, 5, 5, 0])
    assert row(combined) == [3, 5, 6, 6, 6, 5, 7, 3]
    assert combined.table[5] == {"cls": "dense granule body", "parent": 3}
    assert combined.table[6] == combined.table[7] == {"cls": "dense granule core", "parent": 5}
    assert told(combined) == []
    assert [str(part) for part in combined.report.parts] == [
        "organelle 5: 3 of 6 voxels are dense granule core, object 6",
        "organelle 5: 1 of 6 voxels are dense granule core, object 7",
    ]


def test_a_core_in_something_else_is_none(together):
    layers = {"semantic": [ALPHA, CORE, ALPHA, CORE], "cell": [9] * 4, "organelle": [5, 5, 5, 0]}
    combined = together(**layers)
    assert row(combined) == [5, 5, 5, 9]
    assert told(combined) == [
        ("no object", "cell 9", "dense granule core", 1, "now cell 9"),
        ("class", "organelle 5", "dense granule core", 1, "kept"),
    ]
    combined = together(**layers, trust="semantic")
    assert row(combined) == [5, 10, 5, 11]
    assert combined.table[10] == combined.table[11] == {"cls": "dense granule core", "parent": 9}
    assert told(combined) == [
        ("no object", "cell 9", "dense granule core", 1, "now a new dense granule core"),
        ("class", "organelle 5", "dense granule core", 1, "now a new dense granule core"),
        ("outside", "new 10", "cell 9", 1, "parent cell 9"),
        ("outside", "new 11", "cell 9", 1, "parent cell 9"),
    ]


def test_organelles_that_no_object_stands_for(together):
    layers = {"semantic": [ALPHA, ALPHA, CELL, ALPHA, 0, MITO], "cell": [9] * 4 + [0] * 2, "organelle": [0] * 6}
    combined = together(**layers)
    assert row(combined) == [9, 9, 9, 9, 0, 0]
    assert told(combined) == [
        ("no object", "cell 9", "alpha granule", 3, "now cell 9"),
        ("no object", "(none)", "mitochondrion", 1, "now background"),
    ]
    combined = together(**layers, trust="semantic")
    assert row(combined) == [10, 10, 9, 11, 0, 12]
    assert combined.table[10] == combined.table[11] == {"cls": "alpha granule", "parent": 9}
    assert combined.table[12] == {"cls": "mitochondrion"}
    assert told(combined)[0] == ("no object", "cell 9", "alpha granule", 3, "now a new alpha granule")


def test_cells_and_their_background(together, views):
    layers = {"semantic": [0, CELL, CELL, 0, CELL], "cell": [7, 7, 0, 0, 0]}
    combined = together(**layers)
    assert row(combined) == [7, 7, 0, 0, 0]
    assert told(combined) == [
        ("no object", "(none)", "cell", 2, "now background"),
        ("class", "cell 7", "background", 1, "kept"),
    ]
    combined = together(**layers, trust="semantic")
    assert row(combined) == [0, 7, 8, 0, 9]
    assert views(combined)["semantic"].ravel().tolist() == layers["semantic"]
    assert told(combined) == [
        ("no object", "(none)", "cell", 2, "now a new cell"),
        ("class", "cell 7", "background", 1, "now background"),
    ]


def test_an_organelle_across_cells_belongs_to_that_of_most_of_its_voxels(together):
    combined = together(cell=[1, 1, 1, 2, 2, 0, 2], organelle=[0, 5, 5, 5, 0, 6, 0])
    assert row(combined) == [1, 5, 5, 5, 2, 6, 2]
    assert combined.table[5] == {"cls": "organelle", "parent": 1}
    assert combined.table[6] == {"cls": "organelle"}
    assert told(combined) == [
        ("across", "organelle 5", "cell 2", 1, "parent cell 1"),
        ("outside", "organelle 6", "nothing around", 1, "no parent"),
    ]


def test_an_organelle_sticking_out_has_its_cell(together):
    combined = together(cell=[1, 1, 0, 0, 0], organelle=[0, 5, 5, 5, 0])
    assert combined.table[5]["parent"] == 1
    assert told(combined) == [("outside", "organelle 5", "nothing around", 2, "parent cell 1")]


def test_semantic_alone_becomes_instances(together):
    semantic = [CELL, ALPHA, ALPHA, VESSEL, CELL, 0, BODY, CORE, BODY, CELL, 0, CORE]
    combined = together(semantic)
    assert row(combined) == [1, 3, 3, 4, 1, 0, 5, 6, 5, 2, 0, 7]
    assert combined.table == {
        1: {"cls": "cell"}, 2: {"cls": "cell"}, 3: {"cls": "alpha granule", "parent": 1},
        4: {"cls": "canalicular vessel", "parent": 1}, 5: {"cls": "dense granule body", "parent": 2},
        6: {"cls": "dense granule core", "parent": 5}, 7: {"cls": "dense granule core"},
    }  # fmt: skip
    assert told(combined) == [("outside", "new 7", "nothing around", 1, "no parent")]


def test_semantic_and_organelles_make_cells(together):
    combined = together([CELL, ALPHA, 0, ALPHA, CELL], organelle=[0, 5, 5, 5, 0])
    assert row(combined) == [6, 5, 5, 5, 7]
    assert combined.table[5] == {"cls": "alpha granule", "parent": 6}
    assert told(combined) == [("class", "organelle 5", "background", 1, "kept")]


def test_labels_are_kept_unless_they_are_taken(together):
    combined = together(cell=[1, 1, 2, 2], organelle=[1, 0, 7, 2])
    assert row(combined) == [8, 1, 7, 9]
    assert combined.report.renumbered == {"organelle": {1: 8, 2: 9}}
    assert "organelle: 2 labels were taken, and are new ones: 1 is 8, 2 is 9" in str(combined.report)
    top = 2**64 - 1
    combined = together(cell=np.array([[[top, 1]]], np.uint64), organelle=np.array([[[0, 1]]], np.uint64))
    assert row(combined) == [top, 2]


def test_what_has_no_voxel_left_is_named(together):
    combined = together([CELL, CELL], "semantic", cell=[1, 1], organelle=[0, 5])
    assert 5 not in combined.table
    assert combined.report.lost == ["organelle 5"]
    assert "organelle 5 has no voxels left" in str(combined.report)


def test_a_cell_that_its_organelle_covers_is_in_the_table(together):
    combined = together(cell=[1, 1], organelle=[5, 5])
    assert combined.table == {1: {"cls": "cell"}, 5: {"cls": "organelle", "parent": 1}}


def test_a_layer_for_one_kind_lies_over_that_of_all(together):
    combined = together([CELL, MITO, MITO, ALPHA], cell=[1] * 4, organelle=[0, 0, 2, 3], mitochondrion=[0, 8, 8, 0])
    assert row(combined) == [1, 8, 8, 3]
    assert combined.table[8] == {"cls": "mitochondrion", "parent": 1}
    assert told(combined) == [("hidden", "organelle 2", "mitochondrion 8", 1, "now mitochondrion 8")]


def test_components_go_round_corners_and_through_slabs(classes):
    semantic = np.zeros((5, 3, 3), np.uint8)
    semantic[0, :, :] = semantic[:, 0, 0] = semantic[4, 0, :] = CELL
    semantic[2, 2, 2] = CELL
    for depth in (1, 2, 5):
        combined = combine(Stack.of(semantic), {}, classes, depth=depth)
        labels = np.concatenate(list(combined.slabs()))
        np.testing.assert_array_equal(labels == 1, (semantic > 0) & (labels != 2))
        assert labels[2, 2, 2] == 2 and len(combined.table) == 2


def test_components_that_meet_in_a_later_slab_are_one(classes):
    semantic = np.array([[[1, 0, 1, 0, 1]], [[1, 0, 1, 0, 1]], [[1, 1, 1, 0, 1]]], np.uint8)
    for depth in (1, 2, 3):
        labels = np.concatenate(list(combine(Stack.of(semantic), {}, classes, depth=depth).slabs()))
        assert labels[0, 0].tolist() == [1, 0, 1, 0, 2]


def test_other_classes(together):
    def run(classes, semantic, **objects):
        stacks = {name: Stack.of(np.array([[labels]])) for name, labels in objects.items()}
        return combine(Stack.of(np.array([[semantic]])), stacks, classes)

    anywhere = [
        LabelClass(1, "cell", within=()),
        LabelClass(2, "debris"),
        LabelClass(3, "spot", within=("cell", "spot")),
    ]
    combined = run(anywhere, [2, 2, 1, 3], cell=[0, 7, 7, 7])
    assert row(combined) == [8, 9, 7, 10]
    assert combined.table[8] == {"cls": "debris"}
    assert combined.table[9] == {"cls": "debris", "parent": 7}
    assert combined.table[10] == {"cls": "spot", "parent": 7}
    loose = [LabelClass(1, "thing", kind_of="kind"), LabelClass(2, "kind"), LabelClass(3, "dot", within=("kind",))]
    combined = run(loose, [1, 3, 3], thing=[4, 4, 0])
    assert row(combined) == [4, 5, 6]
    assert combined.table[5] == {"cls": "dot", "parent": 4}
    assert told(combined) == [("outside", "new 6", "nothing around", 1, "no parent")]


def test_what_is_refused(together, classes):
    with pytest.raises(
        Invalid, match=r"layer organelle has shape \(1, 1, 3\); expected \(1, 1, 2\), as layer cell has"
    ):
        together(cell=[1, 1], organelle=[0, 1, 0])
    with pytest.raises(Invalid, match="layer 'nucleus': expected semantic, image or a class; the classes are: cell"):
        together(nucleus=[1])
    with pytest.raises(Invalid, match="layer 'background'"):
        together(background=[1])
    with pytest.raises(
        Invalid, match=r"9 is the id of no class; the first voxel .* is \(0, 0, 1\); the classes are: 0"
    ):
        together([1, 9, 9])
    with pytest.raises(Invalid, match="trust: expected instance or semantic; found 'both'"):
        together([1], trust="both")
    with pytest.raises(Invalid, match="expected a semantic layer, or a layer of objects"):
        combine(None, {}, classes)
    with pytest.raises(Invalid, match="not negative"):
        together(cell=[-1, 2])
    with pytest.raises(Invalid, match="names 'b'"):
        combine(Stack.of(np.ones((1, 1, 1), int)), {}, [LabelClass(1, "a", kind_of="b")])
