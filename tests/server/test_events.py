"""The streams of events: every commit once, in order, soon, from where the client says that it has come to."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from fastapi import Request

import labelog
from labelog_server.app import create_app
from labelog_server.bodies import Sent
from labelog_server.news import MOST_LABELS
from labelog_server.routes import events as route
from labelog_server.settings import Settings

from .conftest import make_cells, serving

SOON = 5.0  # seconds in which an event is told, well before the next heartbeat
DEADLINE = 30.0


def events(client, path, count, headers=None, **parameters):
    """The first events of a stream, each of which comes soon."""
    with closing(stream(client, path, headers, **parameters)) as told:
        return list(itertools.islice(told, count))


def stream(client, path, headers=None, **parameters):
    """Event after event, each of which comes soon."""
    fields, until = {}, time.monotonic() + DEADLINE
    with client.stream("GET", path, headers=headers, params=parameters or None, timeout=SOON) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            assert time.monotonic() < until
            if not line and "data" in fields:
                yield fields
            if not line:
                fields = {}
            name, _, value = line.partition(": ")
            fields[name] = value
    raise AssertionError("the stream ended")


def status(client, path, **headers):
    """Of an answer that may be a stream, and then has no end."""
    with client.stream("GET", path, headers=headers, timeout=SOON) as answer:
        return answer.status_code


def revisions(told):
    """Volume and revision of each commit, as told."""
    facts = [json.loads(event["data"]) for event in told]
    return [(fact["volume"], fact["revision"]) for fact in facts]


def strokes(path, count, author="bo"):
    with labelog.open(path) as volume:
        for _ in range(count):
            with volume.edit(author) as edit:
                edit[0, 0, 0] = volume.revision + 1000


@pytest.fixture
def several(server):
    """cells, dogs and emus, of one voxel each but for the first."""
    for name in ("dogs", "emus"):
        labelog.create(server.folder / f"{name}.labelog", (1, 1, 1)).close()
    return server.folder


def test_events_tell_of_all_commits(server, client, edit):
    edit({"op": "paint", "label": "7", "spans": [[0, 0, 3, 6]]}, headers={"Labelog-Author": "ana"})

    def later():
        with labelog.open(server.folder / "cells.labelog") as volume, volume.edit("bo") as other:
            other.assign(7, name="B")

    beside = threading.Timer(0.5, later)  # another process's commit, as far as the server can tell
    beside.start()
    first, second = events(client, "/volumes/cells/events?since=0", 2)
    beside.join()
    told = json.loads(first["data"])
    assert (told["revision"], told["author"], told["boxes"]) == (1, "ana", [[[0, 0, 3], [1, 1, 6]]])
    assert "7" in told["labels"] and not told["said"]
    told = json.loads(second["data"])
    assert (told["revision"], told["boxes"], told["labels"], told["said"]) == (2, [], ["7"], True)
    (again,) = events(client, "/events", 1, {"Last-Event-ID": first["id"]})
    assert again["data"] == second["data"] and again["id"] == "cells=2"


@pytest.mark.parametrize("path", ["/events", "/volumes/cells/events"])
def test_head_of_a_stream_lets_the_connection_go_on(client, path):
    answer = client.head(path, timeout=SOON)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
    assert client.get("/volumes", timeout=SOON).status_code == 200


@pytest.mark.parametrize(("since", "last", "first"), [
    (0, None, 1), (1, None, 2), (2, None, 3), (3, None, 4), (None, None, 4), (0, "cells=2", 3), (2, "cells=0", 1),
    (None, "cells=3", 4), (1, "dogs=3", 2), (3, "dogs=1,cells=1", 2),
])  # fmt: skip
def test_where_a_stream_begins(server, client, since, last, first):
    """After `since`, or after the last event that was received, however many came meanwhile; each revision once."""
    path = server.folder / "cells.labelog"
    strokes(path, 3)
    headers = {} if last is None else {"Last-Event-ID": last}
    beside = threading.Timer(0.3, strokes, (path, 2))
    beside.start()
    told = events(client, "/volumes/cells/events", 6 - first, headers, **{} if since is None else {"since": since})
    beside.join()
    assert revisions(told) == [("cells", revision) for revision in range(first, 6)]
    assert [event["id"] for event in told] == [f"cells={revision}" for revision in range(first, 6)]


def test_a_volume_that_is_damaged_while_it_is_open_hides_no_others_events(tmp_path):
    make_cells(tmp_path)
    labelog.create(tmp_path / "dogs.labelog", (1, 1, 1)).close()
    with serving(tmp_path) as own, own.client() as client:
        assert len(client.get("/volumes").json()["volumes"]) == 2
        with closing(stream(client, "/volumes/cells/events")) as told:
            client.put("/volumes/cells/presence", json={"session": "left"}).raise_for_status()
            assert next(told)["event"] == "presence"
            strokes(tmp_path / "dogs.labelog", 1)  # so that the server reads it again
            for file in (tmp_path / "dogs.labelog").glob("journal.sqlite*"):
                with file.open("r+b") as journal:
                    journal.write(bytes(file.stat().st_size))
            time.sleep(1)
            strokes(tmp_path / "cells.labelog", 3)
            assert revisions(itertools.islice(told, 3)) == [("cells", 1), ("cells", 2), ("cells", 3)]
            time.sleep(1)
        said = [line for line in own.stop()[1] if not line.startswith("{")]
    assert len(said) == 1 and "dogs" in said[0], said


def test_a_revision_that_is_not_there_yet(client):
    assert status(client, "/volumes/cells/events?since=1") == 404
    assert status(client, "/volumes/cells/events", **{"Last-Event-ID": "cells=1"}) == 404
    assert status(client, "/volumes/cells/events?since=-1") == 422
    for last in ("nonsense", "cells", "cells=", "cells=-1", "cells=1,", "cells=1;dogs=2", "=1", "cells=" + "9" * 19):
        assert status(client, "/volumes/cells/events?since=0", **{"Last-Event-ID": last}) == 422, last
        assert status(client, "/events", **{"Last-Event-ID": last}) == 422, last
    for path in ("/volumes/cells/events", "/events?volumes=cells"):
        assert status(client, path, **{"Last-Event-ID": "dogs=0"}) == 422, "it would begin now, and miss what came"


def test_names_that_an_id_would_cut_apart(server, client):
    labelog.create(server.folder / "a=1,b.labelog", (1, 1, 1)).close()
    strokes(server.folder / "a=1,b.labelog", 2)
    first, second = events(client, "/volumes/a=1,b/events?since=0", 2)
    (again,) = events(client, "/volumes/a=1,b/events", 1, {"Last-Event-ID": first["id"]})
    assert again["data"] == second["data"]
    assert status(client, "/events?volumes=cells,none") == 404


def test_one_stream_of_several_volumes(several, client):
    """Only of those that were asked for; an id says how far each has come."""

    def work():
        for name, count in (("emus", 2), ("cells", 1), ("dogs", 2)):
            strokes(several / f"{name}.labelog", count)

    beside = threading.Timer(0.3, work)
    beside.start()
    told = events(client, "/events", 3, volumes="cells,dogs")
    beside.join()
    assert revisions(told) == [("cells", 1), ("dogs", 1), ("dogs", 2)]
    assert [event["id"] for event in told] == ["cells=1,dogs=0", "cells=1,dogs=1", "cells=1,dogs=2"]
    strokes(several / "cells.labelog", 1)
    again = events(client, "/events", 2, {"Last-Event-ID": told[1]["id"]}, volumes="cells,dogs")
    assert sorted(revisions(again)) == [("cells", 2), ("dogs", 2)]
    everything = events(client, "/events", 6, {"Last-Event-ID": "cells=0,dogs=0,emus=0"})
    assert sorted(revisions(everything)) == [
        ("cells", 1),
        ("cells", 2),
        ("dogs", 1),
        ("dogs", 2),
        ("emus", 1),
        ("emus", 2),
    ]


def test_long_lists_are_capped(server, client):
    """Labels are listed up to a thousand; of a commit in many chunks there is one box, and no labels."""
    with labelog.create(server.folder / "wide.labelog", (1, 2, 1001)) as wide:
        for count in (MOST_LABELS, MOST_LABELS + 1):
            with wide.edit("ana") as edit:
                edit[0, count - MOST_LABELS, :count] = np.arange(1, count + 1)
    with labelog.create(server.folder / "deep.labelog", (300, 1, 1), chunks=(1, 1, 1)) as deep:
        for count in (256, 257):
            with deep.edit("ana") as edit:
                edit[300 - count :] = count
    facts = [json.loads(event["data"]) for event in events(client, "/volumes/wide/events?since=0", 2)]
    assert facts[0]["labels"] == [str(label) for label in range(1, MOST_LABELS + 1)] and facts[1]["labels"] is None
    assert len(facts[1]["boxes"]) == len(facts[0]["boxes"]) == 4, "one for each chunk"
    facts = [json.loads(event["data"]) for event in events(client, "/volumes/deep/events?since=0", 2)]
    assert len(facts[0]["boxes"]) == 256 and facts[0]["labels"] == ["256"]
    assert facts[1]["boxes"] == [[[43, 0, 0], [300, 1, 1]]] and facts[1]["labels"] is None


def test_a_stream_ends_with_its_volume(tmp_path):
    """As an answer ends, and no error is logged. One of all volumes begins anew with those that are left."""
    for name in ("cells", "dogs"):
        labelog.create(tmp_path / f"{name}.labelog", (1, 1, 1)).close()
    with serving(tmp_path) as server, server.client() as client:
        with (
            client.stream("GET", "/volumes/dogs/events", timeout=SOON) as one,
            client.stream("GET", "/events", timeout=SOON) as both,
        ):
            streams = [stream.iter_lines() for stream in (one, both)]
            for lines in streams:
                next(lines)
            with server.client() as other:
                other.delete("/volumes/dogs", params={"confirm": "dogs"}).raise_for_status()
            for lines in streams:
                assert not [line for line in lines if line.startswith("data")]
        assert status(client, "/volumes/dogs/events") == 404 and status(client, "/events") == 200
        named = "/events?volumes=cells,dogs"
        again = {"Last-Event-ID": "cells=0,dogs=0"}
        assert status(client, named) == 404 and status(client, named, **again) == 200, "as a browser connects again"
        with client.stream("GET", named, headers=again, timeout=SOON) as stream:
            assert "id: cells=0,dogs=0" in itertools.islice(stream.iter_lines(), 3), "as it is asked with the next time"
        assert status(client, named, **{"Last-Event-ID": "cells=0"}) == 404
        assert status(client, "/events?volumes=dogs,cats", **{"Last-Event-ID": "cats=0,dogs=0"}) == 404
        code, log = server.stop()
    assert code == 0 and not [line for line in log if not line.startswith("{")]


def test_a_server_that_ends_ends_its_streams(tmp_path):
    make_cells(tmp_path)
    with serving(tmp_path) as server, server.client() as client:
        with client.stream("GET", "/volumes/cells/events", timeout=SOON) as stream:
            lines = stream.iter_lines()
            next(lines)
            begun = time.monotonic()
            code, _ = server.stop()
            assert code == 0 and time.monotonic() - begun < 10, "it waits for no client that only listens"
            assert not [line for line in lines if line.startswith("data")]


def test_who_hears_nothing_hears_a_heartbeat(tmp_path, monkeypatch):
    """So that it, and what lies between, knows that the connection lives."""
    make_cells(tmp_path)
    monkeypatch.setattr(route, "HEARTBEAT", 0.05)
    app = create_app(Settings((tmp_path,)))

    async def heard():
        async with app.router.lifespan_context(app):
            request = Request({"type": "http", "app": app, "headers": [], "sent": Sent("GET", b"")})
            stream = route._events(request, app.state.catalog, {"cells": 0}, {})
            async with asyncio.timeout(DEADLINE):
                return [await anext(stream) for _ in range(3)]

    first, *rest = asyncio.run(heard())
    assert first.startswith("retry: 1000\nid: cells=0\n") and rest == [": still here\n\n"] * 2
