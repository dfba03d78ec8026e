"""Plain arrays at half their resolution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelog
import oracles
from conftest import examples
from labelog.arrays import boxes
from labelog.errors import Invalid

DTYPES = [bool, "u1", "u2", "u4", "u8", "i1", "i8", ">u4"]


@st.composite
def volumes(draw):
    """Arrays of few labels, some enormous, of any layout in memory."""
    shape = draw(st.lists(st.integers(0, 7), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    few = (
        np.array([0, 1, 2, 3])
        if dtype.kind == "b"
        else np.array([0, 1, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
    )
    array = few[rng.integers(0, draw(st.integers(1, 4)), shape)].astype(dtype)
    layout = draw(st.sampled_from(["C", "F", "turned", "backward", "sparse", "broadcast", "read only"]))
    if layout == "turned":
        return array.transpose(draw(st.permutations(range(array.ndim))))
    if layout == "broadcast":
        return np.broadcast_to(array[..., :1], shape)
    if layout == "read only":
        array.flags.writeable = False
    made = {"F": np.asfortranarray, "backward": lambda a: a[::-1], "sparse": lambda a: np.repeat(a, 2, -1)[..., ::2]}
    return made.get(layout, lambda a: a)(array)


@examples(300)
@given(st.data(), volumes(), st.integers(1, 3), st.sampled_from([1, 4, 2**22]))
def test_windows_have_the_label_of_most(data, array, threads, slab):
    factors = data.draw(st.lists(st.integers(1, 2), min_size=array.ndim, max_size=array.ndim))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "SLAB", slab)
        found = labelog.downsample(array, factors, threads=threads)
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, oracles.downsample(array, factors))


def test_axes_keep_their_order_in_memory():
    for order in "CF":
        found = labelog.downsample(np.ones((4, 6, 8), np.uint16, order), (1, 2, 2))
        assert found.shape == (4, 3, 4)
        assert found.flags["C_CONTIGUOUS" if order == "C" else "F_CONTIGUOUS"]


def test_one_number_is_for_all_axes():
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    np.testing.assert_array_equal(labelog.downsample(array), labelog.downsample(array, (2, 2)))


@pytest.mark.parametrize("factors", [3, 0, (1, 2), (2, 2, 2, 2), (2, 2, 4), 2.0, True, "222", None])
def test_factors_that_are_none(factors):
    with pytest.raises(Invalid, match="factors of 1 or 2, one for each of 3 axes"):
        labelog.downsample(np.zeros((2, 2, 2), np.uint8), factors)


@pytest.mark.parametrize("array", [np.zeros((2, 2)), np.zeros((1, 1, 1, 1), int), "abc"])
def test_arrays_that_are_none(array):
    with pytest.raises(Invalid, match="integers or bool in 1 to 3 dimensions"):
        labelog.downsample(array)
