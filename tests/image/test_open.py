"""Images where they lie: OME-Zarr, Zarr and Blosc2, as zarr and blosc2 write them."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import blosc2
import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conftest import examples
from labelog.errors import Corrupt, Invalid, LabelogError, NotFound, OutOfBounds, Unsupported
from labelog.image import address, open_image

SHAPE = (9, 70, 110)


def same(image, array, index=...):
    found, expected = image[index], array[index]
    assert type(found) is type(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


# What is read


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(ome, em, version):
    image = open_image(ome(version))
    assert (image.kind, image.shape, image.dtype, image.ndim, image.size) == ("ome-zarr", SHAPE, np.float32, 3, em.size)
    assert (image.voxel_size, image.unit, image.translation, image.chunks) == ((4, 1, 1), "um", (0, 0, 0), (9, 32, 32))
    assert len(image) == 9 and "float32, 9 x 70 x 110" in repr(image)
    same(image, em)
    assert [scale.number for scale in image.scales] == [0, 1]
    coarse = image.scale(1)
    assert (coarse.shape, coarse.voxel_size) == ((9, 35, 55), (4, 2, 2))
    same(coarse, em[:, ::2, ::2])
    assert image.scale(-1).number == 1
    for wrong in (2, -3, "a"):
        with pytest.raises(OutOfBounds, match="scales 0 to 1"):
            image.scale(wrong)


@pytest.mark.parametrize("axes", ["tczyx", "czyx", "xyz", "yzx", "tcxzy", "yx", "cyx"])
def test_axes_in_any_order(ome, em, axes):
    volume = em if "z" in axes else em[:1]
    source = volume.transpose([("zyx".index(name)) for name in axes if name in "zyx"]) if "z" in axes else volume[0]
    source = source.reshape([1] * sum(name in "tc" for name in axes) + list(source.shape))
    scale = [{"type": "scale", "scale": [{"z": 4, "y": 2, "x": 3}.get(name, 9) for name in axes]}]
    image = open_image(ome(axes=axes, arrays={"0": source}, transformations=scale))
    assert image.voxel_size == (4 if "z" in axes else 1, 2, 3)
    same(image, volume)
    same(image, volume, (slice(None), slice(3, 50, 7), [5, 2]))


def test_transformations_follow_each_other(ome):
    steps = [{"type": "scale", "scale": [4, 1, 1]}, {"type": "translation", "translation": [2, 0.5, -3]}]

    def overall(image):
        image["coordinateTransformations"] = [{"type": "scale", "scale": [10, 10, 20]}, {"type": "identity"},
                                              {"type": "translation", "translation": [0, 0, 1]}]  # fmt: skip

    image = open_image(ome(transformations=steps, change=overall))
    assert image.voxel_size == (40, 10, 20)
    assert image.translation == (20, 5, -59)


@pytest.mark.parametrize(("units", "expected"), [
    (["nanometer"] * 3, "nm"), (["angstrom"] * 3, "angstrom"), ([None] * 3, None), ([None, "foot", "foot"], "foot"),
])  # fmt: skip
def test_units(ome, units, expected):
    def change(image):
        for axis, unit in zip(image["axes"], units, strict=True):
            axis.pop("unit")
            if unit:
                axis["unit"] = unit

    assert open_image(ome(change=change)).unit == expected


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", [">u2", "i1", "f8", "bool", "u8"])
def test_plain_zarr(tmp_path, em, zarr_format, dtype):
    array = em.astype(dtype)
    zarr.create_array(tmp_path / "a.zarr", data=array[None], chunks=(1, 4, 16, 16), zarr_format=zarr_format)
    image = open_image(tmp_path / "a.zarr")
    assert (image.kind, image.chunks, image.voxel_size, image.unit) == ("zarr", (4, 16, 16), None, None)
    assert image.dtype.isnative
    same(image, array.astype(array.dtype.newbyteorder("=")))


def test_plain_zarr_that_names_its_axes(tmp_path, em):
    data = em.transpose(2, 1, 0)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(64, 64, 64), dimension_names=["x", "y", "z"])
    same(open_image(tmp_path / "a.zarr"), em)
    zarr.create_array(tmp_path / "b.zarr", data=em, chunks=(64, 64, 64), dimension_names=["depth", "row", "column"])
    same(open_image(tmp_path / "b.zarr"), em)


@pytest.mark.parametrize("contiguous", [True, False])
def test_blosc2(tmp_path, medulla, contiguous):
    path = tmp_path / "em.b2nd"
    blosc2.asarray(medulla, urlpath=str(path), chunks=(16, 64, 64), contiguous=contiguous)
    image = open_image(path)
    assert (image.kind, image.chunks, image.voxel_size) == ("blosc2", (16, 64, 64), None)
    same(image, medulla)
    same(image, medulla, (slice(None, None, -7), 5, [0, -1, 3]))
    blosc2.asarray(medulla[3], urlpath=str(tmp_path / "slice.b2nd"))
    same(open_image(tmp_path / "slice.b2nd"), medulla[3:4])


# Indexing, as NumPy has it


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    array = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    path = tmp_path_factory.mktemp("indexed") / "a.zarr"
    zarr.create_array(path, data=array, chunks=(4, 32, 50))
    return open_image(path), array


@given(hnp.basic_indices(SHAPE, allow_newaxis=True, max_dims=6))
@examples(100)
def test_basic_indices(indexed, index):
    same(*indexed, index)


@given(st.data())
@examples(60)
def test_integer_arrays(indexed, data):
    same(*indexed, data.draw(hnp.integer_array_indices(SHAPE, result_shape=hnp.array_shapes(max_dims=2, max_side=5))))


@pytest.mark.parametrize("index", [
    (np.arange(9) % 2 == 0,), ([0, 8], slice(1, 3), [5, 6]), ([], slice(None), 3), (np.zeros(9, bool),),
    np.arange(np.prod(SHAPE)).reshape(SHAPE) % 997 == 0,
], ids=str)  # fmt: skip
def test_masks_and_several_arrays(indexed, index):
    same(*indexed, index)


def test_out_of_bounds(indexed):
    image, _ = indexed
    for index in (9, -10, (0, 70), ([0, 9],), (0, 0, 0, 0), 1.5):
        with pytest.raises(OutOfBounds) as caught:
            image[index]
        assert isinstance(caught.value, IndexError)
    with pytest.raises(OutOfBounds):
        image.read(((0, 0, 0), (1, 2, 111)))


def test_read(indexed):
    image, array = indexed
    box = ((1, 10, 20), (8, 60, 100))
    out = np.zeros((50, 7, 160), np.float32).transpose(1, 0, 2)[:, ::-1, ::2]
    assert image.read(box, out) is out
    np.testing.assert_array_equal(out, array[1:8, 10:60, 20:100])
    assert image.read(((1, 1, 1), (1, 5, 5))).shape == (0, 4, 4)
    np.testing.assert_array_equal(np.asarray(image, np.float64), array)
    with pytest.raises(ValueError, match="copy"):
        np.array(image, copy=False)
    for wrong in (np.zeros((7, 50, 80)), np.zeros((7, 50, 81), np.float32), [1]):
        with pytest.raises(Invalid, match="out must be a float32 array"):
            image.read(box, wrong)
    frozen = np.zeros((7, 50, 80), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(Invalid, match="writable"):
        image.read(box, frozen)


# Threads, processes, dask


def _sum(image):
    return float(np.asarray(image, np.float64).sum())


def test_pickle_dask_threads_and_forks(ome, em, tmp_path):
    path = tmp_path / "em.b2nd"
    blosc2.asarray(em, urlpath=str(path), chunks=(4, 32, 32))
    for image, array in ((open_image(ome()).scale(1), em[:, ::2, ::2]), (open_image(path), em)):
        again = pickle.loads(pickle.dumps(image))
        assert again.__dask_tokenize__() == image.__dask_tokenize__()
        same(again, array)
        blocks = dask.array.from_array(image, chunks=(4, 30, 30))
        np.testing.assert_array_equal((blocks + 1).compute(scheduler="threads"), array + 1)
        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(_sum, [image] * 8))) == 1
        for method in ("fork", "spawn"):
            with multiprocessing.get_context(method).Pool(1) as pool:
                assert pool.apply_async(_sum, (image,)).get(60) == _sum(image)


def test_a_forked_process_reads_what_it_inherited(tmp_path):
    array = np.random.default_rng(0).integers(0, 9, (64, 300, 300)).astype(np.uint16)
    blosc2.asarray(array, urlpath=str(tmp_path / "a.b2nd"), chunks=(16, 128, 128))
    zarr.create_array(tmp_path / "a.zarr", data=array, chunks=(16, 128, 128))
    for name in ("a.b2nd", "a.zarr"):
        image = open_image(tmp_path / name)
        same(image, array)  # libraries start their threads here, and a fork has none of them
        child = multiprocessing.get_context("fork").Process(target=same, args=(image, array))
        child.start()
        child.join(30)
        child.kill()
        assert child.exitcode == 0, name


# Addresses


def test_addresses(ome, em, tmp_path, monkeypatch):
    path = ome(name="an image.zarr")
    monkeypatch.chdir(tmp_path)
    found = [open_image(*given).address for given in (
        (path,), (str(path),), ("an image.zarr",), ("an image.zarr", tmp_path), ("../an image.zarr", tmp_path / "v"),
        (path.as_uri(),), (f"file://localhost{path.as_uri()[7:]}", "/nowhere"),
    )]  # fmt: skip
    assert set(found) == {str(path)}
    same(open_image(f"{path}/s1"), em[:, ::2, ::2])


def test_reference(ome, tmp_path):
    image = open_image(ome())
    assert image.reference(tmp_path) == {"address": "em.zarr", "kind": "ome-zarr"}
    assert image.reference(tmp_path / "other") == {"address": str(tmp_path / "em.zarr"), "kind": "ome-zarr"}
    assert json.loads(json.dumps(image.reference(tmp_path))) == image.reference(tmp_path)
    os.rename(tmp_path / "em.zarr", tmp_path / "moved")
    assert open_image("moved", tmp_path).shape == SHAPE


def test_remote_stores(em, monkeypatch):
    """What zarr reads through fsspec, here from memory; a URL keeps its form."""
    monkeypatch.setitem(address.LIBRARIES, "memory", "fsspec")
    store = zarr.storage.FsspecStore.from_url("memory://bucket/em.zarr")
    zarr.create_array(store, data=em, chunks=(4, 32, 32))
    image = open_image("memory://bucket/em.zarr/", "/anywhere")
    same(image, em)
    assert image.reference("/anywhere") == {"address": "memory://bucket/em.zarr", "kind": "zarr"}
    with pytest.raises(NotFound, match="memory://bucket/none does not exist"):
        open_image("memory://bucket/none")


def test_a_server_that_fails_is_not_damage(em, monkeypatch):
    monkeypatch.setitem(address.LIBRARIES, "memory", "fsspec")
    zarr.create_array(zarr.storage.FsspecStore.from_url("memory://b/em.zarr"), data=em, chunks=(4, 32, 32))
    image = open_image("memory://b/em.zarr")

    async def fail(*args, **kwargs):
        raise ConnectionError("connection reset")

    monkeypatch.setattr(zarr.storage.FsspecStore, "get", fail)
    for call in (lambda: image[0], lambda: open_image("memory://b/em.zarr")):
        with pytest.raises(LabelogError, match=r"memory://b/em.zarr.* cannot be read: connection reset") as caught:
            call()
        assert not isinstance(caught.value, Corrupt)


@pytest.mark.parametrize(("given", "error", "what"), [
    ("ftp://host/em.zarr", Unsupported, "file://, http://"), ("file://host/em.zarr", Invalid, "'host'"),
    (None, Invalid, "a path or a URL"), (7, Invalid, "a path or a URL"), ("none.zarr", NotFound, "none.zarr"),
    ("none.b2nd", NotFound, "none.b2nd"), ("https://host/em.b2nd", Unsupported, "local files"),
])  # fmt: skip
def test_addresses_refused(tmp_path, given, error, what):
    with pytest.raises(error, match=what):
        open_image(given, tmp_path)


@pytest.mark.parametrize(("module", "given", "what"), [
    ("zarr", "em.zarr", r'pip install "labelog\[zarr\]"'), ("blosc2", "em.b2nd", r'pip install "labelog\[blosc2\]"'),
    ("aiohttp", "https://host/em.zarr", "aiohttp is not installed; https:// needs it: pip install fsspec aiohttp"),
    ("s3fs", "s3://bucket/em.zarr", "s3fs is not installed"),
    ("fsspec", "s3://bucket/em.zarr", "fsspec is not installed"),
])  # fmt: skip
def test_missing_libraries_are_named(ome, tmp_path, monkeypatch, module, given, what):
    ome()
    (tmp_path / "em.b2nd").touch()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unsupported, match=what):
        open_image(given, tmp_path)


# What is refused


def test_other_files_are_to_be_imported(tmp_path, data):
    for path in (data / "platelet" / "image.png", data / "fib25", tmp_path):
        with pytest.raises(Unsupported, match=r"expected an OME-Zarr group.* imported"):
            open_image(path)


@pytest.mark.parametrize("axes", ["czyx", "tczyx", "zyxc"])
def test_several_channels(ome, em, axes):
    array = np.stack([em] * 3, axis=axes.index("c"))
    array = array[None] if axes[0] == "t" else array
    with pytest.raises(Invalid, match=r"one channel.*each on its own"):
        open_image(ome(axes=axes, arrays={"0": array}))
    if axes != "tczyx":
        zarr.create_array(ome().with_name("plain"), data=array)
        with pytest.raises(Invalid, match=r"one channel.*each on its own"):
            open_image(ome().with_name("plain"))


def test_arrays_that_are_no_image(tmp_path):
    for number, array in enumerate([np.zeros(5), np.zeros((2, 2, 2), complex), np.zeros((2, 0, 2)),
                                    np.zeros((1, 1, 1, 1, 2, 2))]):  # fmt: skip
        zarr.create_array(tmp_path / str(number), data=array)
        with pytest.raises(Invalid):
            open_image(tmp_path / str(number))


@pytest.mark.parametrize("place", [{"compressor": {"id": "pickle"}}, {"filters": [{"id": "pickle"}]}])
def test_pickles_are_refused(tmp_path, place):
    """They may run any code when they are decoded."""
    zarr.create_array(tmp_path / "a", shape=(2, 2, 2), dtype="u1", zarr_format=2)
    _edit(tmp_path / "a" / ".zarray", **place)
    with pytest.raises(Corrupt, match="pickle"):
        open_image(tmp_path / "a")


def test_codecs_that_are_not_installed(tmp_path, em):
    zarr.create_array(tmp_path / "a", data=em, zarr_format=2)
    _edit(tmp_path / "a" / ".zarray", compressor={"id": "j2k"})
    zarr.create_array(tmp_path / "b", data=em)
    _edit(tmp_path / "b" / "zarr.json", codecs=[{"name": "bytes"}, {"name": "j2k"}])
    for name in "ab":
        with pytest.raises(Unsupported, match=f"{name}/.*json|{name}/.zarray.*: .*j2k"):
            open_image(tmp_path / name)


def _edit(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def _set(**entries):
    return lambda image: image.update(entries)


def _first(**entries):
    return lambda image: image["datasets"][0].update(entries)


def _scale(*numbers):
    return _first(coordinateTransformations=[{"type": "scale", "scale": list(numbers)}])


@pytest.mark.parametrize(("change", "error", "what"), [
    (_set(datasets=[]), Corrupt, "at least one of `datasets`"),
    (_set(datasets={}), Corrupt, "`datasets` to be a list, found {}"),
    (lambda image: image.pop("datasets"), Corrupt, "expected `datasets`, found none"),
    (lambda image: image.pop("axes"), Corrupt, "expected `axes`, found none"),
    (_set(axes=["z", "y", "x"]), Corrupt, "expected `name`"),
    (_set(axes=[{"name": "z"}, {"name": "y"}]), Invalid, "expected axes z, y, x; found z, y"),
    (_set(axes=[{"name": "y"}, {"name": "x"}]), Corrupt, "2 numbers"),
    (lambda image: image["axes"][1].update(unit="foot"), Unsupported, "one unit for z, y and x; found foot, m"),
    (_set(coordinateTransformations="none"), Corrupt, "to be a list, found 'none'"),
    (lambda image: image["datasets"][0].pop("path"), Corrupt, r"datasets\[0\]: expected `path`"),
    (lambda image: image["datasets"][0].pop("coordinateTransformations"), Corrupt, "expected `coordinateTransf"),
    (_first(path="s7"), Corrupt, "lists the array 's7', which is not there"),
    (_first(path="../em.zarr/s0"), Corrupt, "em.zarr"),
    (_scale(1, 1), Corrupt, "3 numbers, one for each axis; found"),
    (_scale(1, "a", 1), Corrupt, "3 numbers"), (_scale(1, float("inf"), 1), Corrupt, "3 numbers"),
    (_scale(1, 0, 1), Corrupt, "positive voxel sizes"), (_scale(1, -2, 1), Corrupt, "positive voxel sizes"),
    (_first(coordinateTransformations=[{"type": "rotation"}]), Unsupported, "found the transformation 'rotation'"),
    (_first(coordinateTransformations=["scale"]), Corrupt, "expected `type`"),
])  # fmt: skip
def test_damaged_metadata(ome, change, error, what):
    for version in ("0.4", "0.5"):
        path = ome(version, change=change)
        with pytest.raises(error, match=what) as caught:
            open_image(path)
        assert "em.zarr" in str(caught.value)


def test_scales_have_to_shrink_and_be_alike(ome, em):
    for arrays in ({"0": em[:, ::2], "1": em}, {"0": em, "1": em[::2].astype(np.uint8)}):
        with pytest.raises(Corrupt, match=r"em.zarr/1: expected a coarser scale of .*em.zarr/0, float32"):
            open_image(ome(arrays=arrays))


def test_other_versions(ome):
    for version in ("0.1", "0.3", "0.6"):
        with pytest.raises(Unsupported, match=f"OME-Zarr {version}; read are 0.4 and 0.5"):
            open_image(ome(version))


def test_groups_that_are_no_image(tmp_path):
    zarr.create_group(tmp_path / "g", attributes={"a": 1})
    with pytest.raises(Invalid, match="a group without `multiscales`"):
        open_image(tmp_path / "g")
    zarr.create_group(tmp_path / "h", attributes={"ome": {"multiscales": []}})
    with pytest.raises(Corrupt, match="multiscales: expected `0`, found none"):
        open_image(tmp_path / "h")


@pytest.mark.parametrize(("version", "name"), [("0.5", "zarr.json"), ("0.5", "s0/zarr.json"), ("0.4", ".zattrs"),
                                               ("0.4", "s1/.zarray"), ("0.4", ".zgroup")])  # fmt: skip
def test_a_document_that_is_cut_short_is_named(ome, version, name):
    path = ome(version)
    whole = (path / name).read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"[]", b"\xff" * 9):
        (path / name).write_bytes(data)
        if data == b"[]" and name == ".zattrs":
            continue
        with pytest.raises(Corrupt) as caught:
            open_image(path)
        assert str(path / name) in str(caught.value)


def test_damaged_voxels(ome, tmp_path, em):
    path = ome()
    for chunk in (path / "s0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(Corrupt, match=r"em.zarr/s0, box 0:1, 0:70, 0:110 is damaged"):
        open_image(path)[0]
    blosc2.asarray(em, urlpath=str(tmp_path / "em.b2nd"), chunks=(4, 32, 32))
    data = bytearray((tmp_path / "em.b2nd").read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    (tmp_path / "em.b2nd").write_bytes(data)
    with pytest.raises(Corrupt, match=r"em.b2nd.* is damaged"):
        open_image(tmp_path / "em.b2nd")[:]
