"""Holes, islands, growth and slices between slices, as edits: by hand, beside slow twins, beside scipy on real data."""

from __future__ import annotations

import itertools

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import labelog
import oracles
from conftest import DATA, examples
from labelog import Invalid, NotFound, OutOfBounds, formats
from labelog.geometry import REACHES, Box

CELL, PART, GRAIN, OTHER = 5, 6, 2**64 - 1, 8
PARENTS = {PART: CELL, GRAIN: PART}
METHODS = ("fill_holes", "remove_islands", "dilate", "erode", "interpolate")


class _Enough(Exception):
    """Ends an edit that shall not be committed."""


@pytest.fixture
def volume(tmp_path):
    """A cell of 4 x 10 x 14 voxels, one from each face but at y = 0, with a part and a grain within it; another beside
    it."""
    with labelog.create(tmp_path / "v.labelog", (6, 12, 16), chunks=(2, 5, 7), voxel_size=(40, 10, 10)) as volume:
        with volume.edit("maker") as edit:
            edit[1:5, 0:11, 1:15] = CELL
            edit[2:4, 4:8, 4:10] = PART
            edit[3, 5, 5] = GRAIN
            edit[1:5, 11, 1:15] = OTHER
            edit.assign(PART, parent=CELL)
            edit.assign(GRAIN, parent=PART)
        yield volume


def once(volume, method, *arguments, author="ana", **more):
    with volume.edit(author) as edit:
        return getattr(edit, method)(*arguments, **more)


def undone(volume, before):
    """Undo restores, redo does it again."""
    after = volume[...]
    volume.undo("ana")
    assert (volume[...] == before).all()
    volume.redo("ana")
    assert (volume[...] == after).all()
    assert volume.check().problems == []


# By hand


def test_holes(volume):
    with volume.edit("maker") as edit:
        edit[2, 2, 2:4] = 0  # a hole
        edit[2, 9, 9] = OTHER  # a hole that another object fills
        edit[3, 0, 8] = 0  # open at the volume's face
        edit[2:5, 9, 12] = 0  # a well: open in 3D, a hole in slices 2 to 4
    before = volume[...]
    assert once(volume, "fill_holes", CELL) == (2, Box((2, 2, 2), (3, 3, 4)), 1)
    expected = before.copy()
    expected[2, 2, 2:4] = CELL
    assert (volume[...] == expected).all()
    undone(volume, before)
    assert once(volume, "fill_holes", CELL, over=None, below=2) == (1, Box((2, 9, 9), (3, 10, 10)), 1)
    assert once(volume, "fill_holes", CELL, axis=0, within=((0, 0, 0), (4, 12, 16))).voxels == 2
    assert volume[2:5, 9, 12].tolist() == [CELL, CELL, 0]
    assert once(volume, "fill_holes", CELL, axis=0) == (1, Box((4, 9, 12), (5, 10, 13)), 1)
    assert once(volume, "fill_holes", CELL, axis=2) == (0, None, 0), "at the face of a slice, too"
    assert volume[3, 0, 8] == 0
    assert once(volume, "fill_holes", PART) == (0, None, 0), "a grain in a part is no hole"


def test_a_wall_that_hangs_together_at_its_edges(volume):
    with volume.edit("maker") as edit:
        edit[...] = 0
        for y, x in ((1, 3), (2, 2), (2, 4), (3, 3)):
            edit[2, y, x] = CELL
    assert once(volume, "fill_holes", CELL, axis=0) == (0, None, 0)
    assert once(volume, "fill_holes", CELL, axis=0, connectivity=8) == (1, Box((2, 2, 3), (3, 3, 4)), 1)
    assert once(volume, "fill_holes", CELL, axis=0, connectivity=4).voxels == 0


