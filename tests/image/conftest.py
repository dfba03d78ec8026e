"""What the tests of images share: real grey values, and a Zarr image written by zarr itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import zarr

from labelog import formats

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def platelet() -> np.ndarray:
    """One slice (1, 300, 320) of platelets, uint16."""
    stack = formats.read_image(ROOT / "tests" / "data" / "platelet" / "image.png")
    return np.concatenate(list(stack.slabs()))


@pytest.fixture(scope="session")
def medulla() -> np.ndarray:
    """Grey values (90, 120, 130), uint8: of FIB-25 where it is at hand, noise about as smooth otherwise."""
    for folder in (os.environ.get("LABELOG_DATA"), ROOT.parent / "shared" / "data"):
        if folder and (path := Path(folder) / "fib25" / "image.tif").exists():
            return np.concatenate(list(formats.read_image(path).slabs()))[:90, :120, :130]
    noise = np.random.default_rng(3).normal(128, 40, (90, 120, 130))
    smooth = sum(np.roll(noise, k, axis) for k in range(3) for axis in range(3)) / 9
    return smooth.clip(0, 255).astype(np.uint8)


@pytest.fixture
def em() -> np.ndarray:
    """Grey values (9, 70, 110) that are all different, float32."""
    return (np.arange(9 * 70 * 110, dtype=np.float32) / 7).reshape(9, 70, 110)


@pytest.fixture
def ome(tmp_path, em):
    """A function that writes `em` as OME-Zarr, as zarr would, with these changes to the metadata; its path."""

    def write(version="0.5", axes="zyx", transformations=None, arrays=None, change=lambda image: None, name="em.zarr"):
        arrays = arrays or {"s0": em, "s1": em[:, ::2, ::2]}
        scales = [[4.0, 1.0, 1.0], [4.0, 2.0, 2.0]]
        datasets = []
        for path, scale in zip(arrays, scales, strict=False):
            factors = ([1.0] * len(axes) + scale)[-len(axes) :]
            steps = transformations or [{"type": "scale", "scale": factors}]
            datasets.append({"path": path, "coordinateTransformations": steps})
        kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
        space = {"type": "space", "unit": "micrometer"}
        image = {"axes": [{"name": name, **kinds.get(name, space)} for name in axes], "datasets": datasets}
        change(image)
        old = version < "0.5"
        attributes = {"multiscales": [image | {"version": version}]} if old else {
            "ome": {"version": version, "multiscales": [image]}
        }  # fmt: skip
        path = tmp_path / name
        group = zarr.create_group(path, zarr_format=2 if old else 3, attributes=attributes, overwrite=True)
        for name, array in arrays.items():
            group.create_array(name, data=array, chunks=tuple(min(n, 32) for n in array.shape))
        return path

    return write
