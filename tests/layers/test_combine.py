"""Layers against a slow twin, in every subset, at every depth of slabs; and what views and reports promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conftest import examples
from layers import twin

TRUST = ["instance", "semantic"]


@st.composite
def layers(draw):
    """Arrays of layers that agree about little; one or two may be missing."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4))
    has = draw(st.sampled_from([(1, 1, 1), (1, 1, 1), (1, 0, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1), (0, 0, 1)]))
    top = draw(st.sampled_from([(7, 2, 3), (6, 1, 1), (1, 2, 2)]))
    return [
        draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, n))) if there else None
        for there, n in zip(has, top, strict=True)
    ]


def label_of(combined, layer, number):
    return combined.report.renumbered.get(layer, {}).get(number, number)


@examples(300)
@given(layers=layers(), trust=st.sampled_from(TRUST), depth=st.integers(1, 4))
def test_as_the_twin_says(together, layers, trust, depth):
    semantic, cell, organelle = layers
    combined = together(semantic, trust, depth, cell=cell, organelle=organelle)
    labels = np.concatenate(list(combined.slabs()))
    leaf, classes, parents = twin.combined(semantic, cell, organelle, trust)
    label = {None: 0}
    for thing in leaf.values():
        while thing is not None and thing not in label:
            if isinstance(thing[1], frozenset):
                own = [voxel for voxel, other in leaf.items() if other == thing]
                label[thing] = int(labels[own[0]])
            else:
                label[thing] = label_of(combined, *thing)
            thing = parents[thing]
    expected = np.zeros(labels.shape, np.uint64)
    for voxel, thing in leaf.items():
        expected[voxel] = label[thing]
    np.testing.assert_array_equal(labels, expected)
    assert len(set(label.values())) == len(label)
    table = {number: {"cls": classes[thing]} | ({"parent": label[parents[thing]]} if parents[thing] else {})
             for thing, number in label.items() if thing}  # fmt: skip
    assert combined.table == table


@examples(150)
@given(layers=layers(), trust=st.sampled_from(TRUST))
def test_the_depth_of_slabs_changes_nothing(together, layers, trust):
    semantic, cell, organelle = layers
    results = [together(semantic, trust, depth, cell=cell, organelle=organelle) for depth in (1, 2, 4)]
    first, *others = results
    for other in others:
        assert other.table == first.table
        assert other.report.to_json() == first.report.to_json()
        np.testing.assert_array_equal(np.concatenate(list(other.slabs())), np.concatenate(list(first.slabs())))


@examples(200)
@given(layers=layers(), trust=st.sampled_from(TRUST), depth=st.integers(1, 3))
def test_wherever_views_differ_from_files_the_report_says_so(together, views, layers, trust, depth):
    """And it counts each voxel once."""
    semantic, cell, organelle = layers
    combined = together(semantic, trust, depth, cell=cell, organelle=organelle)
    seen = views(combined)
    marks = np.stack([combined.report.marks(z) & 127 for z in range(combined.shape[0])])
    if semantic is not None:
        differ = seen["semantic"] != semantic
        assert not (differ & (marks == 0)).any()
        assert trust == "instance" or not differ.any()
    for layer, array in (("cell", cell), ("organelle", organelle)):
        if array is not None:
            ids = np.array([label_of(combined, layer, number) if number else 0 for number in range(8)])
            assert not ((seen[layer] != ids[array]) & (marks == 0)).any()
    report = combined.report
    assert report.voxels == np.count_nonzero(marks) == sum(report.slices.values())
    assert report.slices == {z: int(n) for z, n in enumerate((marks != 0).sum(axis=(1, 2))) if n}
    for one in report.disagreements:
        assert one.voxels <= one.box.voxels
        assert all(a <= i < b for a, i, b in zip(one.box.start, one.example, one.box.stop, strict=True))
        if one.layer != "semantic":
            assert {"cell": cell, "organelle": organelle}[one.layer][one.example] == one.object
            assert marks[one.example]


@pytest.mark.parametrize("trust", TRUST)
def test_layers_that_agree_are_not_changed(together, views, trust):
    semantic = np.array([[[0, 1, 1, 3, 3, 1, 0, 1, 5, 6, 5]]])
    cell = np.array([[[0, 4, 4, 4, 4, 4, 0, 2, 2, 2, 2]]])
    organelle = np.array([[[0, 0, 0, 9, 9, 0, 0, 0, 8, 8, 8]]])
    combined = together(semantic, trust, cell=cell, organelle=organelle)
    seen = views(combined)
    np.testing.assert_array_equal(seen["semantic"], semantic)
    np.testing.assert_array_equal(seen["cell"], cell)
    np.testing.assert_array_equal(seen["organelle"], organelle)
    assert seen["instance"].tolist() == [[[0, 4, 4, 9, 9, 4, 0, 2, 8, 10, 8]]]
    assert combined.table == {
        2: {"cls": "cell"}, 4: {"cls": "cell"}, 8: {"cls": "dense granule body", "parent": 2},
        9: {"cls": "alpha granule", "parent": 4}, 10: {"cls": "dense granule core", "parent": 8},
    }  # fmt: skip
    assert combined.report.disagreements == [] and combined.report.voxels == 0
    assert str(combined.report).endswith("the layers agree")
