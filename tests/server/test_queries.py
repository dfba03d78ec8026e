"""Query parameters that a route does not declare: refused with the names of those it does, and nothing is done."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

import labelog
from labelog_server import Settings, create_app
from labelog_server.queries import declared
from labelog_server.quick import Quick
from labelog_server.routes import TOPICS
from labelog_server.tokens import Tokens

from .conftest import make_cells, serving

EDIT = {"operations": [{"op": "paint", "label": "7", "spans": [[10, 10, 20, 30]]}]}
RAW = {"headers": {"Content-Type": "application/octet-stream"}, "content": np.full(8, 9, np.uint64).tobytes()}
PUT = "/volumes/cells/voxels?box=0:2,0:2,0:2"


@pytest.mark.parametrize(("method", "address", "sent", "unknown", "there_is"), [
    ("PUT", f"{PUT}&scale=1&view=semantic&dry_run=true", RAW, ["scale", "view", "dry_run"], "box, dtype"),
    ("PUT", "/volumes/cells/slices/z/1?rev=", RAW, ["rev"], "box, dtype"),
    ("POST", "/volumes/cells/edits?dry_run=true", {"json": EDIT}, ["dry_run"], "none"),
    ("POST", "/volumes/cells/undo?session=a", {"json": {}}, ["session"], "none"),
    ("GET", "/volumes/cells/history?autor=ana", {}, ["autor"], "author"),
    ("GET", "/volumes/cells/labels?search=A", {}, ["search"], "limit"),
    ("GET", "/volumes/cells/views?colour=red", {}, ["colour"], "dtype, rev, scale, unannotated, view"),
    ("GET", "/volumes/cells/voxels?bx=0:1", {}, ["bx"], "box, dtype, format, rev, scale, unannotated, view"),
    ("GET", "/volumes/cells/slices/z/1?arond=2&scale=0", {}, ["arond"], "around, box"),
    ("HEAD", "/volumes/cells/voxels?bx=0:1", {}, [], ""),
])  # fmt: skip
def test_what_a_route_does_not_declare_is_refused(client, method, address, sent, unknown, there_is):
    answer = client.request(method, address, **sent)
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    if method != "HEAD":
        problem = answer.json()
        assert [each["at"] for each in problem["errors"]] == [f"query.{name}" for name in unknown]
        assert unknown[0] in problem["detail"] and there_is in problem["detail"]
    assert client.get("/volumes/cells/revision").json()["revision"] == 0


@pytest.mark.parametrize("address", [
    "/volumes/cells/slices/z/1?scale=0&scale=1",
    "/volumes/cells/voxels?box=0:1,:,:&format=npy&format=npy",
    "/volumes/cells/history?limit=1&limit=2",
])  # fmt: skip
def test_what_is_said_twice_is_refused(client, address):
    answer = client.get(address)
    assert answer.status_code == 422 and "2 times" in answer.json()["detail"]


@pytest.mark.parametrize(("kind", "body"), [
    ("text/xml", b"<edit/>"), ("application/octet-stream", b"{}"), ("application/jsonp", b"{}"), (None, b"{}"),
])  # fmt: skip
@pytest.mark.parametrize(("method", "path"), [
    ("PUT", "/api/v1/volumes/cells/presence"), ("POST", "/api/v1/volumes/cells/edits"), ("POST", "/session"),
])  # fmt: skip
def test_what_is_no_json_is_another_type(client, server, method, path, kind, body):
    headers = {} if kind is None else {"Content-Type": kind}
    answer = client.request(method, server.address + path, content=body, headers=headers)
    assert answer.status_code == 415 and "application/json" in answer.json()["detail"]


def test_who_may_not_ask_is_told_that_first(tmp_path):
    """And not what could be asked, or how."""
    make_cells(tmp_path)
    (tmp_path / "secrets").mkdir()
    tokens = Tokens(tmp_path / "secrets" / "tokens.json")
    texts = {401: "labelog_no", 403: tokens.add("vendor", "read", ["other"]), 422: tokens.add("ana", "admin")}
    with serving(tmp_path, "--tokens", str(tokens.path)) as server, server.client() as client:
        for status, text in texts.items():
            for method, path in (("GET", "/volumes/cells/history?x=1"), ("GET", "/volumes/cells/slices/z/1?x=1"),
                                 ("POST", "/volumes/cells/undo?x=1"), ("GET", "/volumes/cells/labels?limit=a"),
                                 ("GET", "/volumes/cells/labels?limit=2&limit=3")):  # fmt: skip
                answer = client.request(method, path, headers={"Authorization": f"Bearer {text}"})
                assert answer.status_code == status, (method, path)
            xml = {"Authorization": f"Bearer {text}", "Content-Type": "text/xml"}
            answer = client.post("/volumes/cells/edits", content=b"<a/>", headers=xml)
            assert answer.status_code == (415 if status == 422 else status)


def test_others_protocols_allow_more(client, server):
    root = server.address
    assert client.get(f"{root}/zarr/cells/instance/zarr.json?cache=no").status_code == 200
    assert client.get(f"{root}/precomputed/cells/instance/info?cache=no").status_code == 200


def test_what_is_described_is_what_is_declared(tmp_path):
    """Every native route knows the parameters of its description, and no others."""
    labelog.create(tmp_path / "a.labelog", shape=(2, 2, 2)).close()
    app = create_app(Settings((tmp_path,)))
    described = {
        (path, method): {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
        for path, methods in app.openapi()["paths"].items() for method, operation in methods.items()
    }  # fmt: skip
    quick = [each for each in app.routes if isinstance(each, Quick)]
    assert len(quick) == 2
    for route in chain(quick, *(topic.router.routes for topic in TOPICS)):
        for method in route.methods if route.include_in_schema else ():
            assert declared(route) == described[route.path_format, method.lower()]
