"""What holds for every format: round trips, refusals, and files that are complete or absent."""

from __future__ import annotations

import errno
import os
import resource
import sys
import tempfile
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import labelog
from conftest import examples
from labelog import formats
from labelog.damage import damage
from labelog.errors import Corrupt, Exists, Invalid, LabelogError, NotFound, OutOfSpace, Unsupported
from labelog.formats import Stack, read, write
from labelog.formats.output import new_file

TARGETS = ("labels/", "labels.tif", "labels.json", "labels.h5", "labels.npy", "labels.npz")
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", ["fib25/groundtruth.h5", "fib25/ffn.tif"])
def test_real_labels_go_through_every_format_voxel_for_voxel(data, tmp_path, whole, source, target):
    stack = read(data / source)
    write(stack, f"{tmp_path}/{target}")
    copy = read(f"{tmp_path}/{target}")
    assert stack.shape == copy.shape == (250, 250, 250)
    np.testing.assert_array_equal(whole(copy), whole(stack))


@pytest.mark.parametrize("target", TARGETS)
@examples(40)
@given(drawn=st.data())
def test_any_labels_come_back_or_are_refused(whole, target, drawn):
    dtype = np.dtype(drawn.draw(st.sampled_from(DTYPES)))
    values = st.one_of(st.integers(0, 3), st.integers(0, int(np.iinfo(dtype).max)))
    shape = drawn.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=7))
    labels = drawn.draw(hnp.arrays(dtype, shape, elements=values, fill=st.just(0)))
    cuts = drawn.draw(st.lists(st.integers(1, 3), min_size=shape[0], max_size=shape[0]))
    bounds = [0, *np.cumsum(cuts)[np.cumsum(cuts) < shape[0]].tolist(), shape[0]]
    slabs = [labels[a:b] for a, b in pairwise(bounds)]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{target}"
        stack = replace(Stack.of(labels), slabs=lambda: iter(slabs))
        if target == "labels/" and labels.max() > 65535:
            with pytest.raises(Invalid, match=r"label \d+ in slice \d does not fit PNG.* 65535"):
                write(stack, path)
            assert os.listdir(folder) == []
        else:
            write(stack, path)
            np.testing.assert_array_equal(whole(read(path)), labels)


@pytest.mark.parametrize("target", TARGETS)
def test_each_pass_begins_anew(tmp_path, volume, target):
    write(Stack.of(volume), f"{tmp_path}/{target}")
    stack = read(f"{tmp_path}/{target}")
    first, second = stack.slabs(), stack.slabs()
    next(first)
    np.testing.assert_array_equal(np.concatenate(list(second)), volume)


@pytest.mark.parametrize("target", ["labels.tif", "labels.json", "labels.h5"])
def test_voxel_size_goes_with_the_labels(tmp_path, volume, target):
    write(Stack.of(volume, voxel_size=(40, 10, 8.5), unit="nm"), tmp_path / target)
    copy = read(tmp_path / target)
    assert copy.voxel_size == pytest.approx((40, 10, 8.5)) and copy.unit == "nm"
    write(Stack.of(volume), tmp_path / target, overwrite=True)
    assert (read(tmp_path / target).voxel_size, read(tmp_path / target).unit) == (None, None)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_overwritten_unless_told(tmp_path, whole, volume, target):
    path = f"{tmp_path}/{target}"
    write(Stack.of(volume), path)
    with pytest.raises(Exists, match="overwrite=True"):
        write(Stack.of(volume + 1), path)
    np.testing.assert_array_equal(whole(read(path)), volume)
    write(Stack.of(volume[:2] + 1), path, overwrite=True)
    np.testing.assert_array_equal(whole(read(path)), volume[:2] + 1)
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("target", TARGETS)
def test_a_name_taken_meanwhile_is_not_overwritten(tmp_path, volume, target):
    path = Path(f"{tmp_path}/{target}")
    mine = path / "mine" if target.endswith("/") else path

    def slabs():
        yield volume[:3]
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine")
        yield volume[3:]

    with pytest.raises(Exists, match="labels"):
        write(replace(Stack.of(volume), slabs=slabs), f"{tmp_path}/{target}")
    assert mine.read_text() == "mine"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("old", [False, True])
def test_a_failure_midway_leaves_what_was_there(tmp_path, whole, volume, target, old):
    path = f"{tmp_path}/{target}"
    if old:
        write(Stack.of(volume), path)

    def slabs():
        yield volume[:3]
        raise Corrupt("slice 3 of the source is damaged")

    with pytest.raises(Corrupt, match="slice 3 of the source"):
        write(replace(Stack.of(volume), slabs=slabs), path, overwrite=old)
    assert len(os.listdir(tmp_path)) == old
    if old:
        np.testing.assert_array_equal(whole(read(path)), volume)


