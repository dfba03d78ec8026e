from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LABELS, SHAPES, boxes, patches

import oracles
from conftest import examples
from labelog.engine.store import layered
from labelog.errors import Invalid
from labelog.kernels import spans as kernel
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Delta, Spans


def valid(spans):
    """The spans, made anew by the constructor that verifies them."""
    return Spans(spans.start, spans.stop, spans.value)


@examples(200)
@given(st.data())
def test_two_lists(data):
    shape = data.draw(SHAPES)
    voxels = int(np.prod(shape))
    a, b = data.draw(patches(shape)), data.draw(patches(shape))
    x, y = oracles.dense(a, voxels), oracles.dense(b, voxels)
    for name in ("overlay", "subtract", "intersect"):
        found = valid(getattr(kernel, name)(a, b))
        assert (oracles.dense(found, voxels) == getattr(oracles, name)(x, y)).all(), name
        assert found.voxels == (oracles.dense(found, voxels) != oracles.NONE).sum()


@examples(200)
@given(st.data())
def test_many_lists(data):
    shape = data.draw(SHAPES)
    voxels = int(np.prod(shape))
    several = data.draw(st.lists(patches(shape), max_size=12))
    expected = np.full(voxels, oracles.NONE, object)
    for patch in several:
        expected = oracles.overlay(expected, oracles.dense(patch, voxels))
    assert (oracles.dense(valid(layered(several)), voxels) == expected).all()


@examples(200)
@given(st.data())
def test_apply_and_diff(data):
    array = data.draw(boxes())
    runs, patch = Runs.from_dense(array), data.draw(patches(array.shape))
    written = oracles.dense(patch, array.size)
    after = kernel.apply(runs, patch)
    assert (after.dense() == oracles.apply(array, written)).all()
    assert Runs(after.shape, after.palette, after.offsets, after.ends, after.index) == after
    delta = kernel.diff(runs, patch)
    old, new = oracles.diff(array, written)
    assert (oracles.dense(valid(delta.old), array.size) == old).all()
    assert (oracles.dense(valid(delta.new), array.size) == new).all()
    assert (delta.written, delta.changed) == ((new != oracles.NONE).sum(), (old != new).sum())
    assert (oracles.dense(delta.changes(), array.size) == np.where(old != new, new, oracles.NONE)).all()
    assert kernel.apply(after, delta.old) == runs
    assert pickle.loads(pickle.dumps(delta)) == delta


@examples(200)
@given(st.data())
def test_making_spans(data):
    shape = data.draw(SHAPES)
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    size = tuple(data.draw(st.integers(0, n - a)) for n, a in zip(shape, start, strict=True))
    label = data.draw(LABELS)
    values = data.draw(boxes(size))
    box = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    for made, wanted in [
        (kernel.box_spans(shape, start, size, label), np.full(size, label, object)),
        (kernel.array_spans(shape, start, values), values.astype(object)),
        (kernel.mask_spans(shape, start, (values != 0).astype(np.uint8), label),
         np.where(values != 0, np.full(size, label, object), oracles.NONE)),
    ]:  # fmt: skip
        expected = np.full(shape, oracles.NONE, object)
        expected[box] = wanted
        assert (oracles.dense(valid(made), expected.size) == expected.ravel()).all()


@examples(200)
@given(boxes(), st.data())
def test_select(array, data):
    runs = Runs.from_dense(array)
    chosen = np.array([data.draw(st.booleans()) for _ in runs.palette])
    values = np.array([data.draw(LABELS) for _ in runs.palette], np.uint64)
    place = {label: i for i, label in enumerate(runs.palette.tolist())}
    which = np.array([place[label] for label in array.ravel().tolist()])
    expected = np.where(chosen[which], values[which].astype(object), oracles.NONE)
    assert (oracles.dense(valid(kernel.select(runs, chosen, values)), array.size) == expected).all()


@examples(200)
@given(st.data())
def test_bounds(data):
    shape = data.draw(SHAPES)
    ends = sorted(data.draw(st.sets(st.integers(0, int(np.prod(shape))), max_size=6)))  # across rows and planes
    patch = Spans(ends[:-1:2], ends[1::2], [1] * (len(ends) // 2))
    held = np.argwhere((oracles.dense(patch, int(np.prod(shape))) != oracles.NONE).reshape(shape))
    if not len(held):
        assert patch.bounds(shape) is None
        return
    sides = zip(held.min(axis=0).tolist(), (held.max(axis=0) + 1).tolist(), strict=True)
    assert patch.bounds(shape) == tuple(side for pair in sides for side in pair)


def test_a_chunk_of_one_label_is_one_span():
    assert len(kernel.box_spans((16, 256, 256), (0, 0, 0), (16, 256, 256), 7)) == 1


def test_many_labels_come_and_go_without_a_growing_palette():
    runs = Runs.full((1, 2, 8), 0)
    for label in range(1, 200):
        runs = kernel.apply(runs, kernel.box_spans(runs.shape, (0, 0, 0), (1, 1, 4), label))
    assert runs.palette.size < 10


def test_refusals():
    for start, stop in ([[3], [3]], [[0, 2], [3, 4]], [[5, 0], [6, 1]]):
        with pytest.raises(Invalid, match="empty or begins before"):
            Spans(start, stop, [1] * len(start))
    with pytest.raises(Invalid, match="as many"):
        Spans([0], [1], [1, 2])
    with pytest.raises(Invalid, match="as many"):
        Delta([0], [1], [1], [])
    runs = Runs.full((1, 1, 4), 0)
    for operation in (kernel.apply, kernel.diff):
        with pytest.raises(Invalid, match="outside"):
            operation(runs, Spans([2], [5], [1]))
    with pytest.raises(Invalid, match="not within"):
        kernel.box_spans((2, 2, 2), (1, 0, 0), (2, 1, 1), 1)
    with pytest.raises(Invalid, match="found -1"):
        kernel.array_spans((1, 1, 4), (0, 0, 0), np.array([[[1, -1]]]))
    with pytest.raises(Invalid, match="2\\^32"):
        kernel.box_spans((1024, 2048, 2049), (0, 0, 0), (1, 1, 1), 1)
