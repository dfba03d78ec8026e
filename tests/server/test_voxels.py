"""Slices and boxes: every media type, views and revisions, validators, ranges, encodings; writing them."""

from __future__ import annotations

import asyncio
import gzip
import io
import re

import httpx
import numpy as np
import pytest
import zstandard
from PIL import Image
from starlette.concurrency import run_in_threadpool

import labelog
from labelog.formats.picture import colour_slice
from labelog.kernels.runs import Runs
from labelog_server import Settings, create_app
from labelog_server.routes import voxels

from .conftest import labels, make_cells, serving

NPY = "application/x-npy"
SLICE = "/volumes/cells/slices/z/6"


@pytest.fixture(scope="module")
def reader(shared):
    with shared.client() as client:
        yield client


def decoded(answer):
    """Voxels of an answer, by a reading of docs/http.md of our own."""
    kind, data = answer.headers["content-type"], answer.content
    shape = tuple(map(int, answer.headers["labelog-shape"].split(",")))
    if kind == NPY:
        return np.load(io.BytesIO(data))
    if kind == "application/octet-stream":
        return np.frombuffer(data, answer.headers["labelog-dtype"]).reshape(shape)
    magic, (nz, ny, nx, count, number) = data[:4], np.frombuffer(data, "<u4", 5, 4).tolist()
    palette = np.frombuffer(data, "<u8", count, 32)
    rest = data[32 + 8 * count :]
    if magic == b"LIX1":
        return palette[np.frombuffer(rest, f"<u{number}")].reshape(nz, ny, nx)
    assert magic == b"LRN1"
    numbers = np.frombuffer(rest, "<u4")
    rows, ends, picks = np.split(numbers, [nz * ny + 1, nz * ny + 1 + number])
    out = np.empty((nz * ny, nx), np.uint64)
    for row in range(nz * ny):
        start = 0
        for i in range(rows[row], rows[row + 1]):
            out[row, start : ends[i]] = palette[picks[i]]
            start = ends[i]
    return out.reshape(nz, ny, nx)


@pytest.mark.parametrize("format", ["npy", "raw", "indexed", "runs"])
@pytest.mark.parametrize(("axis", "index"), [("z", 6), ("y", 11), ("x", 69)])
def test_a_slice_is_what_the_engine_reads(reader, format, axis, index):
    answer = reader.get(f"/volumes/cells/slices/{axis}/{index}", params={"format": format})
    assert answer.status_code == 200
    assert np.array_equal(decoded(answer), np.take(labels(), [index], "zyx".index(axis)))


def test_neighbours_come_along_as_far_as_there_are_any(reader):
    answer = reader.get("/volumes/cells/slices/z/18", params={"around": 3, "box": "10:40,5:"})
    assert answer.headers["labelog-box"] == "15:20,10:40,5:70"
    assert np.array_equal(decoded(answer), labels()[15:20, 10:40, 5:])


def test_a_box(reader):
    answer = reader.get("/volumes/cells/voxels", params={"box": "2:9,:,33:35", "format": "runs"})
    assert np.array_equal(decoded(answer), labels()[2:9, :, 33:35])


def test_a_picture_has_the_labels_colours(reader):
    answer = reader.get(SLICE, headers={"Accept": "text/html, image/png;q=0.9, */*;q=0.1"})
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    assert np.array_equal(pixels, colour_slice(labels()[6], {1: (255, 0, 0, 255)}))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("*/*", NPY), ("application/*", NPY), ("application/vnd.labelog.runs;q=0.5, application/octet-stream;q=0.6",
     "application/octet-stream"), (f"{NPY};q=0.1, application/vnd.labelog.indexed", "application/vnd.labelog.indexed"),
     (f"{NPY};q=0, */*", "application/octet-stream"), (f"*/*;q=0.5, application/*;q=0, {NPY};q=0.1", "image/png")],
)  # fmt: skip
def test_the_client_chooses_by_accept(reader, accept, kind):
    answer = reader.get(SLICE, headers={"Accept": accept})
    assert answer.headers["content-type"] == kind
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


