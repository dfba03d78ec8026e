"""Neuroglancer's compressed_segmentation: read by tensorstore, which knows nothing of runs, and by a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import LABELS, boxes

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.compressed_segmentation import encode
from labelog.kernels.runs import Runs

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 30))


def read(data, shape):
    """A chunk (z, y, x) as tensorstore decodes it."""
    scale = {"encoding": "compressed_segmentation", "compressed_segmentation_block_size": [8, 8, 8], "key": "s0",
             "size": shape[::-1], "chunk_size": shape[::-1], "resolution": [1, 1, 1]}  # fmt: skip
    store = ts.open(
        {"driver": "neuroglancer_precomputed", "kvstore": "memory://", "scale_metadata": scale,
         "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1}},
        open=True, create=True,
    ).result()  # fmt: skip
    name = "_".join(f"0-{n}" for n in shape[::-1])
    store.kvstore.write(f"s0/{name}", data).result()
    return store[..., 0].T.read().result()


def whole(array):
    runs = Runs.from_dense(array)
    return encode(runs, (0, 0, 0), array.shape, runs.palette)


@examples(350)
@given(boxes(SHAPES))
def test_there_and_back(array):
    assert np.array_equal(read(whole(array), array.shape), array)


@examples(350)
@given(SHAPES, st.integers(0, 2**32), st.sampled_from([1, 2, 3, 4, 5, 16, 17, 256, 257, 4000]), st.integers(1, 12))
def test_any_number_of_labels_in_a_block(shape, seed, labels, length):
    random = np.random.default_rng(seed)
    array = random.integers(0, 2**64, labels, np.uint64)[random.integers(0, labels, shape)]
    array = np.repeat(array, length, axis=2)[:, :, : shape[2]]
    assert np.array_equal(read(whole(array), shape), array)


@examples(350)
@given(boxes(SHAPES), st.data())
def test_a_box_in_runs_through_a_map(array, data):
    runs = Runs.from_dense(array)
    start = tuple(data.draw(st.integers(0, n - 1)) for n in array.shape)
    size = tuple(data.draw(st.integers(1, n - a)) for n, a in zip(array.shape, start, strict=True))
    values = data.draw(hnp.arrays(np.uint64, runs.palette.size, elements=LABELS))
    mapped = dict(zip(runs.palette.tolist(), values.tolist(), strict=True))
    inside = array[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    expected = np.array([mapped[label] for label in inside.ravel().tolist()], np.uint64).reshape(size)
    found = encode(runs, start, size, values)
    assert np.array_equal(oracles.compressed_segmentation(found, size), expected)
    assert np.array_equal(read(found, size), expected)


def test_the_bytes():
    """A block of one label, one of two, and a third that finds its table at the beginning of the second's."""
    array = np.full((1, 1, 20), 2**40 + 7, np.uint64)
    array[0, 0, 10:16] = 9
    table, both, indices = [7, 2**8], [7, 2**8, 9, 0], [0b11111100] + [0] * 15
    headers = [6, 6, 24 | 1 << 24, 8, 24, 28]
    assert np.frombuffer(whole(array), "<u4").tolist() == [1, *headers, *table, *indices, *both]


def test_equal_tables_are_kept_once():
    """Every other block of two labels, the rest of one: two tables, whatever the number of blocks."""
    array = np.ones((8, 8, 256), np.uint64)
    array[:, :, ::16] = 2
    assert len(whole(array)) == 4 * (1 + 2 * 32 + 16 * 16 + 2 + 4)


def test_what_it_refuses():
    runs = Runs.full((2, 3, 4), 1)
    for start, size in [((0, 0, 1), (2, 3, 4)), ((-1, 0, 0), (1, 1, 1)), ((0, 0, 0), (0, 1, 1))]:
        with pytest.raises(Invalid, match=r"is not within \(2, 3, 4\)"):
            encode(runs, start, size, runs.palette)
    with pytest.raises(Invalid, match="expected 1 values for the palette, found 2"):
        encode(runs, (0, 0, 0), (2, 3, 4), np.zeros(2, np.uint64))
    noise = Runs.from_dense(np.random.default_rng(1).integers(0, 4000, (108, 256, 256), np.uint64))
    with pytest.raises(Invalid, match="too large for one chunk"):
        encode(noise, (0, 0, 0), noise.shape, noise.palette)
    wide = Runs.full((1, 1, 2**27), 1)
    with pytest.raises(Invalid, match="too large for one chunk"):
        encode(wide, (0, 0, 0), wide.shape, wide.palette)
