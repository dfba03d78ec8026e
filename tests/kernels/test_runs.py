from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, wide_boxes

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.runs import Runs

DTYPES = [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64]


@examples(200)
@given(boxes())
def test_dense_and_back(array):
    runs = Runs.from_dense(array)
    assert (runs.dense() == array).all()
    assert runs.ends.size == oracles.run_count(array)
    assert Runs(runs.shape, runs.palette, runs.offsets, runs.ends, runs.index) == runs  # which verifies all it says
    assert pickle.loads(pickle.dumps(runs)) == runs


@examples(200)
@given(boxes(elements=st.integers(0, 5)), st.sampled_from(DTYPES), st.booleans(), st.sampled_from([1, -1, 2]))
def test_any_dtype_order_and_stride(array, dtype, fortran, step):
    array = array.astype(dtype)
    view = (np.asfortranarray(array) if fortran else array)[:, ::step, ::-step]
    view.flags.writeable = False
    assert (Runs.from_dense(view).dense() == view).all()


@examples(200)
@given(wide_boxes(), st.sampled_from(DTYPES[:4]), st.integers(1, 70), st.sampled_from([1, -1, 2]))
def test_columns_are_the_parts_of_an_array_along_x(array, dtype, width, step):
    view = array.astype(dtype)[:, :, ::step]
    parts = [view[:, :, x : x + width] for x in range(0, view.shape[2], width)]
    assert Runs.columns(view, width) == [Runs.from_dense(part.copy()) for part in parts]


@examples(200)
@given(boxes(), st.data())
def test_fill_a_box_of_any_dtype_and_stride(array, data):
    runs = Runs.from_dense(array)
    start = tuple(data.draw(st.integers(0, n)) for n in array.shape)
    size = tuple(data.draw(st.integers(0, n - a)) for n, a in zip(array.shape, start, strict=True))
    dtype = data.draw(st.sampled_from(DTYPES))
    values = (np.arange(runs.palette.size) * 3).astype(dtype)
    out = np.full(tuple(2 * n for n in size), 77, dtype)
    view = out[::2, ::2, ::2]
    runs.fill(view[:, :, :: data.draw(st.sampled_from([1, -1]))] if size[2] else view, start, values)
    wanted = array[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    mapped = {label: values[i] for i, label in enumerate(runs.palette.tolist())}
    expected = np.array([mapped[label] for label in wanted.ravel().tolist()], dtype).reshape(size)
    assert (view == expected).all() or (view[:, :, ::-1] == expected).all()
    out[::2, ::2, ::2] = 77
    assert (out == 77).all(), "wrote beside the box"


@examples(200)
@given(wide_boxes(), st.sampled_from(DTYPES), st.data())
def test_fill_an_array_that_lies_across_the_faces(array, dtype, data):
    runs = Runs.from_dense(array)
    array = array.astype(dtype)
    start = tuple(data.draw(st.integers(-n, n)) for n in array.shape)
    size = tuple(data.draw(st.integers(0, 2 * n)) for n in array.shape)
    around = np.pad(array, [(n, 2 * n) for n in array.shape], constant_values=77)
    wanted = around[tuple(slice(n + a, n + a + m) for n, a, m in zip(array.shape, start, size, strict=True))]
    out = np.full(tuple(n + 2 for n in size), 77, dtype)
    runs.fill(out[1:-1, 1:-1, 1:-1], start, runs.palette.astype(dtype))
    assert (out == np.pad(wanted, 1, constant_values=77)).all()


@examples(200)
@given(boxes(), st.data())
def test_single_voxels_and_counts(array, data):
    runs = Runs.from_dense(array)
    points = np.array(data.draw(st.lists(st.integers(0, array.size - 1))), np.int64)
    assert (runs.at(points) == array.ravel()[points]).all()
    for label, count in zip(runs.palette.tolist(), runs.counts().tolist(), strict=True):
        assert count == (array == label).sum()


@examples(200)
@given(boxes(), st.data())
def test_stacked_and_compacted(array, data):
    at = data.draw(st.integers(0, array.shape[0] - 1))
    whole = Runs.from_dense(array)
    if at:
        assert Runs.stacked([Runs.from_dense(array[:at]), Runs.from_dense(array[at:])]) == whole
    wide = Runs(whole.shape, np.append(whole.palette, np.uint64(12345)), whole.offsets, whole.ends, whole.index)
    assert wide == whole
    assert wide.compacted().palette.tolist() == np.unique(array).tolist()


def test_full():
    assert (Runs.full((2, 3, 4), 2**64 - 1).dense() == 2**64 - 1).all()


def test_refusals():
    with pytest.raises(Invalid, match="found -7"):
        Runs.from_dense(np.array([[[0, 1, -7]]]))
    with pytest.raises(Invalid, match="must have voxels"):
        Runs.from_dense(np.zeros((0, 3, 3), np.uint8))
    with pytest.raises(Invalid, match="found -7 in row \\(0, 1\\)"):
        Runs.columns(np.array([[[0, 1, 2], [0, 1, -7]]]), 2)
    with pytest.raises(Invalid, match="columns too, not 0"):
        Runs.columns(np.zeros((1, 1, 3), np.uint8), 0)
    runs = Runs.full((2, 2, 2), 1)
    with pytest.raises(Invalid, match="not within"):
        runs.at(np.array([8]))
    with pytest.raises(Invalid, match="values for the palette"):
        runs.fill(np.zeros((1, 1, 1), np.uint64), (0, 0, 0), np.zeros(2, np.uint64))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"palette": [5, 5]}, "twice"),
        ({"rows": [0, 2]}, "row offsets"),
        ({"rows": [0, 0, 3]}, "no run"),
        ({"stops": [3, 2, 4]}, "ascend"),
        ({"stops": [2, 3, 4]}, "ends at 3"),
        ({"picks": [0, 2, 0]}, "palette"),
        ({"picks": [0, 0, 0]}, "before it"),
        ({"shape": (0, 2, 4)}, "at least 1"),
    ],
)
def test_what_is_not_runs(change, what):
    good = {"shape": (1, 2, 4), "palette": [5, 6], "rows": [0, 2, 3], "stops": [2, 4, 4], "picks": [0, 1, 0]}
    Runs(**good)
    with pytest.raises(Invalid, match=what):
        Runs(**(good | change))
