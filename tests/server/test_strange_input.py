"""Input that nobody means: it is refused by saying so, nothing is stored, and the server goes on."""

from __future__ import annotations

import json

import pytest

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
    ("events", {"Last-Event-ID": f"cells={DIGITS}"}, 404),
    ("labels", {"Origin": "http://[::1"}, 403),
])  # fmt: skip
def test_numbers_without_end_and_addresses_that_are_none(client, path, headers, status):
    with client.stream("GET", f"/volumes/cells/{path}", headers=headers) as answer:
        assert answer.status_code == status
