"""Fills of volumes, beside a walk voxel by voxel and beside scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.segmentation import flood

import labelog
import oracles
from conftest import examples
from labelog.errors import Invalid, NotFound, OutOfBounds
from labelog.formats import read as read_file

SHAPE = (5, 9, 11)
REACH = {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}


def spanned(spans, shape=SHAPE):
    """The voxels of spans as a mask."""
    out = np.zeros(shape, bool)
    for z, y, x0, x1 in spans.tolist():
        assert x0 < x1 and not out[z, y, x0:x1].any()
        out[z, y, x0:x1] = True
    return out


def twin(inside, seed, connectivity, axis=None, box=None):
    """Where a walk from the seed comes through a mask, within a box, in a slice if an axis is given."""
    start, stop = ([0, 0, 0], list(inside.shape)) if box is None else map(list, box)
    if axis is not None:
        start[axis], stop[axis] = seed[axis], seed[axis] + 1
    allowed = np.zeros_like(inside)
    at = tuple(map(slice, start, stop))
    allowed[at] = inside[at]
    return oracles.flood(allowed, seed, REACH[connectivity])


@st.composite
def cases(draw):
    """An array of few labels, a seed in it, and how to fill."""
    top = draw(st.sampled_from([2, 3, 2**64 - 1]))
    cells = draw(st.lists(st.sampled_from([0, 1, top]), min_size=60, max_size=60))
    array = np.resize(np.repeat(np.array(cells, np.uint64), draw(st.integers(1, 4))), SHAPE)
    seed = tuple(draw(st.integers(0, n - 1)) for n in SHAPE)
    axis = draw(st.sampled_from([None, 0, 1, 2]))
    connectivity = draw(st.sampled_from([6, 18, 26] if axis is None else [4, 8]))
    corners = [(draw(st.integers(0, i)), draw(st.integers(i + 1, n))) for i, n in zip(seed, SHAPE, strict=True)]
    box = draw(st.sampled_from([None, tuple(zip(*corners, strict=True))]))
    over = draw(st.sampled_from([None, (0, 1)]))
    return array, seed, axis, connectivity, box, over


@examples(150)
@given(case=cases(), threads=st.sampled_from([1, 2]))
def test_as_the_twin(tmp_path_factory, case, threads):
    array, seed, axis, connectivity, box, over = case
    chosen = [int(array[seed])] if over is None else [*over]
    path = tmp_path_factory.mktemp("fill") / "v.labelog"
    with labelog.load(path, array, chunks=(2, 4, 3), threads=threads) as volume:
        if int(array[seed]) not in chosen:
            with pytest.raises(Invalid, match="not among"):
                volume.fill_mask(seed, over=over)
            return
        expected = twin(np.isin(array, np.array(chosen, np.uint64)), seed, connectivity, axis, box)
        limits = {"connectivity": connectivity, "axis": axis, "within": box, "over": over}
        told = volume.fill_mask(seed, **limits)
        assert np.array_equal(spanned(told.spans), expected) and told.voxels == expected.sum()
        places = np.argwhere(expected)
        assert told.box == (tuple(places.min(0).tolist()), tuple((places.max(0) + 1).tolist()))
        with volume.edit("ana") as edit:
            done = edit.fill(seed, 77, limit=told.voxels, **limits)
            assert np.array_equal(edit[:], np.where(expected, np.uint64(77), array))
        assert (done.voxels, edit.voxels, edit.written) == (told.voxels,) * 3
        assert np.array_equal(volume[:], np.where(expected, np.uint64(77), array))
        volume.undo("ana")
        assert np.array_equal(volume[:], array)
        with pytest.raises(Invalid, match="more than") if told.voxels > 1 else pytest.raises(ZeroDivisionError):
            volume.fill_mask(seed, limit=1, **limits)
            raise ZeroDivisionError


@pytest.fixture
def volume(tmp_path):
    array = np.zeros((4, 20, 30), np.uint64)
    array[:, 5:15, 5:25] = 7
    array[2, 8:10, 8:10] = 9
    with labelog.load(tmp_path / "v.labelog", array, chunks=(2, 8, 16), classes="platelet") as volume:
        yield volume


def test_it_sees_what_is_staged_and_what_is_merged(volume):
    with volume.edit("ana") as edit:
        edit[:, 10, :] = 3  # a wall through the object
        assert edit.fill((0, 5, 5), 8).voxels == 4 * 5 * 20 - 4
        edit.merge(9, [8])
        assert edit.fill_mask((2, 8, 8)).voxels == 4 * 5 * 20
        assert edit.fill_mask((2, 8, 8), view="fragment").voxels == 4
    assert volume.fill_mask((0, 5, 5)).voxels == 4 * 5 * 20
    assert volume.view("fragment").fill_mask((0, 5, 5)).voxels == 4 * 5 * 20 - 4
    with volume.edit("ana") as edit:
        assert edit.fill((0, 5, 5), 9).voxels == 0, "it has the label already"
    assert edit.revision is None
    with volume.edit("ana") as edit:
        edit.assign(9, cls="cell")
        edit.assign(7, cls="cell")
        edit[:, 10, :] = 7
        assert edit.fill_mask((0, 5, 5), view="semantic").voxels == volume.size - 4 * (20 * 30 - 10 * 20) + 4 * 10


def test_the_limit_says_how_far_it_got_and_nothing_is_staged(volume):
    with volume.edit("ana") as edit:
        with pytest.raises(Invalid, match="more than 100") as caught:
            edit.fill((0, 5, 5), 8, limit=100)
        assert caught.value.voxels > 100 and caught.value.box is not None
    assert (edit.revision, volume.revision) == (None, 0)


def test_a_fill_can_be_given_up(volume):
    class Enough(Exception):
        pass

    def progress(done, total):
        assert total == 0
        if done:
            raise Enough

    with volume.edit("ana") as edit, pytest.raises(Enough):
        edit.fill((0, 0, 0), 8, progress=progress)
    assert volume.revision == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"seed": (4, 0, 0)}, OutOfBounds), ({"seed": (0, 0)}, Invalid), ({"seed": (0.5, 0, 0)}, Invalid),
        ({"label": -1}, Invalid), ({"connectivity": 8}, Invalid), ({"connectivity": 6, "axis": 0}, Invalid),
        ({"axis": 3}, Invalid), ({"axis": 1.0}, Invalid), ({"limit": 0}, Invalid), ({"limit": float("inf")}, Invalid),
        ({"limit": 1.5}, Invalid), ({"view": "dog"}, NotFound), ({"over": [5]}, Invalid),
        ({"within": ((1, 0, 0), (2, 9, 9))}, OutOfBounds), ({"within": ((0, 0, 0), (2, 99, 9))}, OutOfBounds),
        ({"tolerance": 1}, NotFound), ({"tolerance": -1}, Invalid), ({"tolerance": float("nan")}, Invalid),
        ({"between": (3, 1)}, Invalid), ({"between": (1, 2), "tolerance": 1}, Invalid),
    ],
)  # fmt: skip
def test_what_cannot_be_filled(volume, arguments, error):
    given = {"seed": (0, 0, 0), "label": 8} | arguments
    with volume.edit("ana") as edit, pytest.raises(error):
        edit.fill(given.pop("seed"), given.pop("label"), **given)
    assert volume.revision == 0


def test_by_the_image(volume):
    rng = np.random.default_rng(1)
    image = np.where(np.indices(volume.shape)[2] < 12, 100, 200).astype(np.uint8) + rng.integers(
        0, 9, volume.shape, np.uint8
    )
    volume.attach_image(image)
    labels = volume[:]
    alike = (image >= int(image[0, 6, 6]) - 9) & (image <= int(image[0, 6, 6]) + 9)
    found = volume.fill_mask((0, 6, 6), tolerance=9)
    assert np.array_equal(spanned(found.spans, volume.shape), oracles.flood(alike & (labels == 7), (0, 6, 6), 1))
    wide = volume.fill_mask((0, 6, 6), between=(100, 108), over=[0, 7, 9])
    assert np.array_equal(spanned(wide.spans, volume.shape), oracles.flood(image < 109, (0, 6, 6), 1))
    with pytest.raises(Invalid, match="at the seed"):
        volume.fill_mask((0, 6, 6), between=(190, 210))
    with volume.edit("ana") as edit:
        assert edit.fill((0, 6, 6), 8, tolerance=9, axis=0).voxels == twin(alike & (labels == 7), (0, 6, 6), 4, 0).sum()


def test_an_image_of_whole_numbers_that_no_float_is(tmp_path):
    image = 2**53 + np.arange(8).reshape(1, 1, 8)
    with labelog.load(tmp_path / "v.labelog", np.ones(image.shape, np.uint8)) as volume:
        volume.attach_image(image)
        for limits, lo, hi in [
            ({"tolerance": 1.0}, 2, 4), ({"tolerance": 1.9}, 2, 4), ({"tolerance": 0.5}, 3, 3),
            ({"tolerance": math.inf}, 0, 7), ({"tolerance": 1e300}, 0, 7), ({"between": (1.5, math.inf)}, 0, 7),
            ({"between": (2**53 + 1, 2**53 + 5)}, 1, 5), ({"between": (-math.inf, 2.0**53 + 4)}, 0, 4),
        ]:  # fmt: skip
            assert volume.fill_mask((0, 0, 3), **limits).box == ((0, 0, lo), (1, 1, hi + 1)), limits
        with pytest.raises(Invalid, match=r"9007199254740995 at the seed .* not from 9007199254740996 to inf"):
            volume.fill_mask((0, 0, 3), between=(2**53 + 4, math.inf))
        with pytest.raises(Invalid, match=r"9007199254740995 at the seed .* not from 1\.25 to 1\.5"):
            volume.fill_mask((0, 0, 3), between=(1.25, 1.5))


@pytest.mark.filterwarnings("error")
def test_an_image_of_floats(tmp_path):
    image = np.array([[[-np.inf, -2, 0.4, 0.5, 0.6, 2, np.inf]]], np.float16)
    with labelog.load(tmp_path / "v.labelog", np.ones(image.shape, np.uint8)) as volume:
        volume.attach_image(image)
        for limits, lo, hi in [
            ({"tolerance": 0.01}, 3, 3), ({"tolerance": 0.2}, 2, 4), ({"tolerance": 1e300}, 0, 6),
            ({"between": (0.4, 0.5)}, 2, 3), ({"between": (-1e300, 0.6)}, 0, 4), ({"between": (-60000, 60000)}, 1, 5),
        ]:  # fmt: skip
            assert volume.fill_mask((0, 0, 3), **limits).box == ((0, 0, lo), (1, 1, hi + 1)), limits


def test_beside_scikit_image_on_real_labels(data, tmp_path):
    array = np.concatenate(list(read_file(data / "fib25" / "groundtruth.h5").slabs()))[:60].astype(np.uint64)
    with labelog.load(tmp_path / "v.labelog", array, chunks=(16, 64, 64)) as volume:
        for seed, connectivity in (((30, 125, 125), 6), ((5, 40, 200), 26), ((59, 249, 0), 18)):
            expected = flood(array, seed, connectivity=REACH[connectivity])
            found = volume.fill_mask(seed, connectivity=connectivity)
            assert np.array_equal(spanned(found.spans, array.shape), expected)
        far = volume.scale(1) if len(volume.at().scales) > 1 else None
        if far is not None:
            with pytest.raises(Invalid, match="finest"):
                far.fill_mask((0, 0, 0))
