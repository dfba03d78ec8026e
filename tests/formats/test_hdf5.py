"""HDF5 files, written and read by h5py too."""

from __future__ import annotations

import os
import resource
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import examples
from labelog.errors import Corrupt, Invalid, NotFound, OutOfSpace, Unsupported
from labelog.formats import Stack, hdf5, read, write
from labelog.formats.hdf5_sink import Sink


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


@pytest.mark.parametrize("options", [
    {}, {"chunks": (2, 5, 7)}, {"chunks": (4, 12, 20), "compression": "gzip"}, {"chunks": True, "compression": "lzf"},
    {"chunks": (5, 3, 3), "shuffle": True, "fletcher32": True},
])  # fmt: skip
@pytest.mark.parametrize("depth", [1, 3, 64])
def test_any_storage_gives_its_voxels(path, whole, volume, options, depth, monkeypatch):
    monkeypatch.setattr(hdf5, "slab_depth", lambda *_, **__: depth)
    with h5py.File(path, "w") as file:
        file.create_dataset("stack", data=volume.astype(">u4"), **options)
    np.testing.assert_array_equal(whole(read(path)), volume)


def test_slabs_hold_whole_chunks(path, volume):
    with h5py.File(path, "w") as file:
        file.create_dataset("stack", data=np.concatenate([volume] * 20), chunks=(7, 12, 20))
    assert {len(slab) % 7 for slab in list(read(path).slabs())[:-1]} == {0}


def test_the_dataset_is_named_or_the_only_one_it_can_be(path, whole, volume):
    with h5py.File(path, "w") as file:
        file["transforms"] = np.zeros((4, 2), int)
        file["volumes/raw"] = volume.astype(np.float32)
        file["volumes/labels"] = volume
    np.testing.assert_array_equal(whole(read(path)), volume)
    with h5py.File(path, "a") as file:
        file["volumes/other"] = volume + 1
    with pytest.raises(Invalid, match=r"found 2 among: .*volumes/labels \(5, 12, 20\) uint16.*dataset="):
        read(path)
    np.testing.assert_array_equal(whole(read(path, dataset="/volumes/other")), volume + 1)
    with pytest.raises(NotFound, match="no dataset 'labels', but transforms, volumes/labels"):
        read(path, dataset="labels")
    with pytest.raises(Invalid, match="found float32"):
        read(path, dataset="volumes/raw")
    with h5py.File(path, "a") as file:
        file["stack"] = volume + 2
    np.testing.assert_array_equal(whole(read(path)), volume + 2)


def test_negative_labels_are_named(path, whole, volume):
    labels = volume.astype(np.int32)
    labels[3, 2, 1] = -7
    with h5py.File(path, "w") as file:
        file["stack"] = labels
    with pytest.raises(Invalid, match=r"not negative; found -7 at \(3, 2, 1\)"):
        whole(read(path))


def test_others_read_what_is_written(path, volume):
    write(Stack.of(volume, voxel_size=(40, 10, 10), unit="nm"), path, dataset="labels")
    with h5py.File(path) as file:
        assert file["labels"].compression == "gzip" and file["labels"].chunks == (5, 12, 20)
        assert file["labels"].attrs["voxel_size"].tolist() == [40, 10, 10]
        np.testing.assert_array_equal(file["labels"][:], volume)
    write(Stack.of(volume), path, dtype="uint64", overwrite=True)
    with h5py.File(path) as file:
        assert file["stack"].dtype == np.uint64


def test_a_label_that_does_not_fit_the_dtype_asked_for(path, volume):
    with pytest.raises(Invalid, match=r"label 29\d in slice \d does not fit uint8"):
        write(Stack.of(volume), path, dtype="uint8")
    with pytest.raises(Invalid, match="integers of 8 to 64 bits; found float32"):
        write(Stack.of(volume), path, dtype="float32")


def test_voxel_sizes_by_other_programs_names(path, volume):
    with h5py.File(path, "w") as file:
        file["stack"] = volume
        file["stack"].attrs["element_size_um"] = (0.04, 0.01, 0.01)
    assert (read(path).voxel_size, read(path).unit) == ((0.04, 0.01, 0.01), "um")
    with h5py.File(path, "a") as file:
        file["stack"].attrs["voxel_size"] = "forty by ten by ten"
    assert read(path).voxel_size == (0.04, 0.01, 0.01)
    with h5py.File(path, "a") as file:
        file["stack"].attrs["voxel_size"] = (40, 10)
    assert read(path).voxel_size is None


