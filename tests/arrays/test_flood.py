from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import segmentation

import labelog
import oracles
from conftest import examples
from labelog.arrays import boxes
from labelog.errors import Invalid, OutOfBounds

CONNECTIVITIES = {1: [2], 2: [4, 8], 3: [6, 18, 26]}
DTYPES = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, bool, ">i4", ">u8"]


@st.composite
def cases(draw):
    """An array in some layout, a seed, a connectivity and how far neighbours differ."""
    ndim = draw(st.integers(1, 3))
    shape = draw(hnp.array_shapes(min_dims=ndim, max_dims=ndim, max_side=7))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    values = [False, True] if dtype.kind == "b" else [0, 1, np.iinfo(dtype).max, np.iinfo(dtype).min]
    array = draw(hnp.arrays(dtype, shape, elements=st.sampled_from(values)))
    array = np.repeat(array, draw(st.sampled_from([1, 1, 23])), axis=draw(st.integers(0, ndim - 1)))
    layout = draw(st.sampled_from(["C", "F", "turned", "strided", "read only"]))
    if layout == "F":
        array = np.asfortranarray(array)
    elif layout == "turned":
        array = array.transpose(draw(st.permutations(range(ndim))))[::-1]
    elif layout == "strided":
        array = np.repeat(array, 2, axis=ndim - 1)[..., ::2]
    array.flags.writeable = layout != "read only"
    seed = tuple(draw(st.integers(0, n - 1)) for n in array.shape)
    which = draw(st.integers(0, ndim - 1))
    return array, seed, CONNECTIVITIES[ndim][which], which + 1


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch):
    """Slabs of few voxels, so that fills go from one to the other."""
    monkeypatch.setattr(boxes, "SLAB", 20)


@examples(700)
@given(cases(), st.sampled_from([1, 2]))
def test_as_the_twin(case, threads):
    array, seed, connectivity, reach = case
    before = array.copy()
    wanted = oracles.flood(array == array[seed], seed, reach)
    mask = labelog.flood(array, seed, connectivity, threads=threads)
    assert mask.dtype == bool and (mask == wanted).all()
    label = 1 if array[seed] != 1 else 0
    filled = labelog.flood_fill(array, seed, label, connectivity, threads=threads)
    assert filled.dtype == array.dtype
    assert (filled == np.where(wanted, np.array(label, array.dtype), before)).all()
    assert (array == before).all()
    if array.flags.writeable:
        assert labelog.flood_fill(array, seed, label, connectivity, in_place=True) is array
        assert (array == filled).all()


@examples(200)
@given(cases())
def test_as_scikit_image(case):
    array, seed, connectivity, reach = case
    array = array.astype(np.int64)
    assert (labelog.flood(array, seed, connectivity) == segmentation.flood(array, seed, connectivity=reach)).all()


def test_as_others_on_real_data(data, monkeypatch):
    monkeypatch.setattr(boxes, "SLAB", 2**20)
    with h5py.File(Path(data) / "fib25" / "groundtruth.h5") as file:
        fragments, bodies = file["stack"][:], dict(file["transforms"][:].tolist())
    body = np.arange(fragments.max() + 1)
    body[list(bodies)] = list(bodies.values())
    array = body[fragments].astype(np.int32)
    rng = np.random.default_rng(0)
    for seed in [tuple(rng.integers(0, 250, 3).tolist()) for _ in range(2)]:
        for reach, connectivity in ((1, 6), (3, 26)):
            found = labelog.flood(array, seed, connectivity)
            numbers, _ = ndimage.label(array == array[seed], ndimage.generate_binary_structure(3, reach))
            assert (found == (numbers == numbers[seed])).all()
    assert (found == segmentation.flood(array, seed, connectivity=3)).all()
    filled = labelog.flood_fill(array, seed, -7, 26)
    assert (filled == segmentation.flood_fill(array, seed, -7, connectivity=3)).all()


def test_checkerboard():
    board = (np.indices((10, 11, 12)).sum(axis=0) % 2).astype(np.uint64) + np.uint64(2**64 - 2)
    assert labelog.flood(board, (4, 5, 6), 6).sum() == 1
    assert (labelog.flood(board, (4, 5, 6), 18) == (board == board[4, 5, 6])).all()
    filled = labelog.flood_fill(board, (4, 5, 6), 2**64 - 1 - int(board[4, 5, 6] == 2**64 - 1), 26)
    assert len(np.unique(filled)) == 1


def test_axes_stay_in_their_order_in_memory():
    array = np.asfortranarray(np.zeros((5, 6, 7), np.uint8))
    assert labelog.flood(array, (0, 0, 0)).flags.f_contiguous
    assert labelog.flood_fill(array, (0, 0, 0), 1).flags.f_contiguous
    assert labelog.flood_fill(array.T, (0, 0, 0), 1).flags.c_contiguous
    assert labelog.flood(np.zeros((100, 5, 3), np.uint8), (0, 0, 0)).flags.c_contiguous  # walked along the 100


def test_seeds_and_labels_of_several_kinds():
    line = np.array([0, 0, 1, 1, 0])
    assert labelog.flood(line, 2).tolist() == labelog.flood(line, [np.int8(2)]).tolist() == [False, False, 1, 1, False]
    assert labelog.flood_fill([0, 0, 1], 0, np.uint8(5)).tolist() == [5, 5, 1]
    assert labelog.flood_fill(np.array([True, False]), 0, False).tolist() == [False, False]
    assert labelog.flood_fill(line, 2, 1).tolist() == line.tolist(), "it has the label already"
    assert labelog.flood(np.ones(1, bool), (0,)).tolist() == [True]


def test_refusals():
    array = np.zeros((4, 5), np.uint8)
    for seed in ((4, 0), (0, -1), (0, 5)):
        with pytest.raises(OutOfBounds, match=r"is not within the array of shape \(4, 5\)"):
            labelog.flood(array, seed)
    with pytest.raises(OutOfBounds):
        labelog.flood(np.zeros((0, 5), int), (0, 0))
    for seed in ((1,), 1, (1, 2, 3), (0.5, 1), "ab", None):
        with pytest.raises(Invalid, match="the seed of a fill in 2 dimensions must be as many whole numbers"):
            labelog.flood_fill(array, seed, 1)
    for label, found in ((256, "from 0 to 255"), (-1, "from 0 to 255"), (1.5, "a whole number"), (None, "a whole")):
        with pytest.raises(Invalid, match=found):
            labelog.flood_fill(array, (0, 0), label, in_place=True)
    with pytest.raises(Invalid, match="from 0 to 1, as bool holds, not 2"):
        labelog.flood_fill(array != 0, (0, 0), 2)
    with pytest.raises(Invalid, match="connectivity in 2 dimensions must be 4 or 8, not 6"):
        labelog.flood(array, (0, 0), 6)
    with pytest.raises(Invalid, match="expected integers or bool"):
        labelog.flood(array.astype(float), (0, 0))
    array.flags.writeable = False
    apart = np.zeros(17, np.uint8)[1:].view(np.uint32).reshape(2, 2)
    for what, found in ((array, "one that is read-only"), (apart, "one that is not aligned"), ([1, 2], "of type list")):
        with pytest.raises(
            Invalid, match=f"only a writable and aligned NumPy array can be filled in place, not .*{found}"
        ):
            labelog.flood_fill(what, (0, 0), 1, in_place=True)
    assert not array.any()
