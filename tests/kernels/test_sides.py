from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes

from conftest import examples
from labelog.errors import Invalid
from labelog.kernels import sides
from labelog.kernels.runs import Runs

DIRECTIONS = [d for d in itertools.product((-1, 0, 1), repeat=3) if any(d)]


def valid(runs):
    """The runs, made anew by the constructor that verifies them."""
    return Runs(runs.shape, runs.palette, runs.offsets, runs.ends, runs.index)


@examples(500)
@given(boxes(), st.sampled_from(DIRECTIONS))
def test_cut(array, direction):
    found = valid(sides.cut(Runs.from_dense(array), direction))
    wanted = array[tuple(slice(None) if d == 0 else 0 if d < 0 else -1 for d in direction)]
    assert found.nz == 1
    assert (found.dense().ravel() == wanted.ravel()).all()
    if wanted.ndim == 2:
        assert found.shape[1:] == wanted.shape


@examples(500)
@given(st.data(), st.integers(0, 2))
def test_touching(data, reach):
    shape = (1, data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9)))
    a, b = (data.draw(boxes(shape, elements=st.integers(0, 5))) for _ in range(2))
    labels = np.array([0, 1, 2, 1, 2, 0], np.uint64)  # of the components 0 to 5
    runs, other = Runs.from_dense(a), Runs.from_dense(b)
    wanted = set()
    for r, x in np.ndindex(shape[1:]):
        for dr, dx in itertools.product((-1, 0, 1), repeat=2):
            if np.count_nonzero((dr, dx)) <= reach and 0 <= r + dr < shape[1] and 0 <= x + dx < shape[2]:
                p, q = int(a[0, r, x]), int(b[0, r + dr, x + dx])
                if labels[p] == labels[q] != 0:
                    wanted.add((p, q))
    found = sides.touching(runs, other, labels[runs.palette], labels[other.palette], reach)
    assert sorted(map(tuple, found.tolist())) == sorted(wanted)


def test_refusals():
    runs = Runs.full((2, 3, 4), 1)
    for direction in [(0, 0, 0), (2, 0, 0), (1, 0)]:
        with pytest.raises(Invalid, match="direction"):
            sides.cut(runs, direction)
    with pytest.raises(Invalid, match="planes of one shape"):
        sides.touching(runs, runs, [1], [1], 0)
    face = sides.cut(runs, (1, 0, 0))
    with pytest.raises(Invalid, match="found 1 and 2"):
        sides.touching(face, face, [1], [1, 2], 0)
    with pytest.raises(Invalid, match="0, 1 or 2 axes, found 3"):
        sides.touching(face, face, [1], [1], 3)
