"""Who may do what: roles, names, expiry, logging in; every route asks for a role."""

from __future__ import annotations

import http.client
import json
import re
import stat
import subprocess
import sys
import threading
from contextlib import closing
from importlib import import_module
from pkgutil import iter_modules

import pytest
import tensorstore as ts

import labelog
from labelog_server import routes
from labelog_server.tokens import Tokens
from serving import Server, get

from .conftest import guarding, labels, make_cells, serving
from .test_events import stream

EDIT = {"operations": [{"op": "box", "label": "9", "box": [[0, 0, 0], [1, 1, 1]]}]}
OPEN = {"/session", "/healthz", "/docs"}  # they ask for nothing, or for the token itself


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for tokens, and one of each role."""

    def give(tokens):
        texts = {role: tokens.add(f"{role}-er", role) for role in ("read", "annotate", "review", "admin")}
        return texts | {"cells only": tokens.add("vendor-b", "annotate", ["cells"])}

    with guarding(tmp_path_factory, give, "--host-name", "lab.example") as server:
        yield server


def as_(server, role):
    return server.client(headers={"Authorization": f"Bearer {server.given[role]}"})


def test_without_a_token_nothing(guarded):
    with guarded.client() as client:
        for path in ("/volumes", "/volumes/cells", "/volumes/cells/slices/z/1", "/volumes/cells/events", "/events"):
            with client.stream("GET", path) as answer:  # which might have no end
                pass
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.post("/volumes/cells/edits", json=EDIT).status_code == 401
        for path in ("/zarr/cells/instance/zarr.json", "/metrics"):
            assert client.get(guarded.address + path).status_code == 401
        for path in ("/s3?list-type=2", "/s3/cells/instance/zarr.json"):
            answer = client.get(guarded.address + path)
            assert answer.status_code == 403 and "<Code>AccessDenied</Code>" in answer.text
        health = client.get(guarded.address + "/healthz")
        assert health.status_code == 200 and "volumes" not in health.json()
        for text in (
            "x",
            guarded.given["admin"][:-1] + ("E" if guarded.given["admin"].endswith("A") else "A"),
            guarded.given["admin"] + "A",
            "labelog_00000000_" + "A" * 43,
        ):
            assert client.get("/volumes", headers={"Authorization": f"Bearer {text}"}).status_code == 401


def test_metrics_are_of_the_volumes_that_a_token_is_for(guarded):
    one = guarded.tokens.add("one", "read", volumes=["other"])
    for text, names in ((guarded.given["admin"], {"cells", "other"}), (one, {"other"})):
        with guarded.client(headers={"Authorization": f"Bearer {text}"}) as client:
            assert set(re.findall('volume="([^"]+)"', client.get(guarded.address + "/metrics").text)) == names


def test_roles(guarded):
    asked = [
        ("read", "GET", "/volumes/cells/slices/z/1", None),
        ("read", "GET", "/volumes/cells/history", None),
        ("annotate", "POST", "/volumes/cells/edits", EDIT),
        ("annotate", "POST", "/volumes/cells/undo", {}),
        ("review", "POST", "/volumes/cells/revert", {"author": "nobody"}),
        ("admin", "POST", "/volumes", {"name": "new", "shape": [1, 1, 1]}),
        ("admin", "DELETE", "/volumes/new", None),
    ]
    order = ["read", "annotate", "review", "admin"]
    for needed, method, path, body in asked:
        for role in order:
            with as_(guarded, role) as client:
                status = client.request(method, path, json=body).status_code
            assert (status == 403) == (order.index(role) < order.index(needed)), (role, method, path, status)


def test_every_route_declares_a_role():
    found = 0
    for module in iter_modules(routes.__path__):
        for route in import_module(f"labelog_server.routes.{module.name}").router.routes:
            roles = [call.role for each in route.dependant.dependencies if hasattr(call := each.call, "role")]
            assert len(roles) == (0 if route.path in OPEN else 1), route.path
            found += len(roles)
    assert found > 25


def test_edits_are_by_the_tokens_name(guarded):
    with as_(guarded, "cells only") as client:
        assert client.post("/volumes/cells/edits", json=EDIT).status_code == 200
        below = client.post("/volumes/cells/edits", json=EDIT, headers={"Labelog-Author": "vendor-b/ana"})
        assert below.status_code == 200
        for author in ("ana", "vendor-bb", "vendor-a/ana"):
            refused = client.post("/volumes/cells/edits", json=EDIT, headers={"Labelog-Author": author})
            assert refused.status_code == 403
        commits = client.get("/volumes/cells/history?limit=2").json()["commits"]
    assert [commit["author"] for commit in commits] == ["vendor-b/ana", "vendor-b"]


def test_jobs_are_cancelled_by_who_began_them_or_a_reviewer(guarded):
    jobs = "/volumes/cells/jobs"

    def sent(role, method, path, **more):
        with guarded.client(headers={"Authorization": f"Bearer {guarded.given[role]}"}) as client:
            return client.request(method, path, **more)

    job = f"{jobs}/{sent('admin', 'POST', jobs, json={'do': 'check'}).json()['id']}"
    refused = sent("annotate", "DELETE", job)
    assert refused.status_code == 403 and "admin-er" in refused.json()["detail"]
    assert sent("review", "DELETE", job).status_code == sent("admin", "DELETE", job).status_code == 202
    own = f"{jobs}/{sent('annotate', 'POST', jobs, json={'do': 'check'}).json()['id']}"
    assert sent("annotate", "DELETE", own).status_code == 202


def test_a_token_for_one_volume(guarded):
    with as_(guarded, "cells only") as client:
        assert [volume["name"] for volume in client.get("/volumes").json()["volumes"]] == ["cells"]
        assert client.get("/volumes/other").status_code == 403
        assert client.get(guarded.address + "/zarr/other/instance/zarr.json").status_code == 403
        for names in ("other", "cells,other", "none"):
            assert client.get(f"/events?volumes={names}").status_code == 403
        listed = client.get(guarded.address + "/s3?list-type=2&delimiter=/").text
        assert "<Prefix>cells/</Prefix>" in listed and "other" not in listed
        gone = b"<Delete><Object><Key>other/instance/s0/c/0/0/0</Key></Object></Delete>"
        answer = client.post(guarded.address + "/s3?delete", content=gone, headers={"Content-Type": "text/xml"})
        assert "<Error>" in answer.text and "not good for" in answer.text


def test_programs_send_tokens_too(guarded):
    headers = [f"Authorization: Bearer {guarded.given['read']}"]
    store = {"driver": "http", "base_url": guarded.address, "path": "/zarr/cells/semantic/s0/", "headers": headers}
    assert ts.open({"driver": "zarr3", "kvstore": store}, read=True).result().read().result().shape == labels().shape


def test_revoked_and_expired(guarded):
    text, short = guarded.tokens.add("guest", "read"), guarded.tokens.add("brief", "read", days=1e-9)
    with guarded.client() as client:
        assert client.get("/volumes", headers={"Authorization": f"bearer {text}"}).status_code == 200
        assert client.get("/volumes", headers={"Authorization": f"Bearer {short}"}).status_code == 401
        guarded.tokens.revoke(text.split("_")[1])
        assert client.get("/volumes", headers={"Authorization": f"Bearer {text}"}).status_code == 401


def test_a_stream_of_events_ends_with_its_token(guarded):
    """Before it tells anything more; the streams of others go on."""
    texts = {name: guarded.tokens.add(name, "read") for name in ("gone", "here")}
    with guarded.client() as client, as_(guarded, "admin") as admin:
        since = admin.get("/volumes/cells").json()["revision"]
        streams = {name: stream(client, "/volumes/cells/events", {"Authorization": f"Bearer {text}"}, since=since)
                   for name, text in texts.items()}  # fmt: skip
        with closing(streams["gone"]) as gone, closing(streams["here"]) as here:
            for goes_on in (True, False):
                if not goes_on:
                    guarded.tokens.revoke(texts["gone"].split("_")[1])
                beside = threading.Timer(1, lambda: admin.post("/volumes/cells/edits", json=EDIT).raise_for_status())
                beside.start()
                assert next(here)["event"] == "commit"
                if goes_on:
                    assert next(gone)["event"] == "commit"
                else:
                    with pytest.raises(AssertionError, match="the stream ended"):
                        next(gone)
                beside.join()


def test_a_file_of_tokens_that_breaks_and_is_mended(tmp_path):
    """Nobody gets in by what it said before, and nobody is told where it lies: the log is, once."""
    make_cells(tmp_path)
    (tmp_path / "secrets").mkdir()
    tokens = Tokens(tmp_path / "secrets" / "tokens.json")
    bearer = {"Authorization": f"Bearer {tokens.add('ana', 'annotate')}"}
    key, _ = tokens.add_pair("bo", "annotate")
    good = tokens.path.read_bytes()
    signature = f"AWS4-HMAC-SHA256 Credential={key}/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=0"
    server = Server(tmp_path, "--tokens", str(tokens.path))
    try:
        with server.client("") as client:
            tokens.path.write_bytes(good[:-20])
            asked = [client.get("/api/v1/volumes", headers=bearer), client.get("/api/v1/volumes"),
                     client.post("/api/v1/volumes/cells/edits", json=EDIT, headers=bearer),
                     client.post("/session", json={"token": "labelog_x"})]  # fmt: skip
            for answer in asked:
                assert answer.status_code == 503 and answer.headers["retry-after"], answer.text
                assert answer.headers["content-type"] == "application/problem+json"
                assert "file of tokens" in answer.json()["detail"] and "secrets" not in answer.text
            for headers in (bearer, {"Authorization": signature}):
                answer = client.get("/s3?list-type=2", headers=headers)
                assert answer.status_code == 503 and "file of tokens" in answer.text and "<Error>" in answer.text
            failing = client.get("/healthz")
            assert failing.status_code == 503 and failing.json() == {"status": "failing"}
            tokens.path.write_bytes(good)
            assert client.get("/healthz").status_code == 200
            assert client.get("/api/v1/volumes", headers=bearer).status_code == 200
            tokens.path.chmod(0o644)  # which changes no byte, and lets others read the key's secret
            assert client.get("/api/v1/volumes", headers=bearer).status_code == 503
            tokens.path.chmod(0o600)
            assert client.get("/api/v1/volumes", headers=bearer).status_code == 200
            soon = json.loads(good)
            soon["tokens"][-1]["expires"] = "soon"
            tokens.path.write_text(json.dumps(soon))
            assert client.get("/api/v1/volumes", headers=bearer).status_code == 503
    finally:
        _, log = server.stop()
    said = [line for line in log if "no file of tokens that can be used" in line]
    assert len(said) == 3 and "chmod 600" in said[1] and all(str(tokens.path) in line for line in said)
    with pytest.raises(RuntimeError, match="no file of tokens that can be used"):
        Server(tmp_path, "--tokens", str(tokens.path))


def test_a_browser_logs_in(guarded):
    with guarded.client("") as browser:
        assert browser.post("/session", json={"token": "labelog_no"}).status_code == 401
        answer = browser.post("/session", json={"token": guarded.given["annotate"]})
        assert (answer.json()["name"], answer.json()["role"]) == ("annotate-er", "annotate")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert browser.get("/session").json()["name"] == "annotate-er"
        assert browser.post("/api/v1/volumes/cells/edits", json=EDIT).status_code == 200
        shown = "/precomputed/cells/instance/info"  # as a Neuroglancer at the same origin asks for it
        assert (
            browser.get(shown, headers={"Origin": guarded.address, "Sec-Fetch-Site": "same-origin"}).status_code == 200
        )
        assert browser.get(shown, headers={"Origin": "https://ng.example"}).status_code == 403
        assert get(guarded.address + shown).status_code == 401
        forged = browser.post("/api/v1/volumes/cells/edits", json=EDIT, headers={"Origin": "https://evil.example"})
        assert forged.status_code == 403
        own = {"Origin": guarded.address, "Sec-Fetch-Site": "same-origin"}
        assert browser.post("/api/v1/volumes/cells/edits", json=EDIT, headers=own).status_code == 200
        browser.delete("/session")
        assert browser.get("/session").status_code == 401


def test_a_page_of_another_origin_writes_with_a_token_of_its_own(tmp_path):
    """It may be allowed to ask, but not to use the cookie: from another port of the same host browsers send that."""
    make_cells(tmp_path)
    (tmp_path / "secrets").mkdir()
    tokens = Tokens(tmp_path / "secrets" / "tokens.json")
    text, page = tokens.add("ana", "annotate"), "http://127.0.0.1:3000"
    raw = {"Content-Type": "application/octet-stream"}
    asked = [("POST", "/api/v1/volumes/cells/edits", {"json": EDIT}),
             ("PUT", "/api/v1/volumes/cells/voxels?box=0:1,0:1,0:1", {"content": bytes(8), "headers": raw}),
             ("PUT", "/api/v1/volumes/cells/presence", {"json": {"session": "w"}}),
             ("PUT", "/zarr/cells/instance/s0/c/0/0/0", {"content": b"", "headers": raw}),
             ("DELETE", "/zarr/cells/instance/s0/c/0/0/0", {})]  # fmt: skip
    with serving(tmp_path, "--tokens", str(tokens.path), "--origin", page) as server:
        with server.client("") as browser:
            assert browser.post("/session", json={"token": text}).status_code == 200
            for method, path, sent in asked:
                headers = sent.get("headers", {}) | {"Origin": page}
                answer = browser.request(method, path, **sent | {"headers": headers})
                assert answer.status_code == 403 and "Bearer" in answer.json()["detail"], path
            assert browser.get("/api/v1/volumes/cells", headers={"Origin": page}).json()["revision"] == 0
            browser.cookies.clear()
            for method, path, sent in asked[:3]:
                headers = sent.get("headers", {}) | {"Origin": page, "Authorization": f"Bearer {text}"}
                answer = browser.request(method, path, **sent | {"headers": headers})
                assert answer.status_code in (200, 204), answer.text
                assert answer.headers["access-control-allow-origin"] == page


def test_a_browser_logs_in_through_a_proxy(guarded):
    """One that does TLS, and passes the name on: docs/neuroglancer.md. Under another one its page is a stranger's."""
    passed = {"Host": "lab.example", "X-Forwarded-Proto": "https"}
    page = {"Origin": "https://lab.example", "Sec-Fetch-Site": "same-origin"}
    login = {"token": guarded.given["read"]}
    with guarded.client("") as proxy:
        answer = proxy.post("/session", json=login, headers=passed | page)
        cookie, *facts = answer.headers["set-cookie"].split("; ")
        assert answer.status_code == 200 and {"Secure", "HttpOnly", "SameSite=strict"} <= set(facts)
        for path in ("instance/info", "instance/segment_properties/info", "instance/s0/0-32_0-16_0-8"):
            asked = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"} | passed
            assert proxy.get(f"/precomputed/cells/{path}", headers=asked).status_code == 200, path
        assert proxy.post("/session", json=login, headers=page).status_code == 403
        assert proxy.post("/session", json=login, headers={"Host": "other.example"} | page).status_code == 421


