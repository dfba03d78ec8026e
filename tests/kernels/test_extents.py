from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, patches

import oracles
from labelog.kernels import spans
from labelog.kernels.extents import exchanged, extents
from labelog.kernels.runs import Runs


def found(runs):
    """Label -> voxels and bounds, of those that have any; an entry of the palette without voxels has no bounds."""
    voxels, bounds = extents(runs, np.ones(len(runs.palette), np.uint8))
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
    voxels, bounds = extents(Runs.full((16, 256, 256), 7), np.ones(1, np.uint8))
    assert (voxels.tolist(), bounds.tolist()) == ([2**20], [[0, 0, 0, 16, 256, 256]])


@given(boxes(), st.data())
def test_only_what_is_chosen_is_counted(array, data):
    runs = Runs.from_dense(array)
    chosen = np.array([data.draw(st.booleans()) for _ in runs.palette], np.uint8)
    voxels, bounds = extents(runs, chosen)
    whole, around = extents(runs, np.ones(len(chosen), np.uint8))
    assert (voxels == whole * chosen).all() and (bounds == around * chosen[:, None]).all()


@given(st.data())
def test_what_a_delta_takes_and_gives(data):
    """Gained and lost voxels of each label are counted; their bounds hold them, and are exact if rows do."""
    array = data.draw(boxes())
    runs = Runs.from_dense(array)
    delta = spans.diff(runs, data.draw(patches(array.shape)))
    after = spans.apply(runs, delta.new).dense()
    expected = set(np.union1d(array[array != after], after[array != after]).tolist()) - {0}
    told = exchanged(delta, array.shape)
    assert set(told) == expected
    for label, (gained, more, lost, less) in told.items():
        for count, box, mask in ((gained, more, (after == label) & (array != label)),
                                 (lost, less, (array == label) & (after != label))):  # fmt: skip
            assert count == mask.sum()
            if count:
                inside = np.zeros(array.shape, bool)
                inside[tuple(slice(a, b) for a, b in zip(box[:3], box[3:], strict=True))] = True
                assert not (mask & ~inside).any()
                starts = [int(found.min()) for found in np.nonzero(mask)]
                assert list(box[:2]) == starts[:2] and all(a <= b for a, b in zip(box[:3], starts, strict=True))
