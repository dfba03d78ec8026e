"""The image under the labels: what is sent is what the engine reads."""

from __future__ import annotations

import io
import shutil

import numpy as np
import PIL.Image
import pytest
import zarr

import labelog
from labelog.image import import_image

IMAGE = (np.random.default_rng(5).random((20, 60, 70)) * 60_000).astype(np.uint16)


@pytest.fixture
def pictured(server):
    """cells.labelog with an image of its own."""
    image = import_image(IMAGE, server.folder / "image", voxel_size=(40, 10, 10), unit="nm", scales=3)
    with labelog.open(server.folder / "cells.labelog") as volume:
        volume.attach_image(image.address, author="lab")
    with labelog.open(server.folder / "cells.labelog", "r") as volume, server.client() as client:
        yield client, volume.image
    shutil.rmtree(image.address)


def test_what_it_is(pictured):
    client, image = pictured
    told = client.get("/volumes/cells/image").json()
    assert told["dtype"] == "uint16"
    assert [scale["shape"] for scale in told["scales"]] == [list(scale.shape) for scale in image.scales]
    assert client.get("/volumes/cells/image?rev=0").status_code == 404


@pytest.mark.parametrize("scale", [0, 1, 2])
def test_slices_at_each_scale(pictured, scale):
    client, image = pictured
    answer = client.get("/volumes/cells/image/slices/y/7", params={"scale": scale, "around": 1, "box": "2:9,:"})
    assert np.array_equal(np.load(io.BytesIO(answer.content)), image.scale(scale)[2:9, 6:9])
    again = client.get(answer.url, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert client.get("/volumes/cells/image/slices/y/7?scale=99").status_code == 422


def test_an_image_that_is_changed_where_it_lies_is_sent_again(pictured):
    client, image = pictured
    root = str(client.base_url).removesuffix("/api/v1/")
    z, y, x = (min(n, c) for n, c in zip(IMAGE.shape, image.chunks, strict=True))
    paths = ["/volumes/cells/image/slices/z/3", "/volumes/cells/image/slices/z/3?window=0,60000&format=png",
             f"{root}/zarr/cells/image/s0/c/0/0/0", f"{root}/precomputed/cells/image/s0/0-{x}_0-{y}_0-{z}"]  # fmt: skip
    before = [client.get(path) for path in paths]

    def again():
        return [client.get(path, headers={"If-None-Match": got.headers["etag"]}).status_code
                for path, got in zip(paths, before, strict=True)]  # fmt: skip

    assert again() == [304] * 4
    zarr.open_group(image.address, mode="r+")[image._levels[0].where.rsplit("/", 1)[1]][3, 5, 6] += 1000
    assert again() == [200] * 4


def test_pictures(pictured):
    client, _ = pictured
    whole = client.get("/volumes/cells/image/slices/z/3", params={"format": "png"})
    assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(whole.content))), IMAGE[3])
    windowed = client.get("/volumes/cells/image/slices/z/3", params={"format": "png", "window": "1000,40000"})
    found = np.asarray(PIL.Image.open(io.BytesIO(windowed.content)))
    expected = np.interp(IMAGE[3], [1000, 40000], [0, 255])
    assert found.dtype == np.uint8 and np.abs(found - expected).max() < 0.501
    assert set(np.unique(found)) >= {0, 255}
    assert windowed.headers["etag"] != whole.headers["etag"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("window=5", 422), ("window=nan,1", 422), ("format=runs", 406), ("scale=-1", 422)],
)
def test_what_cannot_be_shown(pictured, query, status):
    assert pictured[0].get(f"/volumes/cells/image/slices/z/3?{query}").status_code == status


def test_a_window_opens_upwards(pictured):
    answer = pictured[0].get("/volumes/cells/image/slices/z/3?window=9,3")
    assert answer.status_code == 422 and "the first below the second" in answer.json()["detail"]


@pytest.mark.parametrize("path", [
    "/api/v1/volumes/cells/voxels?box=0:2,:,:", "/api/v1/volumes/cells/slices/z/3?format=png",
    "/api/v1/volumes/cells/image/slices/z/3", "/api/v1/volumes/cells/views/instance/map",
    "/precomputed/cells/image/info", "/precomputed/cells/instance/s0/0-32_0-16_0-8",
])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_read_is_what_if_match_says(pictured, server, path, method):
    client, _ = pictured
    address = server.address + path
    client.headers["Accept-Encoding"] = "identity"
    got = client.get(address)
    assert got.status_code == 200
    other = client.request(method, address, headers={"If-Match": '"other"', "If-None-Match": got.headers["etag"]})
    assert (other.status_code, other.headers["etag"]) == (412, got.headers["etag"])
    for held in (got.headers["etag"], "*"):
        assert client.request(method, address, headers={"If-Match": held}).status_code == 200
