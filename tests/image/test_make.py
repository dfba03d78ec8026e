"""Images written into a volume's folder: every voxel of every scale, and all or nothing."""

from __future__ import annotations

import errno
import os
import re
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelog.errors import Exists, Invalid, NotFound, OutOfSpace, Unsupported
from labelog.geometry import next_factors
from labelog.image import import_image, make, open_image
from labelog.image.halve import halved

NM = {"voxel_size": (40, 10, 10), "unit": "nm"}


def slow_mean(voxels, factors):
    """The twin of `halved`: one voxel at a time, in whole numbers where they are."""
    shape = [-(-n // f) for n, f in zip(voxels.shape, factors, strict=True)]
    out = np.empty(shape, voxels.dtype)
    for at in np.ndindex(*shape):
        block = voxels[tuple(slice(i * f, i * f + f) for i, f in zip(at, factors, strict=True))].ravel()
        exact = sum(map(Fraction, block.tolist())) / block.size
        out[at] = float(exact) if voxels.dtype.kind == "f" else round(exact)  # ties to even
    return out


@given(st.data(), st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4"]),
       st.tuples(*[st.integers(1, 2)] * 3).filter(lambda factors: max(factors) > 1))  # fmt: skip
def test_means(data, dtype, factors):
    numbers = st.floats(-(2.0**60), 2.0**60, width=32) if dtype == "f4" else None
    voxels = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=numbers))
    before = voxels.copy()
    found, expected = halved(voxels, factors), slow_mean(voxels, factors)
    assert found.dtype == voxels.dtype
    if dtype == "f4":
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2**10)
    else:
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(voxels, before)


def test_floats_that_are_no_numbers():
    voxels = np.array([[[np.nan, 1, np.inf, 1, 3e38, 3e38]]], np.float32)
    np.testing.assert_array_equal(halved(voxels, (1, 1, 2)), np.array([[[np.nan, np.inf, 3e38]]], np.float32))


@pytest.mark.parametrize(("shape", "size", "factors"), [
    ((50, 800, 800), (40, 10, 10), (1, 2, 2)), ((50, 400, 400), (40, 20, 20), (1, 2, 2)),
    ((50, 200, 200), (40, 40, 40), (2, 2, 2)), ((50, 800, 800), (28, 20, 20), (2, 2, 2)),
    ((50, 800, 800), (5, 10, 10), (2, 1, 1)), ((1, 800, 800), (5, 10, 10), (1, 2, 2)),
    ((50, 800, 1), (10, 10, 10), (2, 2, 1)), ((1, 1, 1), (10, 10, 10), (1, 1, 1)),
])  # fmt: skip
def test_which_axes_shrink(shape, size, factors):
    assert next_factors(shape, size) == factors


def test_a_real_slice(tmp_path, platelet):
    image = import_image([platelet], tmp_path / "image", **NM)
    assert (image.address, image.kind, image.dtype) == (str(tmp_path / "image"), "ome-zarr", np.uint16)
    np.testing.assert_array_equal(image, platelet)
    assert [scale.shape for scale in image.scales] == [(1, 300, 320), (1, 150, 160)]
    assert [scale.voxel_size for scale in image.scales] == [(40, 10, 10), (40, 20, 20)]
    assert [scale.translation for scale in image.scales] == [(0, 0, 0), (0, 5, 5)]
    assert (image.unit, image.chunks) == ("nm", (1, 256, 256))
    np.testing.assert_array_equal(image.scale(1), slow_mean(platelet, (1, 2, 2)))
    assert image.reference(tmp_path)["address"] == "image"


def test_all_scales_of_a_volume(tmp_path, medulla):
    medulla, chunks = medulla[:45, :70, :65], (16, 24, 25)  # scales end within chunks
    image = import_image(medulla, tmp_path / "image", voxel_size=(8, 8, 4), unit="nm", scales=4, chunks=chunks)
    expected, size, shift = medulla, np.array([8, 8, 4]), np.zeros(3)
    for scale, factors in zip(image.scales, [None, (1, 1, 2), (2, 2, 2), (2, 2, 2)], strict=True):
        if factors:
            expected = slow_mean(expected, factors)
            shift = shift + (np.array(factors) - 1) * size / 2
            size = size * factors
        np.testing.assert_array_equal(scale, expected)
        assert (scale.voxel_size, scale.translation) == (tuple(size), tuple(shift))
    assert abs(float(np.mean(image.scale(3))) - float(medulla.mean())) < 0.5


@given(cuts=st.lists(st.integers(1, 30), min_size=1, max_size=6), depth=st.integers(1, 20))
def test_slabs_are_cut_and_joined(cuts, depth):
    volume = np.arange(sum(cuts) * 6, dtype=np.int32).reshape(-1, 2, 3)
    rows = list(make._rows(np.split(volume, np.cumsum(cuts)[:-1]), depth))
    assert all(len(row) == depth for row in rows[:-1]) and 0 < len(rows[-1]) <= depth
    np.testing.assert_array_equal(np.concatenate(rows), volume)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "f4", "f8", "bool", "u8"])
def test_slabs_of_any_depth_and_dtype(tmp_path, em, dtype):
    volume = np.concatenate([em] * 5).astype(dtype)
    calls = []
    image = import_image(iter(np.split(volume, [1, 20, 23])), tmp_path / "image", **NM, scales=1,
                         progress=lambda *done: calls.append(done))  # fmt: skip
    assert image.dtype == (np.uint8 if dtype == "bool" else np.dtype(dtype).newbyteorder("="))
    np.testing.assert_array_equal(image, volume)
    assert calls == [(16, 0), (32, 0), (45, 0)] and image.chunks == (16, 70, 110)


