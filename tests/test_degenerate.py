"""Arrays at the edges of what kernels take: every function, beside its twin, on every kind and in every layout."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

import labelog
import oracles
from conftest import SOAK
from labelog.geometry import REACHES
from labelog.kernels import codec, extents
from labelog.kernels.runs import Runs
from labelog.storage.array_bytes import pack_array, unpack_array

MOST = 2**64 - 1
SHAPE = (4, 5, 7)
INDEX = np.indices(SHAPE)

VALUES = {
    "empty": np.zeros((3, 0, 5), np.uint32),
    "no planes": np.zeros((0, 4, 4), np.uint64),
    "one voxel": np.full((1, 1, 1), MOST, np.uint64),
    "one voxel of background": np.zeros((1, 1, 1), np.uint16),
    "a row": np.array([[[0, 5, 5, 0, 5]]], np.uint8),
    "a column": np.array([0, 5, 5, 0, 5], np.int32).reshape(5, 1, 1),
    "one label": np.full(SHAPE, MOST, np.uint64),
    "all distinct": np.arange(140, dtype=np.uint16).reshape(SHAPE),
    "all distinct, downward from the highest": MOST - np.arange(140, dtype=np.uint64).reshape(SHAPE),
    "checkerboard": (INDEX.sum(axis=0) % 2).astype(np.uint8),
    "checkerboard of the highest": np.where(INDEX.sum(axis=0) % 2, np.uint64(MOST), np.uint64(MOST - 1)),
    "stripes": (INDEX[2] % 2 * 2**31).astype(np.uint32),
    "a grain in a cell": np.pad(np.full((2, 3, 5), 2**63, np.uint64), 1),
    "below 0": (INDEX.sum(axis=0) % 3 - 1).astype(np.int64) * (2**63 - 1),
    "bool": INDEX[0] == INDEX[1],
    "bool of other bytes": (INDEX.sum(axis=0) % 4 * 85).astype(np.uint8).view(bool),
}


def unaligned(array):
    out = np.ndarray(array.shape, array.dtype, bytearray(array.nbytes + 1), 1)
    out[...] = array
    return out


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "read only": read_only,
    "every second": lambda array: np.repeat(np.repeat(array, 2, axis=2), 2, axis=0)[::2, :, 1::2],
    "backward": lambda array: np.ascontiguousarray(array[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "turned": lambda array: np.ascontiguousarray(array.transpose(1, 2, 0)).transpose(2, 0, 1),
    "swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "unaligned": unaligned,
}


def components(array):
    for connectivity, reach in REACHES[3].items():
        found, count = labelog.connected_components(array, connectivity, return_N=True)
        wanted = oracles.components(array, reach)
        assert np.array_equal(found, wanted)
        assert count == wanted.max(initial=0)


def fill(array):
    if array.size == 0:
        with pytest.raises(labelog.OutOfBounds, match="not within the array"):
            labelog.flood(array, (0, 0, 0))
        return
    for seed in ((0, 0, 0), tuple(n // 2 for n in array.shape), tuple(n - 1 for n in array.shape)):
        for connectivity, reach in REACHES[3].items():
            wanted = oracles.flood(array == array[seed], seed, reach)
            assert np.array_equal(labelog.flood(array, seed, connectivity), wanted)
            filled = labelog.flood_fill(array, seed, 1, connectivity)
            assert np.array_equal(filled, np.where(wanted, np.array(1, array.dtype), array))
    if not array.flags.aligned:
        with pytest.raises(labelog.Invalid, match="writable and aligned"):
            labelog.flood_fill(array, seed, 1, in_place=True)


def contingency(array):
    for other in (array, array[::-1], np.zeros_like(array)):
        table = labelog.contingency(array, other)
        assert list(map(list, zip(*(side.tolist() for side in table), strict=True))) == oracles.contingency(
            array, other
        )


def downsample(array):
    for factors in ((2, 2, 2), (1, 2, 2), (2, 1, 1), (1, 1, 1)):
        assert np.array_equal(labelog.downsample(array, factors), oracles.downsample(array, factors))


def array_bytes(array):
    data = pack_array(array)
    found = unpack_array(data, "bytes")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    assert np.array_equal(unpack_array(pack_array(array[None]), "bytes")[0], array)


def runs(array):
    """Chunks: bytes and counts; they have voxels, and labels of 0 and more."""
    array = array.view(np.uint8) if array.dtype == bool else np.asarray(array, array.dtype.newbyteorder("="))
    if array.size == 0 or array.min() < 0:
        with pytest.raises(labelog.Invalid, match=r"must have voxels|must be 0 or more"):
            Runs.from_dense(array)
        return
    found = Runs.from_dense(array)
    assert np.array_equal(found.dense(), array)
    assert codec.decode(codec.encode(found), found.shape) == found
    counted = extents.counted(found)
    rows = zip(counted.labels.tolist(), counted.voxels.tolist(), counted.bounds.tolist(), strict=True)
    wanted = oracles.extents(array)
    wanted.pop(0, None)
    assert {label: (voxels, *bounds) for label, voxels, bounds in rows} == wanted
    again = extents.decode(extents.encode(counted), found.shape)
    assert np.array_equal(again.labels, counted.labels) and np.array_equal(again.bounds, counted.bounds)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize(
    "kernel", [components, fill, contingency, downsample, array_bytes, runs], ids=lambda k: k.__name__
)
def test_as_its_twin(kernel, values, layout):
    array = LAYOUTS[layout](VALUES[values])
    before = array.copy()
    kernel(array)
    assert np.array_equal(array, before)


@pytest.mark.parametrize("chunks", [(1, 1, 1), (2, 3, 4), (9, 9, 9)])
@pytest.mark.parametrize("values", [name for name, array in VALUES.items() if array.size and array.min() >= 0])
def test_shapes_in_volumes(tmp_path, values, chunks):
    """The object at the middle, changed in each way, beside slow twins; and what is stored, read back."""
    array = VALUES[values].astype(np.uint64)
    label = int(array[tuple(n // 2 for n in array.shape)]) or 5
    mask = array == label
    ball, drawn = oracles.ball(1, (1, 1, 1)), np.flatnonzero(mask.any(axis=(1, 2)))
    wanted = {
        "dilate": np.where(oracles.dilated(mask, ball), label, array),
        "erode": np.where(mask & oracles.dilated(~mask, ball), 0, array),
        "interpolate": np.where(oracles.between(mask, drawn, 0, (1, 1)), label, array),
        "fill_holes": np.where(oracles.holes(mask, 1), label, array),
        "remove_islands": np.where(oracles.islands(mask, 1, 2), 0, array),
    }
    options = {"dilate": {"distance": 1, "over": None}, "erode": {"distance": 1}, "interpolate": {"over": None},
               "fill_holes": {"over": None}, "remove_islands": {"below": 2}}  # fmt: skip
    with labelog.load(tmp_path / "v.labelog", array, chunks=chunks) as volume:
        assert np.array_equal(volume[...], array)
        for name, expected in wanted.items():
            if not mask.any():
                with pytest.raises(labelog.NotFound), volume.edit("ana") as edit:
                    getattr(edit, name)(label, **options[name])
                continue
            before = volume.revision
            with volume.edit("ana") as edit:
                getattr(edit, name)(label, **options[name])
            assert np.array_equal(volume[...], expected), name
            if volume.revision > before:
                volume.undo("ana")
            assert np.array_equal(volume[...], array)
        assert volume.check().problems == []


@pytest.mark.parametrize("chunks", [(1, 1, 1), (2, 3, 4), (9, 9, 9)])
@pytest.mark.parametrize("values", [name for name, array in VALUES.items() if array.size and array.min() >= 0])
def test_components_fills_and_counts_of_volumes(tmp_path, values, chunks):
    array = VALUES[values].astype(np.uint64)
    seed = tuple(n // 2 for n in array.shape)
    with labelog.load(tmp_path / "v.labelog", array, chunks=chunks) as volume:
        for connectivity, reach in REACHES[3].items():
            wanted = oracles.components(array, reach)
            found = volume.components(connectivity=connectivity)
            assert np.array_equal(found[...], wanted)
            assert np.array_equal(found.voxels[1:], np.bincount(wanted.ravel())[1:])
            region = oracles.flood(array == array[seed], seed, reach)
            mask = volume.fill_mask(seed, connectivity=connectivity)
            assert (mask.voxels, mask.box.slices()) == (region.sum(), ndimage.find_objects(region.astype(int))[0])
            with volume.edit("ana") as edit:
                edit.fill(seed, 9999, connectivity=connectivity)
            assert np.array_equal(volume[...], np.where(region, 9999, array))
            volume.undo("ana")
            with volume.edit("ana") as edit:
                edit.separate(connectivity=connectivity)
            apart = volume[...]
            assert np.array_equal(oracles.components(apart, reach), wanted)
            assert len(np.unique(apart[apart > 0])) == wanted.max()
            if volume.revision == edit.revision:
                volume.undo("ana")
        assert np.array_equal(volume[...], array)
        for other in (volume, array[::-1], volume.at(0).view("fragment")):
            table = labelog.contingency(volume, other)
            pairs = zip(*map(np.ndarray.tolist, table), strict=True)
            assert [*map(list, pairs)] == oracles.contingency(array, other[...])
        rows = zip(*map(np.ndarray.tolist, volume.extents()), strict=True)
        wanted = oracles.extents(array)
        wanted.pop(0, None)
        assert {label: (voxels, *start, *stop) for label, voxels, start, stop in rows} == wanted
        for finer, scale in pairwise(volume.scales):
            array = oracles.downsample(
                array, [int(b / a) for a, b in zip(finer.voxel_size, scale.voxel_size, strict=True)]
            )
            assert np.array_equal(scale[...], array)
        assert volume.check().problems == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_that_volumes_are_given(tmp_path, layout):
    array = LAYOUTS[layout](VALUES["checkerboard of the highest"])
    with labelog.load(tmp_path / "v.labelog", array, chunks=(2, 3, 4)) as volume:
        assert np.array_equal(volume[...], array)
        with volume.edit("ana") as edit:
            edit[...] = LAYOUTS[layout](VALUES["all distinct"])
            edit.paint(5, LAYOUTS[layout](VALUES["bool"]), at=(0, 0, 0))
        assert np.array_equal(volume[...], np.where(VALUES["bool"], 5, VALUES["all distinct"]))


def available():
    with open("/proc/meminfo") as file:
        return int(file.read().split("MemAvailable:")[1].split()[0]) << 10


@pytest.mark.skipif(not SOAK, reason="of `make soak`: takes 7 GB and a minute")
@pytest.mark.parametrize("order", ["C", "F"])
def test_more_voxels_than_31_bits_count(order):
    if available() < 10 << 30:
        pytest.skip("takes 7 GB of memory")
    shape = (33, 2**13, 2**13 + 1)
    assert np.prod(shape) > 2**31
    array = np.zeros(shape, np.uint8, order)
    array[0, 0, :10] = 1
    array[:, 4000, 5000] = 3
    array[-1, -1, -10:] = 2
    found, count = labelog.connected_components(array, return_N=True)
    assert count == 3
    table = labelog.contingency(array, found)
    background = int(np.prod(shape)) - 53
    assert [*zip(*map(np.ndarray.tolist, table), strict=True)] == [
        (0, 0, background),
        (1, 1, 10),
        (2, 3, 10),
        (3, 2, 33),
    ]
    del found
    assert np.count_nonzero(labelog.flood(array, (32, 8191, 8192))) == 10
    filled = labelog.flood_fill(array, (32, 0, 0), 7, in_place=True)
    assert filled is array
    assert np.bincount(array.reshape(-1, order="A")[-(2**20) :])[7] > 2**19
    assert labelog.contingency(array, array).voxels.tolist() == [10, 10, 33, background]
    half = labelog.downsample(array)
    assert half.shape == (17, 2**12, 2**12 + 1)
    assert half[16, -1, -5:].tolist() == [2, 2, 2, 2, 2]
    del half
    again = unpack_array(pack_array(array[:, None] if order == "C" else array.T[:, None].T), "bytes")
    assert np.array_equal(again.reshape(-1, order="A")[:: 2**12 + 1], array.reshape(-1, order="A")[:: 2**12 + 1])
