"""Components voxel by voxel, beside those by runs and the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels import components
from labelog.kernels.voxels import label_voxels

FEW = st.sampled_from([0, 1, 2])


def dense(marks):
    out = np.empty(marks.shape, np.uint32)
    marks.fill(np.arange(marks.count + 1, dtype=np.uint32), out)
    return out


@examples(1000)
@given(boxes(elements=FEW), st.integers(1, 3))
def test_as_filled_one_after_another(array, reach):
    marks = label_voxels(array, reach)
    wanted = oracles.components(array, reach)
    assert (dense(marks) == wanted).all()
    assert marks.count == wanted.max()
    for z in (0, -1):
        assert (marks.plane(z) == wanted[z]).all()


@given(boxes(), st.integers(1, 3), st.sampled_from([np.uint64, np.int64, np.uint8, np.int16]), st.booleans())
def test_any_dtype_and_strides(array, reach, dtype, turned):
    array = array.astype(dtype)
    if turned:
        array = array.transpose(2, 0, 1)[::-1, :, ::-1]
    array.flags.writeable = False
    found = dense(label_voxels(array, reach))
    assert (found == components.label_dense(array, reach)[0].dense()).all()


@pytest.mark.parametrize("density", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("reach", [1, 2, 3])
def test_larger_ones(density, reach):
    array = (np.random.default_rng(7).random((9, 30, 50)) < density).astype(np.uint16)
    assert (dense(label_voxels(array, reach)) == oracles.components(array, reach)).all()


@given(boxes(elements=FEW))
def test_first_voxels(array):
    steps = (7, 1000, 100)
    marks = label_voxels(array, 1)
    found, numbers = marks.first_voxels(steps), dense(marks)
    for number in range(1, marks.count + 1):
        assert found[number] == (np.argwhere(numbers == number) @ steps).min()


def test_into_a_part_of_an_array():
    array = np.random.default_rng(1).integers(0, 3, (3, 4, 5)).astype(np.uint8)
    marks = label_voxels(array, 1)
    out = np.full((3, 4, 10), 77, np.int16)
    marks.fill(np.arange(marks.count + 1, dtype=np.int16) * 2, out[:, ::-1, ::2])
    assert (out[:, ::-1, ::2] == 2 * oracles.components(array, 1)).all()
    assert (out[:, :, 1::2] == 77).all()


def test_refusals():
    array = np.ones((2, 3, 4), np.uint8)
    for reach in (0, 4):
        with pytest.raises(Invalid, match="along 1, 2 or 3 axes"):
            label_voxels(array, reach)
    with pytest.raises(Invalid, match="fewer than"):
        label_voxels(np.ones((2, 0, 4), np.uint8), 1)
    with pytest.raises(Invalid, match="fewer than"):
        label_voxels(np.broadcast_to(np.uint8(1), (4, 2**15, 2**15)), 1)
    marks = label_voxels(array, 1)
    for values, shape in ((3, (2, 3, 4)), (2, (2, 3, 5))):
        with pytest.raises(Invalid, match=r"shape \(2, 3, 4\) and 2 values"):
            marks.fill(np.zeros(values, np.uint8), np.zeros(shape, np.uint8))
