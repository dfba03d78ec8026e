"""Volumes through programs that never heard of labelog: zarr-python, tensorstore, ome-zarr's metadata; S3 clients."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import numpy as np
import obstore.store
import pytest
import tensorstore as ts
import zarr
import zstandard
from zarr.storage import ObjectStore

import labelog
from labelog_server.catalog import Catalog
from labelog_server.memory import Memory, Share
from labelog_server.objects import Objects
from labelog_server.problems import Problem

from .conftest import labels, make_cells

ARRAY = "cells/instance/s0"
CHUNK = f"{ARRAY}/c/0/1/1"  # voxels 0:8, 16:32, 32:64


@pytest.fixture
def web(server):
    with server.client("") as client:
        yield client


def tensor(server, cache_bytes=0, view="instance"):
    """The array through tensorstore's s3 driver."""
    return ts.open(
        {
            "driver": "zarr3",
            "kvstore": {"driver": "s3", "bucket": "cells", "path": f"{view}/s0/", "endpoint": f"{server.address}/s3",
                        "aws_region": "us-east-1", "aws_credentials": {"type": "anonymous"}},
            "recheck_cached_data": True,
        },
        open=True, context=ts.Context({"cache_pool": {"total_bytes_limit": cache_bytes}}),
    ).result()  # fmt: skip


def decoded(body):
    return np.frombuffer(zstandard.decompress(body, 8 * 8 * 16 * 32), "<u8").reshape(8, 16, 32)


def encoded(values):
    return zstandard.compress(values.astype("<u8").tobytes())


def current(server):
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        return volume[:]


def test_zarr_python_reads_over_http_and_s3(server):
    for store in (
        obstore.store.HTTPStore(f"{server.address}/zarr/cells/instance", client_options={"allow_http": True}),
        obstore.store.S3Store("s3", prefix="cells/instance", endpoint=server.address, region="us-east-1",
                              skip_signature=True, client_options={"allow_http": True}),
    ):  # fmt: skip
        group = zarr.open_group(ObjectStore(store, read_only=True), mode="r")
        assert np.array_equal(group["s0"][:], labels())
        assert group["s0"].chunks == (8, 16, 32)
        ome = group.attrs["ome"]
        assert ome["multiscales"][0]["datasets"][0]["path"] == "s0" and "image-label" in ome


def test_tensorstore_reads_over_http(server):
    spec = {"driver": "zarr3", "kvstore": f"{server.address}/zarr/{ARRAY}/"}
    assert np.array_equal(ts.open(spec, read=True).result().read().result(), labels())


def test_views(server, edit):
    edit({"op": "merge", "label": "1", "others": ["11"]}, {"op": "assign", "label": "1", "class": "cell"})
    expected = np.where(labels() == 11, 1, labels())
    assert np.array_equal(tensor(server).read().result(), expected)
    assert np.array_equal(tensor(server, view="fragment").read().result(), labels())
    assert np.array_equal(tensor(server, view="semantic").read().result(), expected == 1)
    assert np.array_equal(tensor(server, view="cell").read().result(), np.where(expected == 1, 1, 0))


def test_a_chunk_written_is_an_edit_of_what_differs(server, web, client, edit):
    edit({"op": "merge", "label": "1", "others": ["112"]})
    got = web.get(f"/zarr/{CHUNK}")
    values = decoded(got.content).copy()
    assert (
        web.put(f"/zarr/{CHUNK}", content=got.content, headers={"Content-Type": "application/octet-stream"}).status_code
        == 204
    )
    assert client.get("/volumes/cells").json()["revision"] == 1  # what was read and written back is no edit
    values[2, 3, 4:9] = 777
    done = web.put(
        f"/zarr/{CHUNK}", content=encoded(values),
        headers={"Content-Type": "application/octet-stream", "If-Match": got.headers["etag"], "Labelog-Author": "ana"},
    )  # fmt: skip
    assert done.status_code == 204
    assert web.get(f"/zarr/{CHUNK}", headers={"If-None-Match": done.headers["etag"]}).status_code == 304
    commit = client.get("/volumes/cells/history/2").json()
    assert (commit["author"], commit["voxels"], commit["written"]) == ("ana", 5, 5)
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        expected = labels()
        expected[2, 19, 36:41] = 777
        assert np.array_equal(volume.view("fragment")[:], expected)  # the others kept their fragment


