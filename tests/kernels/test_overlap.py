from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, wide_boxes

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.overlap import overlap_dense, overlap_runs
from labelog.kernels.pairs import in_order, merged
from labelog.kernels.runs import Runs

UNSIGNED = st.sampled_from(["u1", "u2", "u4", "u8"])


def rows(entries):
    """Entries in order; no pair may be there twice."""
    found = sorted(zip(*(column.tolist() for column in entries), strict=True))
    assert len({row[:2] for row in found}) == len(found)
    return [list(row) for row in found]


@examples(500)
@given(st.data(), UNSIGNED, UNSIGNED)
def test_arrays(data, left, right):
    a = data.draw(wide_boxes())
    b = data.draw(boxes(a.shape))
    a, b = a.astype(left), b.astype(right)
    if data.draw(st.booleans()):
        a, b = a.transpose(2, 0, 1), b.transpose(2, 0, 1)[:, :, ::1]
    if data.draw(st.booleans()):
        a, b = a[::-1, :, ::-1], np.repeat(b[::-1, :, ::-1], 2, axis=2)[:, :, ::2]
    a.flags.writeable = b.flags.writeable = False
    assert rows(in_order(*overlap_dense(a, b))) == oracles.contingency(a, b)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 2047, 2048, 2049, 2056, 4095, 4096, 4097, 4104, 8192, 10000])
def test_every_width(width):
    rng = np.random.default_rng(width)
    for density in (0, 0.05, 1):
        a, b = (np.cumsum(rng.random((2, 2, width)) < density, axis=2) % 5 for _ in range(2))
        for left, right in (("u1", "u2"), ("u4", "u4"), ("u8", "u4"), ("u8", "u8")):
            assert rows(overlap_dense(a.astype(left), b.astype(right))) == oracles.contingency(a, b)


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_no_voxels(shape):
    assert rows(overlap_dense(np.zeros(shape, np.uint32), np.zeros(shape, np.uint64))) == []


def test_labels_that_differ_in_any_of_their_bytes():
    """Alone among others, at every place of a word, in either array."""
    for dtype in (np.uint8, np.uint16, np.uint32, np.uint64):
        bits = np.arange(8 * np.dtype(dtype).itemsize, dtype=dtype)
        rows_of_one = np.zeros((1, 2 * bits.size, 130), dtype)
        for n, bit in enumerate(bits):
            rows_of_one[0, 2 * n, (7 * n) % 130] = rows_of_one[0, 2 * n + 1, 129 - (5 * n) % 130] = dtype(1) << bit
        other = np.zeros(rows_of_one.shape, np.uint32)
        expected = oracles.contingency(rows_of_one, other)
        assert len(expected) == bits.size + 1
        assert rows(overlap_dense(rows_of_one, other)) == expected
        assert rows(overlap_dense(other, rows_of_one)) == oracles.contingency(other, rows_of_one)


def test_many_pairs_and_pairs_whose_bits_are_alike():
    rng = np.random.default_rng(3)
    n = 5000
    near = np.arange(n, dtype=np.uint64).reshape(2, 1, -1)
    far = (near << np.uint64(44)) | np.uint64(1)
    random = rng.integers(0, 2**64, near.shape, np.uint64)
    for a in (near, far, random):
        for b in (near, far, random, a[::-1, :, ::-1]):
            assert rows(overlap_dense(a, b)) == oracles.contingency(a, b)


@examples(500)
@given(st.data())
def test_runs(data):
    """Boxes of two chunks where they lie over one another, dense table and sparse."""
    a, b = data.draw(wide_boxes()), data.draw(wide_boxes())
    if data.draw(st.integers(0, 9)) == 0:
        a, b = (np.arange(n.size, dtype=np.uint64).reshape(n.shape) for n in (a, b))  # beyond SMALL, if they are large
    size = tuple(data.draw(st.integers(1, min(n, m))) for n, m in zip(a.shape, b.shape, strict=True))
    starts = [tuple(data.draw(st.integers(0, n - m)) for n, m in zip(c.shape, size, strict=True)) for c in (a, b)]
    runs = Runs.from_dense(a), Runs.from_dense(b)
    i, j, voxels = overlap_runs(*runs, *starts, size)
    found = rows(in_order(runs[0].palette[i], runs[1].palette[j], voxels))
    parts = [
        c[tuple(slice(f, f + n) for f, n in zip(s, size, strict=True))] for c, s in zip((a, b), starts, strict=True)
    ]
    assert found == oracles.contingency(*parts)