def test_islands(volume):
    with volume.edit("maker") as edit:
        edit[0, 0:2, 0] = CELL  # touches at an edge
        edit[5, 11, 15] = PART  # an island of the part, and one of the cell
        edit[2, 2, 2] = OTHER  # that one has an island in the cell
        edit.assign(OTHER, parent=CELL)
    before = volume[...]
    assert once(volume, "remove_islands", CELL, below=2) == (0, None, 0), "what lies in it keeps its voxels"
    assert once(volume, "remove_islands", CELL, below=3, connectivity=18) == (0, None, 0)
    assert once(volume, "remove_islands", CELL, below=3) == (2, Box((0, 0, 0), (1, 2, 1)), 1)
    assert (volume[0, :2, 0] == 0).all()
    undone(volume, before)
    assert once(volume, "remove_islands", PART, below=2) == (1, Box((5, 11, 15), (6, 12, 16)), 1)
    assert volume[5, 11, 15] == CELL, "to the one that it lies in"
    assert once(volume, "remove_islands", OTHER, below=10**9).voxels == 1, "never the largest"
    assert volume[2, 2, 2] == CELL
    assert once(volume, "remove_islands", CELL, below=10**9, axis=0).voxels == 0, "of slice 5 the only one"


def test_dilate(volume):
    before = volume[...]
    assert once(volume, "dilate", CELL, 0) == (0, None, 0)
    found = once(volume, "dilate", CELL, 40, unit="nm")
    assert found.pieces == 1
    after = volume[...]
    assert (after[[0, 5]][:, :11, 1:15] == CELL).all(), "one voxel up and down"
    assert (after[1:5, :11, 0] == CELL).all()
    assert after[0, 0, 0] == 0
    assert (after[:, 11] == before[:, 11]).sum() == after[:, 11].size - 8, "beside the other, not over it"
    assert found.voxels == (after != before).sum()
    undone(volume, before)
    volume.undo("ana")
    assert once(volume, "dilate", CELL, 0.04, unit="um") == found
    volume.undo("ana")
    assert once(volume, "dilate", CELL, 1, over=None).voxels == 2 * 11 * 14 + 4 * (2 * 11 + 14)
    assert (volume[1:5, 11, 1:15] == CELL).all()
    assert (volume[2:4, 4:8, 4:10] == before[2:4, 4:8, 4:10]).all(), "what lies in it is not painted over"
    volume.undo("ana")
    assert once(volume, "dilate", CELL, 1, axis=0).voxels == 4 * 2 * 11
    volume.undo("ana")
    assert once(volume, "dilate", PART, 1, over=CELL, within=((0, 0, 0), (6, 12, 4))).box == Box((2, 4, 3), (4, 8, 4))


def test_erode(volume):
    before = volume[...]
    assert once(volume, "erode", CELL, 0).voxels == 0
    once(volume, "erode", CELL, 10, unit="nm")
    after = volume[...]
    assert (after[1:5, 10, 1:15] == 0).all()
    assert (after[1:5, 0, 2:14] == CELL).all(), "nothing is outside at y = 0"
    assert (after[[1, 4], 1:9, 3:13] == CELL).all(), "slices are 40 nm thick"
    undone(volume, before)
    volume.undo("ana")
    assert once(volume, "erode", PART, 1).voxels == 47, "it is two slices thick: all but the grain"
    assert volume[3, 5, 5] == GRAIN
    assert (volume[...][before == 0] == 0).all()
    assert once(volume, "erode", CELL, 1000).voxels == (before == CELL).sum() + 47, "nothing is left"
    assert CELL not in volume[...]
    assert volume[3, 5, 5] == GRAIN


def test_closing_takes_nothing_away(volume):
    before = volume[...]
    with volume.edit("ana") as edit:
        edit.dilate(CELL, 3, over=None)
        edit.erode(CELL, 3)
        assert (edit[...][before == CELL] == CELL).all(), "what is staged is seen"


