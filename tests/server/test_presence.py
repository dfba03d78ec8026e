"""Who is there: on the board of all workers, by a clock that does not wait, and as streams of events tell it."""

from __future__ import annotations

import json
from contextlib import closing
from getpass import getuser

import pytest

import labelog
from labelog_server import presence
from labelog_server.board import Board
from labelog_server.presence import Presence
from labelog_server.tokens import Tokens

from .conftest import make_cells, serving
from .test_events import SOON, events, status, stream


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def there(clock):
    board = Board()
    yield Presence(board, clock)
    board.close()


def names(there, volume="cells"):
    return [(each["author"], each["session"]) for each in there.of(volume)]


def test_it_holds_so_long(there, clock):
    there.put("cells", "ana", "left", {"at": [1, 2, 3]}, 30)
    there.put("cells", "bo", "left", {}, 10)
    clock.now += 9.9
    assert names(there) == [("ana", "left"), ("bo", "left")]
    there.put("cells", "bo", "left", {}, 10)  # which says it again in time
    clock.now += 9.9
    assert names(there) == [("ana", "left"), ("bo", "left")]
    clock.now += 0.2
    assert names(there) == [("ana", "left")], "at once, whether or not anybody has looked"
    clock.now += 10
    assert names(there) == []


def test_a_session_is_its_authors(there):
    """One's own window is moved; nobody else's of the same name is, in this volume or another."""
    there.put("cells", "ana", "left", {"at": [1, 2, 3]}, 30)
    there.put("cells", "bo", "left", {"at": [4, 5, 6]}, 30)
    there.put("cells", "ana", "right", {}, 30)
    there.put("dogs", "ana", "left", {"at": [7, 8, 9]}, 30)
    there.put("cells", "ana", "left", {"at": [0, 0, 0], "label": "7"}, 30)
    assert there.of("cells") == [
        {"author": "ana", "session": "left", "at": [0, 0, 0], "label": "7"},
        {"author": "bo", "session": "left", "at": [4, 5, 6]},
        {"author": "ana", "session": "right"},
    ]
    assert there.of("dogs") == [{"author": "ana", "session": "left", "at": [7, 8, 9]}]
    there.put("cells", "bo", "left", {}, 0)
    assert names(there) == [("ana", "left"), ("ana", "right")] and names(there, "dogs") == [("ana", "left")]


def test_what_is_told(there, clock):
    """That somebody came, moved, left or was forgotten, in the volume where it happened; not that nothing did."""
    counts = []

    def counted():
        counts.append((there.changes().get("cells", 0), there.changes().get("dogs", 0)))
        return counts[-1]

    there.put("cells", "ana", "left", {"at": [1, 2, 3]}, 30)
    assert counted() == (1, 0)
    there.put("cells", "ana", "left", {"at": [1, 2, 3]}, 30)
    assert counted() == (1, 0), "the same again"
    there.put("cells", "ana", "left", {"at": [1, 2, 4]}, 30)
    assert counted() == (2, 0), "moved"
    there.put("dogs", "bo", "left", {}, 10)
    assert counted() == (2, 1)
    there.put("cells", "cy", "left", {}, 0)
    assert counted() == (2, 1), "who was not there has not left"
    there.put("cells", "ana", "left", {}, 0)
    assert counted() == (3, 1)
    clock.now += 10
    assert counted() == (3, 2), "forgotten, though nobody said anything"
    there.put("cells", "ana", "left", {}, 5)
    clock.now += 5
    there.put("dogs", "bo", "left", {}, 5)
    assert counted() == (5, 3), "forgotten when somebody else was put down"


def test_so_many_at_most(there, clock, monkeypatch):
    monkeypatch.setattr(presence, "MOST", 3)
    for number in range(3):
        there.put("cells", "ana", f"{number}", {}, 30)
    with pytest.raises(labelog.Invalid, match="3 sessions are in cells"):
        there.put("cells", "ana", "3", {}, 30)
    there.put("cells", "ana", "2", {"at": [1, 2, 3]}, 40)
    there.put("dogs", "ana", "3", {}, 30)
    clock.now += 30
    there.put("cells", "ana", "3", {}, 30)
    assert names(there) == [("ana", "2"), ("ana", "3")]