@pytest.mark.parametrize("face", ["zarr", "s3"])
def test_of_equal_writes_under_one_condition_one_succeeds(web, face):
    """Also if it leaves the others nothing to change: who counts in a chunk counts each time once."""
    where, kind = f"/{face}/{CHUNK}", {"Content-Type": "application/octet-stream"}
    web.put(where, content=encoded(np.full((8, 16, 32), 1000)), headers=kind).raise_for_status()

    def put(number, condition):
        return web.put(where, content=encoded(np.full((8, 16, 32), number)), headers=kind | condition).status_code

    def count(times):
        done = 0
        while done < times:
            got = web.get(where)
            status = put(decoded(got.content)[0, 0, 0] + 1, {"If-Match": got.headers["etag"]})
            assert status in (200, 204, 412)
            done += status != 412

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(count, [10] * 6))
        now = web.get(where)
        assert decoded(now.content)[0, 0, 0] == 1060
        for _ in range(10):
            tag = {"If-Match": web.head(where).headers["etag"]}
            gone = list(pool.map(lambda _, tag=tag: web.delete(where, headers=tag).status_code, range(6)))
            assert sorted(gone) == [204] + [412] * 5
            made = list(pool.map(lambda _: put(7, {"If-None-Match": "*"}), range(6)))
            assert sorted(made)[0] in (200, 204) and sorted(made)[1:] == [412] * 5


def test_conditions_guard_a_chunk(web, client, edit):
    kind = {"Content-Type": "application/octet-stream"}
    got = web.get(f"/zarr/{CHUNK}")
    values = decoded(got.content).copy()
    values[0, 0, 0] = 9
    edit({"op": "paint", "label": "5", "spans": [[7, 31, 63, 64]]})  # another voxel of the chunk
    for header in ({"If-Match": got.headers["etag"]}, {"If-None-Match": "*"}):
        for path in (f"/zarr/{CHUNK}", f"/s3/{CHUNK}"):
            assert web.put(path, content=encoded(values), headers=kind | header).status_code == 412
    now = web.get(f"/zarr/{CHUNK}").headers["etag"]
    for header in ({"If-Match": got.headers["etag"]}, {"If-Match": f"W/{now}"}, {"If-None-Match": "*"},
                   {"If-None-Match": now}):  # fmt: skip
        for path in (f"/zarr/{CHUNK}", f"/s3/{CHUNK}"):
            assert web.delete(path, headers=header).status_code == 412, header
            assert web.put(path, content=encoded(values), headers=kind | header).status_code == 412, header
    for junk in (b"junk", encoded(values)):
        assert web.put(f"/zarr/{CHUNK}", content=encoded(values) + junk, headers=kind).status_code == 422
    assert web.head(f"/s3/{CHUNK}", headers={"If-Match": got.headers["etag"]}).status_code == 412
    assert client.get("/volumes/cells").json()["revision"] == 1
    merged = web.put(f"/zarr/{CHUNK}", content=encoded(values), headers=kind)  # no condition: who writes later wins
    assert merged.status_code == 204
    assert web.delete(f"/zarr/{CHUNK}").status_code == 204
    assert web.get(f"/zarr/{CHUNK}").status_code == 404
    assert web.put(f"/zarr/{CHUNK}", content=encoded(values), headers=kind | {"If-None-Match": "*"}).status_code == 204
    assert np.array_equal(decoded(web.get(f"/zarr/{CHUNK}").content), values)


