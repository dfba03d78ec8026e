"""Programs that never heard of labelog, each in a process of its own, read and write a served volume.

Those that take long to install are in the extra `clients`, which `make test-clients` installs. None of them writes on a
condition: tensorstore, which does, is in test_zarr.py.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labelog
from labelog.image import import_image

from .conftest import labels

pytestmark = [pytest.mark.clients, pytest.mark.usefixtures("pictured")]
IMAGE = (np.random.default_rng(5).random(labels().shape) * 60_000).astype(np.uint16)


@pytest.fixture
def pictured(server):
    """cells.labelog with an image of as many scales, and two cells."""
    folder = server.folder / "cells.labelog"
    image = import_image(IMAGE, folder / "image", voxel_size=(1, 1, 1), unit="nm", scales=3)
    with labelog.open(folder) as volume:
        volume.attach_image(image.address, author="lab")
        with volume.edit("lab") as edit:
            edit.assign(1, cls="cell", name="A")
            edit.assign(11, cls="cell")


@pytest.fixture
def run(server, tmp_path):
    """Runs a program that finds the server's address in `address`, and where to save arrays in `folder`."""

    def run(modules, program, *python):
        for module in modules.split():
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{module} is not installed; make test-clients installs it")
        text = f"address, folder = {server.address!r}, {str(tmp_path)!r}\nimport numpy as np\n{program}"
        environment = os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        command = [*(python or (sys.executable,)), "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\n")

    return run


@pytest.fixture
def current(server):
    """The labels as they are now, and whether the volume is sound."""

    def current():
        with labelog.open(server.folder / "cells.labelog", "r") as volume:
            assert volume.check().ok
            return volume[:]

    return current


def drawn():
    """What each writer makes of the labels: a box over several chunks, and a chunk of zeros."""
    expected = labels()
    expected[3:9, 10:40, 5:60] = 4321
    expected[0:8, 0:16, 0:32] = 0
    return expected


def test_zarr_python_through_fsspec_and_http(run, tmp_path):
    run("fsspec aiohttp zarr", """
import zarr
np.save(folder + "/labels", zarr.open_array(address + "/zarr/cells/instance/s0", mode="r")[:])
group = zarr.open_group(address + "/zarr/cells/image", mode="r")
np.save(folder + "/image", group["s0"][:])
np.save(folder + "/within", group["labels/cell/s0"][:])
""")  # fmt: skip
    assert np.array_equal(np.load(tmp_path / "labels.npy"), labels())
    assert np.array_equal(np.load(tmp_path / "image.npy"), IMAGE)
    assert np.array_equal(np.load(tmp_path / "within.npy"), np.where(np.isin(labels(), [1, 11]), labels(), 0))


def test_zarr_python_through_s3fs(run, current, tmp_path):
    said = run("s3fs zarr", """
import s3fs
import zarr
options = {"endpoint_url": address, "anon": True}
array = zarr.open_array("s3://s3/cells/instance/s0", mode="r+", storage_options=options)
np.save(folder + "/labels", array[:])
array[3:9, 10:40, 5:60] = 4321
array[0:8, 0:16, 0:32] = 0
files = s3fs.S3FileSystem(**options)
print(files.ls("s3/cells/instance"))
print(files.exists("s3/cells/instance/s0/c/0/0/0"), files.exists("s3/cells/instance/s0/c/0/1/1"))
print(len(files.find("s3/cells/instance/s0")))
""")  # fmt: skip
    assert np.array_equal(np.load(tmp_path / "labels.npy"), labels())
    assert np.array_equal(current(), drawn())
    assert said[0] == str([f"s3/cells/instance/{name}" for name in ("s0", "s1", "s2", "zarr.json")])
    assert said[1:3] == ["False True", str(3 * 4 * 3 - 1 + 1)]