def test_voxels_in_other_files_are_not_followed(tmp_path, path, volume):
    (tmp_path / "secret").write_bytes(volume.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "stack", volume.shape, volume.dtype, external=[(str(tmp_path / "secret"), 0, volume.nbytes)]
        )
    with pytest.raises(Unsupported, match="voxels are in other files"):
        read(path)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["stack"] = volume
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(volume.shape, volume.dtype)
        layout[:] = h5py.VirtualSource(tmp_path / "b.h5", "stack", volume.shape)
        file.create_virtual_dataset("stack", layout)
    with pytest.raises(Unsupported, match="voxels are in other files"):
        read(path)
    with h5py.File(path, "w") as file:
        file["stack"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "stack")
    with pytest.raises(NotFound, match="no dataset 'stack'"):
        read(path, dataset="stack")


def test_a_filter_that_is_not_installed_is_named(path, volume, monkeypatch):
    with h5py.File(path, "w") as file:
        file.create_dataset("stack", data=volume, compression="lzf")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != h5py.h5z.FILTER_LZF)
    with pytest.raises(Unsupported, match="filter lzf is not installed"):
        read(path)


@pytest.mark.parametrize(("shape", "chunks", "error"), [
    ((10, 10**6, 10**6), (1, 64, 64), "at most 536870912 in a slice"),
    ((10**9, 10**3, 10**4), (1, 64, 64), "in a volume"),
    ((2**10, 2**10, 2**10), (2**10, 2**10, 2**10), "at most 536870912 in a chunk"),
])  # fmt: skip
def test_a_declared_size_takes_no_memory(path, shape, chunks, error):
    with h5py.File(path, "w") as file:
        file.create_dataset("stack", shape, np.uint8, chunks=chunks)
    tracemalloc.start()
    try:
        with pytest.raises(Invalid, match=error):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_voxels_that_were_never_written_have_the_fill_value(path, whole):
    with h5py.File(path, "w") as file:
        file.create_dataset("stack", (3, 4, 5), np.uint8, fillvalue=7)
    assert (whole(read(path)) == 7).all()


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """A compressed file, and its bytes."""
    path = tmp_path_factory.mktemp("hdf5") / "intact.h5"
    labels = np.arange(5 * 12 * 20, dtype=np.uint16).reshape(5, 12, 20) // 7
    write(Stack.of(labels, voxel_size=(40, 10, 10), unit="nm"), path)
    return path, path.read_bytes()


@examples(200)
@given(drawn=st.data())
def test_damage_is_an_error_or_a_stack_of_the_right_shape(intact, whole, drawn):
    path, good = intact
    at = drawn.draw(st.integers(0, len(good) - 1))
    flip = drawn.draw(st.integers(0, 255))
    changed = path.with_name("changed.h5")
    changed.write_bytes(good[:at] + (bytes([good[at] ^ flip]) + good[at + 1 :] if flip else b""))
    try:
        stack = read(changed)
        if np.prod(stack.shape) < 10**6:
            whole(stack)
    except (Corrupt, Invalid, Unsupported, NotFound) as error:
        assert "changed.h5" in str(error)
    else:
        assert flip or at > len(good) - 9  # a cut is always noticed


def test_a_damaged_chunk_is_named_by_its_slice(path, whole, volume):
    with h5py.File(path, "w") as file:
        file.create_dataset("stack", data=volume, chunks=(5, 12, 20), fletcher32=True)
        at = file["stack"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(path.read_bytes())
    damaged[at + 50] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(Corrupt, match=r"a.h5, page 0 is damaged"):
        whole(read(path))


def test_writing_stops_at_the_next_block_after_the_disk_is_full(path, monkeypatch):
    monkeypatch.setattr(hdf5, "CHUNK", (1, 64, 64))
    noise = np.random.default_rng(0).integers(0, 2**16, (200, 64, 64), np.uint16)
    taken = []
    stack = replace(Stack.of(noise), slabs=lambda: (taken.append(z) or noise[z : z + 1] for z in range(200)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutOfSpace):
            write(stack, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(taken) < 20


def test_the_sink_keeps_what_the_disk_does_not_take(tmp_path, monkeypatch):
    sink = Sink(tmp_path / "a")
    sink.write(b"abcdef")
    monkeypatch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    sink.seek(4)
    assert sink.write(b"XYZ") == 3
    sink.seek(-6, os.SEEK_END)
    assert (sink.tell(), sink.read()) == (1, b"bcdXYZ")
    sink.seek(0)
    assert sink.read(5) == b"abcdX"
    with pytest.raises(OSError, match="No space"):
        sink.check()
    sink.close()
