"""Several processes serve the same volumes: whichever answers, it knows what the others did."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

import labelog
from labelog_server.board import Board

from .conftest import labels, make_cells, serving

pytestmark = pytest.mark.services

WORKERS = 2
ASK = b"GET /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\n\r\n"
JOBS = "/volumes/cells/jobs"
LONG = {"do": "edit", "edit": {"operations": [
    {"op": "relabel", "labels": {str(n): str(n + 1000)}} for n in range(1, 9000)
]}}  # fmt: skip


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    make_cells(folder)
    with serving(folder, "--workers", str(WORKERS)) as server:
        until_all_serve(server)
        yield server


@pytest.fixture
def own(tmp_path):
    make_cells(tmp_path)
    with serving(tmp_path, "--workers", str(WORKERS)) as server:
        until_all_serve(server)
        yield server


def until_all_serve(server):
    """Waits until each worker has answered: it makes files for its counts when it begins."""
    until = time.monotonic() + 60
    while len(server.workers()) < WORKERS or cpu_of_the_laziest(server) < 0.3:
        assert time.monotonic() < until
        with server.client() as client:
            client.get("/volumes")
    time.sleep(1)


def cpu_of_the_laziest(server):
    """Seconds that the worker has taken that has taken the least."""
    ticks = [sum(map(int, Path(f"/proc/{child}/stat").read_text().split()[13:15])) for child in server.workers()]
    return min(ticks) / os.sysconf("SC_CLK_TCK")


def asked(server, method, path, times=12, **more):
    """The answers to the same request on connections of their own: some worker or other."""
    answers = []
    for _ in range(times):
        with server.client() as client:
            answers.append(client.request(method, path, **more))
    return answers


def over(server, number):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        (told,) = (answer.json() for answer in asked(server, "GET", f"{JOBS}/{number}", 1))
        if told["state"] not in ("waiting", "running"):
            return told
        time.sleep(0.05)
    raise AssertionError(told)


def box(n):
    return {"operations": [{"op": "box", "label": str(n), "box": [[n % 20, 0, n // 20], [n % 20 + 1, 1, n // 20 + 1]]}]}


def test_what_one_wrote_all_read(many):
    for n in range(1, 20):
        (written,) = asked(many, "POST", "/volumes/cells/edits", 1, json=box(n))
        for read in asked(many, "GET", "/volumes/cells", 4):
            assert read.json()["revision"] == written.json()["revision"]
    tags = {answer.headers["etag"] for answer in asked(many, "GET", "/volumes/cells/slices/z/3")}
    assert len(tags) == 1, "a validator is the same in all of them"


def test_jobs_are_known_to_all(many):
    (begun,) = asked(many, "POST", JOBS, 1, json={"do": "check"})
    number = begun.json()["id"]
    assert over(many, number)["result"]["ok"]
    told = [answer.json() for answer in asked(many, "GET", f"{JOBS}/{number}")]
    assert all(each == told[0] for each in told) and told[0]["done"] == told[0]["total"] > 0
    (long,) = asked(many, "POST", JOBS, 1, json=LONG)
    number = long.json()["id"]
    assert {answer.status_code for answer in asked(many, "DELETE", f"{JOBS}/{number}", 4)} == {202}
    assert over(many, number)["state"] == "cancelled"
    lists = [answer.json() for answer in asked(many, "GET", JOBS)]
    assert all(each == lists[0] for each in lists) and len(lists[0]["jobs"]) == 2


def test_who_is_there_is_known_to_all(many):
    with many.client() as listener, listener.stream("GET", "/volumes/cells/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        for n in range(6):  # some of them come to the other worker
            place = {"session": f"window {n}", "at": [n, 0, 0], "seconds": 100}
            assert asked(many, "PUT", "/volumes/cells/presence", 1, json=place)[0].status_code == 204
        there, until = [], time.monotonic() + 30
        while len(there) < 6:
            line = next(lines)
            assert time.monotonic() < until
            if line.startswith("data:") and "present" in line:
                there = json.loads(line[5:])["present"]
    for answer in asked(many, "GET", "/volumes/cells/presence"):
        assert answer.json()["present"] == there and [each["at"][0] for each in there] == list(range(6))


def test_a_volume_that_takes_anothers_place(many):
    new = {"name": "dogs", "shape": [2, 8, 8]}
    ids = set()
    for _ in range(4):
        assert asked(many, "POST", "/volumes", 1, json=new)[0].status_code == 201
        found = {answer.json()["id"] for answer in asked(many, "GET", "/volumes/dogs")}
        assert len(found) == 1 and not found & ids
        ids |= found
        assert asked(many, "DELETE", "/volumes/dogs?confirm=dogs", 1)[0].status_code == 204
        assert {answer.status_code for answer in asked(many, "GET", "/volumes/dogs")} == {404}


def test_counts_are_those_of_all(many):
    def count():
        (answer,) = asked(many, "GET", f"{many.address}/metrics", 1)
        lines = [line for line in answer.text.splitlines() if line.startswith("labelog_requests_total{")]
        assert 'labelog_revision{volume="cells"}' in answer.text
        return sum(float(line.split()[-1]) for line in lines if 'route="/api/v1/volumes/{name}/classes"' in line)

    before = count()
    asked(many, "GET", "/volumes/cells/classes", 15)
    assert count() - before == 15


def edit_until(server, stop, mine, acknowledged):
    """A client that paints voxel after voxel, each until it is told that it is there."""
    for n in mine:
        while not stop.is_set():
            try:
                with server.client() as client:
                    answer = client.post("/volumes/cells/edits", json=box(n), headers={"Idempotency-Key": f"k{n}"})
            except httpx.TransportError:  # the worker was killed, or all of them have ended
                time.sleep(0.02)
                continue
            assert answer.status_code == 200, answer.text
            acknowledged.append(n)
            break
        if stop.is_set():
            return


def with_clients(server, what, clients=4):
    """What clients have been told is there, while `what` is done in the middle."""
    stop, told = threading.Event(), []
    mine = [range(1 + k, 1200, clients) for k in range(clients)]
    threads = [threading.Thread(target=edit_until, args=(server, stop, each, told)) for each in mine]
    for thread in threads:
        thread.start()
    try:
        while len(told) < 20:
            time.sleep(0.01)
        what(told)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return told


def assert_all_there(folder, told):
    with labelog.open(folder / "cells.labelog", "r") as volume:
        now, commits = volume[:], list(volume.history())
    assert sorted(told) == sorted(set(told)) and len(told) >= 20
    for n in told:
        assert now[n % 20, 0, n // 20] == n
    before = labels()
    changed = np.argwhere(now != before)
    assert (changed[:, 1] == 0).all() and len(commits) - 1 >= len(told)


def test_workers_that_begin_at_once_make_one_board(tmp_path):
    """Each of them; or one would end, and be begun again, while the others serve."""
    together = threading.Barrier(4)

    def begun(folder):
        together.wait()
        Board(folder).close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(100):
            (folder := tmp_path / str(number)).mkdir()
            list(pool.map(begun, [folder] * 4))


def test_a_worker_that_is_killed_is_replaced(own):
    def kill(told):
        (job,) = asked(own, "POST", JOBS, 1, json=LONG)
        old = own.workers()
        for worker in old:
            os.kill(worker, signal.SIGKILL)
        assert over(own, job.json()["id"])["problem"]["title"] == "Ended"
        enough = len(told) + 20
        until = time.monotonic() + 60
        while len(told) < enough and time.monotonic() < until:
            time.sleep(0.01)
        assert len(told) >= enough and not set(old) & set(own.workers())

    told = with_clients(own, kill)
    assert own.stop()[0] == 0
    assert_all_there(own.folder, told)


def test_a_worker_that_dies_while_it_is_asked_for_a_sign_of_life_is_replaced_soon(own):
    """Well before the minute that a busy one has to answer in; meanwhile Ctrl-C would not be heeded."""
    for _ in range(WORKERS + 1):  # the last is one that has replaced another
        first = own.workers()[0]
        os.kill(first, signal.SIGSTOP)
        time.sleep(1.5)  # by now it is asked: that happens every half second
        os.kill(first, signal.SIGKILL)
        own.all_workers(WORKERS, first)
    assert own.stop()[0] == 0


@pytest.mark.parametrize("whom", ["all, as Ctrl-C does", "the first"])
def test_an_interrupt_loses_nothing(own, whom):
    ended = []

    def interrupt(told):
        for worker in own.workers() if whom.startswith("all") else ():
            os.kill(worker, signal.SIGINT)
        ended.append(own.stop())

    told = with_clients(own, interrupt)
    ((code, lines),) = ended
    assert code == 0 and not [line for line in lines if not line.startswith("{")], "nothing but requests in the log"
    assert_all_there(own.folder, told)
    with pytest.raises(httpx.ConnectError):
        asked(own, "GET", "/volumes", 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_connections_that_are_accepted_as_it_ends_do_not_keep_it(tmp_path, workers):
    """It wakes with them waiting, and with an interrupt; one asks again and again."""
    make_cells(tmp_path)
    with serving(tmp_path, "--workers", str(workers)) as server:
        asked(server, "GET", "/volumes", 1)
        serve = [server.process.pid, *server.workers()]
        for pid in serve:
            os.kill(pid, signal.SIGSTOP)
        one, idle = (socket.create_connection(("127.0.0.1", server.port), timeout=40) for _ in range(2))
        one.sendall(ASK)
        time.sleep(0.5)
        begun, answers = time.monotonic(), 0
        for number, pid in itertools.product((signal.SIGINT, signal.SIGCONT), serve):
            os.kill(pid, number)
        with one, idle, suppress(ConnectionError):
            while one.recv(2**16):
                answers += 1
                one.sendall(ASK)
        assert server.process.wait(timeout=40) == 0
        assert time.monotonic() - begun < 15 and answers <= 1


@pytest.mark.parametrize("seconds", [0, 0.2, 0.5, 1])
def test_an_interrupt_of_workers_that_begin_says_nothing(tmp_path, seconds):
    make_cells(tmp_path)
    with serving(tmp_path, "--workers", str(WORKERS)) as server:
        server.all_workers(WORKERS)
        time.sleep(seconds)
        for worker in server.workers():
            os.kill(worker, signal.SIGINT)  # as Ctrl-C does
        assert server.stop() == (0, [])


def test_workers_end_with_the_first(own):
    own.process.kill()
    own.process.wait()
    for _ in itertools.repeat(None, 300):
        try:
            asked(own, "GET", "/volumes", 1)
        except httpx.ConnectError:
            return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("somebody still serves")
