"""NumPy's own files, and why they are not simply given to numpy.load."""

from __future__ import annotations

import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy_format

from conftest import examples
from labelog.errors import Corrupt, Invalid, NotFound, Unsupported
from labelog.formats import Stack, npy, read, write


def header(shape, dtype="<u2", order=False) -> bytes:
    text = repr({"descr": dtype, "fortran_order": order, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", ">u4", "int64", "bool"])
def test_any_order_and_integers(tmp_path, whole, volume, order, dtype):
    labels = np.asarray(volume % 2, dtype, order=order)
    np.save(tmp_path / "a.npy", labels)
    np.testing.assert_array_equal(whole(read(tmp_path / "a.npy")), labels)
    np.savez(tmp_path / "a.npz", labels)
    if order == "F":
        with pytest.raises(Unsupported, match="Fortran order"):
            read(tmp_path / "a.npz")
    else:
        np.testing.assert_array_equal(whole(read(tmp_path / "a.npz")), labels)


def test_a_single_slice_is_a_stack_of_one(tmp_path, whole, volume):
    np.save(tmp_path / "a.npy", volume[0])
    np.testing.assert_array_equal(whole(read(tmp_path / "a.npy")), volume[:1])


def test_others_read_what_is_written(tmp_path, volume):
    write(Stack.of(volume), tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), volume)
    write(Stack.of(volume), tmp_path / "a.npz", name="cells", dtype="uint64")
    with np.load(tmp_path / "a.npz") as archive:
        assert archive.files == ["cells"] and archive["cells"].dtype == np.uint64
        np.testing.assert_array_equal(archive["cells"], volume)


def test_the_array_is_named_or_the_only_one_it_can_be(tmp_path, whole, volume):
    np.savez(tmp_path / "a.npz", palette=np.arange(9), image=volume.astype(float), labels=volume)
    np.testing.assert_array_equal(whole(read(tmp_path / "a.npz")), volume)
    np.savez(tmp_path / "a.npz", cells=volume, organelles=volume + 1)
    with pytest.raises(Invalid, match=r"found cells \(5, 12, 20\) uint16, organelles"):
        read(tmp_path / "a.npz")
    np.testing.assert_array_equal(whole(read(tmp_path / "a.npz", name="organelles")), volume + 1)
    with pytest.raises(NotFound, match="no array 'labels', but cells, organelles"):
        read(tmp_path / "a.npz", name="labels")


def test_what_is_not_labels_is_refused(tmp_path, whole, volume):
    for array, error in (
        (volume.astype(float), "found float64"),
        (volume[None], "shape"),
        (volume[:0], "damaged|at least"),
    ):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises((Invalid, Corrupt), match=error):
            read(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", -volume.astype(np.int32))
    with pytest.raises(Invalid, match="not negative"):
        whole(read(tmp_path / "a.npy"))


class Trap:
    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_nothing_is_unpickled(tmp_path):
    objects = np.empty((1, 1, 1), object)
    objects[0, 0, 0] = Trap()
    np.save(tmp_path / "a.npy", objects)
    np.savez(tmp_path / "a.npz", objects)
    for name in ("a.npy", "a.npz"):
        with pytest.raises((Corrupt, Invalid)):
            read(tmp_path / name)
    assert not Trap.sprung


@pytest.mark.parametrize("shape", [(10**4, 10**4, 10**4), (3, 10**6, 10**6), (2**40, 2**20, 2**20), (-1, 5, 5)])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_declared_size_takes_no_memory(tmp_path, shape, name):
    if name == "a.npy":
        (tmp_path / name).write_bytes(header(shape) + bytes(1000))
    else:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("labels.npy", header(shape) + bytes(1000))
    tracemalloc.start()
    try:
        with pytest.raises((Corrupt, Invalid)):
            next(read(tmp_path / name).slabs())
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_header_of_four_gigabytes_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(10**6))
    with pytest.raises(Corrupt, match="version"):
        read(tmp_path / "a.npz")


def test_an_array_shorter_or_longer_than_it_says(tmp_path, whole, volume, monkeypatch):
    monkeypatch.setattr(npy, "slab_depth", lambda *_: 2)
    for size, error in ((-2, "ends 2 bytes before"), (2, "bytes follow the array")):
        body = volume.tobytes()
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("labels.npy", header(volume.shape) + (body[:size] if size < 0 else body + bytes(size)))
        with pytest.raises(Corrupt, match=error):
            whole(read(tmp_path / "a.npz"))
    (tmp_path / "a.npy").write_bytes(header(volume.shape) + body[:-2])
    with pytest.raises(Corrupt, match="is damaged"):
        read(tmp_path / "a.npy")


@examples(150)
@given(drawn=st.data())
def test_a_damaged_npz_is_never_taken_for_other_labels(tmp_path_factory, whole, drawn):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    labels = np.arange(5 * 12 * 20, dtype=np.uint16).reshape(5, 12, 20) // 7
    write(Stack.of(labels), path, overwrite=True)
    good = path.read_bytes()
    at, flip = drawn.draw(st.integers(0, len(good) - 1)), drawn.draw(st.integers(0, 255))
    path.write_bytes(good[:at] + (bytes([good[at] ^ flip]) + good[at + 1 :] if flip else b""))
    try:
        np.testing.assert_array_equal(whole(read(path)), labels)
    except (Corrupt, Invalid, Unsupported, NotFound) as error:
        assert path.name in str(error)


def test_the_header_is_numpy_s(tmp_path, volume):
    write(Stack.of(volume), tmp_path / "a.npy")
    with open(tmp_path / "a.npy", "rb") as file:
        assert npy_format.read_magic(file) == (1, 0)
        assert npy_format.read_array_header_1_0(file) == (volume.shape, False, volume.dtype)
