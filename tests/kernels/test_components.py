from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import LABELS, boxes

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels import components as kernel
from labelog.kernels.runs import Runs

REACH = st.integers(1, 3)
FEW = st.sampled_from([0, 1, 2])


def valid(runs):
    """The runs, made anew by the constructor that verifies them."""
    return Runs(runs.shape, runs.palette, runs.offsets, runs.ends, runs.index)


@examples(1000)
@given(boxes(elements=FEW), REACH)
def test_components_of_a_box(array, reach):
    components, labels = kernel.label_runs(Runs.from_dense(array), reach)
    found = valid(components).dense()
    assert (found == oracles.components(array, reach)).all()
    assert components.palette.tolist() == list(range(len(labels)))
    assert (labels[found] == array).all()


@given(boxes(), REACH, st.sampled_from([np.uint64, np.int64, np.uint8, np.int16]), st.booleans())
def test_dense_or_runs_is_the_same(array, reach, dtype, turned):
    array = array.astype(dtype)
    if turned:
        array = array.transpose(2, 0, 1)[::-1, :, ::-1]
    array.flags.writeable = False
    dense, labels = kernel.label_dense(array, reach)
    unsigned = array.astype(np.int64).astype(np.uint64) if np.dtype(dtype).kind == "i" else array
    runs, same = kernel.label_runs(Runs.from_dense(unsigned), reach)
    assert valid(dense) == runs
    assert (labels == same).all()


@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 129])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_every_width(width, dtype):
    rng = np.random.default_rng(width)
    for density in (0, 0.1, 0.5, 1):
        array = np.cumsum(rng.random((3, 4, width)) < density, axis=2).astype(dtype) % 3
        for reach in (1, 2, 3):
            found = kernel.label_dense(array, reach)[0]
            assert (valid(found).dense() == oracles.components(array, reach)).all()


@pytest.mark.parametrize("reach", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 31, 60), (2, 1, 1500), (700, 1, 3), (1, 700, 3), (2, 3, 700)])
def test_long_walks(shape, reach):
    """More runs than are walked before any are united, the two halves of the rows unlike."""
    rng = np.random.default_rng(shape[0])
    for labels, of_each in ((3, 1), (3, 4), (2, 1)):
        array = np.repeat(rng.integers(0, labels, shape), of_each, axis=2)[..., : shape[2]].astype(np.uint64)
        array[:, : shape[1] // 2, shape[2] // 3 :] |= 1
        found = kernel.label_runs(Runs.from_dense(array), reach)[0]
        assert (valid(found).dense() == oracles.components(array, reach)).all()


def test_all_distinct_and_checkerboard():
    distinct = np.arange(1, 6 * 7 * 8 + 1, dtype=np.uint64).reshape(6, 7, 8)
    assert (kernel.label_dense(distinct, 3)[0].dense() == distinct).all()
    board = (np.indices((6, 7, 8)).sum(axis=0) % 2).astype(np.uint64) + np.uint64(2**64 - 2)
    assert len(kernel.label_dense(board, 1)[1]) == 6 * 7 * 8 + 1
    assert kernel.label_dense(board, 2)[1].tolist() == [0, 2**64 - 2, 2**64 - 1]


@given(boxes(), st.data())
def test_relabelled(array, data):
    runs = Runs.from_dense(array)
    values = [data.draw(LABELS) for _ in runs.palette]
    given_for = dict(zip(runs.palette.tolist(), values, strict=True))
    wanted = np.array([given_for[label] for label in array.ravel().tolist()], np.uint64).reshape(array.shape)
    found = valid(kernel.relabelled(runs, values))
    assert (found.dense() == wanted).all()
    assert found.ends.size == oracles.run_count(wanted)


def test_relabelled_shares_what_stays():
    runs = Runs.from_dense(np.array([[[1, 1, 2, 3, 3, 2]], [[2, 2, 2, 2, 1, 1]]]).reshape(1, 2, 6))
    other, fewer = kernel.relabelled(runs, [9, 7, 2**64 - 1]), kernel.relabelled(runs, [9, 7, 9])
    assert np.shares_memory(other.index, runs.index)
    assert np.shares_memory(fewer.ends, runs.ends)
    assert valid(fewer).dense().tolist() == [[[9, 9, 7, 9, 9, 7], [7, 7, 7, 7, 9, 9]]]
    assert valid(kernel.relabelled(runs, [9, 9, 5])).ends.tolist() == [3, 5, 6, 6]


@given(boxes(elements=FEW), REACH)
def test_extents(array, reach):
    components, labels = kernel.label_runs(Runs.from_dense(array), reach)
    dense = components.dense()
    voxels, start, stop, met = kernel.measure(components)
    steps = (7, 1000, 100)
    first = kernel.first_voxels(components, steps)
    for number in range(1, len(labels)):
        held = np.argwhere(dense == number)
        assert voxels[number] == len(held)
        assert (start[number] == held.min(axis=0)).all()
        assert (stop[number] == held.max(axis=0) + 1).all()
        assert (met[number] == held[0]).all()
        assert first[number] == (held @ steps).min()


@given(hnp.arrays(np.uint8, st.tuples(st.just(1), st.just(40), st.just(41)), elements=st.integers(0, 1)))
def test_a_maze(array):
    assert (kernel.label_dense(array, 1)[0].dense() == oracles.components(array, 1)).all()


def test_refusals():
    runs = Runs.full((2, 3, 4), 1)
    for reach in (0, 4, -1):
        with pytest.raises(Invalid, match=f"found {reach}"):
            kernel.label_runs(runs, reach)
        with pytest.raises(Invalid, match=f"found {reach}"):
            kernel.label_dense(np.ones((2, 3, 4), np.uint8), reach)
    with pytest.raises(Invalid, match=r"found shape \(2, 0, 4\)"):
        kernel.label_dense(np.ones((2, 0, 4), np.uint8), 1)
    with pytest.raises(Invalid, match="expected 1 values"):
        kernel.relabelled(runs, [1, 2])
