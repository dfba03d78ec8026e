"""What lies between a program and the volume: servers that are not there, answers that are lost, tokens, processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from types import SimpleNamespace

import dask.array
import numpy as np
import pytest

import labelog
from labelog.remote import connection
from server.conftest import labels, make_cells, serving

from .conftest import worked_on


@contextmanager
def between(target):
    """A port whose connections go on to the server's: `lose` is how many answers are to be lost, `canned` has what is
    answered instead."""

    state = SimpleNamespace(lose=0, canned=[])
    listener = socket.create_server(("127.0.0.1", 0))
    state.address = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def relay(source, sink, is_answer):
        try:
            while data := source.recv(65536):
                if is_answer and state.lose > 0:
                    state.lose -= 1
                    break
                if not is_answer and state.canned:
                    source.sendall(state.canned.pop(0))
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept():
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(target)
            for pair in ((near, far, False), (far, near, True)):
                threading.Thread(target=relay, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield state
    finally:
        listener.close()


@pytest.fixture
def relay(served, address):
    host, port = served.address.removeprefix("http://").split(":")
    with between((host, int(port))) as state:
        yield state


@pytest.fixture
def relayed(relay):
    with labelog.open(f"{relay.address}/volumes/cells") as volume:
        yield volume


@pytest.mark.parametrize("answers", [1, 3])
def test_an_edit_whose_answer_is_lost_is_made_once(relayed, relay, near, answers):
    edit = relayed.edit("ana").__enter__()
    edit[0, 0, 0:7] = 5
    relay.lose = answers
    edit.__exit__(None, None, None)
    assert relay.lose == 0 and edit.revision == 1 and edit.written == 7
    relay.lose = answers
    assert relayed.undo("ana").revision == 2
    relay.lose = answers
    assert relayed[0, 0, 0] == labels()[0, 0, 0]
    assert near.revision == 2


def test_what_is_sent_again_is_staged_as_it_was_first(relayed, relay, near):
    edit = relayed.edit("ana").__enter__()
    new = edit.split(12, [[8, 15, 0, 10], [8, 16, 0, 10]]).labels[0]
    with near.edit("bo") as other:
        other.erase(12)
    relay.lose = 1
    edit.__exit__(None, None, None)
    assert relay.lose == 0 and edit.revision == 2 and (near[8] == new).sum() == edit.written > 0


def test_a_server_that_never_answers(relayed, relay, near):
    with pytest.raises(labelog.Unreachable, match=relay.address):
        with relayed.edit("ana", key="mine") as edit:
            edit[0, 0, 0:7] = 5
            relay.lose = 99
    relay.lose = 0
    with relayed.edit("ana", key="mine") as edit:
        edit[0, 0, 0:7] = 5
    assert edit.revision == near.revision == 1


def test_a_busy_server_is_asked_again(relayed, relay):
    relay.canned += [b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"] * 2
    assert relayed.revision == 0
    assert relay.canned == []
    relay.canned += [b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n"
                     b'Content-Length: 19\r\n\r\n{"detail": "later"}'] * 4  # fmt: skip
    with pytest.raises(labelog.Unreachable, match="later"):
        relayed.revision  # noqa: B018


def test_connections_are_kept(relayed, relay, monkeypatch):
    made = []
    original = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: (made.append(to), original(self, to))[1])
    for _ in range(5):
        relayed[0, 0, 0]
    assert made == []


def test_nobody_is_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(labelog.Unreachable, match=f"127.0.0.1:{port}/volumes/cells"):
        labelog.open(f"http://127.0.0.1:{port}/volumes/cells")


def test_another_server(tmp_path):
    import http.server

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(labelog.Unreachable, match="answered 404, as no labelog does"):
            labelog.open(f"http://127.0.0.1:{server.server_port}/volumes/cells")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "address",
    ["http://", "http://host", "http://host/cells", "http://host/volumes/", "http://host/volumes/a/b", "https://:80/volumes/a",
     "http://me:secret@host/volumes/a", "http://host/volumes/a?x=1", "http://host:99999/volumes/a"],
)  # fmt: skip
def test_addresses_that_are_none(address):
    with pytest.raises(labelog.Invalid, match="http://host:port/volumes/name"):
        labelog.open(address)


def test_addresses_and_arguments(served, address, tmp_path):
    with labelog.open(address.upper().replace("VOLUMES/CELLS", "volumes/cells/")) as volume:
        assert volume.address == address
    with labelog.open(address.replace("/volumes/", "/api/v1/volumes/")) as volume:
        assert volume.address == address and volume[0].shape == (60, 70)
    with pytest.raises(labelog.NotFound, match="no volume 'other'"):
        labelog.open(f"{served.address}/volumes/other")
    with pytest.raises(labelog.Invalid, match="mode"):
        labelog.open(address, "w")
    with pytest.raises(labelog.Invalid, match="takes no token"):
        labelog.open(tmp_path / "cells.labelog", token="x")
    assert connection.parsed("https://lab.example/em/volumes/cells")[1] == (
        "https://lab.example/em/api/v1/volumes/cells"
    )


def test_without_the_extra(address, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(labelog.Unsupported, match=r"labelog\[remote\]"):
        labelog.open(address)


def test_a_closed_volume(address):
    volume = labelog.open(address)
    volume[0]
    volume.close()
    volume.close()
    assert volume.closed and repr(volume) == f"<Volume {address}, 20 x 60 x 70, closed>"
    for ask in (lambda: volume[0], lambda: volume.revision, lambda: volume.undo()):
        with pytest.raises(labelog.Invalid, match="was closed"):
            ask()


def test_tokens(tmp_path, monkeypatch):
    from labelog_server.tokens import Tokens

    make_cells(tmp_path)
    tokens = Tokens(tmp_path / "tokens.json")
    given = {role: tokens.add(role, role, ("cells",), None) for role in ("read", "annotate", "review")}
    given = {role: token if isinstance(token, str) else token[0] for role, token in given.items()}
    with serving(tmp_path, "--tokens", str(tmp_path / "tokens.json")) as server:
        address = f"{server.address}/volumes/cells"
        for wrong in (None, "labelog_wrong"):
            with pytest.raises(labelog.Denied, match="token"):
                labelog.open(address, token=wrong)
        with labelog.open(address, token=given["read"]) as volume:
            assert volume[0].shape == (60, 70)
            with pytest.raises(labelog.Denied, match="takes the role annotate"):
                with volume.edit() as edit:
                    edit[0] = 1
            assert given["read"].encode() not in pickle.dumps([volume, volume.at(), volume.view("cell")])
        for end in ("\0", "é", " x"):
            with pytest.raises(labelog.Invalid, match="a token is") as refused:
                labelog.open(address, token=given["read"] + end)
            assert given["read"] not in "".join(traceback.format_exception(refused.value))
        monkeypatch.setenv("LABELOG_TOKEN", f"{given['annotate']}\r\n")  # as of a file's line
        with labelog.open(address) as volume:
            with volume.edit() as edit:
                edit[0] = 1
            assert volume.commit(1).author == "annotate"
            with pytest.raises(labelog.Denied, match="by annotate"):
                with volume.edit("else") as edit:
                    edit[0] = 2
            with pytest.raises(labelog.Denied):
                volume.revert(1)


def test_any_worker_answers(tmp_path):
    """An edit is tried and carried out by whichever of several processes takes the request, and so are jobs."""
    make_cells(tmp_path)
    with serving(tmp_path, "--workers", "2") as server, labelog.open(f"{server.address}/volumes/cells") as volume:

        def work(number):
            with volume.edit(f"a{number}") as edit:
                cell = edit.new("cell", name=str(number))
                edit[number] = cell
                assert (edit[number] == cell).all()
                edit.assign(cell, weight=number)
            return cell

        with ThreadPoolExecutor(4) as pool:
            cells = list(pool.map(work, range(8)))
        assert volume.revision == 8 and [int(volume[number, 0, 0]) for number in range(8)] == cells
        assert [volume.labels[cell].attributes["weight"] for cell in cells] == list(range(8))
        assert volume.check().ok


# Threads, processes


def test_threads_share_a_volume(far):
    def work(number):
        for step in range(5):
            with far.edit(f"a{number}") as edit:
                edit[number, step] = 100 + number
            assert (far[number, step] == 100 + number).all()
        return far.undo(f"a{number}").kind.value

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == ["undo"] * 6
    assert far.revision == 36 and far.check().ok


def test_a_fork_makes_connections_of_its_own(far):
    before = far[0].sum()
    client = far.connection.client
    child = os.fork()
    if child == 0:
        good = far[0].sum() == before and far.at()[...].shape == far.shape and far.connection.client is not client
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert far[0].sum() == before and far.connection.client is client


def summed(seen):
    return int(np.asarray(seen).astype(object).sum()), seen.dtype


def test_other_processes(far, near):
    worked_on(near)
    things = [far.at(1), far.at(2).view("cell"), far.view("semantic").scale(1), far]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(summed, things) == [summed(thing) for thing in things]
    again = pickle.loads(pickle.dumps(things))
    assert again == [*things[:3], far]
    for one, other in zip(again, things, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_dask(far, near):
    worked_on(near)
    lazy = dask.array.from_array(far.at().view("cell"), chunks=(8, 32, 32))
    assert np.array_equal(lazy.compute(), near.view("cell")[...])
    assert np.array_equal(lazy[3, ::2].compute(scheduler="processes", num_workers=1), near.view("cell")[3, ::2])


# Watching


def test_watching(served, far, near):
    found, watching = [], far.watch(timeout=30)  # from now on
    thread = threading.Thread(target=lambda: found.extend(islice(watching, 3)))
    thread.start()
    time.sleep(0.5)
    with served.client() as client:  # which the stream tells of too
        client.put("/volumes/cells/presence", json={"session": "s", "seconds": 30}).raise_for_status()
    for volume in (near, far):
        with volume.edit("ana") as edit:
            edit[0] = volume.revision + 50
    far.undo("ana")
    thread.join(20)
    assert [commit.revision for commit in found] == [1, 2, 3]
    assert [(commit.author, commit.time) for commit in found] == [
        (near.commit(revision).author, near.commit(revision).time) for revision in (1, 2, 3)
    ]
    assert [commit.revision for commit in islice(far.watch(1, timeout=30), 2)] == [2, 3]
    assert list(far.watch(timeout=0.5)) == []
    with pytest.raises(labelog.NotFound):
        far.watch(99)
    watching = far.watch(0)
    assert next(watching).revision == 1
    watching.close()


def test_watching_goes_on_when_the_connection_breaks(relayed, relay, near):
    watching = relayed.watch(0)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(next(watching)))
    thread.start()
    time.sleep(0.5)
    relay.lose = 1
    with near.edit("ana") as edit:
        edit[0] = 5
    thread.join(20)
    assert [commit.revision for commit in seen] == [1] and relay.lose == 0


def test_watching_ends_with_the_volume(far):
    ended = threading.Event()

    def watch():
        with suppress(labelog.Invalid):
            list(far.watch())
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    time.sleep(0.5)
    far.close()
    with labelog.open(far.address) as other, other.edit("ana") as edit:
        edit[0] = 5
    assert ended.wait(50)