def test_a_label_that_was_merged_shows_as_its_body(web, client, edit):
    """Writing it where the body is, is no edit; and no program may keep it under the chunk's tag."""
    edit({"op": "paint", "label": "5", "spans": [[7, 31, 60, 63]]},
         {"op": "paint", "label": "6", "spans": [[7, 31, 63, 64]]},
         {"op": "merge", "label": "5", "others": ["6"]})  # fmt: skip
    got = web.get(f"/zarr/{CHUNK}")
    values = decoded(got.content).copy()
    assert (values == 5).sum() >= 4 and not (values == 6).any()
    kind = {"Content-Type": "application/octet-stream", "If-Match": got.headers["etag"]}
    vain = web.put(f"/zarr/{CHUNK}", content=encoded(np.where(values == 5, 6, values)), headers=kind)
    assert vain.status_code == 204 and "etag" not in vain.headers
    assert client.get("/volumes/cells").json()["revision"] == 1
    values[0, 0, 0] = 6
    put = web.put(f"/zarr/{CHUNK}", content=encoded(values), headers=kind)
    assert put.status_code == 204 and "etag" not in put.headers
    values[0, 0, 0] = 5
    assert np.array_equal(decoded(web.get(f"/zarr/{CHUNK}").content), values)
    assert client.get("/volumes/cells/history/2").json()["written"] == 1


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("cells/semantic/s0/c/0/0/0", b"", 405),
        ("cells/instance/s1/c/0/0/0", b"", 405),
        ("cells/instance/zarr.json", b"{}", 405),
        ("cells/instance/s0/zarr.json", b"{}", 405),
        ("cells/instance/s0/c/0/0/99", b"", 405),
        ("cells/dog/s0/c/0/0/0", b"", 405),
        ("cells/dog/zarr.json", b"{}", 405),
        ("dogs/instance/s0/c/0/0/0", b"", 405),
        (CHUNK, b"no zstd", 422),
        (CHUNK, zstandard.compress(bytes(8)), 422),
        (CHUNK, zstandard.compress(bytes(7)), 422),
        (CHUNK, zstandard.compress(bytes(2**28)), 422),
        ("cells/instance/s0/c/2/0/0", zstandard.compress(np.ones(4096, "<u8").tobytes()), 422),  # beyond the last slice
    ],
)
def test_what_cannot_be_written(web, client, path, content, status):
    answer = web.put(f"/zarr/{path}", content=content, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == status, answer.text
    s3 = web.put(f"/s3/{path}", content=content, headers={"Content-Type": "application/octet-stream"})
    assert s3.status_code == (400 if status == 422 else status)
    assert ElementTree.fromstring(s3.content).find("Code").text
    assert client.get("/volumes/cells").json()["revision"] == 0


def test_whoever_sent_less_than_there_is_now_is_told_no_tag(tmp_path, monkeypatch):
    """Or a client that keeps what it sent would take it, under that tag, for what is there."""
    make_cells(tmp_path)
    catalog, key = Catalog((tmp_path,), 2**24), "cells/instance/s0/c/0/0/0"
    change = labelog.Edit.change

    def opened():
        return Objects(catalog, Share(Memory(None, 2**30)))

    def put(x, if_match=None):
        values = catalog["cells"][:8, :16, :32]
        values[0, 0, x] = 977
        tag = opened().put(key, zstandard.compress(values.tobytes()), "ana", if_match, None)
        return tag, opened().get(key).tag

    def meanwhile(self, box, values):
        with labelog.open(tmp_path / "cells.labelog") as volume, volume.edit("bo") as edit:
            edit[0, 0, 0] = 7 + int(volume[0, 0, 0])
        change(self, box, values)

    tag, now = put(3)
    assert tag == now
    with monkeypatch.context() as patch:
        patch.setattr(labelog.Edit, "change", meanwhile)
        assert put(4)[0] is None
        assert catalog["cells"][0, 0, 4] == 977, "both are there"
        with pytest.raises(Problem) as raised:
            put(5, opened().get(key).tag)
        assert raised.value.status == 412 and catalog["cells"][0, 0, 5] != 977
    assert put(6)[0] is not None
    catalog.close()


@pytest.mark.parametrize("cache", [0, 10**8])
def test_two_writers_who_interleave_rows_lose_nothing(server, cache):
    """Both write their own rows of the same chunks; without conditions each would write back the other's old rows."""
    program = f"""
import sys
import numpy as np
import tensorstore as ts
array = ts.open(
    {{"driver": "zarr3", "recheck_cached_data": True, "kvstore": {{
        "driver": "s3", "bucket": "cells", "path": "instance/s0/", "endpoint": "{server.address}/s3",
        "aws_region": "us-east-1", "aws_credentials": {{"type": "anonymous"}}}}}},
    open=True, context=ts.Context({{"cache_pool": {{"total_bytes_limit": {cache}}}}}),
).result()
print(array[0, 0, 0].read().result(), flush=True)
sys.stdin.read(1)  # both begin at once
for row in range(int(sys.argv[1]), 32, 2):
    array[0:4, row, :] = np.full((4, 70), 1000 + row, np.uint64)
"""
    writers = [subprocess.Popen([sys.executable, "-c", program, str(number)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True) for number in range(2)]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline()
    for writer in writers:
        writer.stdin.write("x")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    expected = labels()
    expected[0:4, :32] = 1000 + np.arange(32)[None, :, None]
    assert np.array_equal(current(server), expected)


@pytest.mark.parametrize("cache", [0, 10**8])
def test_a_writer_of_a_merged_label_reads_its_body(server, edit, cache):
    """The chunk is not what it sent, and it does not go on with what it sent."""
    edit({"op": "paint", "label": "5", "spans": [[0, 0, 0, 20]]},
         {"op": "paint", "label": "6", "spans": [[0, 0, 20, 24]]},
         {"op": "merge", "label": "5", "others": ["6"]})  # fmt: skip
    array, before = tensor(server, cache), current(server)
    array[0, 0, 0:10] = np.full(10, 6, np.uint64)
    assert np.array_equal(array[...].read().result(), before)
    array[0, 0, 8:12] = np.array([6, 9, 6, 9], np.uint64)
    before[0, 0, [9, 11]] = 9
    assert np.array_equal(array[...].read().result(), before)
    assert np.array_equal(current(server), before)
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        assert [commit.written for commit in volume.history()][:2] == [2, 24]


def test_obstore_writes_with_zarr_python(server):
    store = obstore.store.S3Store("cells", prefix="instance", endpoint=f"{server.address}/s3", region="us-east-1",
                                  skip_signature=True, client_options={"allow_http": True})  # fmt: skip
    array = zarr.open_group(ObjectStore(store), mode="r+")["s0"]
    array[3:9, 10:40, 5:60] = 4321
    array[0:8, 0:16, 0:32] = 0  # a chunk that becomes all zero is deleted
    expected = labels()
    expected[3:9, 10:40, 5:60] = 4321
    expected[0:8, 0:16, 0:32] = 0
    assert np.array_equal(current(server), expected)
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        assert volume.check().ok


def test_scales(server):
    """Each scale is what the engine makes of it, and says where it lies; also after an edit."""
    with labelog.open(server.folder / "cells.labelog") as volume:
        with volume.edit("ana") as edit:
            edit[0:20, 30:50, 20:60] = 5
        for view in ("instance", "semantic"):
            store = obstore.store.HTTPStore(f"{server.address}/zarr/cells/{view}", client_options={"allow_http": True})
            group = zarr.open_group(ObjectStore(store, read_only=True), mode="r")
            datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
            scales = volume.at().view(view).scales
            assert [dataset["path"] for dataset in datasets] == [f"s{n}" for n in range(len(scales))] and len(
                scales
            ) > 2
            for dataset, scale in zip(datasets, scales, strict=True):
                assert np.array_equal(group[dataset["path"]][:], scale[:])
                size, translation = dataset["coordinateTransformations"]
                assert (tuple(size["scale"]), tuple(translation["translation"])) == (
                    scale.voxel_size,
                    scale.translation,
                )


def test_what_is_known_of_labels(server, web, edit):
    top = str(2**64 - 1)
    edit(
        {"op": "merge", "label": "1", "others": ["112"]},
        {"op": "assign", "label": "1", "class": "cell", "name": "A"},
        {"op": "assign", "label": "11", "class": "mitochondrion", "parent": "1"},
        {"op": "assign", "label": "112", "name": "of 1 by now"},
        {"op": "assign", "label": top, "class": "cell"},
    )

    def told(view):
        return web.get(f"/zarr/cells/{view}/zarr.json").json()["attributes"]["ome"]["image-label"]

    assert told("instance") == {"properties": [
        {"label-value": 1, "class": "cell", "name": "of 1 by now"},
        {"label-value": 11, "class": "mitochondrion", "parent": 1},
        {"label-value": 2**64 - 1, "class": "cell"},
    ]}  # fmt: skip
    assert [row["label-value"] for row in told("cell")["properties"]] == [1, 2**64 - 1]
    semantic = told("semantic")
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        classes = volume.classes
    assert {row["label-value"]: row["class"] for row in semantic["properties"]} == {
        c.id: c.name for c in classes.values()
    }
    assert {"label-value": classes["cell"].id, "rgba": [*bytes.fromhex(classes["cell"].colour[1:]), 255]} in semantic[
        "colors"
    ]
    assert told("fragment") == {}
    listed = web.get("/zarr/cells/zarr.json").json()["attributes"]["ome"]["labels"]
    assert listed[:3] == ["instance", "fragment", "semantic"] and "cell" in listed and "image" not in listed


@pytest.fixture
def pictured(server):
    """The EM image under cells.labelog."""
    image = (np.random.default_rng(5).random(labels().shape) * 60_000).astype(np.uint16)
    with labelog.open(server.folder / "cells.labelog") as volume:
        volume.attach_image(image, author="lab")
        yield volume.image


def test_the_image_beside_the_labels(server, web, pictured):
    store = obstore.store.HTTPStore(f"{server.address}/zarr/cells/image", client_options={"allow_http": True})
    group = zarr.open_group(ObjectStore(store, read_only=True), mode="r")
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert len(datasets) == len(pictured.scales)
    for number, dataset in enumerate(datasets):
        array = group[dataset["path"]]
        assert array.dtype == np.uint16 and np.array_equal(array[:], pictured.scale(number)[:])
        assert tuple(dataset["coordinateTransformations"][0]["scale"]) == pictured.scale(number).voxel_size
    # its labels, where OME-Zarr looks for them
    assert "instance" in group["labels"].attrs["ome"]["labels"]
    assert np.array_equal(group["labels/instance/s0"][:], labels())
    beside = web.get("/zarr/cells/instance/zarr.json").json()["attributes"]["ome"]["image-label"]["source"]["image"]
    assert web.get(f"/zarr/cells/instance/{beside}/zarr.json").json()["attributes"]["ome"]["multiscales"]
    within = web.get("/zarr/cells/image/labels/instance/zarr.json").json()["attributes"]["ome"]["image-label"]
    assert within["source"] == {"image": "../../"}
    assert web.get("/zarr/cells/image/labels/image/zarr.json").status_code == 404
    chunk = web.get("/zarr/cells/image/s0/c/0/0/0")
    assert web.get(chunk.url, headers={"If-None-Match": chunk.headers["etag"]}).status_code == 304
    refused = web.put("/zarr/cells/image/s0/c/0/0/0", content=chunk.content)
    assert refused.status_code == 405 and "image" in refused.json()["detail"]


def test_no_image(web):
    for key in ("cells/image/zarr.json", "cells/image/s0/zarr.json", "cells/image/s0/c/0/0/0"):
        assert web.get(f"/zarr/{key}").status_code == 404
    assert "source" not in web.get("/zarr/cells/instance/zarr.json").json()["attributes"]["ome"]["image-label"]


@pytest.mark.parametrize(
    "key",
    [
        "", "cells", "cells/", "cells/instance", "cells/instance/s0", "cells/instance/s9/zarr.json",
        "cells/instance/s00/zarr.json", "cells/instance/s0/c/0/0", "cells/instance/s0/c/00/0/0",
        "cells/instance/s0/c/0/0/9999999999", "cells/dog/zarr.json", "cells/instance/labels/zarr.json",
        "cells/image/labels/image/zarr.json", "dogs/zarr.json", "../cells/zarr.json",
    ],
)  # fmt: skip
def test_no_such_object(web, key):
    for method in ("GET", "HEAD"):
        assert web.request(method, f"/zarr/{key}").status_code == 404


def test_a_key_without_a_volume(web):
    for method, status in ("GET", 404), ("PUT", 405), ("DELETE", 405):
        for path in ("/zarr/", "/zarr//instance/s0/c/0/0/0"):
            answer = web.request(method, path)
            assert answer.status_code == status and "volume/view/" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["zarr", "s3"])
def test_conditions_and_ranges_of_reading(web, path):
    got = web.get(f"/{path}/{CHUNK}")
    assert web.head(f"/{path}/{CHUNK}").headers["content-length"] == str(len(got.content))
    for method in ("GET", "HEAD"):
        other = web.request(method, f"/{path}/{CHUNK}", headers={"If-Match": '"other"'})
        assert other.status_code == 412
        assert web.request(method, f"/{path}/{CHUNK}", headers={"If-Match": got.headers["etag"]}).status_code == 200
        held = web.request(method, f"/{path}/{CHUNK}", headers={"If-None-Match": got.headers["etag"]})
        assert held.status_code == 304
    part = web.get(f"/{path}/{CHUNK}", headers={"Range": "bytes=-7"})
    assert part.status_code == 206 and part.content == got.content[-7:]
