"""Long work as jobs: done, failed, cancelled, and told of."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import labelog

from .conftest import labels

JOBS = "/volumes/cells/jobs"


def over(client, where):
    """What is told of a job when it is over."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        told = client.get("http://" + client.base_url.netloc.decode() + where).json()
        if told["state"] not in ("waiting", "running"):
            return told
        time.sleep(0.02)
    raise AssertionError(told)


def begin(client, headers=None, **work):
    answer = client.post(JOBS, json=work, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["id"] in answer.headers["location"]
    return answer.headers["location"]


def test_what_a_job_does_is_what_the_engine_does(client, server):
    began = datetime.now(UTC)
    checked = over(client, begin(client, do="check"))
    assert checked["state"] == "done" and checked["result"]["ok"] and checked["done"] == checked["total"] > 0
    found = over(client, begin(client, do="components", labels=["1", "18446744073709551615"], connectivity=26))
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        rows = volume.components(labels=[1, 2**64 - 1], connectivity=26).table_rows()
    assert found["result"]["components"] == [row | {"label": str(row["label"])} for row in rows] and len(rows) > 1
    assert found["done"] == found["total"] > 0
    large = over(client, begin(client, do="components", at_least=10**6))
    assert large["result"]["components"] == [] and large["result"]["count"] > 100
    operations = [{"op": "fill", "seed": [0, 0, 6], "label": "9"}, {"op": "relabel", "labels": {"11": "21"}}]
    done = over(client, begin(client, {"Labelog-Author": "ana", "Idempotency-Key": "k"}, do="edit",
                              edit={"operations": operations, "message": "long"}))  # fmt: skip
    again = over(client, begin(client, {"Labelog-Author": "ana", "Idempotency-Key": "k"}, do="edit",
                               edit={"operations": operations, "message": "long"}))  # fmt: skip
    assert done["result"]["revision"] == 1 and done["author"] == "ana" and again["result"] == done["result"]
    assert done["done"] == done["total"] == 2
    assert client.get("/volumes/cells").json()["revision"] == 1
    assert over(client, begin(client, do="compact"))["result"]["folded"] > 0
    listed = client.get(JOBS).json()["jobs"]
    assert [job["do"] for job in listed] == ["check", "components", "components", "edit", "edit", "compact"]
    assert client.get("/jobs").json()["jobs"] == listed and "result" not in listed[0]
    begun = [datetime.fromisoformat(job["time"]) for job in listed]
    assert began <= begun[0] and begun == sorted(begun) and begun[-1] <= datetime.now(UTC)


def test_a_job_that_fails_says_why(client):
    failed = over(client, begin(client, do="edit", edit={"operations": [{"op": "erase", "label": "$x"}]}))
    assert failed["state"] == "failed" and "operation 0 (erase)" in failed["problem"]["detail"]
    assert failed["problem"]["status"] == 422 and failed["result"] is None
    assert over(client, begin(client, do="components", view="dog"))["problem"]["status"] == 404
    assert client.post(JOBS, json={"do": "dance"}).status_code == 422
    assert client.post(JOBS, json={"do": "edit", "edit": {}}).status_code == 422
    assert client.get(f"{JOBS}/none").status_code == 404 and client.delete(f"{JOBS}/none").status_code == 404


def test_a_job_that_is_cancelled_has_done_nothing(client, server):
    blocks = [{"op": "relabel", "labels": {str(n): str(n + 1000)}} for n in range(1, 2000)]
    where = begin(client, do="edit", edit={"operations": blocks})
    place = f"{JOBS}/{where.split('/')[-1]}"
    told = client.delete(place)
    assert told.status_code == 202
    assert told.json()["cancelling"] or told.json()["state"] == "cancelled", "already ended, if it was quick"
    ended = over(client, where)
    assert not ended["cancelling"] and not client.delete(place).json()["cancelling"], "it has ended"
    assert (ended["state"] == "cancelled" and ended["done"] < ended["total"]) or ended["total"] == 0
    assert client.get("/volumes/cells").json()["revision"] == 0
    with labelog.open(server.folder / "cells.labelog", "r") as volume:
        assert (volume[:] == labels()).all()


def test_an_interrupt_does_not_wait_for_jobs_to_end(own):
    with own.client() as client:
        blocks = [{"op": "relabel", "labels": {str(n): str(n + 1000)}} for n in range(1, 9000)]
        begin(client, do="edit", edit={"operations": blocks})
        begin(client, do="check")
    began = time.monotonic()
    code, _ = own.stop()
    assert code == 0 and time.monotonic() - began < 20
    with labelog.open(own.folder / "cells.labelog", "r") as volume:
        assert volume.revision == 0