@pytest.mark.parametrize("target", TARGETS)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, target):
    noise = np.random.default_rng(0).integers(0, 60000, (12, 200, 200)).astype(np.uint16)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(OutOfSpace, match=str(tmp_path)):
            write(Stack.of(noise), f"{tmp_path}/{target}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("target", TARGETS)
def test_slabs_that_break_their_word_are_refused(tmp_path, volume, target):
    def attempt(*slabs, error):
        with pytest.raises(Invalid, match=error):
            write(replace(Stack.of(volume), slabs=lambda: iter(slabs)), f"{tmp_path}/{target}")
        assert os.listdir(tmp_path) == []

    attempt(volume[:4], error="hold 4 slices")
    attempt(volume, volume, error="slice 5")
    attempt(volume[:2], volume[2:, 1:], error="slice 2 has shape")
    attempt(volume[:2], volume[2:].astype(float), error="slice 2.*float64")
    attempt(volume[:2], volume[2:].astype(np.int32), error="slice 2 is of int32; the stack is of uint16")
    attempt(volume[:2], volume[2:].astype(np.uint64) + 2**63, error="slice 2 is of uint64; the stack is of uint16")
    with pytest.raises(Invalid, match=r"labels are not negative; found -\d+ at \(\d, \d+, \d+\)"):
        write(Stack.of(-volume.astype(np.int32)), f"{tmp_path}/{target}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("target", TARGETS)
def test_a_missing_folder_is_not_made(tmp_path, volume, target):
    with pytest.raises(NotFound, match="missing"):
        write(Stack.of(volume), f"{tmp_path}/missing/{target}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "labels/"])
def test_what_is_not_a_file_of_the_format_is_refused(tmp_path, volume, target):
    path = tmp_path / target
    with pytest.raises(NotFound, match="does not exist"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(Corrupt, match="is empty"):
        read(path)
    path.write_bytes(b"neither fish nor fowl, but long enough for any header there may be" * 10)
    with pytest.raises(Corrupt, match=target):
        read(path)
    for other in TARGETS[1:]:
        if other != target:
            write(Stack.of(volume), tmp_path / f"other-{other}", overwrite=True)
            path.write_bytes((tmp_path / f"other-{other}").read_bytes())
            with pytest.raises(Invalid, match=f'format="{formats.find(other).name}"'):
                read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(Invalid, match="is a folder"):
        read(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "labels.tif")
    with pytest.raises(Invalid, match="not a regular file"):
        read(tmp_path / "labels.tif")


def test_unknown_formats_and_options_are_answered_with_the_known(tmp_path, volume):
    assert formats.names() == ("png", "tiff", "json", "hdf5", "npy", "npz")
    for path in ("labels.xyz", "labels"):
        with pytest.raises(Unsupported, match=r"hdf5 \(.h5 .hdf5 .hdf\)"):
            read(path)
        with pytest.raises(Unsupported, match="tiff"):
            write(Stack.of(volume), path)
    with pytest.raises(NotFound, match="expected PNG files"):  # a folder is a stack of PNGs
        read(tmp_path)
    labelog.create(tmp_path / "v.labelog", (1, 1, 1)).close()
    for format in (None, "png", "tiff"):
        with pytest.raises(Invalid, match=r"v.labelog is a labelog volume, .* \(labelog export\)"):
            read(tmp_path / "v.labelog", format=format)
    with pytest.raises(Exists):
        write(Stack.of(volume), tmp_path)
    with pytest.raises(Invalid, match="png, tiff, json"):
        read("labels.tif", format="tif")
    with pytest.raises(Invalid, match="no option dataset; it has: colours, palette"):
        read("labels.tif", dataset="stack")
    with pytest.raises(Invalid, match="no option colours; it has: dataset"):
        read("labels.h5", colours={1: "#ff0000"})
    with pytest.raises(Invalid, match="no option compression"):
        write(Stack.of(volume), tmp_path / "labels.h5", compression="lzf")


def test_a_suffix_counts_in_any_case_and_a_name_overrides_it(tmp_path, whole, volume):
    write(Stack.of(volume), tmp_path / "LABELS.TIFF")
    os.rename(tmp_path / "LABELS.TIFF", tmp_path / "labels.dat")
    np.testing.assert_array_equal(whole(read(tmp_path / "labels.dat", format="tiff")), volume)


@pytest.mark.parametrize(("target", "module", "extra"), [
    ("a.h5", "h5py", "hdf5"), ("a.tif", "tifffile", "tiff"), ("a.tif", "imagecodecs", "tiff"),
])  # fmt: skip
def test_a_missing_extra_is_named(tmp_path, volume, monkeypatch, target, module, extra):
    write(Stack.of(volume), tmp_path / target)
    monkeypatch.setitem(sys.modules, module, None)
    for attempt in (lambda: read(tmp_path / target), lambda: write(Stack.of(volume), tmp_path / f"new-{target}")):
        with pytest.raises(Unsupported, match=rf'{module}.*pip install "labelog\[{extra}\]"'):
            attempt()


@pytest.mark.parametrize("target", ["labels/", "labels.tif", "labels.npz"])
def test_memory_is_for_slabs_not_for_the_volume(tmp_path, target, monkeypatch):
    monkeypatch.setattr(formats.stack, "slab_depth", lambda *_: 1)
    monkeypatch.setattr(formats.npy, "slab_depth", lambda *_: 1)
    plane = np.arange(1000 * 1000, dtype=np.uint16).reshape(1, 1000, 1000) // 200
    stack = Stack((40, 1000, 1000), plane.dtype, lambda: (plane + np.uint16(z) for z in range(40)))
    tracemalloc.start()
    try:
        write(stack, f"{tmp_path}/{target}")
        assert sum(int(slab[0, 0, 0]) for slab in read(f"{tmp_path}/{target}").slabs()) == sum(range(40))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24e6  # the volume has 80 MB, a slice 2


@pytest.mark.parametrize("path", ["labels.tif", "labels.png", "labels.h5"])
def test_errors_are_labelogs_and_name_the_path(tmp_path, path):
    (tmp_path / path).write_bytes(b"x" * 100)
    with pytest.raises(LabelogError) as caught:
        read(tmp_path / path)
    assert caught.value.path == str(tmp_path / path)


def test_a_lack_of_permission_is_not_damage(tmp_path):
    with pytest.raises(Invalid, match=r"a.tif, page 3 cannot be read: Permission denied"), damage("a.tif", 3):
        raise PermissionError(errno.EACCES, "Permission denied")
    with (
        pytest.raises(Invalid, match=r"a.tif cannot be written: Read-only file system"),
        new_file(tmp_path / "a.tif", overwrite=False),
    ):
        raise OSError(errno.EROFS, "Read-only file system")