def test_cloudvolume(run, current, tmp_path):
    """It reads arrays, not groups: there it wants scales to be called 0, 1, ..., and OME-Zarr does not."""
    run("cloudvolume", """
import cloudfiles.paths
from cloudvolume import CloudVolume
for scale in (0, 1):
    volume = CloudVolume(f"zarr3://{address}/zarr/cells/instance/s{scale}", fill_missing=True)
    np.save(folder + f"/s{scale}", np.asarray(volume[:])[..., 0].T)
cloudfiles.paths.add_alias("labelog", f"s3://{address}/")
keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
volume = CloudVolume("zarr3://labelog://s3/cells/instance/s0", fill_missing=True, secrets=keys)
volume[0:32, 16:32, 8:16] = np.full((32, 16, 8, 1), 77, np.uint64)
np.save(folder + "/after", np.asarray(volume[:])[..., 0].T)
""")  # fmt: skip
    assert np.array_equal(np.load(tmp_path / "s0.npy"), labels())
    expected = labels()
    expected[8:16, 16:32, 0:32] = 77
    assert np.array_equal(np.load(tmp_path / "after.npy"), expected)
    assert np.array_equal(current(), expected)
    assert np.load(tmp_path / "s1.npy").shape == (10, 30, 35)


def test_ome_zarr_py(run, tmp_path):
    said = run("ome_zarr ome_zarr_models", """
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
nodes = {node.zarr.basename(): node for node in Reader(parse_url(address + "/zarr/cells/image"))()}
print([data.shape for data in nodes["image"].data], nodes["image"].metadata["axes"][0]["unit"])
print(nodes["instance"].metadata["properties"])
np.save(folder + "/image", np.asarray(nodes["image"].data[0]))
np.save(folder + "/labels", np.asarray(nodes["instance"].data[0]))
Image.from_zarr(zarr.open_group(address + "/zarr/cells/image", mode="r"))
ImageLabel.from_zarr(zarr.open_group(address + "/zarr/cells/semantic", mode="r"))
""")  # fmt: skip
    assert said[0] == "[(20, 60, 70), (10, 30, 35), (5, 15, 18)] nanometer"
    assert said[1] == "{1: {'class': 'cell', 'name': 'A'}, 11: {'class': 'cell'}}"
    assert np.array_equal(np.load(tmp_path / "image.npy"), IMAGE)
    assert np.array_equal(np.load(tmp_path / "labels.npy"), labels())


def test_napari_with_its_plugin_for_ome_zarr(run, tmp_path):
    """In a window, on a display that nobody sees; what it draws is looked at. It has an environment of its own."""
    python = Path(sys.prefix) / "napari" / "bin" / "python"
    if not python.exists():
        pytest.skip("napari is not installed; make test-clients installs it")
    if shutil.which("xvfb-run") is None:
        pytest.skip("Xvfb is not installed (Debian's packages xvfb, xauth, libegl1, libxcb-cursor0 and others)")
    said = run("", """
import napari
viewer = napari.Viewer()
viewer.open(address + "/zarr/cells/image.zarr", plugin="napari-ome-zarr")
layers = {layer.name: layer for layer in viewer.layers}
for name in ("image", "instance"):
    layer, = (layer for found, layer in layers.items() if name in found)
    print(type(layer).__name__, [data.shape for data in layer.data], layer.scale.tolist())
    np.save(folder + "/" + name, np.asarray(layer.data[0]))
print(sorted(layers))
for name, layer in layers.items():
    layer.visible = name.endswith("instance")
np.save(folder + "/window", viewer.screenshot(flash=False))
viewer.close()
""", "xvfb-run", "-a", "-s", "-screen 0 1280x1024x24", str(python))  # fmt: skip
    shapes = "[(20, 60, 70), (10, 30, 35), (5, 15, 18)] [1.0, 1.0, 1.0]"
    assert [line for line in said if shapes in line] == [f"Image {shapes}", f"Labels {shapes}"]
    assert "semantic" in said[-2]
    assert np.array_equal(np.load(tmp_path / "image.npy"), IMAGE)
    assert np.array_equal(np.load(tmp_path / "instance.npy"), labels())
    shown = np.load(tmp_path / "window.npy")[..., :3].astype(int) @ [1, 256, 65536]
    _, counts = np.unique(shown, return_counts=True)
    assert 15 < sum(counts > 400) <= len(np.unique(labels()[10])), "a colour for each label of the slice, or nearly so"


def test_the_examples_of_the_page_run(run, server, current):
    page = (Path(__file__).parents[2] / "docs" / "zarr.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(examples) == 7
    for example in examples:
        assert "127.0.0.1:8000" in example
        run("aiohttp cloudvolume", example.replace("http://127.0.0.1:8000", server.address))
    assert set(np.unique(current()[10, 10:20, 20:30])) == {8} and set(np.unique(current()[:8, :16, :32])) == {9}
