from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.flood import flooded, write

REACHES = st.integers(1, 3)


@st.composite
def floods(draw, nz=4, ny=5):
    """Rows of up to three words, whose voxels are open in some share; a seed among those."""
    shape = draw(st.tuples(st.integers(1, nz), st.integers(1, ny), st.integers(1, 150)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    inside = np.repeat(rng.random(shape) < draw(st.sampled_from([0.2, 0.5, 0.8])), draw(st.integers(1, 70)), axis=2)
    inside = inside[:, :, : shape[2]]
    seed = tuple(rng.integers(0, shape).tolist())
    inside[seed] = True
    return inside, seed


def laid_out(array, layout):
    if layout == "turned":
        return np.asfortranarray(array)
    return np.repeat(array, 2, axis=2)[:, :, ::-2][:, :, ::-1] if layout == "strided" else array


def voxels(words, nx):
    """The same as a mask."""
    bits = np.ascontiguousarray(words).astype("<u8").view(np.uint8)
    return np.unpackbits(bits, axis=2, bitorder="little")[:, :, :nx].astype(bool)


@examples(1000)
@given(floods(), REACHES, st.sampled_from([np.uint8, np.int16, np.uint32, np.uint64]),
       st.sampled_from(["as it is", "turned", "strided"]), st.integers(1, 5))  # fmt: skip
def test_as_the_twin(case, reach, dtype, layout, walkers):
    inside, seed = case
    array = laid_out(np.where(inside, dtype(7), np.arange(inside.shape[2], dtype=dtype) % 5), layout)
    words = flooded(array, seed, reach, walkers)
    wanted = oracles.flood(inside, seed, reach)
    assert (voxels(words, inside.shape[2]) == wanted).all()
    assert int(np.bitwise_count(words).sum()) == wanted.sum()


@examples(500)
@given(floods(nz=12, ny=12), REACHES, st.integers(2, 5))
def test_shared_from_the_first_step_on(case, reach, walkers):
    inside, seed = case
    words = flooded(inside.view(np.uint8), seed, reach, walkers, steps=1)
    assert (voxels(words, inside.shape[2]) == oracles.flood(inside, seed, reach)).all()


@pytest.mark.parametrize("walkers", [2, 3, 7])
@pytest.mark.parametrize("z", [0, 20, 39])
@pytest.mark.parametrize("reach", [1, 2, 3])
def test_planes_that_are_dealt_anew(reach, z, walkers):
    """In threads, and so many words that they change hands several times; some that are reached late lie far back."""
    rng = np.random.default_rng(reach)
    inside = rng.random((40, 250, 700)) < (0.45 if reach == 1 else 0.3)
    inside[5:7] = inside[30] = False
    inside[:, 240, 3] = True  # the only way past those
    seed = (z, 240, 3)
    with ThreadPoolExecutor(walkers) as pool:
        words = flooded(inside.view(np.uint8), seed, reach, walkers, pool.map)
    names, _ = ndimage.label(inside, ndimage.generate_binary_structure(3, reach))
    assert (voxels(words, 700) == (names == names[seed])).all()


@examples(300)
@given(floods(), st.sampled_from([np.uint8, np.int16, np.uint32, np.uint64]),
       st.sampled_from(["as it is", "turned", "strided"]))  # fmt: skip
def test_write(case, dtype, layout):
    inside, seed = case
    words = flooded(inside.view(np.uint8), seed, 3)
    before = np.arange(inside.size).reshape(inside.shape).astype(dtype)
    out = laid_out(before.copy(), layout)
    write(words, out, 5)
    assert (out == np.where(voxels(words, inside.shape[2]), dtype(5), before)).all()


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_a_spiral_and_a_staircase(reach):
    """Ways that turn at each word, and that only corners lead along."""
    spiral = np.zeros((1, 41, 41), np.uint8)
    for k in range(0, 20, 2):
        spiral[0, k : 41 - k, k : 41 - k] = 1
        spiral[0, k + 1 : 40 - k, k + 1 : 40 - k] = 0
        spiral[0, k + 1, k], spiral[0, k + 2, k + 1] = 0, 1
    spiral = spiral.repeat(7, axis=2)
    seed = (0, 0, 0)
    words = flooded(spiral, seed, reach)
    assert (voxels(words, spiral.shape[2]) == oracles.flood(spiral == 1, seed, reach)).all()
    stairs = np.zeros((200, 200, 200), np.uint8)
    stairs[np.arange(200), np.arange(200), np.arange(200)] = 1
    for walkers in (1, 200):  # nothing to share: they would all wait at each step
        words = flooded(stairs, (77, 77, 77), reach, walkers)
        assert np.bitwise_count(words).sum() == (200 if reach == 3 else 1)


@pytest.mark.parametrize("nx", [1, 63, 64, 65, 128, 130])
def test_rows_that_end_at_words(nx):
    array = np.ones((3, 4, nx), np.uint8)
    assert voxels(flooded(array, (1, 2, nx - 1), 1), nx).all()
    array[1] = 0
    assert np.bitwise_count(flooded(array, (2, 3, 0), 3)).sum() == 4 * nx
    assert np.bitwise_count(flooded(array, (1, 0, nx // 2), 3)).sum() == 4 * nx


def test_ctrl_c_is_heard():
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(KeyboardInterrupt):
            flooded(np.broadcast_to(np.uint8(1), (8, 4096, 16384)), (0, 0, 0), 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_refusals():
    array = np.zeros((2, 3, 4), np.uint8)
    for reach in (0, 4):
        with pytest.raises(Invalid, match=f"differ along 1, 2 or 3 axes, found {reach}"):
            flooded(array, (0, 0, 0), reach)
    for seed in ((2, 0, 0), (0, -1, 0), (0, 0, 4)):
        with pytest.raises(Invalid, match=r"expected a voxel of an array of shape \(2, 3, 4\)"):
            flooded(array, seed, 1)
    words = flooded(array, (0, 0, 0), 1)
    for shape in ((2, 3, 65), (2, 4, 4), (1, 3, 4)):
        with pytest.raises(Invalid, match="expected words of an array of shape"):
            write(words, np.zeros(shape, np.uint8), 1)