def test_interpolate(volume):
    with volume.edit("maker") as edit:
        edit[...] = 0
        edit[0, 2:9, 2:9] = CELL
        edit[4, 4:7, 4:7] = CELL
        edit[2, 5, 5] = OTHER
    before = volume[...]
    found = once(volume, "interpolate", CELL, [0, 4])
    assert (found.box, found.pieces) == (Box((1, 2, 2), (4, 9, 9)), 3)
    assert volume[2, 5, 5] == OTHER
    assert (volume[...] == CELL).sum(axis=(1, 2)).tolist() == [49, 49, 24, 9, 9, 0]
    undone(volume, before)
    volume.undo("ana")
    assert once(volume, "interpolate", CELL) == found
    assert once(volume, "interpolate", CELL) == (0, None, 0), "nothing is left to fill"
    assert once(volume, "interpolate", CELL, [4, 0, 4], over=OTHER).voxels == 1


def test_interpolate_from_a_whole_slice(volume):
    """What lies beyond the volume's faces is outside: there is nothing else that is."""
    with volume.edit("maker") as edit:
        edit[...] = 0
        edit[0] = CELL
        edit[4, 5:7, 6:10] = CELL
    once(volume, "interpolate", CELL)
    padded = np.pad(volume.at(2)[...] == CELL, ((0, 0), (1, 1), (1, 1)))
    inside, outside = (ndimage.distance_transform_edt(side, (10, 10)) for side in (padded[0], ~padded[0]))
    assert not outside[1:-1, 1:-1].any()
    low, mask = inside[1:-1, 1:-1], padded[4, 1:-1, 1:-1]
    high = ndimage.distance_transform_edt(mask, (10, 10)) - ndimage.distance_transform_edt(~mask, (10, 10))
    for z in range(1, 4):
        assert ((volume[z] == CELL) == ((4 - z) * low + z * high >= -1e-6)).all()
    sizes = (volume[...] == CELL).sum(axis=(1, 2)).tolist()
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes[:5])) == 5


def test_of_merged_labels_all_voxels_count(volume):
    with volume.edit("maker") as edit:
        edit.merge(CELL, [OTHER])
        edit[2, 11, 5] = 0
        edit[2, 10, 5] = 0
    assert once(volume, "fill_holes", OTHER) == (0, None, 0), "open at the face"
    assert once(volume, "fill_holes", CELL, axis=1, within=((0, 11, 0), (6, 12, 16))).voxels == 1
    assert once(volume, "fill_holes", OTHER).voxels == 1
    assert once(volume, "erode", OTHER, 1, axis=0).voxels > 0
    assert volume.view("fragment")[3, 11, 7] == OTHER


def test_what_is_staged_counts(volume):
    with volume.edit("ana") as edit:
        new = edit.new(parent=CELL)
        edit[0:3, 0:3, 0:3] = new
        edit[1, 1, 1] = 0
        assert edit.fill_holes(new).voxels == 1
        assert edit.dilate(new, 1, over=[0, CELL]).voxels == 27
        edit[5, 11, 15] = new
        assert edit.remove_islands(new, below=2).voxels == 1
        assert edit[5, 11, 15] == CELL
    assert volume.labels[new].voxels == 54
    volume.undo("ana")
    assert new not in volume.labels


# What is refused


