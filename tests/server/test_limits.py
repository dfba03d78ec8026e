"""What is refused because it is too much, too long, too often or too slow, and that others go on meanwhile."""

from __future__ import annotations

import fcntl
import http.client
import json
import random
import re
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zstandard

import labelog
from labelog.storage.layout import LOCK
from labelog_server.tokens import Tokens
from serving import get

from .conftest import make_cells, serving

RAW = {"Content-Type": "application/octet-stream"}
FEW = ("--head-seconds", "1", "--body-seconds", "1", "--slowest", "5000", "--max-body", "1", "--max-decoded", "4",
       "--max-voxels", "10000")  # fmt: skip
FLOOD = 200


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server with low limits."""
    folder = tmp_path_factory.mktemp("strict")
    make_cells(folder)
    with serving(folder, *FEW) as server:
        yield server


def connected(server, receive=None):
    """A connection without a client's manners."""
    host, port = server.address.removeprefix("http://").split(":")
    raw = socket.socket()
    if receive is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    raw.connect((host, int(port)))
    raw.settimeout(30)
    return raw


def answered(raw):
    """The status, headers and body of all that comes until the server closes."""
    said = b""
    while piece := raw.recv(65536):
        said += piece
    head, _, body = said.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
    return int(head.split()[1]), headers, body


def refused(raw, status):
    found, headers, body = answered(raw)
    assert found == status and headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == status
    return headers


def test_a_head_has_its_time(strict):
    began = time.monotonic()
    with connected(strict) as raw, connected(strict) as silent:
        for byte in b"GET /api/v1/volumes HTTP/1.1\r\n"[:6]:
            raw.send(bytes([byte]))
            time.sleep(0.05)
        refused(raw, 408)
        assert silent.recv(1) == b""  # it said nothing, and is told nothing
    assert time.monotonic() - began > 0.9


def test_so_has_the_next_one_on_a_connection(strict):
    with connected(strict) as raw:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in raw.recv(65536)
        raw.send(b"GET /hea")
        refused(raw, 408)


def test_a_body_has_its_time(strict):
    with connected(strict) as raw:
        raw.send(b"PUT /api/v1/volumes/cells/voxels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n0123")
        assert refused(raw, 408)["connection"] == "close"