def test_a_connection_outlives_an_error_of_the_server(tmp_path):
    """Also one that is met before a large body was read."""
    make_cells(tmp_path)
    (tmp_path / "secrets").mkdir()
    tokens = Tokens(tmp_path / "secrets" / "tokens.json")
    tokens.add("ana", "read")
    failing = "from labelog_server.tokens import Tokens; Tokens.find = lambda *_: 1 / 0"
    program = ("-c", f"{failing}; from labelog.cli import main; main()")
    server = Server(tmp_path, "--tokens", str(tokens.path), program=program)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for body in (None, bytes(2**22)):
            for _ in range(3):
                connection.request("PUT" if body else "GET", "/api/v1/volumes/cells/voxels", body)
                answer = connection.getresponse()
                assert answer.status == 500 and str(tmp_path) not in answer.read().decode()
                assert connection.sock is not None  # the same one, which still is there
        connection.close()
    finally:
        server.stop()


def test_only_hashes_are_kept(guarded):
    path = guarded.tokens.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = path.read_text()
    assert not any(text.split("_", 2)[2] in kept for text in guarded.given.values())
    assert {entry["role"] for entry in json.loads(kept)["tokens"]} == {"read", "annotate", "review", "admin"}


def test_on_the_command_line(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "labelog.cli", *arguments], capture_output=True, text=True, check=False
        )

    path = ["--tokens", str(tmp_path / "t.json")]
    labelog.create(tmp_path / "v.labelog", (1, 2, 3)).close()
    refused = run("serve", str(tmp_path), *path)
    assert refused.returncode == 1 and "has no token" in refused.stderr
    outside = run("serve", str(tmp_path), "--host", "0.0.0.0")
    assert outside.returncode == 1 and "--tokens" in outside.stderr
    text = run("token", "add", "vendor-b/ana", "--volume", "v", "--days", "30", *path).stdout.strip()
    assert Tokens(tmp_path / "t.json").find(text).name == "vendor-b/ana"
    (entry,) = json.loads(run("token", "list", "--json", *path).stdout)
    assert (entry["role"], entry["volumes"]) == ("annotate", ["v"]) and "hash" not in entry
    assert entry["id"] in run("token", "list", *path).stdout
    by_name = run("token", "revoke", "vendor-b/ana", *path)
    assert by_name.returncode == 1 and f"those of that name have the ids {entry['id']}" in by_name.stderr
    assert run("token", "revoke", entry["id"], *path).returncode == 0
    assert run("token", "revoke", entry["id"], *path).returncode == 1
    (tmp_path / "t.json").write_text("{}")
    assert "no file of tokens" in run("token", "list", *path).stderr
    for entries in ([{"id": "0123abcd"}], [5]):
        (tmp_path / "t.json").write_text(json.dumps({"tokens": entries}))
        assert "expected a token with ['expires', 'hash', 'id'" in run("token", "list", *path).stderr
    for volume in ("../x", "a/b", "", "..", "a\n"):
        wrong = run("token", "add", "ana", "--volume", "v", "--volume", volume, "--tokens", str(tmp_path / "u.json"))
        assert wrong.returncode == 1 and "volumes by name" in wrong.stderr and not (tmp_path / "u.json").exists()
    assert run("token", "add", "a//b", *path).returncode == 1