@pytest.mark.parametrize(
    ("method", "arguments", "more", "message"),
    [
        ("fill_holes", (), {"axis": 3}, "an axis is 0, 1 or 2"),
        ("fill_holes", (), {"axis": True}, "an axis is 0, 1 or 2"),
        ("fill_holes", (), {"connectivity": 4}, "in 3 dimensions must be 6 or 18 or 26, not 4"),
        ("fill_holes", (), {"connectivity": 6, "axis": 0}, "in 2 dimensions must be 4 or 8, not 6"),
        ("fill_holes", (), {"below": -1}, "below is a number of voxels, 0 or more, not -1"),
        ("fill_holes", (), {"over": -1}, "a label is from 0"),
        ("fill_holes", (), {"within": ((0, 0, 0), (7, 1, 1))}, "does not lie within"),
        ("remove_islands", (), {"below": 1.5}, "below is a number of voxels"),
        ("remove_islands", (), {"below": 5, "axis": "z"}, "an axis is 0, 1 or 2"),
        ("remove_islands", (), {"below": 5, "connectivity": 8}, "in 3 dimensions"),
        ("dilate", (-1,), {}, r"a distance is a number from 0 to 1e\+09, not -1"),
        ("dilate", (float("nan"),), {}, "a distance is a number"),
        ("dilate", (float("inf"),), {}, "a distance is a number"),
        ("dilate", ("3",), {}, "a distance is a number"),
        ("dilate", (1e200,), {}, "a distance is a number"),
        ("erode", (1e300,), {}, "a distance is a number"),
        ("dilate", (True,), {}, "a distance is a number"),
        ("dilate", (1,), {"unit": "px"}, "unit must be voxel or one of nm, um, mm, m, angstrom, not 'px'"),
        ("erode", (None,), {}, "a distance is a number"),
        ("erode", (1,), {"axis": -1}, "an axis is 0, 1 or 2"),
        ("erode", (1,), {"within": ((0, 0, 0), (0, 13, 1))}, "does not lie within"),
        ("interpolate", ([0, 4],), {}, "label 5 has no voxels in slice 0"),
        ("interpolate", ([1, 5],), {}, "label 5 has no voxels in slice 5"),
        ("interpolate", ([1, 2],), {}, r"two slices or more, with others between them, found \[1, 2\]"),
        ("interpolate", ([3],), {}, r"two slices or more, with others between them, found \[3\]"),
        ("interpolate", ([],), {}, r"two slices or more, with others between them, found \[\]"),
        ("interpolate", ([1, 6],), {}, "slice 6 is not within the volume: 0 to 5"),
        ("interpolate", ([-1, 2],), {}, "slice -1 is not within"),
        ("interpolate", ([1, 2.5],), {}, "slices are whole numbers"),
        ("interpolate", (7,), {}, "slices are whole numbers"),
        ("interpolate", (), {"axis": None}, "needs an axis"),
    ],
)
def test_what_is_refused(volume, method, arguments, more, message):
    with volume.edit("ana") as edit:
        with pytest.raises((Invalid, OutOfBounds), match=message):
            getattr(edit, method)(CELL, *arguments, **more)
    assert (edit.revision, volume.revision) == (None, 1)


def test_a_ball_of_too_many_rows(volume, monkeypatch):
    monkeypatch.setattr("labelog.engine.shapes.MOST_CHORDS", 13 * 25)
    assert once(volume, "dilate", CELL, 1e9).voxels == 6 * 12 * 16 - 4 * 11 * 14 - 4 * 14
    monkeypatch.setattr("labelog.engine.shapes.MOST_CHORDS", 13 * 25 - 1)
    with pytest.raises(Invalid, match=r"a distance of 1e\+09 is too far: a ball of 13 x 25 rows of voxels"):
        once(volume, "erode", CELL, 1e9)
    assert volume.revision == 2


@pytest.mark.parametrize("method", METHODS)
def test_no_object(volume, method):
    more = {"remove_islands": {"below": 1}, "dilate": {"distance": 1}, "erode": {"distance": 1}}.get(method, {})
    with volume.edit("ana") as edit:
        for label, error in ((0, Invalid), (9, NotFound), (-1, Invalid), (1.5, Invalid)):
            with pytest.raises(error):
                getattr(edit, method)(label, **more)
        empty = edit.new(parent=CELL)
        for within in ({}, {"within": ((0, 0, 0), (1, 1, 1))}):
            if not within or method in ("fill_holes", "dilate", "erode"):
                with pytest.raises(Invalid, match=f"label {empty} has no voxels"):
                    getattr(edit, method)(empty, **more, **within)


