"""Grey values of files: what `read` takes for labels, and what it does not."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from labelog import formats
from labelog.errors import Invalid, Unsupported
from labelog.formats import read_image


@pytest.fixture
def grey(volume):
    """Grey values (5, 12, 20), some of them negative, and not whole."""
    return volume.astype(np.float32) / 7 - 9


WRITE = {
    "em.tif": lambda path, array: tifffile.imwrite(path, array, photometric="minisblack"),
    "em.npy": np.save,
    "em.npz": lambda path, array: np.savez_compressed(path, raw=array),
    "em.h5": lambda path, array: h5py.File(path, "w").create_dataset("volumes/raw", data=array).file.close(),
}


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1", ">u2"])
@pytest.mark.parametrize("name", WRITE)
def test_grey_values_of_any_kind(tmp_path, grey, name, dtype):
    array = grey.astype(dtype)
    WRITE[name](tmp_path / name, array)
    stack = read_image(tmp_path / name)
    assert (stack.shape, stack.dtype) == (array.shape, np.dtype(dtype).newbyteorder("="))
    slabs = list(stack.slabs())
    assert all(slab.dtype == stack.dtype for slab in slabs)
    np.testing.assert_array_equal(np.concatenate(slabs), array)
    if dtype.startswith(("f", "i")):
        with pytest.raises(Invalid):  # as labels they will not do
            list(formats.read(tmp_path / name).slabs())


def test_png(data, tmp_path, volume):
    stack = read_image(data / "platelet" / "image.png")
    assert (stack.shape, stack.dtype) == ((1, 300, 320), np.uint16)
    with Image.open(data / "platelet" / "image.png") as picture:
        np.testing.assert_array_equal(next(stack.slabs())[0], np.asarray(picture))
    for z, pixels in enumerate(volume.astype(np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{z}.png")
    assert read_image(tmp_path).shape == volume.shape
    assert read_image(str(tmp_path / "*.png"), gaps=True).dtype == np.uint8


def test_a_dataset_is_named(tmp_path, grey):
    with h5py.File(tmp_path / "em.h5", "w") as file:
        file["raw"], file["labels"], file["affinities"] = grey, grey.astype(int), np.zeros((3, *grey.shape))
    assert read_image(tmp_path / "em.h5", dataset="raw").dtype == np.float32
    with pytest.raises(Invalid, match="one 3D dataset of numbers; found 2"):
        read_image(tmp_path / "em.h5")
    with pytest.raises(Invalid, match=r"expected a shape \(z, y, x\)"):
        read_image(tmp_path / "em.h5", dataset="affinities")


def test_refused(data, tmp_path, volume):
    with pytest.raises(Invalid, match="expected a grey picture, one value a voxel; found"):
        read_image(data / "platelet" / "semantic.png")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "palette.tif", volume[0].astype(np.uint8), photometric="palette",
                     colormap=np.zeros((3, 256), np.uint16))  # fmt: skip
    for name in ("rgb.tif", "palette.tif"):
        with pytest.raises(Invalid, match="expected grey pages, one value a voxel; found colours"):
            read_image(tmp_path / name)
    with pytest.raises(Unsupported, match="format json holds labels"):
        read_image("labels.json")
    np.save(tmp_path / "complex.npy", np.zeros((2, 2, 2), complex))
    with pytest.raises(Invalid):
        read_image(tmp_path / "complex.npy")
