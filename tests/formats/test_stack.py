"""Stacks, and the helpers by which writers take their slabs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelog.errors import Invalid
from labelog.formats import Stack
from labelog.formats.limits import MAX_SLICE, MAX_VOLUME, SLAB_BYTES, slab_depth, volume_shape
from labelog.formats.stack import blocks, voxel_size, written_dtype


def test_a_stack_of_an_array(volume, whole):
    np.testing.assert_array_equal(whole(Stack.of(volume)), volume)
    assert Stack.of(volume[0]).shape == (1, 12, 20)
    assert whole(Stack.of(volume > 9)).dtype == np.uint8
    assert whole(Stack.of(volume.astype(">i4"))).dtype == np.int32
    for wrong in (volume.astype(float), volume.astype(object), volume[None], volume[:0], np.zeros((1, 1, 1), "V0")):
        with pytest.raises(Invalid):
            Stack.of(wrong)


@given(cuts=st.lists(st.integers(1, 4), min_size=1, max_size=6), depth=st.integers(1, 9))
def test_blocks_are_the_slabs_cut_and_joined(cuts, depth):
    z = sum(cuts)
    labels = np.arange(z * 2 * 3).reshape(z, 2, 3)
    slabs = np.split(labels, np.cumsum(cuts)[:-1])
    found = list(blocks(Stack(labels.shape, labels.dtype, lambda: iter(slabs)), depth, np.dtype(np.uint8)))
    assert [first for first, _ in found] == list(range(0, z, depth))
    assert all(len(block) == depth for _, block in found[:-1])
    np.testing.assert_array_equal(np.concatenate([block for _, block in found]), labels)


def test_the_smallest_dtype_takes_no_pass_where_none_is_needed(volume):
    def slabs():
        raise AssertionError("a pass was made")
        yield

    for dtype in ("uint8", "int8"):
        assert written_dtype(Stack((5, 12, 20), np.dtype(dtype), slabs), ("uint8", "uint16"), None, "x") == np.uint8
    assert written_dtype(Stack((5, 12, 20), np.dtype("uint64"), slabs), ("uint8", "uint16"), "uint16", "x") == np.uint16
    assert written_dtype(Stack.of(volume.astype(np.uint64)), ("uint8", "uint16", "uint32"), None, "x") == np.uint16


def test_limits_are_where_they_are_said_to_be():
    assert volume_shape((1, 16384, 32768), "") == (1, 16384, 32768)
    for shape in ((1, 16384, 32769), (MAX_VOLUME // MAX_SLICE + 1, 16384, 32768), (0, 1, 1), (1,), (1, -1, 1)):
        with pytest.raises(Invalid, match=r"^here: "):
            volume_shape(shape, "here")
    assert slab_depth((100, 4096, 4096), np.dtype(np.uint8)) * 4096 * 4096 == SLAB_BYTES
    assert slab_depth((100, 16384, 32768), np.dtype(np.uint64)) == 1
    assert slab_depth((3, 2, 2), np.dtype(np.uint8)) == 3


@pytest.mark.parametrize(("sizes", "unit", "expected"), [
    ([40, 10, 10], "nm", ((40, 10, 10), "nm")), ([40, 10, 10], 3, ((40, 10, 10), None)), ([40, 10], "nm", (None, None)),
    ([40, 0, 10], "nm", (None, None)), ([40, float("nan"), 10], "nm", (None, None)), ("forty", "nm", (None, None)),
    (None, None, (None, None)), ([40, float("inf"), 1], "nm", (None, None)),
])  # fmt: skip
def test_voxel_sizes_that_are_none_are_not_taken(sizes, unit, expected):
    assert voxel_size(sizes, unit) == expected
