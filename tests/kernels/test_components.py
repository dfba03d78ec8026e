from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import LABELS, boxes

import oracles
from labelog.errors import Invalid
from labelog.kernels import components as kernel
from labelog.kernels.forest import Forest
from labelog.kernels.runs import Runs

REACH = st.integers(1, 3)
FEW = st.sampled_from([0, 1, 2])
DIRECTIONS = [d for d in itertools.product((-1, 0, 1), repeat=3) if any(d)]


def valid(runs):
    """The runs, made anew by the constructor that verifies them."""
    return Runs(runs.shape, runs.palette, runs.offsets, runs.ends, runs.index)


@settings(max_examples=1000)
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


@given(boxes(elements=FEW), REACH)
def test_extents(array, reach):
    components, labels = kernel.label_runs(Runs.from_dense(array), reach)
    dense = components.dense()
    voxels, start, stop = kernel.measure(components)
    steps = (7, 1000, 100)
    first = kernel.first_voxels(components, steps)
    for number in range(1, len(labels)):
        held = np.argwhere(dense == number)
        assert voxels[number] == len(held)
        assert (start[number] == held.min(axis=0)).all()
        assert (stop[number] == held.max(axis=0) + 1).all()
        assert first[number] == (held @ steps).min()


@given(boxes(), st.sampled_from(DIRECTIONS))
def test_cut(array, direction):
    found = valid(kernel.cut(Runs.from_dense(array), direction))
    wanted = array[tuple(slice(None) if d == 0 else 0 if d < 0 else -1 for d in direction)]
    assert found.nz == 1
    assert (found.dense().ravel() == wanted.ravel()).all()
    if wanted.ndim == 2:
        assert found.shape[1:] == wanted.shape


@given(st.data(), st.integers(0, 2))
def test_touching(data, reach):
    shape = (1, data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9)))
    a, b = (data.draw(boxes(shape, elements=st.integers(0, 5))) for _ in range(2))
    labels = np.array([0, 1, 2, 1, 2, 0], np.uint64)  # of the components 0 to 5
    runs, other = Runs.from_dense(a), Runs.from_dense(b)
    wanted = set()
    for r, x in np.ndindex(shape[1:]):
        for dr, dx in itertools.product((-1, 0, 1), repeat=2):
            if np.count_nonzero((dr, dx)) <= reach and 0 <= r + dr < shape[1] and 0 <= x + dx < shape[2]:
                p, q = int(a[0, r, x]), int(b[0, r + dr, x + dx])
                if labels[p] == labels[q] != 0:
                    wanted.add((p, q))
    found = kernel.touching(runs, other, labels[runs.palette], labels[other.palette], reach)
    assert sorted(map(tuple, found.tolist())) == sorted(wanted)


@given(st.integers(1, 30), st.data())
def test_forest(size, data):
    numbers = st.integers(0, size - 1)
    pairs = data.draw(st.lists(st.tuples(numbers, numbers)))
    forest, sets = Forest(size), {i: {i} for i in range(size)}
    for half in (pairs[::2], pairs[1::2]):
        forest.union([a for a, _ in half], [b for _, b in half])
    for a, b in pairs:
        joined = sets[a] | sets[b]
        sets.update(dict.fromkeys(joined, joined))
    assert forest.roots().tolist() == [min(sets[i]) for i in range(size)]
    assert len(forest) == size


def test_a_long_chain_of_unions():
    forest = Forest(10**6)
    backward = np.arange(10**6 - 1)[::-1]
    forest.union(backward, backward + 1)
    assert not forest.roots().any()


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
    for direction in [(0, 0, 0), (2, 0, 0), (1, 0)]:
        with pytest.raises(Invalid, match="direction"):
            kernel.cut(runs, direction)
    with pytest.raises(Invalid, match="planes of one shape"):
        kernel.touching(runs, runs, [1], [1], 0)
    face = kernel.cut(runs, (1, 0, 0))
    with pytest.raises(Invalid, match="found 1 and 2"):
        kernel.touching(face, face, [1], [1, 2], 0)
    with pytest.raises(Invalid, match="0, 1 or 2 axes, found 3"):
        kernel.touching(face, face, [1], [1], 3)
    forest = Forest(3)
    for a, b in [([0], [3]), ([-1], [0])]:
        with pytest.raises(Invalid, match="expected numbers of 0 to 2"):
            forest.union(a, b)
    with pytest.raises(Invalid, match="as many"):
        forest.union([0, 1], [0])
