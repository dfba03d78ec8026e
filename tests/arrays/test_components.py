"""Connected components of plain arrays."""

from __future__ import annotations

import itertools
from importlib import import_module

import cc3d
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelog
import oracles
from conftest import examples
from labelog.arrays import boxes
from labelog.errors import Invalid

module = import_module("labelog.arrays.components")  # the package has a function of this name

ALWAYS, NEVER = (dict.fromkeys((1, 2, 3), most) for most in (1000, 0))  # voxel by voxel, or by runs
DTYPES = [bool, "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u4", ">i8"]
REACHES = {1: {2: 1}, 2: {4: 1, 8: 2}, 3: {6: 1, 18: 2, 26: 3}}
WIDTHS = st.sampled_from([0, 1, 2, 3, 5, 16, 17, 63, 64, 65])


@st.composite
def volumes(draw):
    """Arrays of few labels in blocks, of any layout in memory."""
    shape = [draw(WIDTHS)] + [draw(st.integers(0, 5)) for _ in range(draw(st.integers(0, 2)))]
    shape = draw(st.permutations(shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    few = draw(st.integers(1, 4))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    array = rng.integers(0, few, shape)
    if draw(st.booleans()):
        array = np.repeat(array, 3, axis=-1)[..., : shape[-1]]
    if dtype.kind == "i" and draw(st.booleans()):
        array = -array
    array = array.astype(dtype)
    layout = draw(st.sampled_from(["C", "F", "turned", "backward", "sparse", "broadcast"]))
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "turned":
        return array.transpose(draw(st.permutations(range(array.ndim))))
    if layout == "backward":
        return array[::-1, ...][..., ::-1]
    if layout == "sparse":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "broadcast" and shape[0]:
        return np.broadcast_to(array[:1], shape)
    return array


@examples(1000)
@given(volumes(), st.sampled_from([2**22, 1, 20]), st.integers(1, 3), st.sampled_from([module.SHORT, ALWAYS, NEVER]),
       st.data())  # fmt: skip
def test_as_filled_one_after_another(array, slab, threads, short, data):
    connectivity = data.draw(st.sampled_from(sorted(REACHES[array.ndim])))
    before = array.copy()
    array.flags.writeable = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "SLAB", slab)
        patch.setattr(module, "MOST", slab)
        patch.setattr(module, "SHORT", short)
        found, count = labelog.connected_components(array, connectivity, return_N=True, threads=threads)
    wanted = oracles.components(array, REACHES[array.ndim][connectivity])
    assert found.shape == array.shape
    assert (found == wanted).all()
    assert count == wanted.max(initial=0)
    assert found.dtype == np.uint8 or count > 255
    assert (array == before).all()


def test_faces_by_default():
    for ndim in (1, 2, 3):
        array = np.random.default_rng(ndim).integers(0, 2, (7,) * ndim)
        assert (labelog.connected_components(array) == oracles.components(array, 1)).all()


def test_dtypes_of_the_result():
    line = np.arange(1, 301, dtype=np.uint64)
    assert labelog.connected_components(line[:255]).dtype == np.uint8
    assert labelog.connected_components(line).dtype == np.uint16
    assert labelog.connected_components(np.arange(1, 2**16 + 1)).dtype == np.uint32
    for dtype in (np.int16, np.uint64, "i8", ">u4"):
        found = labelog.connected_components(line, dtype=dtype)
        assert found.dtype == np.dtype(dtype)
        assert (found == line).all()
    with pytest.raises(Invalid, match="holds 300 components, found uint8"):
        labelog.connected_components(line, dtype=np.uint8)


def test_the_result_lies_in_memory_as_the_array_does():
    array = np.ones((3, 4, 5), np.uint8)
    for axes in [(0, 1, 2), (2, 1, 0), (1, 2, 0)]:
        turned = array.transpose(axes)
        assert labelog.connected_components(turned).strides == turned.strides


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("short", [ALWAYS, NEVER], ids=["voxels", "runs"])
def test_large_labels_and_many_slabs(order, connectivity, short, monkeypatch):
    monkeypatch.setattr(boxes, "SLAB", 100)
    monkeypatch.setattr(module, "MOST", 600)
    monkeypatch.setattr(module, "SHORT", short)
    rng = np.random.default_rng(3)
    array = rng.choice(np.array([0, 1, 2**63, 2**64 - 1], np.uint64), (12, 11, 23)).astype(np.uint64, order=order)
    wanted = oracles.components(array, REACHES[3][connectivity])
    for threads in (1, 2, None):
        assert (labelog.connected_components(array, connectivity, threads=threads) == wanted).all()


BOARD = np.indices((13, 32, 41)).sum(axis=0) % 2
RESTLESS = {
    "board of 0": BOARD, "board": BOARD + 1, "columns": np.indices((13, 32, 41))[2] % 2,
    "distinct": np.arange(1, BOARD.size + 1).reshape(BOARD.shape),
    **{f"noise of {n}": np.random.default_rng(n).integers(0, n, BOARD.shape) for n in (2, 3, 9)},
}  # fmt: skip


@pytest.mark.parametrize("name", RESTLESS)
@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("threads", [1, 3])
def test_labels_that_change_everywhere_as_cc3d_has_them(name, connectivity, threads):
    array = RESTLESS[name].astype(np.uint32)
    assert module._restless(array, 1)
    theirs = cc3d.connected_components(array, connectivity=connectivity)
    assert (labelog.connected_components(array, connectivity, threads=threads) == theirs).all()


def test_smooth_labels_go_by_runs():
    smooth = np.repeat(RESTLESS["noise of 9"], 20, axis=2)
    assert not any(module._restless(smooth, reach) for reach in (1, 2, 3))


def of_a_graph(array, reach):
    """Components as scipy finds them in the graph of all neighbours with one label, background among them."""
    sparse = pytest.importorskip("scipy.sparse")
    index = np.arange(array.size).reshape(array.shape)
    ends = []
    for step in itertools.product((-1, 0, 1), repeat=3):
        if 0 < np.count_nonzero(step) <= reach:
            here = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(step, array.shape, strict=True))
            there = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(step, array.shape, strict=True))
            same = array[here] == array[there]
            ends.append((index[here][same], index[there][same]))
    a, b = (np.concatenate(side) for side in zip(*ends, strict=True))
    graph = sparse.coo_array((np.ones(a.size, bool), (a, b)), shape=(array.size, array.size))
    return sparse.csgraph.connected_components(graph, directed=False)[1].reshape(array.shape)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_real_labels_as_scipy_has_them(data, connectivity):
    h5py = pytest.importorskip("h5py")
    with h5py.File(data / "fib25" / "groundtruth.h5") as file:
        labels = file["stack"][:16, 100:400, :300]
    found, count = labelog.connected_components(labels, connectivity, return_N=True)
    theirs = of_a_graph(labels, REACHES[3][connectivity])
    pairs = np.unique(np.stack([found[labels > 0], theirs[labels > 0]]), axis=1)
    assert pairs.shape[1] == len(set(pairs[0])) == len(set(pairs[1])) == count
    assert (found[labels == 0] == 0).all()
    numbers, first = np.unique(found, return_index=True)
    assert (np.diff(first[numbers > 0]) > 0).all()