def test_a_key_tells_what_was_asked(volume):
    for method, more, other in (
        ("fill_holes", {}, {"axis": 0}),
        ("remove_islands", {"below": 1}, {"below": 2}),
        ("dilate", {"distance": 1}, {"distance": 1, "over": [0, OTHER]}),
        ("erode", {"distance": 1}, {"distance": 1, "unit": "nm"}),
        ("interpolate", {}, {"axis": 1}),
    ):
        for asked in (more, more):
            with volume.edit("ana", key=method) as edit:
                getattr(edit, method)(CELL, **asked)
        with pytest.raises(labelog.Conflict):
            with volume.edit("ana", key=method) as edit:
                getattr(edit, method)(CELL, **other)


# Beside the twin

GRIDS = [((1, 1, 1), (1, 1, 1)), ((3, 4, 5), (2, 2, 2)), ((4, 5, 9), (3, 5, 4)), ((2, 7, 8), (1, 3, 8)),
         ((5, 5, 5), (9, 2, 3))]  # fmt: skip
SIZE = (40, 10, 20)
VOXELS = st.sampled_from([0, 0, CELL, CELL, PART, GRAIN, OTHER])
AXIS = st.sampled_from([None, 0, 1, 2])


@pytest.fixture(scope="module")
def empties(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shaping")
    made = [labelog.create(folder / f"{n}.labelog", shape, chunks=chunks, voxel_size=SIZE)
            for n, (shape, chunks) in enumerate(GRIDS)]  # fmt: skip
    for volume in made:
        with volume.edit("maker") as edit:
            for label in (CELL, PART, GRAIN, OTHER):
                edit.assign(label, name="one")
            for child, parent in PARENTS.items():
                edit.assign(child, parent=parent)
    yield made
    for volume in made:
        volume.close()


@st.composite
def drawn_arrays(draw, shape):
    """Voxels at random, or blobs: coarse voxels made larger."""
    if draw(st.booleans()):
        return draw(hnp.arrays(np.uint64, shape, elements=VOXELS))
    array = draw(hnp.arrays(np.uint64, tuple(-(-n // 2) for n in shape), elements=VOXELS))
    return array.repeat(2, 0).repeat(2, 1).repeat(2, 2)[tuple(map(slice, shape))]


def box_in(draw, shape):
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return Box(start, tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)))


def as_found(region, array):
    """What `Shaped` says of these voxels."""
    places = np.argwhere(region)
    box = Box(tuple(places.min(axis=0).tolist()), tuple((places.max(axis=0) + 1).tolist())) if len(places) else None
    return len(places), box


@examples(400)
@given(st.data())
def test_as_the_twin(empties, data):
    volume = data.draw(st.sampled_from(empties))
    array = data.draw(drawn_arrays(volume.shape))
    label = data.draw(st.sampled_from([CELL, PART, GRAIN, OTHER]))
    array[tuple(data.draw(st.integers(0, n - 1)) for n in array.shape)] = label
    method = data.draw(st.sampled_from(METHODS))
    axis = data.draw(AXIS)
    over = data.draw(st.sampled_from([0, None, [0, OTHER], CELL]))
    box = box_in(data.draw, array.shape) if data.draw(st.booleans()) else None
    mask = oracles.extent(array, PARENTS, label)
    allowed = np.isin(array, over) if over is not None else np.ones(array.shape, bool)
    inside = np.zeros(array.shape, bool)
    inside[(Box((0, 0, 0), array.shape) if box is None else box).slices()] = True
    more, away = {"axis": axis, "within": box}, False

    if method in ("fill_holes", "remove_islands"):
        known = REACHES[3 if axis is None else 2]
        connectivity = data.draw(st.sampled_from([None, *known]))
        near = known[connectivity or min(known)]
        below = data.draw(st.integers(0, 6))
        more |= {"connectivity": connectivity, "below": below}
        function = oracles.holes if method == "fill_holes" else oracles.islands
        region = oracles.by_slice(lambda plane: function(plane, near, below), mask, axis)
        if method == "remove_islands":
            away, inside = True, np.ones(array.shape, bool)
            del more["within"]
    elif method in ("dilate", "erode"):
        more |= data.draw(st.sampled_from([{"distance": n, "unit": unit} for unit, n in (
            ("voxel", 0), ("voxel", 1), ("voxel", 1.5), ("voxel", 2), ("voxel", 3), ("voxel", 100),
            ("nm", 10), ("nm", 40), ("um", 0.05), ("angstrom", 200))]))  # fmt: skip
        factor = {"voxel": 1, "nm": 1, "um": 1e-3, "angstrom": 10}[more["unit"]]
        spacing = np.array((1, 1, 1) if more["unit"] == "voxel" else SIZE) * factor
        offsets = [step for step in oracles.ball(more["distance"], spacing, most=9) if axis is None or step[axis] == 0]
        away = method == "erode"
        region = oracles.dilated(~mask if away else mask, offsets)
    else:
        axis = more["axis"] = axis or 0
        del more["within"]
        inside[:] = True
        there = np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis))).tolist()
        slices = sorted(data.draw(st.sets(st.sampled_from(there))))
        if len(slices) < 2 or slices[-1] - slices[0] < len(slices):
            slices = None
        more["slices"] = slices
        region = oracles.between(mask, slices or there, axis, [SIZE[k] for k in range(3) if k != axis])
    if away:
        region &= (array == np.uint64(label)) & inside
        written = PARENTS.get(label, 0)
    else:
        region &= allowed & inside & ~mask
        more["over"], written = over, label

    try:
        with volume.edit("ana") as edit:
            edit[...] = array
            found = getattr(edit, method)(label, **more)
            there = edit[...]
            raise _Enough
    except _Enough:
        pass
    expected = np.where(region, np.uint64(written), array)
    assert (there == expected).all(), (method, more)
    assert found[:2] == as_found(region, array)
    assert (found.pieces > 0) == region.any()


