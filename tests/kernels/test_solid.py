from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import SHAPES, boxes, wide_boxes

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels import solid as kernel
from labelog.kernels.runs import Runs

FEW = st.sampled_from([0, 0, 5])


def valid(runs):
    """The runs, made anew by the constructor that verifies them."""
    return Runs(runs.shape, runs.palette, runs.offsets, runs.ends, runs.index)


def pieces(array, chunks):
    """An array cut into chunks that reach over it, in C order: where each begins, and what it holds."""
    counts = [-(-n // c) for n, c in zip(array.shape, chunks, strict=True)]
    padded = np.pad(array, [(0, k * c - n) for n, k, c in zip(array.shape, counts, chunks, strict=True)])
    for place in itertools.product(*map(range, counts)):
        start = tuple(k * c for k, c in zip(place, chunks, strict=True))
        yield start, padded[tuple(slice(a, a + c) for a, c in zip(start, chunks, strict=True))]


def part_of(array, start, shape):
    """A box of an array that may reach over it, where it is 0."""
    padded = np.pad(array, 40)
    return padded[tuple(slice(40 + a, 40 + a + n) for a, n in zip(start, shape, strict=True))]


@examples(400)
@given(boxes(elements=FEW), SHAPES, st.tuples(*[st.integers(-3, 3)] * 3), SHAPES)
def test_chunks_become_one_box(array, chunks, start, shape):
    """Of any part of an array, also such that reaches over it."""
    parts = [(place, Runs.from_dense(np.ascontiguousarray(part))) for place, part in pieces(array, chunks)]
    starts = [tuple(p - s for p, s in zip(place, start, strict=True)) for place, _ in parts]
    found = valid(kernel.gathered(shape, [part for _, part in parts], starts))
    assert (found.dense() == part_of(array != 0, start, shape)).all()
    assert found.palette.tolist() == [0, 1]


@examples(400)
@given(st.one_of(boxes(), wide_boxes()))
def test_turned(array):
    runs = Runs.from_dense(array)
    assert (valid(kernel.swapped(runs)).dense() == array.transpose(1, 0, 2)).all()
    assert (valid(kernel.transposed(runs)).dense() == array.transpose(0, 2, 1)).all()
    assert kernel.swapped(kernel.swapped(runs)) == kernel.transposed(kernel.transposed(runs)) == runs
    nz, ny, nx = array.shape
    assert (valid(kernel.reshaped(runs, 1, nz * ny)).dense() == array.reshape(1, nz * ny, nx)).all()


@examples(400)
@given(st.data())
def test_cut(data):
    array = data.draw(boxes())
    runs = Runs.from_dense(array)
    start = tuple(data.draw(st.integers(0, n - 1)) for n in array.shape)
    size = tuple(data.draw(st.integers(1, n - a)) for n, a in zip(array.shape, start, strict=True))
    inside = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    assert (valid(kernel.cropped(runs, start, size)).dense() == array[inside]).all()

    at, chunk = data.draw(st.tuples(*[st.integers(-6, 13)] * 3)), data.draw(SHAPES)
    chosen = data.draw(hnp.arrays(bool, len(runs.palette)))
    spans = kernel.spans_in(runs, chosen, at, chunk)
    part = part_of(array, at, chunk)
    expected = part.astype(object).ravel()
    there = part_of(np.ones(array.shape, np.uint64), at, chunk) == 1
    expected[~(there & np.isin(part, runs.palette[chosen])).ravel()] = oracles.NONE
    assert (oracles.dense(spans, int(np.prod(chunk))) == expected).all()


@examples(400)
@given(boxes(), st.data())
def test_bounds(array, data):
    runs = Runs.from_dense(array)
    chosen = data.draw(hnp.arrays(bool, len(runs.palette)))
    places = np.argwhere(np.isin(array, runs.palette[chosen]))
    found = kernel.bounds(runs, chosen)
    if len(places):
        assert found.tolist() == [*places.min(axis=0).tolist(), *(places.max(axis=0) + 1).tolist()]
    else:
        assert found is None


@given(hnp.arrays(np.uint64, (3, 4, 5), elements=FEW))
def test_a_solid_cut_into_chunks_and_put_together_is_the_same(array):
    whole = kernel.gathered(array.shape, [Runs.from_dense(array)], [(0, 0, 0)])
    for start, part in pieces(array, (2, 3, 2)):
        found = oracles.dense(kernel.spans_in(whole, whole.palette != 0, start, part.shape), part.size)
        assert ((found == 1) == (part.ravel() != 0)).all()


def test_refusals():
    runs = Runs.full((2, 3, 4), 1)
    with pytest.raises(Invalid, match="at least 1"):
        kernel.gathered((0, 1, 1), [], [])
    with pytest.raises(Invalid, match="no 4 planes of 2 rows"):
        kernel.reshaped(runs, 4, 2)
    one = (1, 1, 1)
    for start, size in (((0, 0, -1), one), ((2, 0, 0), one), ((0, 0, 3), (1, 1, 2)), ((0, 0, 0), (1, 0, 1))):
        with pytest.raises(Invalid, match="not within"):
            kernel.cropped(runs, start, size)
    with pytest.raises(Invalid, match="2\\^32"):
        kernel.spans_in(runs, [True], (0, 0, 0), (2**11, 2**11, 2**11))
    for choose in (lambda: kernel.spans_in(runs, [True, True], (0, 0, 0), one), lambda: kernel.bounds(runs, [])):
        with pytest.raises(Invalid, match="expected 1 entries, found"):
            choose()
