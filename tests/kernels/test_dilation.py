from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, wide_boxes

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.dilation import dilated
from labelog.kernels.runs import Runs

FEW = st.sampled_from([0, 0, 0, 2**64 - 1])


def chords(offsets):
    """The chords of a ball given by its offsets."""
    high, wide = (max(step[axis] for step in offsets) for axis in (0, 1))
    out = np.full((2 * high + 1, 2 * wide + 1), -1, np.int32)
    for dz, dy, dx in offsets:
        out[dz + high, dy + wide] = max(out[dz + high, dy + wide], dx)
    return out


@examples(1000)
@given(st.one_of(boxes(elements=FEW), wide_boxes()), st.sampled_from([0, 1, 1.5, 2, 3, 5]),
       st.sampled_from([(1, 1, 1), (4, 1, 1), (1, 0.5, 2.5), (3, 2, 1)]), st.data())  # fmt: skip
def test_by_a_ball(array, distance, spacing, data):
    offsets = oracles.ball(distance, spacing)
    z0 = data.draw(st.integers(0, len(array) - 1))
    z1 = data.draw(st.integers(z0 + 1, len(array)))
    found = dilated(Runs.from_dense(array), chords(offsets), z0, z1)
    assert Runs(found.shape, found.palette, found.offsets, found.ends, found.index) == found
    assert (found.dense() == oracles.dilated(array != 0, offsets)[z0:z1]).all()


def test_a_ball_beyond_the_box():
    array = np.zeros((3, 4, 5), np.uint64)
    array[2, 3, 4] = 7
    wide = np.full((5, 7), 2**31 - 1)
    assert (dilated(Runs.from_dense(array), wide, 0, 3).dense() == 1).all()
    assert (dilated(Runs.full((3, 4, 5), 0), wide, 0, 3).dense() == 0).all()
    assert (dilated(Runs.from_dense(array), np.full((1, 1), -1), 0, 3).dense() == 0).all(), "no voxel is within nothing"


def test_refusals():
    runs = Runs.full((2, 3, 4), 1)
    for wrong in (np.zeros((2, 1)), np.zeros((1, 4)), np.zeros(3)):
        with pytest.raises(Invalid, match="chords"):
            dilated(runs, wrong, 0, 2)
    for z0, z1 in ((-1, 1), (0, 3), (1, 1)):
        with pytest.raises(Invalid, match="planes of 0:2"):
            dilated(runs, np.zeros((1, 1), np.int32), z0, z1)