def test_refusals():
    for array in (np.zeros(3), np.zeros(3, complex), np.zeros((1, 1, 1, 1), int), np.array(3), ["a"]):
        with pytest.raises(Invalid, match="expected integers or bool in 1 to 3 dimensions"):
            labelog.connected_components(array)
    for ndim, connectivity in [(1, 4), (2, 6), (3, 8), (3, 7), (3, "6"), (3, [6])]:
        with pytest.raises(Invalid, match=f"connectivity in {ndim} dimensions must be"):
            labelog.connected_components(np.ones((2,) * ndim, np.uint8), connectivity)
    for dtype in (float, bool, "labels"):
        with pytest.raises(Invalid, match="expected an integer dtype"):
            labelog.connected_components(np.ones(3, np.uint8), dtype=dtype)
    for threads in (0, -1, 1.5, "2", True):
        with pytest.raises(Invalid, match=f"number of threads is a whole number from 1 on, not {threads!r}"):
            labelog.connected_components(np.ones(3, np.uint8), threads=threads)
    with pytest.raises(Invalid, match=r"expected an array of integers or bool: .* inhomogeneous"):
        labelog.connected_components([[1, 2], [3]])
    assert labelog.connected_components(np.eye(2, dtype=int), np.int64(8)).max() == 1
