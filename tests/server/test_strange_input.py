"""Input that nobody means: it is refused by saying so, nothing is stored, and the server goes on."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

import labelog
from labelog.image import import_image

HALF = "\ud800"  # of a surrogate pair: JSON can say it, and no text has it
DIGITS = "9" * 5000  # more than Python makes a number of
EDIT = {"op": "box", "label": "9", "box": [[0, 0, 0], [1, 1, 1]]}


def send(client, path, body):
    return client.post(f"/volumes/cells/{path}", content=json.dumps(body), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(("path", "body"), [
    ("edits", {"operations": [{"op": "new", "attributes": {"a": HALF}}]}),
    ("edits", {"operations": [{"op": "new", "attributes": {"a": [{HALF: 1}]}}]}),
    ("edits", {"operations": [{"op": "new", "name": HALF}]}),
    ("edits", {"operations": [EDIT], "session": HALF}),
    ("edits", {"operations": [EDIT], "message": HALF}),
    ("undo", {"session": HALF}),
    ("redo", {"session": HALF}),
    ("revert", {"author": HALF}),
    ("edits", {"operations": [{"op": "paint", "label": "9", "spans": [[0, 0, 0, 2**63]]}]}),
    ("edits", {"operations": [{"op": "paint", "label": "9", "spans": [[-(2**70), 0, 0, 1]]}]}),
    ("edits/voxels", {"operations": [{"op": "paint", "label": "9", "spans": [[0, 0, 2**64, 1]]}]}),
    ("edits", {"operations": [{"op": "dilate", "label": "1", "distance": 1e300}]}),
    ("edits", {"operations": [{"op": "erode", "label": "1", "distance": 1e200}]}),
])  # fmt: skip
def test_what_cannot_be_stored_is_refused(client, path, body):
    before = client.get("/volumes/cells").json()["revision"]
    answer = send(client, path, body)
    assert 400 <= answer.status_code < 500 and answer.json()["detail"]
    assert client.get("/volumes/cells").json()["revision"] == before
    assert client.get("/volumes/cells/labels").status_code == 200


@pytest.mark.parametrize(("path", "headers", "status"), [
    (f"voxels?box=0:{DIGITS},:,:", {}, 422),
    (f"history?box=0:{DIGITS},:,:", {}, 422),
    ("slices/z/0", {"Range": f"bytes={DIGITS}-"}, 200),  # as if there were none
    ("slices/z/0", {"Range": f"bytes=0-{DIGITS}"}, 200),
    ("events", {"Last-Event-ID": f"cells={DIGITS}"}, 422),
    ("labels", {"Origin": "http://[::1"}, 403),
])  # fmt: skip
def test_numbers_without_end_and_addresses_that_are_none(client, path, headers, status):
    with client.stream("GET", f"/volumes/cells/{path}", headers=headers) as answer:
        assert answer.status_code == status


@pytest.mark.parametrize(("body", "at", "said"), [
    ('{"operations": [{"op": "paint", "label": 7}]}', "body.operations.0.paint.label", "valid string; found 7"),
    ('{"operations": [{"op": "paint", "label": "x"}]}', "body.operations.0.paint.label", 'found "x"'),
    ('{"operations": [{"op": "paint", "label": "7", "spans": [[0, 0, 0]]}]}',
     "body.operations.0.paint.spans.0.3", "required"),
    ('{"operations": [{"op": "paint", "label": "7", "spns": []}]}', "body.operations.0.paint.spns", "no such field"),
    ('{"operations": {"op": "paint"}}', "body.operations", "valid list; found an object of 1 fields"),
    ('{"operations": [{"op": "dance"}]}', "body.operations.0", "'paint', 'box', 'write'"),
    ('{"operations": [], "labels": ["x"]}', "body.labels.0", """to 2^64 - 1, not 'x'"""),
    ('{"operations": [], "message": [1, 2]}', "body.message", "found a list of 2"),
    ('{"operations": [], "seen": "' + "1" * 500 + 'x"}', "body.seen", '1111...'),
    ('{"operations": [],}', "body", "no JSON"),
    ('{"operations": []', "body", "at character 17"),
    ("[1]", "body", "found a list of 1"),
])  # fmt: skip
def test_what_is_wrong_with_json_is_said(client, body, at, said):
    """Where, what was expected there, and what was found."""
    answer = client.post("/volumes/cells/edits", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["errors"][0]["at"] == at and said in problem["errors"][0]["what"], problem
    assert problem["detail"] == f"{at}: {problem['errors'][0]['what']}" and len(problem["detail"]) < 600


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ['"at": [0, {0}, 0]', '"seconds": {0}'])
def test_nobody_is_at_no_number(client, number, field):
    body = '{"session": "w", ' + field.replace("{0}", number) + "}"
    answer = client.put("/volumes/cells/presence", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and client.get("/volumes/cells/presence").json()["present"] == []


@pytest.mark.parametrize("author", [
    "UTF-8''%C3%28", "UTF-8''%FF", "UTF-8''a%0Ab", "UTF-8''%00", "UTF-8''%E2%80%AE", "a\tb", b"\xc3\xa9", b"\xe9",
    "a//b",
])  # fmt: skip
@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "edits", {"operations": [EDIT]}), ("PUT", "presence", {"session": "w"}),
])  # fmt: skip
def test_authors_are_a_line_of_text(client, author, method, path, body):
    """Not mojibake, and nothing that turns a terminal's line around."""
    answer = client.request(method, f"/volumes/cells/{path}", json=body, headers={"Labelog-Author": author})
    assert answer.status_code == 422 and "uthor" in answer.json()["detail"]
    assert client.get("/volumes/cells").json()["revision"] == 0
    assert client.get("/volumes/cells/presence").json()["present"] == []


