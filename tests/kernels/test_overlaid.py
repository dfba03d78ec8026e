"""Chunks with spans over them, beside runs into which everything is put at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, patches

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels import spans
from labelog.kernels.overlaid import Overlaid
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Spans


@examples(500)
@given(st.data())
def test_patch_over_patch_is_what_is_written_at_once(data):
    """Whether somebody asks for the runs in between or not."""
    array = data.draw(boxes())
    runs = Runs.from_dense(array)
    chunk = Overlaid(runs)
    for _ in range(5):
        patch = data.draw(patches(array.shape))
        assert chunk.diff(patch) == spans.diff(runs, patch)
        before, chunk, runs = chunk, chunk.under(patch), spans.apply(runs, patch)
        if data.draw(st.booleans()):
            assert chunk.runs() == runs
            assert before.diff(patch) == spans.diff(before.runs(), patch), "it changed what it was made of"
    assert chunk.runs() == runs


def test_what_is_put_together_is_kept():
    chunk = Overlaid(Runs.full((2, 3, 4), 5), spans.box_spans((2, 3, 4), (0, 1, 1), (2, 1, 2), 7))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: chunk.runs(), range(20)))
    assert all(np.array_equal(runs.dense(), found[0].dense()) for runs in found)
    assert chunk.runs() is chunk.runs() and chunk.under(spans.nothing()).below is chunk.runs()


def test_many_spans_are_put_into_the_runs():
    """So that what lies over a chunk does not grow with its edits."""
    shape = (16, 64, 64)
    chunk, array = Overlaid(Runs.full(shape, 1)), np.ones(shape, np.uint64)
    random = np.random.default_rng(3)
    most = 0
    for label in range(2, 60):
        mask = random.random(shape) < 0.002
        chunk = chunk.under(spans.mask_spans(shape, (0, 0, 0), mask.view(np.uint8), label))
        array[mask] = label
        most = max(most, len(chunk.spans))
    assert 1000 < most < 5000
    assert np.array_equal(chunk.runs().dense(), array)


@examples(500)
@given(st.data())
def test_two_lists_of_the_same_voxels_make_a_delta(data):
    array = data.draw(boxes())
    patch = data.draw(patches(array.shape))
    delta = spans.diff(Runs.from_dense(array), patch)
    assert spans.paired(delta.old, patch) == delta
    other = data.draw(patches(array.shape))
    voxels = [oracles.dense(each, array.size) != oracles.NONE for each in (patch, other)]
    if not np.array_equal(*voxels):
        for pair in ((patch, other), (other, patch)):
            with pytest.raises(Invalid, match="the same voxels"):
                spans.paired(*pair)


@pytest.mark.parametrize("one, other", [((3, 6), (5, 6)), ((3, 6), (3, 5)), ((3, 6), (7, 9)), ((3, 6), ())])
def test_spans_of_other_voxels_make_none(one, other):
    made = [Spans([ends[0]], [ends[1]], [1]) if ends else spans.nothing() for ends in (one, other)]
    for pair in (made, made[::-1]):
        with pytest.raises(Invalid, match="the same voxels"):
            spans.paired(*pair)
