from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, wide_boxes

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.downsample import downsample, downsample_dense
from labelog.kernels.runs import Runs

FACTORS = st.tuples(*[st.integers(1, 2)] * 3)


def valid(runs):
    """The runs, made anew by the constructor that verifies them."""
    return Runs(runs.shape, runs.palette, runs.offsets, runs.ends, runs.index)


@examples(600)
@given(st.one_of(boxes(), wide_boxes(), boxes(elements=st.integers(0, 2))), FACTORS)
def test_downsample(array, factors):
    found = valid(downsample(Runs.from_dense(array), factors))
    np.testing.assert_array_equal(found.dense(), oracles.downsample(array, factors))


def halved(array, factors):
    out = np.full([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], 77, array.dtype)
    downsample_dense(array, factors, out)
    return out


@examples(300)
@given(st.one_of(boxes(), wide_boxes(), boxes(elements=st.integers(0, 2))), FACTORS, st.booleans())
def test_dense(array, factors, turned):
    if turned:
        array = array.transpose(2, 0, 1)[:, ::-1, ::-1]
    array.flags.writeable = False
    np.testing.assert_array_equal(halved(array, factors), oracles.downsample(array, factors))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])
@pytest.mark.parametrize("width", [1, 2, 3, 65, 127, 128, 130, 257])
def test_dense_of_every_width(width, dtype):
    rng = np.random.default_rng(width)
    for density in (0.1, 0.7):
        array = np.cumsum(rng.random((3, 3, width)) < density, axis=2).astype(dtype) % 4 - (dtype[0] == "i")
        for factors in [(1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 2, 2), (2, 2, 1)]:
            np.testing.assert_array_equal(halved(array, factors), oracles.downsample(array, factors))


@examples(300)
@given(st.data(), FACTORS)
def test_only_what_is_within_the_extent_counts(data, factors):
    array = data.draw(boxes(elements=st.integers(0, 2)))
    extent = tuple(data.draw(st.integers(0, n)) for n in array.shape)
    runs = Runs.from_dense(array)
    wanted = np.zeros([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], np.uint64)
    inside = oracles.downsample(array[tuple(map(slice, extent))], factors)
    wanted[tuple(map(slice, inside.shape))] = inside
    if inside.shape != wanted.shape and 0 not in runs.palette:
        with pytest.raises(Invalid, match="no background"):
            downsample(runs, factors, extent)
    else:
        np.testing.assert_array_equal(valid(downsample(runs, factors, extent)).dense(), wanted)


@pytest.mark.parametrize("votes, wins", [
    ([5, 5, 7, 0], 5),
    ([0, 0, 7, 7], 7),  # a tie with background
    ([9, 7, 0, 0], 0),  # background has most
    ([9, 9, 7, 7], 7),  # the smaller of two
    ([4, 3, 2, 1], 1),
    ([0, 3, 2, 1], 1),
    ([2**64 - 1, 0, 2**64 - 1, 0], 2**64 - 1),
    ([2**64 - 1, 2**63, 0, 0], 0),
])  # fmt: skip
def test_votes(votes, wins):
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        window = np.array(votes, np.uint64)[order]
        for shape, factors in [((1, 2, 2), (1, 2, 2)), ((2, 2, 1), (2, 2, 1)), ((2, 1, 2), (2, 1, 2))]:
            found = downsample(Runs.from_dense(window.reshape(shape)), factors)
            assert found.dense().tolist() == halved(window.reshape(shape), factors).tolist() == [[[wins]]]


def test_rows_whose_runs_end_everywhere():
    """All labels distinct, and a checkerboard: as many runs as voxels."""
    distinct = np.arange(1, 1 + 7 * 9 * 11, dtype=np.uint64).reshape(7, 9, 11)
    board = np.indices((7, 9, 11)).sum(0).astype(np.uint64) % 2
    for array in (distinct, board):
        for factors in [(2, 2, 2), (1, 2, 2), (2, 1, 1), (1, 1, 1)]:
            found = valid(downsample(Runs.from_dense(array), factors))
            np.testing.assert_array_equal(found.dense(), oracles.downsample(array, factors))


def test_refusals():
    runs = Runs.full((2, 3, 4), 1)
    for factors in [(3, 1, 1), (1, 3, 1), (4, 4, 4), (2, 2)]:
        with pytest.raises(Invalid, match="factors of 1 or 2"):
            downsample(runs, factors)
        with pytest.raises(Invalid, match="factors of 1 or 2"):
            downsample_dense(runs.dense(), factors, np.zeros((1, 2, 2), np.uint64))
    with pytest.raises(Invalid, match=r"expected an array of shape \(1, 2, 2\) for the result, found \(1, 1, 2\)"):
        downsample_dense(runs.dense(), (2, 2, 2), np.zeros((1, 1, 2), np.uint64))
    for extent in [(3, 3, 4), (2, 3, -1)]:
        with pytest.raises(Invalid, match="extent within"):
            downsample(runs, (2, 2, 2), extent)