def test_head_says_what_get_would_and_sends_nothing(reader):
    got, head = reader.get(SLICE), reader.head(SLICE)
    assert head.status_code == 200 and head.content == b""
    for name in ("content-length", "etag", "content-type", "labelog-shape"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize(("encoding", "undo"), [("gzip", gzip.decompress), ("zstd", lambda d: zstandard.decompress(d))])
def test_answers_are_compressed_for_who_takes_it(reader, encoding, undo):
    plain = reader.get(SLICE, headers={"Accept-Encoding": "identity"})
    with reader.stream("GET", SLICE, headers={"Accept-Encoding": encoding}) as answer:
        sent = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == encoding
    assert int(answer.headers["content-length"]) == len(sent) < len(plain.content) / 4
    assert undo(sent) == plain.content
    assert answer.headers["etag"] != plain.headers["etag"]
    again = reader.get(SLICE, headers={"If-None-Match": answer.headers["etag"], "Accept-Encoding": encoding})
    assert again.status_code == 304


def test_ranges(reader):
    whole = reader.get(SLICE)
    size = len(whole.content)

    def part(header, **more):
        return reader.get(SLICE, headers={"Range": header, **more})

    one = part("bytes=10-19")
    assert (one.status_code, one.content) == (206, whole.content[10:20])
    assert one.headers["content-range"] == f"bytes 10-19/{size}"
    assert part("bytes=-7").content == whole.content[-7:]
    assert part(f"bytes={size - 3}-").content == whole.content[-3:]
    assert part(f"bytes=5-{2 * size}").content == whole.content[5:]
    several = part("bytes=0-3,10-11,-2")
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", several.headers["content-type"])[1].encode()
    parts = [piece.split(b"\r\n\r\n", 1)[1] for piece in several.content.split(b"\r\n--" + boundary)[1:-1]]
    assert parts == [whole.content[:4], whole.content[10:12], whole.content[-2:]]
    beyond = part(f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert beyond.headers["content-type"] == "application/problem+json" and str(size) in beyond.json()["detail"]
    for ignored in ("lines=1-2", "bytes=2-1", "bytes=a-b", "bytes=-"):
        assert part(ignored).status_code == 200
    assert part("bytes=0-1", **{"If-Range": whole.headers["etag"]}).status_code == 206
    assert part("bytes=0-1", **{"If-Range": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("cells/slices/z/20", 422, "from 0 to 19"),
        ("cells/slices/w/2", 422, "axis"),
        ("cells/slices/z/2?box=0:61,:", 422, "does not lie within"),
        ("cells/slices/z/2?box=3:3,:", 422, "empty"),
        ("cells/slices/z/2?box=1,2", 422, "half-open"),
        ("cells/slices/z/2?rev=1", 404, "from 0 to 0"),
        ("cells/slices/z/2?view=dog", 404, "instance, fragment, semantic"),
        ("cells/slices/z/2?dtype=uint8", 422, "does not hold"),
        ("cells/voxels?format=png", 406, "one slice"),
        ("none/slices/z/2", 404, "none"),
        ("..%2fcells/slices/z/2", 404, ""),
    ],
)
def test_what_is_not_there_is_told(reader, path, status, told):
    answer = reader.get(f"/volumes/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.json()["detail"] and answer.json()["status"] == status


def test_nothing_acceptable(reader):
    assert reader.get(SLICE, headers={"Accept": "image/jpeg"}).status_code == 406


def test_validators_follow_the_chunks_and_the_view(client, edit):
    near, far = "/volumes/cells/slices/z/6?box=0:10,0:10", "/volumes/cells/slices/z/19"
    tags = {path: client.get(path).headers["etag"] for path in (near, far, near + "&view=fragment")}

    def held(path):
        return client.get(path, headers={"If-None-Match": tags[path]}).status_code == 304

    assert all(map(held, tags))
    edit({"op": "paint", "label": "5", "spans": [[6, 0, 0, 3]]})
    assert [held(path) for path in tags] == [False, True, False]
    tags = {path: client.get(path).headers["etag"] for path in tags}
    edit({"op": "merge", "label": "1", "others": ["5"]})
    assert [held(path) for path in tags] == [False, False, True]  # labels of the far slice may be the merged ones
    assert "no-cache" in client.get(near).headers["cache-control"]
    assert "max-age" in client.get(near + "&rev=1").headers["cache-control"]


def test_a_picture_is_another_in_other_colours(client, edit):
    slices = "/volumes/cells/slices/z/3"
    edit({"op": "assign", "label": "11", "class": "cell"})
    before = {kind: client.get(slices, params={"view": "semantic", "format": kind}) for kind in ("png", "raw")}
    edit({"op": "assign_class", "class": "cell", "colour": "#010203"})
    for kind, status in (("png", 200), ("raw", 304)):
        tag = before[kind].headers["etag"]
        again = client.get(slices, params={"view": "semantic", "format": kind}, headers={"If-None-Match": tag})
        assert again.status_code == status, kind
    assert client.get(slices, params={"view": "semantic", "format": "png"}).content != before["png"].content


def test_validators_follow_what_is_stored(server, client, edit):
    """Not what a process happens to have in memory."""
    edit({"op": "merge", "label": "11", "others": ["111"]})
    edit({"op": "paint", "label": "977", "spans": [[3, 3, 20, 40]]}, {"op": "box", "label": "5",
         "box": [[3, 0, 0], [4, 60, 70]]})  # fmt: skip
    client.post("/volumes/cells/undo", json={})
    edit({"op": "box", "label": "111", "box": [[3, 5, 5], [4, 9, 9]]}, {"op": "assign", "label": "11", "class": "cell"})
    paths = [f"/volumes/cells/slices/z/3?view={view}" for view in ("instance", "fragment", "semantic", "cell")]
    here = [client.get(path).headers["etag"] for path in paths]
    with serving(server.folder) as other, other.client() as reader:
        assert [reader.get(path).headers["etag"] for path in paths] == here


def test_views_and_revisions(client, edit):
    before = labels()
    edit({"op": "assign", "label": "1", "class": "cell"}, {"op": "box", "label": "9", "box": [[0, 0, 0], [1, 60, 70]]})
    now = before.copy()
    now[0] = 9
    assert np.array_equal(decoded(client.get("/volumes/cells/voxels")), now)
    assert np.array_equal(decoded(client.get("/volumes/cells/voxels?rev=0")), before)
    semantic = client.get("/volumes/cells/voxels?view=semantic")
    assert semantic.headers["labelog-dtype"] == "uint8"
    assert np.array_equal(decoded(semantic), (now == 1).astype(np.uint8))


def test_scales(shared, reader):
    told = reader.get("/volumes/cells").json()["scales"]
    with labelog.open(shared.folder / "cells.labelog", "r") as volume:
        assert [tuple(scale["shape"]) for scale in told] == [scale.shape for scale in volume.scales] and len(told) > 1
        coarse = volume.scale(1)
        answer = reader.get("/volumes/cells/slices/y/3", params={"scale": 1, "box": ":,2:9"})
        assert np.array_equal(decoded(answer), coarse[:, 3:4, 2:9])
        again = reader.get("/volumes/cells/slices/y/3", params={"box": ":,2:9"})
        assert again.headers["etag"] != answer.headers["etag"]
    assert reader.get("/volumes/cells/slices/y/3?scale=99").status_code == 422


# Writing


INDEXED, RUNS, RAW = "application/vnd.labelog.indexed", "application/vnd.labelog.runs", "application/octet-stream"


def body(array, kind):
    """An array as a request's body, and its media type."""
    if kind == "npy":
        out = io.BytesIO()
        np.save(out, array)
        return out.getvalue(), NPY
    if kind == "raw":
        return array.tobytes(), RAW
    if kind == "indexed":
        palette, index = np.unique(array, return_inverse=True)
        head = np.array([*array.shape, len(palette), 2, 0, 0], "<u4")
        return b"LIX1" + head.tobytes() + palette.tobytes() + index.astype(np.uint16).tobytes(), INDEXED
    runs = Runs.from_dense(array)
    head = np.array([*array.shape, len(runs.palette), len(runs.ends), 0, 0], "<u4")
    return b"LRN1" + b"".join(
        part.tobytes() for part in (head, runs.palette, runs.offsets, runs.ends, runs.index)
    ), RUNS


@pytest.mark.parametrize("kind", ["npy", "raw", "indexed", "runs"])
@pytest.mark.parametrize("encoding", [None, "gzip", "zstd"])
def test_a_box_is_written_as_one_edit(server, client, kind, encoding):
    new = labels()[::-1, ::-1, ::-1][3:8, 10:50, 7:66].copy()
    data, media_type = body(new, kind)
    headers = {"Content-Type": media_type, "Labelog-Author": "vendor-b/ana"}
    if encoding:
        data = gzip.compress(data) if encoding == "gzip" else zstandard.compress(data)
        headers["Content-Encoding"] = encoding
    answer = client.put("/volumes/cells/voxels?box=3:8,10:50,7:66&message=hi", content=data, headers=headers)
    assert answer.status_code == 200 and answer.json()["revision"] == 1
    expected = labels()
    expected[3:8, 10:50, 7:66] = new
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        assert np.array_equal(volume[:], expected)
        commit = volume.commit(1)
    assert (commit.author, commit.message, commit.voxels) == ("vendor-b/ana", "hi", int((expected != labels()).sum()))


def test_what_was_read_and_written_back_is_no_edit_of_voxels(client):
    got = client.get(SLICE)
    answer = client.put(SLICE, content=got.content, headers={"Content-Type": NPY})
    assert answer.json()["voxels"] == 0


def test_what_is_there_is_not_written_if_none_may_match(client):
    """RFC 9110, 13.1.2: `*` is any, and all voxels of a volume are there."""
    got = client.get(SLICE)
    data, kind = body(np.load(io.BytesIO(got.content)), "npy")
    for tag, expected in (("*", 412), (got.headers["etag"], 412), ('"another"', 200)):
        answer = client.put(SLICE, content=data, headers={"Content-Type": kind, "If-None-Match": tag})
        assert answer.status_code == expected, (tag, answer.text)
    assert client.get("/volumes/cells").json()["revision"] == 1


def test_if_match_guards_against_what_was_not_seen(client, edit):
    got = client.get(SLICE)
    new = np.load(io.BytesIO(got.content))
    new[0, 0, 0] = 77
    data, kind = body(new, "npy")

    def put(tag):
        return client.put(SLICE, content=data, headers={"Content-Type": kind, "If-Match": tag})

    edit({"op": "paint", "label": "5", "spans": [[6, 30, 0, 9], [6, 33, 60, 70], [7, 0, 0, 9]]})
    refused = put(got.headers["etag"])
    assert refused.status_code == 412 and refused.headers["content-type"] == "application/problem+json"
    boxes = [[[6, 30, 0], [7, 31, 9]], [[6, 33, 60], [7, 34, 64]], [[6, 33, 64], [7, 34, 70]]]
    assert {"boxes": boxes, "since": 0, "revision": 1}.items() <= refused.json().items()
    assert client.get("/volumes/cells/history").json()["commits"][0]["revision"] == 1
    seen = client.get(SLICE).headers["etag"]
    edit({"op": "paint", "label": "5", "spans": [[7, 1, 0, 9]]})  # beside it, in the same chunk
    beside = put(seen)
    assert beside.status_code == 412 and beside.json()["boxes"] == [] and beside.json()["since"] == 1
    done = put(client.get(SLICE).headers["etag"])
    assert done.status_code == 200
    assert client.get(SLICE, headers={"If-None-Match": done.headers["etag"]}).status_code == 304
    assert put("*").status_code == 200


def test_a_merged_label_that_is_written_is_read_back_as_its_body(client, edit):
    """So the answer has no tag, under which a program could keep what it sent."""
    edit({"op": "merge", "label": "1", "others": ["11"]})
    new = np.load(io.BytesIO(client.get(SLICE).content))
    for label, tagged in ((11, False), (1, True)):
        new[0, :4, :4] = label
        data, kind = body(new, "npy")
        answer = client.put(SLICE, content=data, headers={"Content-Type": kind})
        assert answer.status_code == 200 and ("etag" in answer.headers) == tagged
        shown = np.load(io.BytesIO(client.get(SLICE).content))
        assert (shown[0, :4, :4] == 1).all() and np.array_equal(shown, new) == tagged


def test_what_collides_is_named_as_far_as_a_tag_says(client, edit):
    edit({"op": "paint", "label": "5", "spans": [[6, 0, 0, 9]]})
    kinds = ("npy", "png", "runs")
    first = [client.get(SLICE, params={"format": kind}).headers["etag"] for kind in kinds]
    of_others = client.get("/volumes/cells/slices/z/7").headers["etag"]
    edit({"op": "merge", "label": "1", "others": ["11"]})
    merged = client.get(SLICE).headers["etag"]
    edit({"op": "paint", "label": "6", "spans": [[6, 3, 20, 24]]})
    data, kind = body(labels()[6:7], "raw")

    def refused(tag):
        answer = client.put(SLICE, content=data, headers={"Content-Type": kind, "If-Match": tag})
        assert answer.status_code == 412 and answer.json()["revision"] == 3
        return answer.json()["since"], answer.json()["boxes"]

    differs = labels()[6] == 11  # merged since then; and painted
    differs[3, 20:24] = True
    for tag in (*first, f'"other", {first[0]}'):
        since, boxes = refused(tag)
        assert since == 1
        covered = np.zeros_like(differs)
        for (_, y0, x0), (_, y1, x1) in boxes:
            assert differs[y0:y1, x0:x1].any()
            covered[y0:y1, x0:x1] = True
        assert covered[differs].all() and not covered.all()
    whole = [[[6, 0, 0], [7, 60, 70]]]
    for tag in (merged, of_others, '"other"', f'"{"f" * 48}-npy"', f'"{0:048x}-npy"'):
        assert refused(tag) == (None, whole)


def floats():
    out = io.BytesIO()
    np.save(out, np.full((1, 60, 70), 0.5))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", NPY, 422),
        (b"\x93NUMPY", NPY, 422),
        (floats(), NPY, 422),
        (b"x" * 99, RAW, 422),
        (b"{}", "application/json", 415),
        (b"LRN1" + b"\xff" * 60, RUNS, 422),
        (b"LIX1" + b"\xff" * 60, INDEXED, 422),
    ],
)
def test_bodies_that_are_no_voxels_change_nothing(client, content, kind, status):
    answer = client.put(SLICE, content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(client.get("/volumes/cells/history").json()["commits"]) == 1


def test_few_voxels_in_memory_are_read_at_once_and_others_in_another_thread(tmp_path, monkeypatch):
    elsewhere = []

    async def counted(function):
        elsewhere.append(function)
        return await run_in_threadpool(function)

    async def threads(client, path):
        elsewhere.clear()
        (await client.get(path)).raise_for_status()
        return len(elsewhere)

    async def look():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1/api/v1") as client:
            assert await threads(client, f"{SLICE}?format=runs") == 1  # not in memory yet
            assert await threads(client, f"{SLICE}?format=raw") == 0
            assert await threads(client, f"{SLICE}?format=png") == 1  # takes long to make
            assert await threads(client, f"{SLICE}?format=raw&view=semantic") == 1  # asks the label table
            assert await threads(client, "/volumes/cells/voxels?format=raw") == 1  # not all in memory
            monkeypatch.setattr(voxels, "FEW", 999)
            assert await threads(client, f"{SLICE}?format=raw") == 1

    monkeypatch.setattr(voxels, "run_in_threadpool", counted)
    make_cells(tmp_path)
    app = create_app(Settings((tmp_path,)))
    asyncio.run(look())
    app.state.catalog.close()


def test_hostile_runs_are_refused(client):
    """Each number of a body of runs replaced by others: refused, or voxels of the shape; the server lives."""
    data, kind = body(labels()[6:7], "runs")
    refused = 0
    for place in range(4, 200, 4):
        for value in (0, 1, 2**31, 2**32 - 1):
            mutant = data[:place] + value.to_bytes(4, "little") + data[place + 4 :]
            answer = client.put(SLICE, content=mutant, headers={"Content-Type": kind})
            assert answer.status_code in (200, 422), answer.text
            refused += answer.status_code == 422
    assert refused > 50
    assert client.get("/volumes/cells").status_code == 200
