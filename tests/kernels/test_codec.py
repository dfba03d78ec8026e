from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import boxes, patches

from labelog.errors import Corrupt
from labelog.kernels import codec
from labelog.kernels import spans as kernel
from labelog.kernels.runs import Runs


@given(boxes())
def test_runs_there_and_back(array):
    runs = Runs.from_dense(array)
    data = codec.encode(runs)
    found = codec.decode(data, runs.shape)
    assert found == runs
    assert Runs(found.shape, found.palette, found.offsets, found.ends, found.index) == runs
    assert codec.encode(found) == data


@given(boxes((4, 6, 70), elements=st.integers(0, 3)))
@settings(max_examples=30)
def test_rows_much_alike(array):
    """Boundaries that move, come and go from row to row, which is what the symbols are made for."""
    smooth = np.sort(array, axis=2)
    for one in (smooth, smooth[:, :, ::-1], array):
        runs = Runs.from_dense(one)
        assert codec.decode(codec.encode(runs), runs.shape) == runs


@given(st.data())
def test_deltas_there_and_back(data):
    array = data.draw(boxes())
    delta = kernel.diff(Runs.from_dense(array), data.draw(patches(array.shape)))
    assert codec.decode_delta(codec.encode_delta(delta, array.shape[2]), array.shape) == delta


def test_large_deltas_are_compressed():
    rng = np.random.default_rng(1)
    shape = (4, 64, 64)
    delta = kernel.diff(Runs.full(shape, 5), kernel.array_spans(shape, (0, 0, 0), rng.integers(0, 2, shape)))
    data = codec.encode_delta(delta, shape[2])
    assert len(data) < 2 * len(delta)
    assert codec.decode_delta(data, shape) == delta


@pytest.mark.parametrize("make", ["runs", "delta"])
def test_damage_is_an_error_or_labels_of_the_declared_shape(make):
    """Every byte flipped in several ways, every length cut: Corrupt, or something whole."""
    rng = np.random.default_rng(2)
    shape = (3, 20, 40)
    array = np.repeat(rng.integers(0, 9, (3, 20, 8)), 5, axis=2).astype(np.uint64)
    array[1] = array[0]
    runs = Runs.from_dense(array)
    if make == "runs":
        data, decode = codec.encode(runs), codec.decode
    else:
        patch = kernel.array_spans(shape, (0, 0, 0), np.roll(array, 3, axis=1))
        data, decode = codec.encode_delta(kernel.diff(runs, patch), 40), codec.decode_delta
    refused = 0
    mutants = [bytes(data[:n]) for n in range(len(data))]
    for at in range(len(data)):
        for bit in (1, 16, 128):
            mutants.append(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
    for mutant in mutants:
        try:
            found = decode(mutant, shape)
        except Corrupt:
            refused += 1
            continue
        if make == "runs":
            Runs(found.shape, found.palette, found.offsets, found.ends, found.index)
            assert found.shape == shape
        else:
            kernel.Delta(found.old.start, found.old.stop, found.old.value, found.new.value)
            assert found.written <= array.size
    assert refused > len(mutants) / 4


def test_another_shape_is_refused():
    data = codec.encode(Runs.full((2, 3, 4), 1))
    for shape in [(2, 3, 3), (2, 2, 4), (3, 3, 4)]:
        try:
            assert codec.decode(data, shape).shape == shape
        except Corrupt:
            continue
    with pytest.raises(Corrupt):
        codec.decode(data, (100, 3, 4))


def test_smaller_than_half_of_zstandard_on_dense_chunks(data):
    """On the real ground truth, for the chunk shapes in use."""
    h5py = pytest.importorskip("h5py")
    numcodecs = pytest.importorskip("numcodecs")
    with h5py.File(data / "fib25" / "groundtruth.h5") as file:
        labels = file["stack"][:64].astype(np.uint64)
    ours = theirs = 0
    for z in range(0, 64, 16):
        chunk = np.ascontiguousarray(labels[z : z + 16])
        ours += len(codec.encode(Runs.from_dense(chunk)))
        theirs += len(numcodecs.Zstd(level=3).encode(chunk))
    assert 2 * ours <= theirs
