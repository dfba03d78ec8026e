"""Over HTTP: slices beside a bare route of the same bytes, and durable edits while others read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path

import httpx
import numpy as np
import pytest

import labelog
from benchmarks import clients, datasets, settings, slow
from benchmarks.clients import get, latencies, post, rate
from benchmarks.datasets import Labels
from benchmarks.machine import about_alone, alone
from benchmarks.slow import Begun, crowded
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, number

TOPIC = "HTTP"
SHAPE = (64, 512, 512)
CLIENTS = 16
WRITERS, READERS, A_SECOND = 8, 16, 10.0
SLICES = "/api/v1/volumes/labels/slices/z"
SLOW = 200
BEGUN = [
    Begun(b"GET /api/v1/volumes HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "),
    Begun(b"PUT /api/v1/volumes/labels/voxels HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000\r\n\r\n"),
    Begun(get(f"{SLICES}/8?format=raw"), whole=True),
]

NOTE = f"""\
`labelog serve` in a process of its own, one worker, with a log line for each request; the clients are threads of
{clients.PROCESSES} other processes on the same machine, with a connection each, and take answers as they are, not
compressed. The bare route is `def get_slice(): return Response(body)` in FastAPI, under the same uvicorn and h11; it
answers bytes that it has, labelog reads them from its cache and says of which revision they are. {CLIENTS} clients ask,
one request after the other, for slices of 512 x 512, each client for its own; the two servers take turns. Edits:
{WRITERS} clients paint {A_SECOND:g} discs a second each, and {READERS} read {A_SECOND:g} random slices a second each. A
request is due at its time, whether or not the one before was answered, and its time is counted from then (an open
loop). An answered edit is on disk. The figure is the median of the turns' p50 or p99, of ten seconds each, beside it
their range. Slow connections: {SLOW} that send or take a byte every {slow.BEAT:g} s, a third of them of a head that
does not end, a third of a body, a third of an answer of 2 MB; when the server hangs up they come again. {WRITERS}
writers and {READERS} readers as before, in turns with them and without. Five seconds before each of these do not
count."""


@contextmanager
def running(*command: str) -> Iterator[int]:
    """The port of a server."""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            found = re.search(r"http://127.0.0.1:(\d+)", process.stdout.readline())
            assert found is not None, f"{command} did not start"
            yield int(found[1])
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def served(folder: Path, labels: Labels, table: Table) -> Iterator[int]:
    table.notes[TOPIC] = NOTE
    part = labels.array[tuple(map(slice, SHAPE))]
    labelog.load(folder / "labels.labelog", part, chunks=(16, 256, 256), threads=1).close()
    with running("labelog.cli", "serve", str(folder), "--port", "0") as port:
        yield port


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with clients.crowd() as crowd:
        yield crowd


@pytest.mark.parametrize("kind", ["runs", "indexed", "raw"])
def bench_slices_over_http(table: Table, served: int, pool: ProcessPoolExecutor, folder: Path, kind: str) -> None:
    asked = [f"{SLICES}/{z}?format={kind}" for z in range(8, 8 + CLIENTS)]
    body = httpx.get(f"http://127.0.0.1:{served}{asked[0]}", headers={"Accept-Encoding": "identity"}).content
    (folder / "body").write_bytes(body)
    each = settings.times(50, 10)
    found: dict[str, list[float]] = {"labelog": [], "bare": []}
    with running("benchmarks.bare", str(folder / "body")) as bare:
        sides = {"labelog": (served, list(map(get, asked))), "bare": (bare, [get("/slice")] * CLIENTS)}
        for turn in range(settings.times(9, 4)):
            for name, (port, requests) in sides.items():
                seconds = 1 / rate(pool, port, requests, each)
                found[name] += [seconds] if turn else []  # the first warms up
    what = f"slice of 512 x 512, {CLIENTS} clients, {kind} ({number(len(body) / 1e3)} kB)"
    table.compare(TOPIC, what, Sample(found["labelog"]), {"FastAPI, the same bytes": Sample(found["bare"])},
                  Target(0.5, 0.8), show=Sample.rate)  # fmt: skip


def bench_edits_among_readers(table: Table, served: int, pool: ProcessPoolExecutor, folder: Path) -> None:
    mixed(pool, served, settings.times(5, 1), seed=2)
    edits, slices, before = [], [], []
    for turn in range(settings.times(5, 1)):
        before.append(alone(folder, 5))
        found = mixed(pool, served, settings.times(10, 5), seed=30 + turn)
        edits.append(Sample(found[0]))
        slices.append(Sample(found[1]))
    what = f"durable edit, {WRITERS} writers and {READERS} readers"
    for name, share, bar, aim in (("p50", 0.5, 10, None), ("p99", 0.99, 50, 0.5)):
        ours = Sample(turn.quantile(share) for turn in edits)
        table.add(Row(TOPIC, f"{what}: {name}", ours.spread(), "bar", f"{bar} ms", 1e3 * ours.median / bar,
                      Target(1, aim, ceiling=True)))  # fmt: skip
    beside = ", ".join(Sample(turn.quantile(share) for turn in slices).spread() for share in (0.5, 0.99))
    table.notes[TOPIC] += f"\n\nBeside the edits, slices took (p50, p99): {beside}. {about_alone(before)}"


def bench_slow_connections(table: Table, served: int, pool: ProcessPoolExecutor) -> None:
    mixed(pool, served, settings.times(5, 1), seed=10)
    times: dict[bool, tuple[list[float], list[float]]] = {False: ([], []), True: ([], [])}
    for turn in range(settings.times(3, 2)):
        for beside in (turn % 2 == 0, turn % 2 == 1):
            with crowded(served, SLOW, BEGUN) if beside else nullcontext():
                found = mixed(pool, served, settings.times(10, 2), seed=20 + turn)
            for kept, more in zip(times[beside], found, strict=True):
                kept += more
    for number_of, what in enumerate(("durable edit", "slice")):
        without, among = (Sample(times[beside][number_of]) for beside in (False, True))
        for name, share, target in (("p50", 0.5, None), ("p99", 0.99, Target(2, 1.2, ceiling=True))):
            ours, alone = (sample.quantile(share) * 1e3 for sample in (among, without))
            table.add(Row(TOPIC, f"{what} beside {SLOW} slow connections: {name}", f"{number(ours)} ms", "without them",
                          f"{number(alone)} ms", ours / alone, target), more=target is None)  # fmt: skip


def mixed(pool: ProcessPoolExecutor, port: int, seconds: int, seed: int) -> tuple[list[float], list[float]]:
    """Seconds of edits and of slices, of writers and readers that ask for so long."""
    turns = int(A_SECOND * seconds)
    strokes, rng = datasets.strokes(SHAPE, seed=seed), np.random.default_rng(seed + 1)
    writing = [[paint(next(strokes)) for _ in range(turns)] for _ in range(WRITERS)]
    reading = [[get(f"{SLICES}/{rng.integers(SHAPE[0])}?format=runs") for _ in range(turns)] for _ in range(READERS)]
    found = latencies(pool, port, [*writing, *reading], A_SECOND)
    return [*chain(*found[:WRITERS])], [*chain(*found[WRITERS:])]


def paint(stroke: datasets.Stroke) -> bytes:
    """A stroke as a request."""
    z, y, x = stroke.at
    rows = [np.flatnonzero(row) + x for row in stroke.mask]
    spans = [[z, y + row, int(voxels[0]), int(voxels[-1]) + 1] for row, voxels in enumerate(rows)]
    operation = {"op": "paint", "label": str(stroke.label), "spans": spans}
    return post("/api/v1/volumes/labels/edits", json.dumps({"operations": [operation]}).encode())