# Beside scipy, on real data

SPACING = (20, 10, 10)


@pytest.fixture(scope="module")
def neurons(tmp_path_factory):
    """A part of fib25 as bodies, in voxels that are called 20 x 10 x 10."""
    with h5py.File(DATA / "fib25" / "groundtruth.h5") as file:
        fragments, (old, new) = file["stack"][60:96, 20:130, 30:140], file["transforms"][:].T
    table = np.zeros(int(max(old.max(), fragments.max())) + 1, np.uint64)
    table[old] = new
    path = tmp_path_factory.mktemp("fib25") / "v.labelog"
    with labelog.load(path, table[fragments], chunks=(16, 64, 64), voxel_size=SPACING) as volume:
        yield volume


@pytest.fixture(scope="module")
def platelet(tmp_path_factory):
    """The organelles of the platelet slice, each colour a label."""
    stack = formats.read(DATA / "platelet" / "instance-organelle.png")
    path = tmp_path_factory.mktemp("platelet") / "v.labelog"
    with labelog.load(path, np.concatenate(list(stack.slabs())), chunks=(1, 256, 256), voxel_size=SPACING) as volume:
        yield volume


def tried(volume, method, label, *arguments, before=None, **more):
    """The array as an edit would leave it; `before` is staged first."""
    try:
        with volume.edit("ana") as edit:
            if before is not None:
                edit[...] = before
            getattr(edit, method)(label, *arguments, **more)
            there = edit[...]
            raise _Enough
    except _Enough:
        return there


def largest(array, count):
    labels, voxels = np.unique(array[array > 0], return_counts=True)
    return labels[np.argsort(-voxels)[:count]].tolist()