def test_palettes_too_many_for_a_dense_table():
    a = np.arange(400, dtype=np.uint64).reshape(2, 2, 100)
    b = a[::-1, ::-1, ::-1] + np.uint64(2**63)
    i, j, voxels = overlap_runs(Runs.from_dense(a), Runs.from_dense(b), (0, 0, 0), (0, 0, 0), a.shape)
    assert rows((Runs.from_dense(a).palette[i], Runs.from_dense(b).palette[j], voxels)) == oracles.contingency(a, b)


def test_pairs_that_come_again_after_they_were_laid_aside():
    """They are there several times, from arrays and from runs; in order they are one."""
    near = np.arange(70_000, dtype=np.uint64).reshape(2, 5, -1)
    a, b = (np.concatenate([array, array]) for array in (near % np.uint64(40_000), near[::-1, :, ::-1]))
    runs = Runs.from_dense(a), Runs.from_dense(b)
    i, j, voxels = overlap_runs(*runs, (0, 0, 0), (0, 0, 0), a.shape)
    expected = oracles.contingency(a, b)
    for found in overlap_dense(a, b), (runs[0].palette[i], runs[1].palette[j], voxels):
        assert len(found[0]) > len(expected)
        assert rows(in_order(*found)) == expected


@pytest.mark.parametrize("dtype", ["u4", "u8"])
def test_two_labels_in_turn_do_not_push_one_another_out(dtype):
    """Of 40,000 rows of two labels in turn some have both in one place of the table, of 4096."""
    count, turns = 40_000, 10
    pairs = np.random.default_rng(5).permutation(2 * count).astype(dtype).reshape(1, count, 1, 2)
    a = pairs.repeat(turns, axis=2).reshape(1, count, -1)
    labels, _, voxels = overlap_dense(a, np.zeros_like(a))
    assert sorted(labels.tolist()) == list(range(2 * count))
    assert (voxels == turns).all()


ENTRIES = st.lists(st.tuples(*[st.sampled_from([0, 1, 5, 2**11, 2**40, 2**63, 2**64 - 1])] * 2, st.integers(1, 9)))


def columns(entries):
    return tuple(np.array([row[side] for row in entries], np.uint64) for side in range(3))


def united(entries):
    """The slow twin: a dictionary of pairs."""
    found = {}
    for a, b, voxels in entries:
        found[a, b] = found.get((a, b), 0) + voxels
    return [(*pair, voxels) for pair, voxels in sorted(found.items())]


@examples(1000)
@given(ENTRIES, ENTRIES)
def test_entries_in_order_and_merged(one, other):
    lists = []
    for entries in (one, other):
        given = columns(entries)
        for column in given:
            column.flags.writeable = False
        lists.append(in_order(*given))
        assert list(zip(*(column.tolist() for column in lists[-1]), strict=True)) == united(entries)
    assert list(zip(*(column.tolist() for column in merged(*lists)), strict=True)) == united(one + other)


def test_many_entries_in_order():
    """As np.lexsort has them, at every digit."""
    rng = np.random.default_rng(5)
    for bits in (3, 11, 12, 33, 64):
        a, b = rng.integers(0, 2**bits, (2, 5000), np.uint64, endpoint=False) if bits < 64 else rng.integers(
            0, 2**64, (2, 5000), np.uint64)  # fmt: skip
        table = in_order(a, b, np.ones(5000, np.uint64))
        pairs, counts = np.unique(np.stack([a, b]), axis=1, return_counts=True)
        assert (table[0] == pairs[0]).all() and (table[1] == pairs[1]).all() and (table[2] == counts).all()


def test_refusals():
    with pytest.raises(Invalid, match="as many labels as counts, found 1, 2 and 1"):
        in_order(np.zeros(1, np.uint64), np.zeros(2, np.uint64), np.zeros(1, np.uint64))
    with pytest.raises(Invalid, match=r"found \(1, 2, 3\) and \(1, 2, 4\)"):
        overlap_dense(np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 4), np.uint8))
    runs = Runs.full((2, 3, 4), 1)
    for start, size in [((0, 0, 1), (2, 3, 4)), ((-1, 0, 0), (1, 1, 1)), ((0, 0, 0), (0, 1, 1))]:
        with pytest.raises(Invalid, match="is not within"):
            overlap_runs(runs, runs, (0, 0, 0), start, size)
        with pytest.raises(Invalid, match="is not within"):
            overlap_runs(runs, runs, start, (0, 0, 0), size)
