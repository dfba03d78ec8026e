from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.seeds import nearest_seed

SHAPES = st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 9))


@examples(1000)
@given(st.data())
def test_each_voxel_goes_to_the_nearest_seed(data):
    shape = data.draw(SHAPES)
    mask = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 1, 255]), fill=st.just(1)))
    seeds = data.draw(hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 1, 2, 3, 2**31 - 1]), fill=st.just(0)))
    wanted = oracles.nearest_seed(mask, seeds)
    mask.flags.writeable = False
    nearest_seed(mask, seeds)
    assert (seeds == wanted).all()


def test_of_equal_distances_the_lower_number_has_it():
    for line in ([1, 0, 2], [2, 0, 1]):
        seeds = np.array(line, np.int32).reshape(1, 1, 3)
        nearest_seed(np.ones((1, 1, 3), np.uint8), seeds)
        assert seeds[0, 0, 1] == 1


def test_around_a_wall_and_not_through_it():
    mask = np.ones((1, 5, 5), np.uint8)
    mask[0, :4, 2] = 0
    seeds = np.zeros((1, 5, 5), np.int32)
    seeds[0, 0, 1], seeds[0, 4, 4] = 1, 2
    nearest_seed(mask, seeds)
    assert (seeds[0, :, 3:] == 2).all()
    assert (seeds[0, :4, :2] == 1).all()
    mask[0, 4, 2], seeds[seeds == 2] = 0, 0
    nearest_seed(mask, seeds)
    assert (seeds[0, :, 3:] == 0).all()


def test_refusals():
    mask = np.ones((2, 3, 4), np.uint8)
    with pytest.raises(Invalid, match=r"shape \(2, 3, 4\) as the mask, found \(2, 3, 5\)"):
        nearest_seed(mask, np.zeros((2, 3, 5), np.int32))
    seeds = np.zeros((2, 3, 4), np.int32)
    seeds[1, 2, 0] = -5
    with pytest.raises(Invalid, match=r"found -5 at voxel \(1, 2, 0\)"):
        nearest_seed(np.zeros((2, 3, 4), np.uint8), seeds)
    assert seeds[1, 2, 0] == -5