def punched(array, seed):
    """An array with voxels of it lost, one by one and in blocks."""
    rng = np.random.default_rng(seed)
    coarse = rng.random([-(-n // 3) for n in array.shape]) < 0.02
    lost = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)[tuple(map(slice, array.shape))] | (
        rng.random(array.shape) < 0.02
    )
    return np.where(lost, 0, array)


@pytest.mark.parametrize("which", ["neurons", "platelet"])
def test_holes_and_islands_beside_scipy(which, request):
    volume = request.getfixturevalue(which)
    array = punched(volume[...], 1)
    for label in largest(array, 2):
        mask = array == label
        for connectivity, around in ((6, 3), (18, 1), (26, 1)):
            filled = ndimage.binary_fill_holes(mask, ndimage.generate_binary_structure(3, around))
            there = tried(volume, "fill_holes", label, before=array, connectivity=connectivity)
            assert (there == np.where(filled & (array == 0), label, array)).all()
        for axis in range(3):
            flat = ndimage.generate_binary_structure(2, 1)
            filled = oracles.by_slice(lambda plane, flat=flat: ndimage.binary_fill_holes(plane, flat), mask, axis)
            there = tried(volume, "fill_holes", label, before=array, axis=axis, connectivity=8, over=None)
            assert (there == np.where(filled, label, array)).all()
        for connectivity, near in ((6, 1), (26, 3)):
            pieces, _ = ndimage.label(mask, ndimage.generate_binary_structure(3, near))
            sizes = np.bincount(pieces.ravel())
            sizes[[0, 1 + np.argmax(sizes[1:])]] = mask.size
            there = tried(volume, "remove_islands", label, before=array, below=10, connectivity=connectivity)
            assert (there == np.where(sizes[pieces] < 10, 0, array)).all()


@pytest.mark.parametrize("which", ["neurons", "platelet"])
def test_growth_beside_scipy(which, request):
    volume = request.getfixturevalue(which)
    array = volume[...]
    for label in largest(array, 2):
        mask = array == label
        for distance, unit, spacing in ((2, "voxel", (1, 1, 1)), (5.5, "voxel", (1, 1, 1)),
                                        (45, "nm", volume.voxel_size)):  # fmt: skip
            away = ndimage.distance_transform_edt(~mask, sampling=spacing)
            there = tried(volume, "dilate", label, distance, unit=unit)
            assert (there == np.where((away <= distance) & (array == 0), label, array)).all()
            there = tried(volume, "dilate", label, distance, unit=unit, over=None)
            assert ((there == label) == (away <= distance)).all()
            inside = ndimage.distance_transform_edt(mask, sampling=spacing)
            there = tried(volume, "erode", label, distance, unit=unit)
            assert (there == np.where(mask & (inside <= distance), 0, array)).all()
        z, y, x = np.ogrid[-1:2, -3:4, -3:4]
        ball = (2 * z) ** 2 + y**2 + x**2 <= 9
        there = tried(volume, "dilate", label, 30, unit="nm", over=None)
        assert ((there == label) == ndimage.binary_dilation(mask, ball)).all()
        there = tried(volume, "erode", label, 30, unit="nm")
        assert ((there == label) == ndimage.binary_erosion(mask, ball, border_value=1)).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_beside_scipy(neurons, axis):
    array = neurons[...]
    spacing = [length for k, length in enumerate(SPACING) if k != axis]
    for label in largest(array, 2):
        planes = np.moveaxis(array == label, axis, 0)
        there = np.flatnonzero(planes.any(axis=(1, 2)))
        slices = [there[0], there[len(there) // 2], there[-1]]
        kept, expected = np.zeros_like(planes), np.zeros_like(planes)
        kept[slices] = planes[slices]
        for a, b in itertools.pairwise(slices):
            low, high = (ndimage.distance_transform_edt(planes[k], sampling=spacing)
                         - ndimage.distance_transform_edt(~planes[k], sampling=spacing) for k in (a, b))  # fmt: skip
            for k in range(a, b + 1):
                expected[k] = low * (b - k) + high * (k - a) >= -1e-6
        before = np.moveaxis(np.where(kept, np.uint64(label), np.uint64(0)), 0, axis)
        found = tried(neurons, "interpolate", label, before=before, axis=axis)
        assert ((np.moveaxis(found, axis, 0) == label) == expected).all()
