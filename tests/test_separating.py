"""Components made objects, many at once: beside one object at a time, and beside cc3d and scipy."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cc3d
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import labelog
from conftest import examples
from labelog import Invalid, NotFound
from labelog.engine.classes import LabelClass
from labelog.synthetic import Platelets

CLASSES = [LabelClass(1, "cell"), LabelClass(2, "organelle"), LabelClass(3, "granule", kind_of="organelle")]
CELL, ORGANELLE, CORE, OTHER = 1, 2, 3, 4


@pytest.fixture
def volume(tmp_path):
    """A cell in two parts, each with a part of an organelle; a core in the one on the left; another cell."""
    with labelog.create(tmp_path / "v", (2, 6, 24), chunks=(1, 4, 7), classes=CLASSES) as volume:
        with volume.edit("maker") as edit:
            edit[:, 0:4, 0:10] = edit[:, 0:4, 12:20] = CELL
            edit[:, 1:3, 2:8] = edit[:, 1:3, 14:17] = ORGANELLE
            edit[0, 1, 3:5] = CORE
            edit[1, 5, 0:3] = edit[0, 5, 20] = OTHER
            edit.assign(CELL, cls="cell", name="A")
            edit.assign(ORGANELLE, cls="granule", parent=CELL)
            edit.assign(CORE, parent=ORGANELLE)
        yield volume


def separate(volume, *arguments, **options):
    with volume.edit("ana") as edit:
        return edit.separate(*arguments, **options)


def parents(volume):
    return {label.id: label.parent for label in volume.labels}


def partition(array):
    """Labels numbered in the order in which they are met: the same for arrays that differ in names only."""
    values, first, inverse = np.unique(array, return_index=True, return_inverse=True)
    rank = np.zeros(len(values), int)
    rank[np.argsort(first)] = np.arange(len(values))
    return rank[inverse].reshape(array.shape), values[np.argsort(first)]


def test_all_objects_at_once(volume):
    before = volume.read()
    done = separate(volume)
    assert done == ((5, 6, 7), {5: 6}, (), 0), "the organelle's other part, the cell's, the other cell's"
    now = volume.read()
    assert (now[:, 1:3, 14:17] == 5).all() and now[0, 0, 13] == 6 and now[0, 5, 20] == 7
    assert (now[:, :, :10] == before[:, :, :10]).all()
    assert parents(volume) == {CELL: 0, ORGANELLE: CELL, CORE: ORGANELLE, OTHER: 0, 5: 6, 6: 0, 7: 0}
    assert volume.labels[5].cls == "granule" and volume.labels[6].cls == "cell"
    assert volume.check().problems == []
    assert separate(volume) == ((), {}, (), 0)
    assert volume.undo("ana").voxels == (now != before).sum()
    assert (volume.read() == before).all() and parents(volume)[ORGANELLE] == CELL and 5 not in volume.labels


def test_what_goes_along_goes_along_at_each_depth(volume):
    """The core lies in the organelle's other part, and this in the cell's."""
    with volume.edit("bo") as edit:
        edit[0, 1, 3:5] = ORGANELLE
        edit[0, 1, 14:16] = CORE
    done = separate(volume)
    assert done == ((5, 6, 7), {CORE: 5, 5: 6}, (), 0)
    assert parents(volume) == {CELL: 0, ORGANELLE: CELL, CORE: 5, OTHER: 0, 5: 6, 6: 0, 7: 0}


def test_of_a_class_and_of_labels(volume):
    assert separate(volume, cls="organelle") == ((5,), {}, (), 0), "granules are organelles"
    assert separate(volume, [OTHER, ORGANELLE]).labels == (6,)
    assert separate(volume, [CELL, ORGANELLE], cls="granule").labels == ()
    done = separate(volume, cls="cell")
    assert (done.labels, done.moved) == ((7,), {5: 7})
    assert separate(volume, []) == ((), {}, (), 0)


def test_dust_goes_to_what_it_lies_in(volume):
    before = volume.read()
    done = separate(volume, below=13)
    assert done.labels == (5,) and done.removed == 14 + 1 + 3
    now = volume.read()
    assert (now[:, 1:3, 14:17] == 5).all(), "the part of the organelle went to its cell, in the part that is 5 now"
    assert (now[:, 5] == 0).all()
    assert (now[0, 1, 3:5] == ORGANELLE).all()
    assert (now[:, :, :10] == np.where(before == CORE, ORGANELLE, before)[:, :, :10])[:, :5].all()
    volume.undo("ana")
    assert (volume.read() == before).all()


def test_what_lies_in_an_object_counts_with_it(volume):
    """Around the organelle the left part of the cell has 56 voxels, with it 80."""
    assert separate(volume, CELL, below=81).removed == 56 + 52
    assert (volume[:, 1:3, 2:8] != 0).all(), "it keeps its voxels"


def test_across_edges_and_corners(volume):
    with volume.edit("ana") as edit:
        edit[:] = 0
        edit[0, 3, 6] = edit[0, 4, 7] = edit[1, 5, 8] = 9
    for connectivity, count in ((26, 0), (18, 1), (6, 2)):
        with volume.edit("ana") as edit:
            assert len(edit.separate(connectivity=connectivity).labels) == count
        if count:
            volume.undo("ana")


def test_sees_what_is_staged_and_merged(volume):
    with volume.edit("ana") as edit:
        edit.merge(CELL, OTHER)
        edit[0, 0, 5] = 0
        edit[:, :, 22] = 11
        edit[:, 2:4, 22] = 0
        assert len(edit.separate(11).labels) == 1
        done = edit.separate(CELL)
    assert len(done.labels) == 3
    assert volume.check().problems == []


def test_refusals(volume):
    for arguments, options, error, text in (
        ((99,), {}, NotFound, "there is no label 99"), ((0,), {}, Invalid, "background"),
        ((), {"cls": "x"}, NotFound, "class"), ((), {"below": -1}, Invalid, "0 or more"),
        ((), {"below": 1.5}, Invalid, "0 or more"), ((1, 8), {}, Invalid, "must be 6"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            separate(volume, *arguments, **options)
    assert volume.revision == 1


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("below", [0, 3, 30])
def test_dust_beside_cc3d(tmp_path, connectivity, below):
    array = np.random.default_rng(5).choice(4, (11, 40, 50), p=[0.4, 0.2, 0.2, 0.2]).astype(np.uint32)
    array = ndimage.median_filter(array, 2)
    expected = cc3d.dust(array, threshold=below, connectivity=connectivity)
    with labelog.load(tmp_path / "v", array, chunks=(4, 16, 16)) as volume:
        done = separate(volume, connectivity=connectivity, below=below)
        now = volume.read()
        assert ((now != 0) == (expected != 0)).all() and done.removed == ((array != 0) & (expected == 0)).sum()
        components = cc3d.connected_components(expected, connectivity=connectivity)
        assert (partition(now)[0] == partition(components)[0]).all()
        for label in np.unique(expected)[1:]:
            sizes = np.bincount(components[array == label])
            assert (now == label).sum() == sizes[1:].max()


def test_a_class_of_a_semantic_volume_beside_scipy(tmp_path):
    """As it comes from a vendor with classes only: one object for each class, made as many as there are granules."""
    scene = Platelets((24, 400, 400), seed=7)
    semantic = scene.cls[scene.slab(0, 24)]
    table = {int(cls): {"cls": int(cls)} for cls in np.unique(semantic) if cls}
    with labelog.load(tmp_path / "v", semantic, chunks=(8, 64, 64), classes="platelet", table=table) as volume:
        done = separate(volume, cls="alpha granule", below=300)
        granules, count = ndimage.label(semantic == 3)
        kept = np.bincount(granules.ravel()) >= 300
        assert len(done.labels) + 1 == kept[1:].sum() > 5 and kept[1:].sum() < count
        now = np.where(volume.view("semantic").read() == 3, volume.read(), 0)
        assert (partition(now)[0] == partition(np.where(kept[granules], granules, 0))[0]).all()
        assert (volume.read()[semantic != 3] == semantic[semantic != 3]).all()


@examples(20)
@given(hnp.arrays(np.uint64, (2, 5, 9), elements=st.integers(0, 5)), st.permutations([1, 2, 3, 4, 5]),
       st.lists(st.integers(0, 5), min_size=5, max_size=5), st.sampled_from([6, 18, 26]))  # fmt: skip
def test_beside_one_object_at_a_time(array, order, above, connectivity):
    """Objects lie in any of those before them; one at a time the innermost is separated first."""
    lies_in = {label: ([0, *order[:place]])[above[place] % (place + 1)] for place, label in enumerate(order)}
    depth = {0: 0}
    for label in order:
        depth[label] = depth[lies_in[label]] + 1
    table = {label: {"parent": lies_in[label]} for label in order if lies_in[label]}
    with tempfile.TemporaryDirectory() as folder:
        volumes = [labelog.load(Path(folder) / name, array, chunks=(1, 3, 4), table=table) for name in "ab"]
        there = [label for label in order if (array == label).any() or label in table or label in lies_in.values()]
        with volumes[0].edit("ana") as edit:
            for label in sorted(there, key=lambda label: (-depth[label], label)):
                edit.separate(label, connectivity)
        separate(volumes[1], connectivity=connectivity)
        (one, names), (all_, others) = (partition(volume.read()) for volume in volumes)
        assert (one == all_).all()
        same = dict(zip(names.tolist(), others.tolist(), strict=True)) | {0: 0}
        of = [parents(volume) for volume in volumes]
        for label in names[names != 0].tolist():
            one, other = of[0][label], of[1][same[label]]
            assert same.setdefault(one, other) == other, "new objects of which only what lies in them has voxels too"
        for volume in volumes:
            volume.close()
