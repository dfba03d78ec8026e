from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SHAPES, boxes

from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.join import join
from labelog.kernels.runs import Runs

COUNTS = st.tuples(*[st.integers(1, 3)] * 3)
FEW = st.integers(0, 3)


def side_by_side(parts, counts):
    rows = iter(parts)
    return np.block([[[next(rows) for _ in range(counts[2])] for _ in range(counts[1])] for _ in range(counts[0])])


def check(found, wanted):
    """Maximal runs, as the constructor verifies, of the labels that are there, in order."""
    np.testing.assert_array_equal(
        Runs(found.shape, found.palette, found.offsets, found.ends, found.index).dense(), wanted
    )
    assert found.palette.tolist() == np.unique(wanted).tolist()


@examples(500)
@given(st.data(), SHAPES, COUNTS)
def test_parts_side_by_side(data, shape, counts):
    parts = [data.draw(boxes(shape, elements=FEW)) for _ in range(math.prod(counts))]
    check(join([Runs.from_dense(part) for part in parts], counts), side_by_side(parts, counts))


@examples(500)
@given(st.data(), SHAPES, COUNTS)
def test_a_window_of_them_through_a_map(data, shape, counts):
    parts = [data.draw(boxes(shape, elements=FEW)) for _ in range(math.prod(counts))]
    runs = [Runs.from_dense(part) for part in parts]
    maps = [{label: data.draw(FEW) for label in part.palette.tolist()} for part in runs]
    values = [np.array(list(each.values()), np.uint8) for each in maps]
    shown = [np.vectorize(each.get)(part).astype(np.uint64) for each, part in zip(maps, parts, strict=True)]
    whole = side_by_side(shown, counts)
    start = tuple(data.draw(st.integers(0, n - 1)) for n in whole.shape)
    size = tuple(data.draw(st.integers(1, n - a)) for n, a in zip(whole.shape, start, strict=True))
    wanted = whole[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    check(join(runs, counts, values, (start, size)), wanted)


def test_a_palette_may_have_labels_that_are_not_there():
    runs = Runs((1, 1, 2), np.array([9, 5, 7], np.uint64), [0, 2], [1, 2], [2, 0])
    assert join([runs, runs], (1, 1, 2), window=((0, 0, 1), (1, 1, 2))).palette.tolist() == [7, 9]


def test_refusals():
    runs = Runs.full((2, 3, 4), 1)
    with pytest.raises(Invalid, match="2 x 1 x 1 boxes of one shape, found 1"):
        join([runs], (2, 1, 1))
    with pytest.raises(Invalid, match="boxes of one shape, found 2 of"):
        join([runs, Runs.full((2, 3, 5), 1)], (2, 1, 1))
    for values in ([], [[1, 2]], [[]]):
        with pytest.raises(Invalid, match="a value for each entry"):
            join([runs], (1, 1, 1), values)
    for window in [((0, 0, -1), (1, 1, 1)), ((0, 0, 0), (2, 0, 4)), ((1, 0, 0), (2, 3, 4))]:
        with pytest.raises(Invalid, match="is not within"):
            join([runs], (1, 1, 1), None, window)