def test_a_body_that_comes_fast_enough_has_more(tmp_path):
    make_cells(tmp_path)
    body = np.full((1, 60, 70), 9, np.uint64).tobytes()
    with serving(tmp_path, "--body-seconds", "1", "--slowest", "10") as server, connected(server) as raw:
        head = "PUT /api/v1/volumes/cells/slices/z/0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        raw.send(f"{head}Content-Type: {RAW['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for start in range(0, len(body), 2**13):
            raw.send(body[start : start + 2**13])
            time.sleep(0.4)
        assert answered(raw)[0] == 200


def test_an_answer_has_its_time_too(tmp_path):
    labelog.create(tmp_path / "zeros.labelog", shape=(8, 512, 512)).close()
    with serving(tmp_path, *FEW[:4], "--slowest", "20000") as server, connected(server, 4096) as raw:
        raw.send(b"GET /api/v1/volumes/zeros/voxels?format=raw HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(3)  # 1, and less than 1 for the bytes
        got = 0
        with pytest.raises((ConnectionError, AssertionError)):
            while piece := raw.recv(2**20):
                got += len(piece)
            assert got >= 8 * 8 * 512 * 512
    assert got < 8 * 8 * 512 * 512


@pytest.mark.parametrize(("said", "status"), [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2**17 + b"\r\n\r\n", 431),
    (b"GET /" + b"x" * 2**17, 431),
    (b"labelog, please\r\n\r\n", 400),
    (b"PUT /zarr/cells HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: pigeon\r\n\r\n", 501),
    (b"PUT /zarr/cells HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n", 400),
])  # fmt: skip
def test_what_is_no_request(strict, said, status):
    with connected(strict) as raw:
        raw.sendall(said[: 2**14 + 2**13])
        refused(raw, status)


@pytest.mark.parametrize("size", [2**14 - 200, 2**14 + 200])
def test_a_head_that_comes_in_one_piece_has_an_end_too(strict, size):
    answers = [get(f"{strict.address}/healthz", headers={"X": "x" * size}),
               get(f"{strict.address}/healthz?{'x' * size}")]  # fmt: skip
    for answer in answers:
        assert answer.status_code == (200 if size < 2**14 else 431), answer.text
        if size > 2**14:
            assert answer.headers["content-type"] == "application/problem+json" and "16384" in answer.json()["detail"]


def test_a_large_body_is_refused_before_it_is_sent(strict):
    with connected(strict) as raw:
        raw.send(b"PUT /api/v1/volumes/cells/voxels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n")
        assert b"413" in raw.recv(65536).split(b"\r\n")[0]


def test_who_sends_it_all_the_same_reads_the_answer(strict):
    connection = http.client.HTTPConnection(strict.address.removeprefix("http://"), timeout=30)
    for _ in range(3):
        connection.request("PUT", "/api/v1/volumes/cells/voxels", bytes(3 * 2**20), RAW)
        answer = connection.getresponse()
        assert answer.status == 413 and json.loads(answer.read())["status"] == 413
    connection.request("GET", "/api/v1/volumes")
    assert connection.getresponse().status == 200
    connection.close()


def most_memory(server):
    """The most that a server has ever had in memory, in bytes."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())[1])


def test_a_bomb_takes_no_memory(strict):
    bomb = zstandard.compress(bytes(2**30))
    assert len(bomb) < 2**30 / 32_000
    with strict.client() as client:
        headers = RAW | {"Content-Encoding": "zstd"}
        client.put("/volumes/cells/voxels", content=zstandard.compress(b"x"), headers=headers)
        before = most_memory(strict)
        answer = client.put("/volumes/cells/voxels", content=bomb, headers=headers)
        assert answer.status_code == 413 and "decompressed" in answer.json()["detail"]
        chunk = client.put(f"{strict.address}/zarr/cells/instance/s0/c/0/0/0", content=bomb, headers=RAW)
        assert chunk.status_code in (413, 422)
    assert most_memory(strict) - before < 64 * 2**20


def test_voxels_are_counted(strict):
    with strict.client() as client:
        assert client.get("/volumes/cells/slices/z/0").status_code == 200
        assert client.get("/volumes/cells/slices/z/3?around=2").status_code == 413
        assert client.get("/volumes/cells/blame").status_code == 413
        mask = {"at": [0, 0, 0], "shape": [1, 60, 70], "bits": "gAAA" * 175}
        paint = [{"op": "paint", "label": "9", "mask": mask}]
        for many, status in ((2, 200), (3, 413)):
            answer = client.post("/volumes/cells/edits", json={"operations": many * paint, "dry_run": True})
            assert answer.status_code == status, answer.text


MEMORY = 100 * 2**20
WHOLE = "/api/v1/volumes/large/voxels?format=raw"  # 32 MB, so that 64 are held for it


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    """A server that holds one large answer at a time."""
    folder = tmp_path_factory.mktemp("tight")
    rng = np.random.default_rng(1)
    labelog.load(
        folder / "large.labelog", rng.integers(1, 9, (16, 64, 64), np.uint64).repeat(8, 1).repeat(8, 2)
    ).close()
    labelog.create(folder / "huge.labelog", (64, 512, 512)).close()
    with serving(folder, "--max-memory", "100") as server:
        yield server


def test_who_does_not_take_an_answer_holds_its_memory(tight):
    """Until it goes, or its time is over."""
    with tight.client() as client:
        with connected(tight, receive=4096) as raw:
            raw.sendall(f"GET {WHOLE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert raw.recv(15) == b"HTTP/1.1 200 OK"
            for _ in range(3):
                answer = client.get(tight.address + WHOLE)
                assert answer.status_code == 503 and answer.headers["retry-after"] == "1", "it is still being sent"
                assert "other" in answer.text or "before it" in answer.text
            assert client.get("/volumes/large/slices/z/3").status_code == 200
        until = time.monotonic() + 30
        while (answer := client.get(tight.address + WHOLE)).status_code == 503:
            assert time.monotonic() < until
        assert answer.status_code == 200 and len(answer.content) == 2**25


def test_what_would_never_fit(tight):
    with tight.client() as client:
        assert "memory" in client.get("/volumes/huge/voxels").json()["detail"]
        mask = {"at": [0, 0, 0], "shape": [64, 512, 512], "part": "m"}
        sent = {"operations": [{"op": "paint", "label": "9", "mask": mask}], "dry_run": True}
        for status in (client.get("/volumes/huge/blame").status_code, client.get("/volumes/huge/voxels").status_code,
                       client.put("/volumes/huge/voxels", content=b"x", headers=RAW).status_code,
                       client.post("/volumes/huge/edits/voxels", json={"operations": []}).status_code,
                       client.post("/volumes/huge/edits", **related(sent, m=b"x")).status_code):  # fmt: skip
            assert status == 413


def related(sent, **parts):
    pieces = [("application/json", "", json.dumps(sent).encode())]
    pieces += [("application/octet-stream", f"\r\nContent-ID: <{name}>", data) for name, data in parts.items()]
    body = b"".join(f"--cut\r\nContent-Type: {kind}{more}\r\n\r\n".encode() + data + b"\r\n"
                    for kind, more, data in pieces)  # fmt: skip
    return {"content": body + b"--cut--", "headers": {"Content-Type": "multipart/related; boundary=cut"}}


def test_many_at_once_take_no_more_than_there_is(tight):
    codes = []

    def ask():
        with tight.client() as client:
            answer = client.get(tight.address + WHOLE)
            codes.append(answer.status_code)
            assert answer.status_code in (200, 503)

    ask()
    before = most_memory(tight)
    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count(200) > 1 and len(codes) == 17
    assert most_memory(tight) - before < MEMORY


def test_requests_at_a_time(tmp_path):
    make_cells(tmp_path)
    codes = []

    def edit():
        while (status := client.post("/volumes/cells/edits", json=body).status_code) == 503:
            pass  # the place was held by a request that only asks
        codes.append(status)

    with serving(tmp_path, "--max-requests", "1") as server, server.client() as client:
        with client.stream("GET", "/volumes/cells/events") as stream:
            next(stream.iter_lines())
            assert client.get("/volumes").status_code == 200  # a stream holds no place
        body = {"operations": [{"op": "box", "label": "9", "box": [[0, 0, 0], [1, 1, 1]]}]}
        assert client.post("/volumes/cells/edits", json=body).status_code == 200
        with open(tmp_path / "cells.labelog" / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # an edit waits for its turn
            waiting = threading.Thread(target=edit)
            waiting.start()
            until = time.monotonic() + 20
            while (full := client.get("/volumes")).status_code == 200 and time.monotonic() < until:
                time.sleep(0.02)
            assert full.status_code == 503 and full.headers["retry-after"] == "1"
        waiting.join()
        assert codes == [200] and client.get("/volumes").status_code == 200


def test_connections_at_a_time(tmp_path):
    make_cells(tmp_path)
    with serving(tmp_path, "--max-connections", "3") as server:
        first = [connected(server) for _ in range(3)]
        time.sleep(0.2)
        with connected(server) as one_more:
            assert refused(one_more, 503)["retry-after"] == "1"
        for raw in first:
            raw.close()
        time.sleep(0.2)
        with server.client() as client:
            assert client.get("/volumes").status_code == 200


def test_each_token_has_a_rate_of_its_own(tmp_path):
    make_cells(tmp_path)
    tokens = Tokens(tmp_path / "tokens.json")
    ana, bo = ({"Authorization": f"Bearer {tokens.add(name, 'read')}"} for name in ("ana", "bo"))
    with serving(tmp_path, "--tokens", str(tokens.path), "--rate", "3") as server, server.client() as client:
        answers = [client.get("/volumes", headers=ana)]
        while answers[-1].status_code == 200 and len(answers) < 1000:
            answers.append(client.get("/volumes", headers=ana))
        assert len(answers) > 30 and answers[-1].status_code == 429
        assert answers[-1].headers["retry-after"] == "1" and "ana" in answers[-1].json()["detail"]
        assert client.get("/volumes", headers=bo).status_code == 200
        time.sleep(1)
        assert client.get("/volumes", headers=ana).status_code == 200


def test_bodies_are_taken_from_who_has_a_token(tmp_path):
    make_cells(tmp_path)
    tokens = Tokens(tmp_path / "tokens.json")
    tokens.add("ana", "admin")
    with serving(tmp_path, "--tokens", str(tokens.path)) as server, server.client() as client:
        for path, size in (("/api/v1/volumes/cells/voxels", 1000), ("/session", 2**20)):
            with connected(server) as raw:
                raw.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {RAW['Content-Type']}\r\n"
                         f"Content-Length: {size}\r\n\r\n".encode())  # fmt: skip
                assert b"401" in raw.recv(65536).split(b"\r\n")[0]
        assert client.post(f"{server.address}/session", json={"token": "none"}).status_code == 401
        assert client.get(f"{server.address}/healthz").status_code == 200


def trickle(server, stop, rng):
    """Many connections that send a byte now and then: heads and bodies that never end."""
    heads = [b"GET /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 5000,
             b"PUT /api/v1/volumes/cells/voxels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n"
             + b"x" * 9000]  # fmt: skip
    slow = []
    while not stop.wait(0.05):
        slow += [[connected(server), rng.choice(heads), 0] for _ in range(min(20, FLOOD - len(slow)))]
        for entry in slow:
            raw, text, sent = entry
            entry[2] = sent + (100 if sent < 80 else 1)
            try:
                raw.send(text[sent : entry[2]])
            except OSError:  # the server had enough of it
                raw.close()
                entry[:] = connected(server), rng.choice(heads), 0
    for raw, *_ in slow:
        raw.close()


def p99(server, count=200):
    """A client's 99th percentile of the time that a slice takes, in seconds."""
    took = []
    with server.client() as client:
        for number in range(count):
            began = time.perf_counter()
            assert client.get(f"/volumes/cells/slices/z/{number % 20}").status_code == 200
            took.append(time.perf_counter() - began)
    return sorted(took)[int(0.99 * count)]


@pytest.mark.services
def test_slow_connections_hold_nobody_up(own):
    p99(own, 20)
    before = p99(own)
    stop = threading.Event()
    flood = threading.Thread(target=trickle, args=(own, stop, random.Random(1)))
    flood.start()
    try:
        time.sleep(1.5)  # until all are there
        during = p99(own)
    finally:
        stop.set()
        flood.join()
    assert during < 10 * before + 0.25, (before, during)  # any machine; `make bench` has the figure
    code, _ = own.stop()
    assert code == 0
