from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, patches

from conftest import examples
from labelog.errors import Corrupt
from labelog.kernels import codec
from labelog.kernels import spans as kernel
from labelog.kernels.runs import Runs
from reader import Words, read_numbers, read_rows


@examples(1000)
@given(boxes())
def test_runs_there_and_back(array):
    runs = Runs.from_dense(array)
    data = codec.encode(runs)
    found = codec.decode(data, runs.shape)
    assert found == runs
    assert Runs(found.shape, found.palette, found.offsets, found.ends, found.index) == runs
    assert codec.encode(found) == data


@given(boxes((4, 6, 70), elements=st.integers(0, 3)))
@examples(30)
def test_rows_much_alike(array):
    """Boundaries that move, come and go from row to row, which is what the symbols are made for."""
    smooth = np.sort(array, axis=2)
    for one in (smooth, smooth[:, :, ::-1], array):
        runs = Runs.from_dense(one)
        assert codec.decode(codec.encode(runs), runs.shape) == runs


@st.composite
def bodies(draw):
    """Boundaries that drift from row to row and from plane to plane, with other runs here and there."""
    nz, ny, nx = draw(st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 60)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps = rng.integers(-2, 3, (nz, ny, 1)).cumsum(axis=0) + rng.integers(-3, 4, (nz, ny, 1)).cumsum(axis=1)
    array = (np.arange(nx) + steps) // draw(st.integers(2, 20)) % 7
    array[rng.random(array.shape) < draw(st.sampled_from([0, 0.02, 0.3]))] += 300
    return (array + 8).astype(np.uint64)


@given(bodies() | boxes())
def test_the_reader_in_the_documents_reads_the_same(array):
    runs = Runs.from_dense(array)
    data = codec.encode(runs)
    assert codec.decode(data, runs.shape) == runs
    (n_labels, n, *differences), words = read_numbers(data, 2 + runs.compacted().palette.size)
    palette = [*accumulate(differences)]
    rows = read_rows(Words(words), runs.shape)
    assert (n_labels, n) == (len(palette), sum(map(len, rows.values())))
    for (z, y), row in rows.items():
        ends = [run.start for run in row[1:]] + [array.shape[2]]
        assert [palette[run.label] for run, end in zip(row, ends, strict=True) for _ in range(run.start, end)] == (
            array[z, y].tolist()
        )


@pytest.mark.parametrize("way", ["one", "checkerboard", "distinct", "far apart"])
def test_what_no_boundary_helps_with(way):
    shape = (6, 40, 50)
    array = {
        "one": np.full(shape, 2**64 - 1, np.uint64),
        "checkerboard": (np.indices(shape).sum(axis=0) % 2).astype(np.uint64),
        "distinct": np.arange(np.prod(shape), dtype=np.uint64).reshape(shape),
        "far apart": np.random.default_rng(1).integers(0, 2**64, shape, np.uint64, endpoint=False),
    }[way]
    runs = Runs.from_dense(array)
    data = codec.encode(runs)
    assert codec.decode(data, shape) == runs
    assert len(data) < {"one": 40, "checkerboard": 300}.get(way, 1.5 * array.nbytes)


def test_a_row_longer_than_words_count():
    """Gaps, counts and labels of more than 16 bits."""
    array = np.zeros((1, 2, 400_000), np.uint64)
    array[0, 0, 100_000], array[0, 1, 399_999] = 7, 9
    array[0, 0, 140_000:320_000] = np.arange(180_000)
    runs = Runs.from_dense(array)
    assert codec.decode(codec.encode(runs), runs.shape) == runs


def body(n_rows, nx, n_runs):
    """A chunk's body as no encoder writes it: rows that have nx new runs and all those before, then one without new
    ones. docs/format.md has what each bit says."""
    kinds = [{0: 1, 8: 127}, {0: 64, 2 * nx.bit_length(): 64}, {0: 128}, {2: 128}]  # moves, counts, gaps, names
    events = []
    for odds in kinds:
        events.append(Bits(1, 0))
        for symbol in range(max(odds) + 1):
            share = odds.get(symbol, 0)
            events.append(Bits(4, share.bit_length()))
            events += [Bits(share.bit_length() - 1, share % 2 ** (share.bit_length() - 1))] if 1 < share < 128 else []
    for row in range(n_rows):
        events += [Symbol(64, 64), Bits(nx.bit_length() - 2, 0), *row * nx * [Symbol(127, 1)]]
    events.append(Symbol(64, 0))
    state, words = 1 << 16, []
    for event in reversed(events):
        if state >> (32 - event.count) if isinstance(event, Bits) else state >> 25 >= event.odds:
            words.append(state & 0xFFFF)
            state >>= 16
        if isinstance(event, Bits):
            state = state << event.count | event.bits
        else:
            state = state // event.odds * 128 + state % event.odds + event.below
    words += [state & 0xFFFF, state >> 16]
    return b"\x01" + leb128(n_runs) + b"\x07" + np.array(words[::-1], "<u2").tobytes()


class Bits(NamedTuple):
    count: int
    bits: int


class Symbol(NamedTuple):
    odds: int
    below: int


def leb128(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + leb128(number >> 7)


def test_a_row_with_more_runs_than_voxels():
    """Its symbols would be read from far behind the words."""
    with pytest.raises(Corrupt, match="neighbours with one label"):
        codec.decode(body(1, 64, 64), (1, 1, 64))
    with pytest.raises(Corrupt, match="a row has more runs than voxels"):
        codec.decode(body(39, 64, 900 * 64), (1, 900, 64))


@examples(1000)
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
    with pytest.raises(Corrupt):
        codec.decode(b"", (2, 3, 4))


def test_smaller_than_a_third_of_zstandard_on_dense_chunks(data):
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
    assert 3 * ours <= theirs
