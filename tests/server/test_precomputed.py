"""Neuroglancer's format, read by programs that know it: tensorstore and CloudVolume."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import tensorstore as ts

import labelog
from labelog.image import import_image
from labelog_server import Settings, create_app
from serving import get

from .conftest import labels, serving

IMAGE = (np.random.default_rng(5).random((20, 60, 70)) * 60_000).astype(np.uint16)
CHUNK = "cells/instance/s0/32-64_16-32_0-8"


@pytest.fixture
def web(server):
    with server.client("/precomputed") as client:
        yield client


def tensor(server, path, scale=0):
    """An array (z, y, x), as tensorstore reads it over plain HTTP."""
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"{server.address}/precomputed/{path}/",
            "scale_index": scale}  # fmt: skip
    return ts.open(spec, read=True).result()[ts.d["channel"][0]].T


def test_tensorstore_reads_every_scale_of_every_view(server, edit):
    edit({"op": "merge", "label": "1", "others": ["11"]}, {"op": "assign", "label": "1", "class": "cell"},
         {"op": "assign", "label": "12", "class": "mitochondrion", "parent": "1"})  # fmt: skip
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        assert len(volume.scales) > 2
        for view in ("instance", "fragment", "semantic", "cell"):
            for number, scale in enumerate(volume.view(view, dtype=np.uint64).scales):
                found = tensor(server, f"cells/{view}", number)
                assert found.domain.labels == ("z", "y", "x")
                assert np.array_equal(found.read().result(), scale[:]), (view, number)
                assert [unit.multiplier for unit in found.dimension_units] == list(scale.voxel_size)


def test_an_edit_is_seen(server, edit):
    store = tensor(server, "cells/instance")
    edit({"op": "paint", "label": str(2**64 - 1), "spans": [[3, 20, 5, 60]]})
    expected = labels()
    expected[3, 20, 5:60] = 2**64 - 1
    assert np.array_equal(store.read().result(), expected)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((6, 20, 40), (5, 7, 11)),
        ((1, 60, 70), (1, 60, 70)),
        ((2, 40, 4200), (4, 40, 4001)),
        ((9, 300, 300), (9, 257, 255)),
    ],
)  # fmt: skip
def test_chunks_of_any_shape(tmp_path, shape, chunks):
    """Those that are sent are cut out of those that are stored; where these cannot be halved, they reach over two."""
    array = np.random.default_rng(1).integers(0, 9, shape).astype(np.uint64)
    array[:, :, 1:] = np.where(array[:, :, 1:] < 8, array[:, :, :-1], array[:, :, 1:])
    size = {"voxel_size": (0.04, 0.01, 0.01), "unit": "um"}
    labelog.load(tmp_path / "cells.labelog", array, chunks=chunks, **size).close()
    with serving(tmp_path) as server:
        scale = get(f"{server.address}/precomputed/cells/instance/info").json()["scales"][0]
        assert scale["resolution"] == [10, 10, 40] and scale["size"] == list(shape[::-1])
        assert np.prod(scale["chunk_sizes"][0]) <= 2**18
        assert np.array_equal(tensor(server, "cells/instance").read().result(), array)


def test_segment_properties(web, edit):
    edit({"op": "assign", "label": "1", "class": "cell", "name": "A"},
         {"op": "assign", "label": "11", "class": "alpha granule", "parent": "1"})  # fmt: skip
    told = web.get("/cells/instance/segment_properties/info")
    assert told.json()["@type"] == "neuroglancer_segment_properties"
    inline = told.json()["inline"]
    by_id = {each["id"]: each for each in inline["properties"]}
    place = {label: number for number, label in enumerate(inline["ids"])}
    assert sorted(map(int, place)) == sorted(set(np.unique(labels()).tolist()) - {0})
    assert by_id["label"]["values"][place["1"]] == "A" and by_id["label"]["values"][place["11"]] == ""
    assert by_id["tags"]["tags"] == ["alpha_granule", "cell"]
    assert by_id["tags"]["tag_descriptions"] == ["alpha granule", "cell"]
    assert [by_id["tags"]["values"][place[label]] for label in ("1", "11", "12")] == [[1], [0], []]
    assert by_id["parent"]["values"][place["11"]] == "1" and by_id["parent"]["values"][place["1"]] == ""
    values, counts = np.unique(labels(), return_counts=True)
    assert {int(label): by_id["voxels"]["values"][number] for label, number in place.items()} == {
        value: count for value, count in zip(values.tolist(), counts.tolist(), strict=True) if value
    }
    semantic = web.get("/cells/semantic/segment_properties/info").json()["inline"]
    names = next(each["values"] for each in semantic["properties"] if each["type"] == "label")
    assert sorted(names) == ["alpha granule", "cell"]
    again = {"If-None-Match": told.headers["etag"]}
    assert web.get("/cells/instance/segment_properties/info", headers=again).status_code == 304
    edit({"op": "assign", "label": "1", "name": "B"})
    assert web.get("/cells/instance/segment_properties/info", headers=again).status_code == 200


def test_http_as_it_should_be(web, edit):
    got = web.get(f"/{CHUNK}", headers={"Accept-Encoding": "identity"})
    assert got.status_code == 200 and got.headers["cache-control"] == "private, no-cache"
    zipped = web.get(f"/{CHUNK}", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip" and zipped.content == got.content
    assert web.get(f"/{CHUNK}", headers={"If-None-Match": zipped.headers["etag"]}).status_code == 304
    head = web.head(f"/{CHUNK}")
    assert (head.status_code, head.content) == (200, b"")
    part = web.get(f"/{CHUNK}", headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, got.content[4:12])
    edit({"op": "paint", "label": "5", "spans": [[9, 0, 0, 5]]})  # in another chunk
    assert web.get(f"/{CHUNK}", headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    edit({"op": "paint", "label": "5", "spans": [[7, 31, 63, 64]]})
    assert web.get(f"/{CHUNK}", headers={"If-None-Match": got.headers["etag"]}).status_code == 200
    assert web.put(f"/{CHUNK}", content=b"").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "cats/instance/info",
        "cells/dog/info",
        "cells/image/info",
        "cells/image/s0/0-32_0-16_0-8",
        "cells/instance/s9/0-32_0-16_0-8",
        "cells/instance/s00/0-32_0-16_0-8",
        "cells/instance/10_10_40/0-32_0-16_0-8",
        "cells/instance/s0/0-31_0-16_0-8",
        "cells/instance/s0/1-33_0-16_0-8",
        "cells/instance/s0/0-8_0-16_0-32",
        "cells/instance/s0/64-96_0-16_0-8",  # the volume ends at 70
        "cells/instance/s0/96-128_0-16_0-8",
        "cells/instance/s0/9999999999-9999999999_0-16_0-8",
        "cells/instance/s0/00-32_0-16_0-8",
        "cells/instance/s0/-32-0_0-16_0-8",
        "cells/instance/s0/0-32_0-16_0-8.gz",
        "cells/instance/s0/../../../../etc/passwd",
        "cells/instance/provenance",
        "cells/instance/skeletons/info",
    ],
)
def test_what_is_not_there(web, path):
    answer = web.get(f"/{path}")
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]


@pytest.fixture
def pictured(server, request):
    """cells.labelog with an image of its own."""
    image = import_image(request.param, server.folder / "image", voxel_size=(7, 7, 7), unit="nm", scales=3)
    with labelog.open(server.folder / "cells.labelog") as volume:
        volume.attach_image(image.address, author="lab")
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        yield volume
    shutil.rmtree(image.address)


@pytest.mark.parametrize("pictured", [IMAGE, IMAGE.astype(np.float32), (IMAGE >> 8).astype(np.uint8)], indirect=True)
def test_the_image_at_every_scale(server, pictured):
    for number, scale in enumerate(pictured.image.scales):
        found = tensor(server, "cells/image", number)
        assert np.array_equal(found.read().result(), scale[:])
        assert found.dtype.numpy_dtype == scale.dtype
        factors = np.divide(scale.voxel_size, pictured.image.voxel_size)
        assert number == 0 or factors.max() > 1
        size = pictured.voxel_size * factors  # it lies under the labels, whatever its own size
        assert [unit.multiplier for unit in found.dimension_units] == size.tolist()


@pytest.mark.parametrize("pictured", [IMAGE], indirect=True)
def test_the_image_is_not_sent_twice(web, pictured):
    path = "/cells/image/s1/" + "_".join(
        f"0-{min(n, c)}" for n, c in zip(pictured.image.scale(1).shape[::-1], (2**9,) * 3, strict=True)
    )
    got = web.get(path)
    assert got.status_code == 200
    assert web.get(path, headers={"If-None-Match": got.headers["etag"]}).status_code == 304


def test_a_page_of_another_origin_may_read_if_it_is_named(tmp_path):
    labelog.load(tmp_path / "cells.labelog", labels()).close()
    page = {"Origin": "https://neuroglancer-demo.appspot.com"}
    with serving(tmp_path, "--origin", page["Origin"]) as server, server.client("/precomputed/cells/instance") as web:
        got = web.get("/info", headers=page)
        assert got.headers["access-control-allow-origin"] == page["Origin"]
        asked = page | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
        assert web.options("/info", headers=asked).status_code == 200
        assert web.get("/info", headers={"Origin": "https://x.example"}).status_code == 403


@pytest.mark.clients
def test_cloudvolume_reads_it(server):
    cloudvolume = pytest.importorskip("cloudvolume", reason="CloudVolume is in the extra clients")
    address = f"precomputed://{server.address}/precomputed/cells/instance"
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        for number, scale in enumerate(volume.scales):
            source = cloudvolume.CloudVolume(address, mip=number, use_https=False, progress=False)
            assert np.array_equal(np.asarray(source[:, :, :])[..., 0].T, scale[:])


def test_info_is_json_that_says_where_all_lies(web):
    told = json.loads(web.get("/cells/instance/info").content)
    assert (told["type"], told["data_type"], told["num_channels"]) == ("segmentation", "uint64", 1)
    assert [scale["key"] for scale in told["scales"]] == [f"s{n}" for n in range(len(told["scales"]))]
    assert told["scales"][0] == {
        "key": "s0", "size": [70, 60, 20], "voxel_offset": [0, 0, 0], "chunk_sizes": [[32, 16, 8]],
        "resolution": [1, 1, 1], "encoding": "compressed_segmentation",
        "compressed_segmentation_block_size": [8, 8, 8],
    }  # fmt: skip


def test_meshes(server, web, edit):
    zmesh = pytest.importorskip("zmesh", reason="meshes are in the extra meshes")
    del zmesh
    big = str(2**64 - 1)
    assert web.get("/cells/instance/info").json()["mesh"] == "mesh"
    assert web.get("/cells/instance/mesh/info").json() == {"@type": "neuroglancer_legacy_mesh"}
    fragments = web.get(f"/cells/instance/mesh/{big}:0").json()["fragments"]
    got = web.get(f"/cells/instance/mesh/{fragments[0]}")
    count = int.from_bytes(got.content[:4], "little")
    vertices = np.frombuffer(got.content, "<f4", 3 * count, 4).reshape(-1, 3)
    faces = np.frombuffer(got.content, "<u4", offset=4 + 12 * count).reshape(-1, 3)
    assert vertices.min(axis=0).tolist() == [30, 10, 5] and vertices.max(axis=0).tolist() == [40, 20, 8]  # x, y, z
    a, b, c = (vertices[faces[:, corner]].astype(float) for corner in range(3))
    assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6 == pytest.approx(300, rel=0.2)  # outward
    again = {"If-None-Match": got.headers["etag"]}
    assert web.get(f"/cells/instance/mesh/{big}.mesh", headers=again).status_code == 304
    edit({"op": "paint", "label": "0", "spans": [[5, 10, 30, 40]]})
    assert web.get(f"/cells/instance/mesh/{big}.mesh", headers=again).status_code == 200
    for path in ("instance/mesh/999999:0", "instance/mesh/0:0", "instance/mesh/7:1", "instance/mesh/x.mesh",
                 f"instance/mesh/{2**64}:0", "semantic/mesh/99:0", "instance/mesh/999999.mesh"):  # fmt: skip
        assert web.get(f"/cells/{path}").status_code == 404, path


def test_without_the_extra_meshes(tmp_path, monkeypatch):
    labelog.load(tmp_path / "cells.labelog", labels()).close()
    monkeypatch.setitem(sys.modules, "zmesh", None)
    app = create_app(Settings((tmp_path,)))

    async def answers():
        address = "http://localhost/precomputed/cells/instance"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=address) as client:
            return [await client.get(path) for path in ("info", "mesh/info", "mesh/1:0", "mesh/1.mesh")]

    info, *refused = asyncio.run(answers())
    app.state.catalog.close()
    assert info.status_code == 200 and "mesh" not in info.json()
    for answer in refused:
        assert answer.status_code == 501 and 'pip install "labelog[meshes]"' in answer.json()["detail"]


@pytest.mark.clients
def test_cloudvolume_reads_meshes(server):
    cloudvolume = pytest.importorskip("cloudvolume", reason="CloudVolume is in the extra clients")
    pytest.importorskip("zmesh", reason="meshes are in the extra meshes")
    source = cloudvolume.CloudVolume(f"precomputed://{server.address}/precomputed/cells/instance", progress=False)
    found = source.mesh.get(2**64 - 1)
    found = found[2**64 - 1] if isinstance(found, dict) else found
    assert found.vertices.min(axis=0).tolist() == [30, 10, 5] and found.vertices.max(axis=0).tolist() == [40, 20, 8]


def mesher(server):
    """The process in which a server makes meshes, as a list."""
    tasks = list(Path(f"/proc/{server.process.pid}/task").iterdir())
    if not (tasks[0] / "children").exists():
        pytest.skip("the system does not tell which processes a process has begun")
    begun = [pid for task in tasks for pid in (task / "children").read_text().split()]
    return [int(pid) for pid in begun if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def ends(pid):
    """Whether a process ends within some seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_process_that_makes_meshes_ends_with_the_server(own, number):
    pytest.importorskip("zmesh", reason="meshes are in the extra meshes")
    assert mesher(own) == []
    address = f"{own.address}/precomputed/cells/instance/mesh/{2**64 - 1}.mesh"
    first = get(address)
    assert first.status_code == 200
    (killed,) = mesher(own)
    os.kill(killed, signal.SIGKILL)
    assert ends(killed)
    answers = [get(address) for _ in range(2)]
    assert answers[-1].status_code == 200 and answers[-1].content == first.content
    assert answers[0].status_code in (200, 503)
    (begun,) = mesher(own)
    code, lines = own.stop(number)
    assert ends(begun)
    if number == signal.SIGINT:
        assert code == 0 and all(line.startswith("{") for line in lines), lines
