"""The walk from box to box, beside a fill of the whole array."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from conftest import examples
from labelog.engine.walk import Walk
from labelog.errors import Invalid
from labelog.geometry import Box, Grid
from labelog.kernels.components import label_dense

POOL = ThreadPoolExecutor(3)


@st.composite
def masks(draw):
    shape = tuple(draw(st.integers(1, 8)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = rng.random(shape) < draw(st.sampled_from([0.2, 0.35, 0.5, 0.7, 1]))
    seed = tuple(draw(st.integers(0, n - 1)) for n in shape)
    mask[seed] = draw(st.sampled_from([True, True, True, False]))
    return mask, seed, Grid.of(shape, tuple(draw(st.integers(2, 5)) for _ in range(3)))


class Boxes:
    """The components of each box, and how often each was asked for."""

    def __init__(self, mask, grid, reach):
        self.padded = np.pad(mask, [(0, n * c - s) for n, c, s in
                                    zip(grid.counts, grid.chunks, grid.shape, strict=True)])  # fmt: skip
        self.grid, self.reach, self.asked = grid, reach, []

    def __call__(self, chunk):
        self.asked.append(chunk)
        part = tuple(slice(a, a + c) for a, c in zip(self.grid.origin(chunk), self.grid.chunks, strict=True))
        return label_dense(self.padded[part].view(np.uint8), self.reach)[0]


def dense(walk, grid):
    out = np.zeros(grid.shape, bool)
    for chunk, part in walk.parts.items():
        place = grid.box(chunk)
        found = part.reached[part.components.dense()]
        out[place.slices()] = found[tuple(slice(0, n) for n in place.shape)]
    return out


def bounds(mask):
    at = np.argwhere(mask)
    return Box(tuple(at.min(axis=0).tolist()), tuple((at.max(axis=0) + 1).tolist()))


@examples(1000)
@given(masks(), st.integers(1, 3), st.sampled_from([None, POOL]))
def test_as_one_box(given, reach, pool):
    mask, seed, grid = given
    boxes = Boxes(mask, grid, reach)
    walk = Walk(boxes, grid, seed, reach=reach, pool=pool)
    wanted = oracles.flood(mask, seed, reach)
    assert (dense(walk, grid) == wanted).all()
    assert walk.voxels == wanted.sum()
    assert list(walk.parts) == sorted(walk.parts)
    assert len(boxes.asked) == len(set(boxes.asked)), "no box is divided twice"


@examples(150)
@given(masks(), st.integers(1, 3))
def test_limits(given, reach):
    mask, seed, grid = given
    count = int(oracles.flood(mask, seed, reach).sum())
    assert Walk(Boxes(mask, grid, reach), grid, seed, reach=reach, limit=count).voxels == count
    if count:
        with pytest.raises(Invalid, match=f"more than {count - 1} voxels would be filled") as caught:
            Walk(Boxes(mask, grid, reach), grid, seed, reach=reach, limit=count - 1)
        assert caught.value.voxels == count
        assert caught.value.box == bounds(oracles.flood(mask, seed, reach))


def test_boxes_out_of_reach_are_not_looked_at():
    mask = np.zeros((4, 4, 40), bool)
    mask[1, 1, 3:9] = mask[3, 3] = True
    grid = Grid.of(mask.shape, (2, 2, 4))
    boxes = Boxes(mask, grid, 1)
    assert Walk(boxes, grid, (1, 1, 4)).voxels == 6
    assert all(grid.index(chunk)[2] <= 2 for chunk in boxes.asked)
    assert not any(grid.index(chunk)[2] > 3 for chunk in boxes.asked)


def test_an_open_grid_shares_its_boxes():
    grid = Grid.of((12, 12, 12), (4, 4, 4))
    walk = Walk(Boxes(np.ones(grid.shape, bool), grid, 1), grid, (0, 0, 0))
    assert walk.voxels == 12**3
    assert len({id(part.components) for part in walk.parts.values()}) == 1


def test_progress_and_cancelling():
    grid = Grid.of((4, 4, 40), (4, 4, 4))
    boxes = Boxes(np.ones(grid.shape, bool), grid, 1)
    told = []
    Walk(boxes, grid, (0, 0, 0), progress=lambda *numbers: told.append(numbers))
    assert len(told) == 10
    assert told == sorted(told) and told[-1] == (64 * 9, 0)

    def enough(voxels, total):
        if voxels > 200:
            raise KeyboardInterrupt

    boxes.asked.clear()
    with pytest.raises(KeyboardInterrupt):
        Walk(boxes, grid, (0, 0, 0), progress=enough)
    assert len(boxes.asked) == 5
