from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, patches

import oracles
from conftest import examples
from labelog.errors import Corrupt, Invalid
from labelog.kernels import spans
from labelog.kernels.extents import Extents, changed, counted, decode, encode, look_up
from labelog.kernels.overlaid import Overlaid
from labelog.kernels.recount import recounted
from labelog.kernels.runs import Runs


def told(extents):
    """Label -> voxels and bounds."""
    assert (extents.labels.dtype, extents.voxels.dtype, extents.bounds.dtype) == (np.uint64, np.uint64, np.uint32)
    assert extents.bounds.shape == (len(extents), 6) and (np.diff(extents.labels.astype(object)) > 0).all()
    rows = zip(extents.labels.tolist(), extents.voxels.tolist(), extents.bounds.tolist(), strict=True)
    return {label: (count, *box) for label, count, box in rows}


def expected(array):
    return {label: found for label, found in oracles.extents(array).items() if label}


@examples(500)
@given(boxes())
def test_each_label_is_counted_where_it_is(array):
    assert told(counted(Runs.from_dense(array))) == expected(array)


@given(st.data())
def test_after_a_patch_palettes_may_hold_labels_that_are_gone(data):
    array = data.draw(boxes())
    runs = Runs.from_dense(array)
    for _ in range(3):
        runs = spans.apply(runs, data.draw(patches(array.shape)))
    assert told(counted(runs)) == expected(runs.dense())


def test_a_whole_chunk_of_one_label():
    assert told(counted(Runs.full((16, 256, 256), 7))) == {7: (2**20, 0, 0, 0, 16, 256, 256)}


@examples(250)
@given(boxes(), st.data())
def test_within_a_box(array, data):
    start = tuple(data.draw(st.integers(0, n - 1)) for n in array.shape)
    size = tuple(data.draw(st.integers(1, n - a)) for n, a in zip(array.shape, start, strict=True))
    runs = Runs.from_dense(array)
    inside = array[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    wanted = {label: (count, *(np.array(box) + np.array(start * 2)).tolist())
              for label, (count, *box) in oracles.extents(inside).items() if label}  # fmt: skip
    assert told(counted(runs, start, size)) == wanted


def test_boxes_outside_are_refused():
    runs = Runs.full((2, 3, 4), 1)
    for start, size in [((0, 0, 1), (2, 3, 4)), ((-1, 0, 0), (1, 1, 1)), ((0, 0, 0), (0, 1, 1))]:
        with pytest.raises(Invalid, match="is not within"):
            counted(runs, start, size)


@examples(250)
@given(st.data())
def test_what_a_delta_changes(data):
    """Of each label that lost or gained voxels what is there after; of one that is gone, nothing."""
    array = data.draw(boxes())
    runs = Runs.from_dense(array)
    delta = spans.diff(runs, data.draw(patches(array.shape)))
    after = spans.apply(runs, delta.new)
    dense = after.dense()
    touched = set(np.union1d(array[array != dense], dense[array != dense]).tolist()) - {0}
    there = expected(dense)
    assert told(changed(delta, after)) == {label: there.get(label, (0,) * 7) for label in touched}


@examples(1000)
@given(st.data())
def test_what_follows_from_a_delta_is_what_is_counted(data):
    """From the extents before, delta by delta: those of the labels that it changed, of all, and who is new there."""
    array = data.draw(boxes())
    chunk, runs = Overlaid(Runs.from_dense(array)), Runs.from_dense(array)
    for _ in range(4):
        before = runs.dense()
        delta = chunk.diff(data.draw(patches(array.shape)))
        chunk, was = chunk.under(delta.new), chunk
        found, entered = recounted(delta, was, chunk)
        runs = spans.apply(runs, delta.new)  # the chunk's own may never be asked for
        assert found == changed(delta, runs)
        assert entered == sorted({*delta.new.value.tolist()} - {0, *before.ravel().tolist()})
    assert chunk.runs() == runs and chunk.runs().extents == counted(runs)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", ["first", "last"])
def test_bounds_become_smaller_when_a_face_is_lost(axis, side):
    """A block loses all but one voxel of a face, then that one too."""
    block = np.zeros((5, 6, 7), np.uint64)
    block[1:4, 1:5, 1:6] = 9
    face = [slice(1, 4), slice(1, 5), slice(1, 6)]
    at = face[axis].start if side == "first" else face[axis].stop - 1
    face[axis] = slice(at, at + 1)
    chunk = Overlaid(Runs.from_dense(block))
    rest = np.zeros(block.shape, bool)
    rest[tuple(face)] = True
    one = np.argwhere(rest)[3]
    for voxels in (rest & ~(np.indices(block.shape) == one[:, None, None, None]).all(0), rest):
        delta = chunk.diff(spans.mask_spans(block.shape, (0, 0, 0), voxels, 0))
        chunk, before = chunk.under(delta.new), chunk
        found, entered = recounted(delta, before, chunk)
        assert told(found) == expected(chunk.runs().dense()) and entered == []


numbers = st.integers(0, 2**64 - 1) | st.sampled_from([255, 256, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**63])


@examples(300)
@given(st.data())
def test_bytes_give_back_what_they_were_made_of(data):
    labels = sorted(data.draw(st.sets(numbers.filter(bool), max_size=20)))
    shape = data.draw(st.sampled_from([(1, 1, 1), (16, 256, 256), (1, 2, 70_000), (256, 257, 3)]))
    voxels, bounds = [], []
    for _ in labels:
        low = [data.draw(st.integers(0, n - 1)) for n in shape]
        high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, shape, strict=True)]
        most = int(np.prod([b - a for a, b in zip(low, high, strict=True)]))
        voxels.append(data.draw(st.integers(0, most)))
        bounds.append([*low, *high] if voxels[-1] else [0] * 6)
    extents = Extents(np.array(labels, np.uint64), np.array(voxels, np.uint64),
                      np.array(bounds, np.uint32).reshape(-1, 6))  # fmt: skip
    coded = encode(extents)
    assert decode(coded, shape) == extents
    for label, count, box in zip(labels, voxels, bounds, strict=True):
        assert look_up(coded, label) == (count, tuple(box))
    for label in {1, 2, 2**64 - 1} - set(labels):
        assert look_up(coded, label) is None


