from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, patches

import oracles
from labelog.kernels import spans
from labelog.kernels.extents import extents
from labelog.kernels.runs import Runs


def found(runs):
    """Label -> voxels and bounds, of those that have any; an entry of the palette without voxels has no bounds."""
    voxels, bounds = extents(runs)
    assert (voxels.dtype, bounds.dtype, bounds.shape) == (np.uint64, np.uint32, (len(runs.palette), 6))
    assert not bounds[voxels == 0].any()
    rows = zip(runs.palette.tolist(), voxels.tolist(), bounds.tolist(), strict=True)
    return {label: (count, *box) for label, count, box in rows if count}


@given(boxes())
def test_each_label_is_counted_where_it_is(array):
    assert found(Runs.from_dense(array)) == oracles.extents(array)


@given(st.data())
def test_after_a_patch_palettes_may_hold_labels_that_are_gone(data):
    array = data.draw(boxes())
    runs = Runs.from_dense(array)
    for _ in range(3):
        runs = spans.apply(runs, data.draw(patches(array.shape)))
    assert found(runs) == oracles.extents(runs.dense())


def test_a_whole_chunk_of_one_label():
    voxels, bounds = extents(Runs.full((16, 256, 256), 7))
    assert (voxels.tolist(), bounds.tolist()) == ([2**20], [[0, 0, 0, 16, 256, 256]])