def test_arrays_and_images(tmp_path, em, ome):
    calls = []
    first = import_image(open_image(ome()), tmp_path / "image", scales=2, progress=lambda *done: calls.append(done))
    np.testing.assert_array_equal(first, em)
    assert (first.voxel_size, first.unit, calls) == ((4, 1, 1), "um", [(9, 9)])
    second = import_image(first.scale(1), tmp_path / "second", scales=1)
    assert (second.voxel_size, second.translation) == ((4, 2, 2), (0, 0.5, 0.5))
    third = import_image(zarr.open_array(tmp_path / "em.zarr" / "s0"), tmp_path / "third", **NM)
    np.testing.assert_array_equal(third, em)


def test_other_programs_read_it(tmp_path, medulla):
    import_image(medulla, tmp_path / "image", **NM, scales=2)
    group = zarr.open_group(tmp_path / "image", mode="r")
    np.testing.assert_array_equal(group["0"][...], medulla)
    assert group["1"].metadata.dimension_names == ("z", "y", "x")
    (image,) = group.attrs["ome"]["multiscales"]
    assert group.attrs["ome"]["version"] == "0.5"
    assert [axis["unit"] for axis in image["axes"]] == ["nanometer"] * 3
    assert image["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [40, 20, 20]}, {"type": "translation", "translation": [0, 5, 5]},
    ]  # fmt: skip


def test_huge_slices_make_flat_chunks(tmp_path, em, monkeypatch):
    monkeypatch.setattr(make, "ROW_BYTES", 3 * em[0].nbytes)
    image = import_image(em, tmp_path / "image", **NM)
    assert image.chunks == (3, 70, 110)
    np.testing.assert_array_equal(image, em)


def test_memory_is_bounded_by_a_row_of_chunks(tmp_path):
    slab = np.random.default_rng(0).integers(0, 256, (7, 256, 256), np.uint8)
    import_image([slab], tmp_path / "warm", **NM)
    tracemalloc.start()
    try:
        image = import_image((slab for _ in range(90)), tmp_path / "image", **NM, scales=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < image.size // 4


def test_a_flipped_bit_is_found(tmp_path, medulla):
    image = import_image(medulla, tmp_path / "image", **NM)
    path = tmp_path / "image" / "0" / "c" / "0" / "0" / "0"
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), len(data) // 9):
        data[at] ^= 4
        path.write_bytes(data)
        with pytest.raises(Exception, match=r"image/0, box 0:90, 0:120, 0:130 is damaged"):
            image.read()
        data[at] ^= 4


# What is refused, and what is left then


@pytest.mark.parametrize(("source", "options", "what"), [
    (np.zeros((2, 3, 4, 3), "u1"), NM, r"one channel, not of shape \(2, 3, 4, 3\)"),
    (np.zeros((3, 4), "u1"), NM, "one channel, not of shape"),
    ([np.zeros((2, 3, 4, 3), "u1")], NM, "slab 0: .*one channel"),
    ([np.zeros((1, 3, 4), "u1"), np.zeros((1, 3, 5), "u1")], NM, r"slab 1: expected uint8 slices of \(3, 4\)"),
    ([np.zeros((1, 3, 4), "u1"), np.zeros((1, 3, 4), "u2")], NM, "slab 1: .*found uint16"),
    ([np.zeros((1, 3, 4), complex)], NM, "integers or floats"), ([np.zeros((0, 3, 4), "u1")], NM, "slab 0"),
    ([], NM, "no slices"), (7, NM, "found int"), (np.zeros((1, 2, 2)), {}, "give voxel_size="),
    (np.zeros((1, 2, 2)), NM | {"unit": "feet"}, "unit must be"),
    (np.zeros((1, 2, 2)), NM | {"voxel_size": (1, 0, 1)}, "positive"),
    (np.zeros((1, 2, 2)), NM | {"scales": 0}, "scales must be"),
    (np.zeros((1, 2, 2)), NM | {"scales": 1.5}, "scales must be"),
    (np.zeros((1, 2, 2)), NM | {"chunks": (1, 2)}, "chunks must be"),
    (np.zeros((1, 2, 2)), NM | {"chunks": (2**10, 2**10, 2**10)}, "a chunk may have at most"),
])  # fmt: skip
def test_refused(tmp_path, source, options, what):
    with pytest.raises(Invalid, match=what):
        import_image(source, tmp_path / "image", **options)
    assert not os.listdir(tmp_path)


def test_nothing_is_overwritten_and_nothing_is_left(tmp_path, em, monkeypatch):
    (tmp_path / "image").mkdir()
    with pytest.raises(Exists):
        import_image(em, tmp_path / "image", **NM)
    with pytest.raises(NotFound):
        import_image(em, tmp_path / "none" / "image", **NM)

    async def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken():
        yield em
        raise RuntimeError("the source failed")

    with pytest.raises(RuntimeError, match="the source failed"):
        import_image(broken(), tmp_path / "other", **NM)
    monkeypatch.setattr(zarr.storage.LocalStore, "set", full)
    with pytest.raises(OutOfSpace, match="other"):
        import_image(em, tmp_path / "other", **NM)
    assert os.listdir(tmp_path) == ["image"] and not os.listdir(tmp_path / "image")


def test_the_document_on_images(tmp_path, monkeypatch):
    text = (Path(__file__).resolve().parents[2] / "docs" / "image.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    monkeypatch.chdir(tmp_path)
    exec("\n".join(examples), {})  # each goes on from the one before


def test_the_extra_is_named(tmp_path, em, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(Unsupported, match=r'pip install "labelog\[zarr\]"'):
        import_image(em, tmp_path / "image", **NM)
    assert not os.listdir(tmp_path)
