"""Edits of operations, taken back, told of: the same as the engine's, and nothing lost between clients."""

from __future__ import annotations

import base64
import gzip
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import labelog
from labelog_server.problems import Problem
from labelog_server.trials import MOST, MOST_SPANS, SECONDS, Trials

from .conftest import labels, serving

MASK = np.random.default_rng(3).random((2, 9, 13)) < 0.4
BITS = base64.b64encode(np.packbits(MASK).tobytes()).decode()


def test_operations_are_the_engines(server, edit, tmp_path):
    """The same edit by HTTP and in Python gives the same volume."""
    answer = edit(
        {"op": "new", "as": "$cell", "class": "cell", "name": "A"},
        {"op": "paint", "label": "$cell", "mask": {"at": [3, 4, 5], "shape": [2, 9, 13], "bits": BITS}},
        {"op": "paint", "label": "$cell", "spans": [[0, 1, 2, 30], [0, 2, 2, 31]], "over": ["0", "1"]},
        {"op": "box", "label": "12", "box": [[10, 0, 0], [12, 5, 5]]},
        {"op": "relabel", "labels": {"11": "21", "21": "11"}},
        {"op": "erase", "label": "202", "within": [[0, 0, 0], [20, 60, 60]]},
        {"op": "merge", "label": "13", "others": ["23", "33"]},
        {"op": "cleave", "labels": ["33"]},
        {"op": "assign", "label": "12", "class": "mitochondrion", "parent": "$cell", "attributes": {"q": [1, None]}},
        {"op": "split", "label": "18446744073709551615", "as": "$part", "spans": [[5, 10, 30, 40]]},
        {"op": "separate", "label": "101"},
        {"op": "separate", "below": 2, "connectivity": 26},
        message="all", session="left", headers={"Labelog-Author": "ana"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    twin = labelog.load(tmp_path / "twin.labelog", labels(), chunks=(8, 16, 32), classes="platelet")
    with twin, twin.edit("ana", "all", session="left") as same:
        cell = same.new("cell", name="A")
        same.paint(cell, MASK, at=(3, 4, 5))
        same.paint(cell, [[0, 1, 2, 30], [0, 2, 2, 31]], over=[0, 1])
        same[10:12, 0:5, 0:5] = 12
        same.relabel({11: 21, 21: 11})
        same.erase(202, within=((0, 0, 0), (20, 60, 60)))
        same.merge(13, [23, 33])
        same.cleave(33)
        same.assign(12, cls="mitochondrion", parent=cell, q=[1, None])
        part = same.split(2**64 - 1, [[5, 10, 30, 40]]).labels[0]
        same.separate(101)
        same.separate(None, 26, below=2)
    with labelog.open(server.folder / "cells.labelog", "r") as volume, labelog.open(twin.address, "r") as twin:
        assert np.array_equal(volume[:], twin[:])
        assert volume.labels.to_json() == twin.labels.to_json()
        assert volume.check().ok
    told = answer.json()
    assert told["labels"] == {"$cell": str(cell), "$part": str(part)}
    assert (told["revision"], told["voxels"], told["written"]) == (1, same.voxels, same.written)
    assert str(2**64 - 1) in told["changed"]


@pytest.mark.parametrize(
    ("operation", "status", "told"),
    [({"op": "paint", "label": "7"}, 422, "spans or a mask"), ({"op": "paint", "label": 7, "spans": []}, 422, "label"),
     ({"op": "paint", "label": "18446744073709551616", "spans": [[0, 0, 0, 1]]}, 422, "2^64"),
     ({"op": "paint", "label": "7", "spans": [[0, 0, 60, 71]]}, 422, "operation 1 (paint)"),
     ({"op": "box", "label": "7", "box": [[0, 0, 60], [1, 9, 71]]}, 422, "does not lie within"),
     ({"op": "box", "label": "7", "box": [[0, -1, 0], [1, 9, 9]]}, 422, "does not lie within"),
     ({"op": "dance"}, 422, "op"), ({"op": "erase", "label": "7", "whole": True}, 422, "whole"),
     ({"op": "new", "class": "dog"}, 404, "dog"), ({"op": "erase", "label": "$x"}, 422, "$x"),
     ({"op": "paint", "label": "7", "mask": {"at": [0, 0, 0], "shape": [9, 9, 9], "bits": "AAAA"}}, 422, "92 bytes"),
     ({"op": "paint", "label": "7", "mask": {"at": [0, 0, 0], "shape": [1, 1, 1], "bits": "?"}}, 422, "base64"),
     ({"op": "assign", "label": "1", "parent": "1"}, 422, "ancestor")],
)  # fmt: skip
def test_an_edit_that_cannot_be_is_not_done_at_all(client, edit, operation, status, told):
    answer = edit({"op": "box", "label": "9", "box": [[0, 0, 0], [1, 60, 70]]}, operation)
    assert answer.status_code == status and told in json.dumps(answer.json()), answer.text
    assert client.get("/volumes/cells").json()["revision"] == 0


def test_tools_are_the_engines(server, edit, tmp_path):
    """Fill and shapes by HTTP and in Python give the same volume."""
    answer = edit(
        {"op": "fill", "seed": [0, 0, 6], "label": "9", "limit": 100_000},
        {"op": "fill", "seed": [3, 20, 20], "label": "10", "axis": 0, "connectivity": 8, "over": ["0", "111"]},
        {"op": "fill_holes", "label": "9", "axis": 0, "over": None},
        {"op": "remove_islands", "label": "101", "below": 40},
        {"op": "dilate", "label": "202", "distance": 1.5},
        {"op": "erode", "label": "303", "distance": 20, "unit": "nm"},
        {"op": "box", "label": "55", "box": [[0, 0, 0], [1, 9, 9]]},
        {"op": "box", "label": "55", "box": [[6, 3, 3], [7, 15, 15]]},
        {"op": "interpolate", "label": "55", "over": None},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    twin = labelog.load(tmp_path / "twin.labelog", labels(), chunks=(8, 16, 32), classes="platelet")
    with twin, twin.edit("ana") as same:
        same.fill((0, 0, 6), 9, limit=100_000)
        same.fill((3, 20, 20), 10, axis=0, connectivity=8, over=[0, 111])
        same.fill_holes(9, axis=0, over=None)
        same.remove_islands(101, below=40)
        same.dilate(202, 1.5)
        same.erode(303, 20, unit="nm")
        same[0:1, 0:9, 0:9] = 55
        same[6:7, 3:15, 3:15] = 55
        same.interpolate(55, over=None)
    with labelog.open(server.folder / "cells.labelog", "r") as volume, labelog.open(twin.address, "r") as twin:
        assert np.array_equal(volume[:], twin[:])
    assert answer.json()["voxels"] == same.voxels > 0
    refused = edit({"op": "fill", "seed": [0, 0, 0], "label": "3", "limit": 1})
    assert refused.status_code == 422 and "operation 0 (fill)" in refused.json()["detail"]


RING = [[[2, 3], [40.5, 8], [55, 66], [13, 50.25]], [[20, 20], [20, 30], [30, 25]]]
PATH = [[5, 5], [17.75, 40], [70, 60]]  # it ends outside


@pytest.mark.parametrize(("axis", "index"), [(0, 8), (1, 20), (2, 69)])
def test_polygons_and_strokes_are_the_engines(server, edit, axis, index):
    on = {"axis": axis, "index": index}
    answer = edit(
        {"op": "paint", "label": "7", "polygon": {**on, "rings": RING}},
        {"op": "paint", "label": "8", "brush": {**on, "path": PATH, "radius": 3.5}, "over": ["7"]},
    )
    assert answer.status_code == 200, answer.text
    expected = labels()
    for z, y, x0, x1 in labelog.polygon(RING, axis, index, expected.shape):
        expected[z, y, x0:x1] = 7
    stroke = labelog.brush(PATH, 3.5, axis, index, expected.shape)
    for z, y, x0, x1 in stroke:
        here = expected[z, y, x0:x1]
        here[here == 7] = 8
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        assert np.array_equal(volume[:], expected) and (expected == 8).any() and (expected == 7).any()
    assert edit({"op": "paint", "label": "7", "polygon": {"axis": 0, "index": 20, "rings": RING}}).status_code == 422
    assert edit({"op": "paint", "label": "7", "polygon": {**on, "rings": [[[0, 0], [1, 1]]]}}).status_code == 422
    assert edit({"op": "paint", "label": "7", "brush": {**on, "path": PATH, "radius": -1}}).status_code == 422
    assert (
        edit({"op": "paint", "label": "7", "brush": {**on, "path": PATH, "radius": 1}, "spans": []}).status_code == 422
    )


def related(operations, *parts, end=b"--"):
    """A body of several parts."""
    first = ("application/json", "", json.dumps({"operations": operations}).encode())
    pieces = [b"--+x\r\nContent-Type: " + kind.encode() + (b"\r\nContent-ID: <" + name.encode() + b">" if name else b"")
              + b"\r\n\r\n" + data + b"\r\n" for kind, name, data in [first, *parts]]  # fmt: skip
    return b"".join(pieces) + b"--+x" + end


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_arrays_beside_the_operations(server, client):
    spans = np.array([[0, 1, 2, 30], [0, 2, 2, 31], [19, 59, 0, 70]])
    short = np.array([[0, 1, 2, 10], [0, 2, 2, 11]], "<i2")
    raw = (MASK * np.uint64(2**63)).tobytes()
    runs = client.get("/volumes/cells/voxels?box=5:8,10:20,30:40&format=runs").content
    operations = [
        {"op": "paint", "label": "7", "mask": {"at": [3, 4, 5], "shape": [2, 9, 13], "part": "raw"}},
        {"op": "paint", "label": "8", "mask": {"at": [5, 30, 40], "shape": [2, 9, 13], "part": "npy"}},
        {"op": "paint", "label": "9", "mask": {"at": [9, 10, 30], "shape": [3, 10, 10], "part": "runs"}},
        {"op": "paint", "label": "10", "spans": {"part": "spans"}},
        {"op": "paint", "label": "11", "spans": {"part": "short"}},
    ]
    parts = [("application/octet-stream", "raw", raw), ("application/x-npy", "npy", npy(MASK)),
             ("application/vnd.labelog.runs", "runs", runs), ("application/x-npy", "spans", npy(spans)),
             ("application/octet-stream; dtype=int16", "short", short.tobytes())]  # fmt: skip
    kind = {"Content-Type": 'multipart/related; type="application/json"; boundary="+x"'}

    def post(body, headers=kind):
        return client.post("/volumes/cells/edits", content=body, headers=headers)

    for encoding, pack in (("identity", bytes), ("gzip", gzip.compress)):
        answer = post(pack(related(operations, *parts)), kind | {"Content-Encoding": encoding})
        assert answer.status_code == 200, answer.text
    expected = labels()
    expected[3:5, 4:13, 5:18][MASK] = 7
    expected[5:7, 30:39, 40:53][MASK] = 8
    expected[9:12, 10:20, 30:40][labels()[5:8, 10:20, 30:40] != 0] = 9
    for label, rows in ((10, spans), (11, short)):
        for z, y, x0, x1 in rows:
            expected[z, y, x0:x1] = label
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        assert np.array_equal(volume[:], expected)
        before = volume.revision
    huge = {"op": "paint", "label": "9", "mask": {"at": [0, 0, 0], "shape": [2**20, 2**20, 1], "part": "runs"}}
    one, spanned = [operations[0]], {"op": "paint", "label": "7", "spans": {"part": "raw"}}
    for body, status in (
        (related(one), 422), (related(one, *parts[:1], *parts[:1]), 400), (related(one, ("a/b", "raw", raw)), 415),
        (related(one, *parts[:1], end=b""), 400), (b"", 400), (b"--+x--", 400), (related([huge], parts[2]), 413),
        (related(one, ("application/octet-stream", "raw", raw[:-1])), 422), (related([spanned], parts[2]), 422),
        (related([spanned], ("application/octet-stream; dtype=U3", "raw", raw)), 422),
        (related([spanned], ("application/x-npy", "raw", npy(spans[:, :3]))), 422),
    ):  # fmt: skip
        assert post(body).status_code == status, body[:100]
    far = post(related([spanned], ("application/x-npy", "raw", npy(np.array([[0, 0, 0, 2**64 - 1]], np.uint64)))))
    assert far.status_code == 422 and str(2**64 - 1) in far.json()["detail"]
    assert post(related(one, *parts[:1]), {"Content-Type": "multipart/related"}).status_code == 400
    assert client.get("/volumes/cells").json()["revision"] == before


def test_a_key_happens_once(client, edit):
    operations = {"op": "new", "as": "$a"}, {"op": "paint", "label": "$a", "spans": [[0, 0, 0, 4]]}
    first = edit(*operations, headers={"Idempotency-Key": "k1"})
    again = edit(*operations, headers={"Idempotency-Key": "k1"})
    assert again.json() == first.json() and first.json()["revision"] == 1
    assert list(first.json()["labels"]) == ["$a"] and first.json()["boxes"] == [[[0, 0, 0], [1, 1, 4]]]
    for other in ({"op": "erase", "label": "12"},), ():
        assert edit(*other, headers={"Idempotency-Key": "k1"}).status_code == 409
    for more in ({"message": "why"}, {"session": "s"}, {"seen": 0}):
        assert edit(*operations, headers={"Idempotency-Key": "k1"}, **more).status_code == 409, more
    assert client.get("/volumes/cells").json()["revision"] == 1
    bo = edit({"op": "erase", "label": "12"}, headers={"Idempotency-Key": "k1", "Labelog-Author": "bo"})
    assert bo.json()["revision"] == 2, "each author's keys are their own"


def test_all_who_send_a_key_at_once_are_told_of_the_labels_that_were_made(edit):
    operations = [{"op": op, **more} for k in range(20) for op, more in (
        ("new", {"as": f"$a{k}"}), ("paint", {"label": f"$a{k}", "spans": [[0, k, 0, 4]]}))]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        found = [each.json() for each in pool.map(
            lambda _: edit(*operations, headers={"Idempotency-Key": "k"}), range(8))]  # fmt: skip
    assert found[0]["revision"] == 1 and len(found[0]["labels"]) == len(found[0]["made"]) == 20
    assert all(answer == found[0] for answer in found)


def test_a_key_of_taking_back_happens_once(client, edit):
    def asked(what, key, **body):
        return client.post(f"/volumes/cells/{what}", json=body, headers={"Idempotency-Key": key})

    edit({"op": "box", "label": "7", "box": [[0, 0, 0], [1, 1, 10]]})
    for revision, (what, body) in enumerate([("undo", {}), ("redo", {}), ("revert", {"revision": 1})], 2):
        answers = [asked(what, what, **body) for _ in range(2)]
        assert [answer.json()["revision"] for answer in answers] == [revision] * 2
        assert answers[0].json() == answers[1].json()
    assert asked("undo", "redo").status_code == asked("revert", "revert", revision=2).status_code == 409
    assert client.get("/volumes/cells").json()["revision"] == 4


def test_what_was_refused_does_not_happen_later(client, edit):
    """As an attempt might that had been given up, and comes late."""
    keyed = {"headers": {"Idempotency-Key": "k"}}
    assert client.post("/volumes/cells/undo", json={}, **keyed).json()["title"] == "NothingToUndo"
    stroke = {"op": "paint", "label": "7", "spans": [[2, 3, 10, 20]]}
    assert edit(stroke).json()["revision"] == 1
    late = client.post("/volumes/cells/undo", json={}, **keyed)
    assert (late.status_code, late.json()["key"]) == (409, "k") and "refused before" in late.json()["detail"]
    assert client.get("/volumes/cells").json()["revision"] == 1
    child = {"op": "new", "parent": "999"}
    assert edit(child, headers={"Idempotency-Key": "l"}).status_code == 404
    assert edit(headers={"Idempotency-Key": "l"}).json()["revision"] is None, "which closes the key"
    edit({"op": "paint", "label": "999", "spans": [[2, 3, 10, 20]]})
    assert edit(child, headers={"Idempotency-Key": "l"}).status_code == 409
    assert edit(child, headers={"Idempotency-Key": "m"}).json()["revision"] == 3


def test_seen_refuses_and_says_where(edit):
    stroke = {"op": "paint", "label": "7", "spans": [[2, 3, 10, 20]]}
    assert edit(stroke, seen=0).status_code == 200
    answer = edit({**stroke, "label": "8"}, seen=0)
    assert answer.status_code == 409
    assert (answer.json()["box"], answer.json()["voxels"]) == ([[2, 3, 10], [3, 4, 20]], 10)
    assert edit({**stroke, "label": "8"}, seen=1).status_code == 200


def drawn(array, runs):
    for z, y, x0, x1, label in runs:
        array[z, y, x0:x1] = int(label)
    return array


def test_runs_are_what_was_written(client, edit):
    """With them a client that painted knows its voxels without reading them, also where `over` left some out."""
    stroke = {"op": "paint", "label": "7", "spans": [[2, 3, 10, 40], [2, 4, 10, 40]], "over": ["0", "1", "101", "7"]}
    told = edit(stroke, {"op": "merge", "label": "12", "others": ["22"]}, **{"return": "runs"}).json()
    assert sum(x1 - x0 for _, _, x0, x1, _ in told["runs"]) == told["written"] < 60
    now = np.load(io.BytesIO(client.get("/volumes/cells/voxels?box=0:3,:,:&format=npy").content))
    assert np.array_equal(drawn(labels()[:3], told["runs"]), now)
    again = edit({**stroke, "over": ["7"]}, **{"return": "runs"}).json()
    assert (again["voxels"], again["runs"]) == (0, told["runs"]) and again["written"] == told["written"]
    assert "runs" not in edit(stroke).json()


def test_a_dry_run_says_what_the_edit_then_does(client, edit):
    operations = ({"op": "new", "as": "$a"}, {"op": "box", "label": "$a", "box": [[0, 3, 3], [9, 20, 40]]},
                  {"op": "merge", "label": "12", "others": ["22"]},
                  {"op": "relabel", "labels": {"32": "22"}})  # fmt: skip
    tried = edit(*operations, dry_run=True, **{"return": "runs"}, headers={"Idempotency-Key": "k"}).json()
    assert client.get("/volumes/cells").json()["revision"] == 0 and tried["revision"] is None
    done = edit(*operations, **{"return": "runs"}, headers={"Idempotency-Key": "k"}).json()
    made = tried["labels"]["$a"], done["labels"]["$a"]
    assert [[*row[:4], row[4].replace(*made)] for row in tried["runs"]] == done["runs"]
    assert [tried[name] for name in ("voxels", "written", "boxes")] == [done[n] for n in ("voxels", "written", "boxes")]
    assert tried["refused"] == [] and done["revision"] == 1


def test_a_dry_run_goes_on_with_one_that_was_kept(server, client, edit):
    stroke = {"op": "box", "label": "$a", "box": [[0, 3, 3], [9, 20, 40]]}
    first = edit({"op": "new", "as": "$a"}, dry_run=True, keep=True).json()
    edit({"op": "box", "label": "5", "box": [[0, 3, 3], [1, 4, 5]]})  # somebody else's: not seen by what has begun
    steps = [{"op": "paint", "label": "6", "over": ["$a"], "spans": [[0, 3, 0, 9]]}, {"op": "new", "as": "$b"}]
    second = edit(stroke, dry_run=True, keep=True, trial=first["trial"]).json()
    third = edit(*steps, dry_run=True, keep=True, trial=second["trial"], **{"return": "runs"}).json()
    assert third["at"] == first["at"] == 0 and third["labels"] == first["labels"] | {"$b": third["made"][0]}
    assert len({first["trial"], second["trial"], third["trial"]}) == 3 and len(third["results"]) == 2
    whole = edit({"op": "new", "as": "$a"}, stroke, *steps, dry_run=True, at=0, labels=first["made"] + third["made"],
                 **{"return": "runs"}).json()  # fmt: skip
    assert whole["runs"] == third["runs"] and whole["made"] == first["made"] + third["made"]
    seen = client.post("/volumes/cells/edits/voxels?box=0:1,3:4,0:12", headers={"Accept": "application/octet-stream"},
                       json={"operations": [], "trial": third["trial"], "keep": True})  # fmt: skip
    assert (seen.headers["Labelog-Shape"], seen.headers["Labelog-Box"]) == ("1,1,12", "0:1,3:4,0:12")
    row = np.frombuffer(seen.content, seen.headers["Labelog-Dtype"])
    assert row[3:].tolist() == [6] * 6 + [int(first["made"][0])] * 3
    last = {"operations": [], "dry_run": True, "trial": seen.headers["Labelog-Trial"]}
    client.post("/volumes", json={"name": "other", "shape": [4, 4, 4]})
    for path, headers, trial in (
        ("cells", {}, first["trial"]),  # has been gone on with
        ("cells", {}, "none"),
        ("other", {}, last["trial"]),
    ):
        answer = client.post(f"/volumes/{path}/edits", headers=headers, json=last | {"trial": trial})
        assert answer.status_code == 410 and "no longer" in answer.json()["detail"]
    again = edit(dry_run=True, keep=True, at=0).json()["trial"]
    told = client.post("/volumes/cells/edits", headers={"Labelog-Author": "bo"}, json=last | {"trial": again})
    assert told.status_code == 410, "it was somebody else's"
    for wrong in ({"keep": True}, {"trial": again}):
        assert edit(**wrong).status_code == 422
    assert client.get("/volumes/cells").json()["revision"] == 1


def test_a_trial_that_is_refused_is_over(edit):
    kept = edit({"op": "new", "as": "$a"}, dry_run=True, keep=True).json()["trial"]
    assert edit({"op": "assign", "label": "$a", "class": "dog"}, dry_run=True, trial=kept).status_code == 404
    assert edit(dry_run=True, trial=kept).status_code == 410


def test_trials_are_forgotten():
    class Staged:
        def __init__(self, spans):
            self.spans = spans

        def take_over(self):
            pass

    def there(name):
        try:
            trials.take(name, of)
        except Problem as problem:
            assert problem.status == 410
            return False
        return True

    now, of = 0.0, ("cells", None, None)
    trials = Trials(lambda: now)
    names = [trials.keep(Staged(1), {}, of) for _ in range(MOST + 1)]
    assert not there(names[0]) and there(names[1]) and not there(names[1]), "the oldest, and who was gone on with"
    now = SECONDS + 1
    assert not there(names[2])
    half, small = trials.keep(Staged(MOST_SPANS // 2), {}, of), trials.keep(Staged(1), {}, of)
    assert trials.keep(Staged(MOST_SPANS // 2 + 1), {}, of) is None
    more = trials.keep(Staged(MOST_SPANS // 2), {}, of)
    assert (there(half), there(small), there(more)) == (False, True, True)


def test_what_was_refused_is_told(client, edit):
    edit({"op": "paint", "label": "7", "spans": [[2, 3, 10, 20], [2, 5, 0, 40]]})
    edit({"op": "paint", "label": "8", "spans": [[2, 3, 15, 18]]})
    mine = {"op": "box", "label": "9", "box": [[2, 3, 12], [3, 5, 30]]}
    expected = [[2, 3, 12, 15, "7"], [2, 3, 15, 18, "8"], [2, 3, 18, 20, "7"]]
    tried = edit(mine, seen=0, dry_run=True, **{"return": "runs"}).json()
    assert tried["refused"] == expected and tried["written"] == 36
    answer = edit(mine, seen=0, **{"return": "runs"})
    assert answer.status_code == 409 and answer.json()["refused"] == expected and answer.json()["voxels"] == 8
    assert "refused" not in edit(mine, seen=0).json()


def test_taking_back(client, edit):
    ana, bo = {"Labelog-Author": "ana"}, {"Labelog-Author": "bo"}
    edit({"op": "box", "label": "7", "box": [[0, 0, 0], [1, 1, 10]]}, headers=ana)
    edit({"op": "box", "label": "8", "box": [[0, 0, 5], [1, 1, 10]]}, headers=bo)
    undone = client.post("/volumes/cells/undo", json={}, headers=ana).json()
    assert (undone["kind"], undone["targets"], undone["left_alone"]) == ("undo", [1], 5)
    assert client.post("/volumes/cells/undo", json={}, headers=ana).status_code == 409
    assert client.post("/volumes/cells/redo", json={}, headers=ana).json()["kind"] == "redo"
    reverted = client.post("/volumes/cells/revert", json={"author": "bo", "message": "no"}, headers=ana).json()
    assert (reverted["author"], reverted["targets"], reverted["message"]) == ("ana", [2], "no")
    assert client.post("/volumes/cells/revert", json={}).status_code == 422
    page = client.get("/volumes/cells/history", params={"limit": 2}).json()
    assert [commit["kind"] for commit in page["commits"]] == ["revert", "redo"] and page["next"] == 3
    rest = client.get("/volumes/cells/history", params={"limit": 9, "until": page["next"]}).json()
    assert [commit["revision"] for commit in rest["commits"]] == [3, 2, 1, 0] and rest["next"] is None
    assert [c["revision"] for c in client.get("/volumes/cells/history?author=bo").json()["commits"]] == [2]
    assert [c["revision"] for c in client.get("/volumes/cells/history?box=0:1,0:1,7:8&since=2").json()["commits"]] == [
        5
    ]


def test_objects(client, edit):
    edit({"op": "new", "as": "$a", "class": "cell", "name": "A"}, {"op": "assign", "label": "1", "parent": "$a"},
         {"op": "merge", "label": "1", "others": ["2"]})  # fmt: skip
    cell = client.get("/volumes/cells/labels?class=cell").json()["labels"][0]
    assert (cell["name"], cell["voxels"], cell["box"]) == ("A", 0, None)
    one = client.get("/volumes/cells/labels/2").json()
    assert (one["label"], one["parent"], one["fragments"]) == ("1", cell["label"], ["1", "2"])
    assert one["voxels"] == int(np.isin(labels(), [1, 2]).sum())
    assert client.get(f"/volumes/cells/labels/{cell['label']}").json()["children"] == ["1"]
    assert client.get("/volumes/cells/labels/18446744073709551615").json()["voxels"] == 300
    assert client.get("/volumes/cells/labels/1e3").status_code == 422
    assert client.get("/volumes/cells/labels/999").status_code == 404
    found, after = [], None
    total = len({*np.unique(labels()).tolist(), int(cell["label"])} - {0, 2})
    while True:
        page = client.get("/volumes/cells/labels", params={"limit": 7} | ({"after": after} if after else {})).json()
        assert page["total"] == (None if found else total)
        found += [int(label["label"]) for label in page["labels"]]
        if (after := page["next"]) is None:
            break
    assert found == sorted({*np.unique(labels()).tolist(), int(cell["label"])} - {0, 2})
    assert client.get("/volumes/cells/labels.csv").text.splitlines()[0].startswith("label,class,parent")
    classes = client.get("/volumes/cells/classes").json()["classes"]
    assert {known["name"]: known["objects"] for known in classes}["cell"] == 1


def test_blame_and_a_commit(client, edit):
    edit({"op": "paint", "label": "7", "spans": [[0, 0, 3, 6]]})
    blamed = client.get("/volumes/cells/blame?box=0:1,0:1,0:8", headers={"Accept": "application/octet-stream"})
    assert np.frombuffer(blamed.content, "<u8").tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    commit = client.get("/volumes/cells/history/1").json()
    assert commit["boxes"] == [[[0, 0, 3], [1, 1, 6]]] and "7" in commit["labels"]
    assert client.get("/volumes/cells/history/2").status_code == 404


def test_volumes_come_and_go(server, client):
    new = {"name": "other", "shape": [4, 5, 6], "voxel_size": [40, 10, 10], "classes": "platelet"}
    made = client.post("/volumes", json=new)
    assert made.status_code == 201 and client.get(made.headers["location"]).json()["shape"] == [4, 5, 6]
    assert client.post("/volumes", json=new).status_code == 409
    assert [known["name"] for known in client.get("/volumes").json()["volumes"]] == ["cells", "other"]
    for name in ("../out", "a/b", ".hidden", "", "x" * 101):
        assert client.post("/volumes", json=new | {"name": name}).status_code == 422
    assert sorted(path.name for path in server.folder.iterdir()) == ["cells.labelog", "other.labelog"]
    assert client.delete("/volumes/other").status_code == 422
    assert client.delete("/volumes/other?confirm=cells").status_code == 422
    assert client.delete("/volumes/other?confirm=other").status_code == 204
    assert client.get("/volumes/other").status_code == 404
    assert not (server.folder / "other.labelog").exists()


def test_nothing_is_lost_between_clients(server):
    """Eight clients and one program paint different voxels of one chunk: all of it is there in the end."""
    strokes = 25

    def paint(author):
        with server.client(headers={"Labelog-Author": f"a{author}"}) as client:
            for number in range(strokes):
                spans = [[0, author, number, number + 1]]
                operation = {"op": "paint", "label": str(1000 + author), "spans": spans}
                answer = client.post("/volumes/cells/edits", json={"operations": [operation]})
                assert answer.json()["voxels"] == 1

    def beside():
        with labelog.open(server.folder / "cells.labelog") as volume:
            for number in range(strokes):
                with volume.edit("near") as edit:
                    edit[0, 8, number] = 1008

    with ThreadPoolExecutor(9) as pool:
        done = [pool.submit(paint, author) for author in range(8)] + [pool.submit(beside)]
        for each in done:
            each.result()
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        assert volume.revision == 9 * strokes
        assert np.array_equal(volume[0, :9, :strokes], np.repeat(1000 + np.arange(9)[:, None], strokes, 1))


def test_an_interrupt_loses_nothing_that_was_acknowledged(own):
    acknowledged = []

    def paint():
        with own.client() as client:
            for number in range(10_000):
                operation = {"op": "paint", "label": str(number + 5000), "spans": [[0, 0, 0, 1]]}
                try:
                    answer = client.post("/volumes/cells/edits", json={"operations": [operation]})
                except Exception:
                    return
                if answer.status_code == 200:
                    acknowledged.append((answer.json()["revision"], number + 5000))

    painter = threading.Thread(target=paint)
    painter.start()
    while len(acknowledged) < 20:
        pass
    code, _ = own.stop()
    painter.join()
    assert code == 0
    with labelog.open(own.folder / "cells.labelog", "r") as volume:
        assert volume.revision >= acknowledged[-1][0]
        assert all(volume.at(revision)[0, 0, 0] == label for revision, label in acknowledged)
        assert volume.check().ok


def test_one_volume_served_by_its_path(tmp_path):
    labelog.create(tmp_path / "one.labelog", (2, 3, 4)).close()
    with serving(tmp_path / "one.labelog") as server, server.client() as client:
        assert "serving one at" in server.said
        assert client.get("/volumes/one").json()["shape"] == [2, 3, 4]
        assert client.post("/volumes", json={"name": "two", "shape": [1, 1, 1]}).status_code == 501