def test_who_is_there_is_told_and_forgotten(client, edit):
    def say(session, author="ana", **place):
        return client.put("/volumes/cells/presence", json={"session": session, **place},
                          headers={"Labelog-Author": author})  # fmt: skip

    def present():
        return client.get("/volumes/cells/presence").json()["present"]

    def sessions(event):
        return event["event"], [each["session"] for each in json.loads(event["data"])["present"]]

    place = {"at": [3, 10, 20.5], "view": "cell"}
    assert say("left", **place).status_code == 204
    assert say("right", "bo", label="7").status_code == 204
    assert present() == [{"author": "ana", "session": "left"} | place,
                         {"author": "bo", "session": "right", "label": "7"}]  # fmt: skip
    with closing(stream(client, "/volumes/cells/events")) as told:
        first = next(told)
        assert sessions(first) == ("presence", ["left", "right"]) and "id" not in first
        say("left", **place, seconds=0.5)
        assert sessions(next(told)) == ("presence", ["right"])
        edit({"op": "paint", "label": "7", "spans": [[0, 0, 3, 6]]})
        assert next(told)["event"] == "commit"
        say("right", "bo", seconds=0)
        assert sessions(next(told)) == ("presence", []) and present() == []
    for bad in ({"seconds": 1e9}, {"at": [1, 2]}, {"label": "x"}, {"more": 1}):
        assert say("left", **bad).status_code == 422, bad
    assert say("", seconds=1).status_code == 422
    assert client.put("/volumes/none/presence", json={"session": "left"}).status_code == 404


def test_who_comes_to_listen_is_told_who_is_there(client):
    client.put("/volumes/cells/presence", json={"session": "left"}).raise_for_status()
    with client.stream("GET", "/volumes/cells/events", timeout=SOON) as first:
        assert any("left" in line for line in first.iter_lines())
        (told,) = events(client, "/volumes/cells/events", 1)
    assert [each["session"] for each in json.loads(told["data"])["present"]] == ["left"]


def test_who_gives_no_name_is_who_edits_without_one_are_by(client, edit):
    client.put("/volumes/cells/presence", json={"session": "left"}).raise_for_status()
    (there,) = client.get("/volumes/cells/presence").json()["present"]
    job = client.post("/volumes/cells/jobs", json={"do": "compact"}).json()
    edit({"op": "box", "label": "9", "box": [[0, 0, 0], [1, 1, 1]]}).raise_for_status()
    (commit,) = client.get("/volumes/cells/history?limit=1").json()["commits"]
    assert there["author"] == job["author"] == commit["author"] == getuser()


def test_who_may_see_and_say_it(tmp_path):
    """Only who may read the volume; each under a name of their own."""
    make_cells(tmp_path)
    labelog.create(tmp_path / "dogs.labelog", (1, 1, 1)).close()
    tokens = Tokens(tmp_path / "tokens.json")
    texts = {name: tokens.add(name, "read", volumes) for name, volumes in (("ana", ["cells"]), ("bo", ["dogs"]))}
    with serving(tmp_path, "--tokens", str(tokens.path)) as server:

        def asked(name, method, volume, author=None):
            headers = {"Authorization": f"Bearer {texts[name]}"} | ({"Labelog-Author": author} if author else {})
            with server.client(headers=headers) as client:
                body = {"json": {"session": "left"}} if method == "PUT" else {}
                return client.request(method, f"/volumes/{volume}/presence", **body)

        assert asked("ana", "PUT", "cells").status_code == 204
        assert asked("ana", "PUT", "cells", "ana/phone").status_code == 204
        for method in ("PUT", "GET"):
            assert asked("bo", method, "cells").status_code == asked("ana", method, "dogs").status_code == 403
        assert asked("ana", "PUT", "cells", "bo").status_code == 403
        there = asked("ana", "GET", "cells").json()["present"]
        assert [each["author"] for each in there] == ["ana", "ana/phone"]
        assert asked("bo", "GET", "dogs").json()["present"] == []
        with server.client(headers={"Authorization": f"Bearer {texts['bo']}"}) as client:
            assert status(client, "/volumes/cells/events") == 403
            assert client.put("/volumes/dogs/presence", json={"session": "right"}).status_code == 204
            (told,) = events(client, "/events", 1)  # of all that this token may read
            assert json.loads(told["data"])["volume"] == "dogs" and "ana" not in told["data"]