def test_no_answer_has_a_path_of_the_server(own):
    """Whatever is damaged, gone or in the way."""
    folder = own.folder

    def told(client, method, path, status, **more):
        answer = client.request(method, path, **more)
        assert answer.status_code == status and answer.json()["detail"], answer.text
        assert str(folder) not in answer.text and "tmp" not in answer.text, answer.text
        return answer.json()["detail"]

    import_image(np.zeros((20, 60, 70), np.uint8), folder / "em.zarr", voxel_size=(1, 1, 1), unit="nm")
    for name in ("linked", "cut", "spoilt"):
        with labelog.create(folder / f"{name}.labelog", (20, 60, 70)) as volume:
            if name == "linked":
                volume.attach_image(folder / "em.zarr", author="lab")
            with volume.edit("lab") as edit:
                edit[:] = 7
            volume.compact()
    (folder / "em.zarr").rename(folder / "moved.zarr")
    (folder / "cut.labelog" / "journal.sqlite").write_bytes(b"no database")
    for chunk in (folder / "spoilt.labelog" / "base").rglob("c/*/*/*"):
        chunk.write_bytes(b"no chunk")
    with own.client() as client:
        assert "em.zarr" in told(client, "GET", "/volumes/linked/image", 404)
        assert "journal.sqlite" in told(client, "GET", "/volumes/cut", 500)
        chunk = f"{str(client.base_url).removesuffix('/api/v1/')}/zarr/cells/image/s0/c/0/0/0"
        written = told(client, "PUT", chunk, 405, headers={"Content-Type": "application/octet-stream"})
        assert "cells.labelog has no image" in written
        told(client, "GET", "/volumes/spoilt/voxels", 500)
        told(client, "GET", "/volumes/cells/image", 404)
        told(client, "GET", "/volumes/cells/voxels?scale=9", 422)
        (folder / "taken.labelog").mkdir()
        new = {"name": "taken", "shape": [1, 1, 1]}
        assert "taken.labelog" in told(client, "POST", "/volumes", 409, json=new)
        job = client.post("/volumes/spoilt/jobs", json={"do": "components"}).json()["id"]
        while (state := client.get(f"/volumes/spoilt/jobs/{job}").json())["state"] in ("waiting", "running"):
            time.sleep(0.05)
        assert state["state"] == "failed" and str(folder) not in json.dumps(state)
        labelog.create(folder / "cells", (1, 1, 1)).close()
        assert "cells.labelog" in told(client, "GET", "/volumes", 422)
