"""What is refused before a route sees it, what the server says of itself."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket

import pytest
import zstandard

from .conftest import make_cells, serving

WRITE = '{"operations": [{"op": "box", "label": "9", "box": [[0, 0, 0], [1, 1, 1]]}]}'


@pytest.fixture
def raw(server):
    """A connection on which headers are sent as they are given."""
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=30)

    def ask(method, path, headers, body=None):
        connection.request(method, "/api/v1" + path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())

    yield ask
    connection.close()


def test_only_names_of_our_own(raw):
    assert raw("GET", "/volumes", {"Host": "127.0.0.1:1"})[0] == 200
    assert raw("GET", "/volumes", {"Host": "localhost"})[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:8000", "", "[::1", "localhost@evil.example"):
        assert raw("GET", "/volumes", {"Host": host})[0] == 421, host


def test_pages_from_elsewhere_may_not_write(raw):
    headers = {"Content-Type": "application/json"}
    assert raw("POST", "/volumes/cells/edits", headers | {"Origin": "https://evil.example"}, WRITE)[0] == 403
    assert raw("POST", "/volumes/cells/edits", headers | {"Origin": "null"}, WRITE)[0] == 403
    for site in ("cross-site", "same-site"):
        assert raw("POST", "/volumes/cells/edits", headers | {"Sec-Fetch-Site": site}, WRITE)[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        status, body, _ = raw("POST", "/volumes/cells/edits", {"Content-Type": kind}, WRITE)
        assert status == 415 and "Content-Type: application/json" in json.loads(body)["detail"]
    assert json.loads(raw("GET", "/volumes/cells", {})[1])["revision"] == 0
    assert raw("POST", "/volumes/cells/edits", headers, WRITE)[0] == 200


def test_pages_from_elsewhere_may_not_embed_pictures(raw):
    """As <img> asks for them, without CORS; a link to one may be followed."""
    for site, mode, expected in [("cross-site", "no-cors", 403), ("same-site", "no-cors", 403),
                                 ("same-origin", "no-cors", 200), ("cross-site", "navigate", 200)]:  # fmt: skip
        embedded = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        assert raw("GET", "/volumes/cells/slices/z/0?format=png", embedded)[0] == expected, (site, mode)


def test_an_origin_that_is_allowed(tmp_path):
    make_cells(tmp_path)
    with serving(tmp_path, "--origin", "https://lab.example") as other, other.client() as client:
        page = {"Origin": "https://lab.example"}
        taken = "authorization,content-encoding,if-match,idempotency-key,labelog-author,last-event-id,range"
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": taken}
        allowed = client.options("/volumes/cells/edits", headers=page | asked)
        assert allowed.headers["access-control-allow-origin"] == "https://lab.example"
        assert allowed.status_code == 200 and "If-Match" in allowed.headers["access-control-allow-headers"]
        got = client.get("/volumes/cells/slices/z/1", headers=page)
        assert "ETag" in got.headers["access-control-expose-headers"]
        assert client.get("/volumes", headers={"Origin": "https://evil.example"}).status_code == 403


def test_large_bodies_are_refused_before_they_are_taken(raw):
    kind = {"Content-Type": "application/octet-stream"}
    never_sent = kind | {"Content-Length": str(2**40), "Connection": "close"}
    assert raw("PUT", "/volumes/cells/voxels", never_sent)[0] == 413
    bomb = zstandard.compress(bytes(2**30))
    assert len(bomb) < 2**17
    status, body, _ = raw("PUT", "/volumes/cells/voxels", kind | {"Content-Encoding": "zstd"}, bomb)
    assert status == 413 and "decompressed" in json.loads(body)["detail"]
    assert raw("PUT", "/volumes/cells/voxels", kind | {"Content-Encoding": "br"}, b"x")[0] == 415
    assert raw("PUT", "/volumes/cells/voxels", kind | {"Content-Encoding": "gzip"}, b"x")[0] == 400
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstandard.compress)):
        body = pack(b"x") + b"more"
        assert raw("PUT", "/volumes/cells/voxels", kind | {"Content-Encoding": encoding}, body)[0] == 400, encoding


def test_a_body_in_pieces_is_counted(raw):
    def pieces():
        for _ in range(80):
            yield bytes(2**20)

    try:
        status = raw("PUT", "/volumes/cells/voxels", {"Content-Type": "application/octet-stream"}, pieces())[0]
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # it did not listen to the end
    assert status == 413


def test_it_says_how_it_is(own):
    with own.client() as client:
        client.get("/volumes/cells/slices/z/1")
        assert client.request("BREW", "/volumes/a%22%0a%c3%a9").headers["cache-control"] == "private, no-cache"
        paint = {"op": "paint", "label": "7", "spans": [[0, 0, 0, 9]]}
        assert client.post("/volumes/cells/edits", json={"operations": [paint]}).status_code == 200
        client.head("/volumes/cells/slices/z/1")
        health = client.get(own.address + "/healthz")
        metrics = client.get(own.address + "/metrics").text
        for path in ("/volumes", "/volumes/cells", "/volumes/cells/labels", "/volumes/none"):
            assert client.get(path).headers["cache-control"] == "private, no-cache"
    with socket.create_connection(("127.0.0.1", own.port)) as raw:
        raw.sendall(b"labelog, please\r\n\r\n")
        assert b" 400 " in raw.recv(4096)
    assert health.json() == {"status": "ok", "volumes": {"cells": "writable"}}
    route = "/api/v1/volumes/{name}/slices/{axis}/{index}"
    for method in ("GET", "HEAD"):
        assert f'labelog_requests_total{{method="{method}",route="{route}",status="200"}} 1.0' in metrics
    for gauge, value in (("revision", 1), ("unfolded_deltas", 1)):
        assert f'labelog_{gauge}{{volume="cells"}} {value}\n' in metrics
    assert "labelog_commit_seconds_count 1.0" in metrics and "labelog_commit_wait_seconds_count 1.0" in metrics
    (took,) = re.findall(r"labelog_commit_seconds_sum (\S+)", metrics)
    assert 0 < float(took) < 30
    assert 'method="other"' in metrics and "BREW" not in metrics
    _, lines = own.stop()
    told = [json.loads(line) for line in lines]
    assert {"method": "GET", "path": "/api/v1/volumes/cells/slices/z/1", "status": 200}.items() <= told[0].items()
    assert told[0]["bytes"] > 1000 and told[0]["client"] == "127.0.0.1" and told[0]["ms"] > 0
    assert {"method": "BREW", "path": '/api/v1/volumes/a"\n\u00e9'}.items() <= told[1].items()


def test_it_says_when_a_volume_cannot_be_written(own):
    with own.client() as client:
        assert client.get(own.address + "/healthz").json()["volumes"] == {"cells": "writable"}
        journal = own.folder / "cells.labelog" / "journal.sqlite"
        journal.rename(journal.with_suffix(".gone"))
        health = client.get(own.address + "/healthz")
        assert health.status_code == 503 and health.json() == {"status": "failing", "volumes": {"cells": "NotFound"}}
        journal.with_suffix(".gone").rename(journal)
        assert client.get(own.address + "/healthz").json()["volumes"] == {"cells": "writable"}


def test_a_post_under_a_condition_that_it_cannot_have_is_refused(client, edit):
    paint = {"op": "paint", "label": "7", "spans": [[0, 0, 0, 9]]}
    refused = edit(paint, headers={"If-Match": '"a"'})
    assert refused.status_code == 412 and "seen" in refused.json()["detail"]
    assert edit(paint, headers={"If-None-Match": "*"}).status_code == 412
    assert client.delete("/volumes/cells?confirm=cells", headers={"If-Match": '"a"'}).status_code == 412
    assert client.get("/volumes/cells").json()["revision"] == 0
    assert edit(paint, headers={"If-Match": "*"}).status_code == 200


def test_problems_are_of_one_form(client):
    for answer in (client.get("/nothing"), client.put("/volumes"), client.get("/volumes/cells/labels?limit=0")):
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"title", "status", "detail"} <= set(answer.json())
        assert answer.json()["status"] == answer.status_code >= 400


def test_a_damaged_volume_is_named_and_the_others_are_served(tmp_path):
    for name in ("dogs", "cells"):
        make_cells(tmp_path)
        (tmp_path / "cells.labelog").rename(tmp_path / f"{name}.labelog")
    with (tmp_path / "dogs.labelog" / "journal.sqlite").open("r+b") as journal:
        journal.write(bytes(12_000))
    with serving(tmp_path) as own, own.client() as client:
        listed = client.get("/volumes")
        assert listed.status_code == 200 and [each["name"] for each in listed.json()["volumes"]] == ["cells"]
        assert list(listed.json()["failing"]) == ["dogs"] and str(tmp_path) not in listed.text
        assert client.get("/volumes/dogs").status_code == 500
        health = client.get(own.address + "/healthz")
        assert health.status_code == 503 and health.json()["volumes"] == {"dogs": "Corrupt", "cells": "writable"}
