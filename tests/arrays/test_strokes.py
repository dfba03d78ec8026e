"""Polygons and brush strokes: beside their definition, centre by centre, in fractions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelog
import oracles

SHAPE = (7, 9, 12)
HALVES = st.integers(-6, 30).map(lambda n: n / 2)
POSITIONS = HALVES | st.floats(-4, 16, width=32)
POINTS = st.tuples(POSITIONS, POSITIONS)
SLICES = st.integers(0, 2).flatmap(lambda axis: st.tuples(st.just(axis), st.integers(0, SHAPE[axis] - 1)))


def dense(rows, axis, index):
    """The slice that rows draw; none is drawn twice, nor any voxel of another slice."""
    out = np.zeros(SHAPE, int)
    for z, y, x0, x1 in rows.tolist():
        assert 0 <= x0 < x1 <= SHAPE[2]
        out[z, y, x0:x1] += 1
    assert out.max(initial=0) <= 1 and out.sum() == np.take(out, index, axis).sum()
    return np.take(out, index, axis).astype(bool)


@given(st.lists(st.lists(POINTS, min_size=3, max_size=7), min_size=1, max_size=3), SLICES)
def test_polygon(rings, at):
    found = dense(labelog.polygon(rings, *at, SHAPE), *at)
    assert np.array_equal(found, oracles.polygon(rings, found.shape))


@given(st.lists(POINTS, min_size=1, max_size=4), HALVES.filter(lambda r: r >= 0) | st.floats(0, 5, width=32), SLICES)
def test_brush(path, radius, at):
    found = dense(labelog.brush(path, radius, *at, SHAPE), *at)
    assert np.array_equal(found, oracles.brush(path, radius, found.shape))


@given(st.lists(POINTS, min_size=4, max_size=4))
def test_polygons_side_by_side_share_no_voxel_and_miss_none(corners):
    """Two triangles on either side of a line, and what both of them make: by the even-odd rule their sum, modulo 2."""
    a, b, c, d = corners
    both = [dense(labelog.polygon([ring], 0, 0, SHAPE), 0, 0) for ring in ([a, b, c], [a, c, d])]
    assert np.array_equal(both[0] ^ both[1], dense(labelog.polygon([corners], 0, 0, SHAPE), 0, 0))


def test_a_square_and_its_hole():
    rows = labelog.polygon([[(1, 1), (1, 5), (5, 5), (5, 1)], [(2, 2), (2, 4), (4, 4), (4, 2)]], 0, 3, SHAPE)
    assert rows.tolist() == [[3, 1, 1, 5], [3, 2, 1, 2], [3, 2, 4, 5], [3, 3, 1, 2], [3, 3, 4, 5], [3, 4, 1, 5]]
    assert labelog.brush([(2.5, 2.5)], 1, 0, 3, SHAPE).tolist() == [[3, 1, 2, 3], [3, 2, 1, 4], [3, 3, 2, 3]]
    assert labelog.brush([(-50, 3)], 1, 0, 3, SHAPE).shape == (0, 4)


def test_a_large_one_takes_no_time():
    turn = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    ring = np.column_stack([5000 + 4000 * np.sin(turn), 5000 + 4000 * np.cos(turn)])
    rows = labelog.polygon([ring], 0, 0, (1, 10_000, 10_000))
    assert (rows[:, 3] - rows[:, 2]).sum() == pytest.approx(np.pi * 4000**2, rel=1e-4)


@pytest.mark.parametrize("rings", [[], [[(1, 1), (2, 2)]], [[(1, 1, 1)] * 3], [[(np.nan, 1)] * 3], [["abc"]],
                                   [[(0, 0), (0, 2**21), (5, 5)]], [[(2**40, 2**40)] * 3]])  # fmt: skip
def test_what_is_no_polygon(rings):
    with pytest.raises(labelog.Invalid):
        labelog.polygon(rings, 0, 0, SHAPE)


def test_what_is_no_stroke():
    for path, radius in (([], 1), ([(1, 1)], -1), ([(1, 1)], np.nan), ([(1, 1)], "x"), ([(1, np.inf)], 1)):
        with pytest.raises(labelog.Invalid):
            labelog.brush(path, radius, 0, 0, SHAPE)
    with pytest.raises(labelog.Invalid, match="several"):
        labelog.brush([(0, 0), (9000, 9000)], 1, 0, 0, (1, 10_000, 10_000))
    for axis, index in ((0, 7), (1, -1), (2, 12)):
        with pytest.raises(labelog.OutOfBounds):
            labelog.brush([(1, 1)], 1, axis, index, SHAPE)
    with pytest.raises(labelog.Invalid, match="axis"):
        labelog.brush([(1, 1)], 1, 3, 0, SHAPE)
