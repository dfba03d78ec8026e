"""Reading a volume is reading the array that it was made of, whatever the index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import labelog
from conftest import examples
from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import Grid

SHAPE = (9, 70, 110)
ARRAY = (np.arange(np.prod(SHAPE)).reshape(SHAPE) // 3 % 1000).astype(np.uint64) << np.uint64(50)


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    with labelog.load(tmp_path_factory.mktemp("v") / "v.labelog", ARRAY, chunks=(4, 32, 50)) as volume:
        yield volume


def same(volume, index):
    found, expected = volume[index], ARRAY[index]
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert (found == expected).all()


@given(hnp.basic_indices(SHAPE, allow_newaxis=True, max_dims=6))
@examples(300)
def test_basic(volume, index):
    same(volume, index)


@given(st.data())
@examples(200)
def test_integer_arrays(volume, data):
    index = data.draw(hnp.integer_array_indices(SHAPE, result_shape=hnp.array_shapes(max_dims=2, max_side=5)))
    same(volume, index)
    axis = data.draw(st.integers(0, 2))
    mixed = [data.draw(st.sampled_from([slice(2, 7), slice(None, None, -3), 4])) for _ in range(3)]
    mixed[axis] = index[axis]
    same(volume, tuple(mixed))


@pytest.mark.parametrize(
    "index",
    [
        (ARRAY >> np.uint64(50)) % 7 == 0,
        (np.arange(9) % 2 == 0,),
        (slice(None), np.arange(70) < 3),
        (2, np.ones((70, 110), bool)),
        ([0, 8], slice(1, 3), [5, 6]),
        ([], slice(None), 3),
        ([[0, 1], [8, -9]],),
        (slice(None, None, 4), slice(None, None, 40), slice(None, None, 50)),
        (slice(8, None, -4), 3, ...),
        (np.int8(-1), np.uint64(3)),
        (),
        ...,
    ],
    ids=str,
)
def test_others(volume, index):
    same(volume, index)


@pytest.mark.parametrize("index", [9, -10, (0, 70), (0, 0, -111), ([0, 9],), (0, 0, 0, 0), (..., ...), 1.5, "a", True,
                                   (np.array([0.5]),), np.ones((9, 70, 111), bool)], ids=str)  # fmt: skip
def test_out_of_bounds_is_an_index_error(volume, index):
    with pytest.raises(IndexError):
        ARRAY[index if index is not True else 99]
    with pytest.raises(OutOfBounds) as caught:
        volume[index]
    assert isinstance(caught.value, IndexError)


def test_read_into_any_array(volume):
    box = labelog.Box((1, 10, 20), (8, 60, 100))
    assert (volume.read(box) == ARRAY[box.slices()]).all()
    assert (volume.read(((1, 10, 20), (8, 60, 100))) == ARRAY[box.slices()]).all()
    out = np.zeros((50, 7, 160), np.uint64).transpose(1, 0, 2)[:, ::-1, ::2]
    assert volume.read(box, out) is out
    assert (out == ARRAY[box.slices()]).all()
    assert volume.read().shape == SHAPE
    assert volume.read(labelog.Box((1, 1, 1), (1, 5, 5))).shape == (0, 4, 4)


def test_refused_reads(volume):
    box = labelog.Box((0, 0, 0), (1, 2, 3))
    frozen = np.zeros((1, 2, 3), np.uint64)
    frozen.flags.writeable = False
    for out, what in [(np.zeros((1, 2, 3), np.int64), "uint64"), (np.zeros((2, 2, 3), np.uint64), "shape"),
                      ([[[0]]], "list"), (frozen, "writable")]:  # fmt: skip
        with pytest.raises(Invalid, match=what):
            volume.read(box, out)
    for bad, what in [(((0, 0, 0), (1, 2, 111)), "does not lie within the volume's 0:9, 0:70, 0:110"),
                      (((-1, 0, 0), (1, 1, 1)), "does not lie within"),
                      (((2, 0, 0), (1, 1, 1)), "the box 2:1, 0:1, 0:1 ends before it begins")]:  # fmt: skip
        with pytest.raises(OutOfBounds, match=what):
            volume.read(bad)
    with pytest.raises(Invalid, match="expected a Box"):
        volume.read((slice(0, 1), slice(0, 2), slice(0, 3)))


def test_many_threads_read_as_one(volume, monkeypatch):
    monkeypatch.setattr("labelog.engine.store.PARALLEL", 1)
    monkeypatch.setattr(volume.store, "_threads", 4)
    assert (volume.read() == ARRAY).all()


@given(st.data())
def test_chunks_that_a_box_touches(data):
    grid = Grid((7, 50, 110), (3, 16, 32))
    start = tuple(data.draw(st.integers(0, n)) for n in grid.shape)
    stop = tuple(data.draw(st.integers(a, n)) for a, n in zip(start, grid.shape, strict=True))
    box = labelog.Box(start, stop)
    found = grid.numbers(box)
    assert found == [number for number, _ in grid.touching(box)]
    assert found == [number for number in range(3 * 4 * 4) if grid.box(number).intersect(box).voxels]
    assert grid.starts(box) == [(number, box.relative(grid.origin(number)).start) for number in found]