def test_the_bytes_of_an_example():
    """Widths of 2, 1 and 1 bytes; two labels, the first of which is gone."""
    extents = Extents(np.array([7, 300], np.uint64), np.array([0, 6], np.uint64),
                      np.array([[0] * 6, [1, 2, 3, 2, 4, 6]], np.uint32))  # fmt: skip
    assert encode(extents).hex(" ") == "01 07 00 2c 01 00 06 00 00 00 00 00 00 01 02 03 01 03 05"
    assert encode(extents[:0]) == b"" and decode(b"", (1, 1, 1)) == extents[:0]


@pytest.mark.parametrize(
    ("coded", "what"),
    [
        ("01", "no counts"),
        ("01 07", "no counts"),
        ("03 07 00 2c 01 00 06 00 00 00 00 00 00 01 02 03 01 03 05", "no counts"),
        ("c1 07 00 2c 01 00 06 00 00 00 00 00 00 01 02 03 01 03 05", "no counts"),
        ("00 07 07 01 01 01 02 03 01 02 03 01 02 03 01 02 03", "label 7 is damaged"),
        ("00 00 01 01 02 03 01 02 03", "label 0 is damaged"),
        ("00 07 01 01 02 03 01 02 09", "label 7 is damaged"),
        ("00 07 01 01 02 03 00 02 03", "label 7 is damaged"),
        ("00 07 02 01 02 03 01 02 03", "label 7 is damaged"),
        ("00 07 00 00 00 00 00 00 01", "label 7 is damaged"),
    ],
)
def test_other_bytes_are_corrupt(coded, what):
    with pytest.raises(Corrupt, match=what):
        decode(bytes.fromhex(coded), (4, 8, 9))


@given(st.binary(max_size=60), numbers)
def test_any_bytes_are_extents_or_corrupt(data, label):
    try:
        extents = decode(data, (16, 256, 256))
    except Corrupt:
        extents = None
    try:
        found = look_up(data, label)
    except Corrupt:
        assert extents is None
        return
    if extents is not None:
        assert found == ({k: (v[0], v[1:]) for k, v in told(extents).items()}.get(label))
