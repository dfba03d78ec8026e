"""Clients that read and edit one volume: a process of threads, each with a connection of its own.

    python clients.py PORT FIRST COUNT CALLS SEED OUT

runs COUNT clients from number FIRST on, of CALLS calls each, and writes what happened to OUT. Answers that are lost,
because the server died or the client hung up on purpose, are asked for again, edits under the same key.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from consistency.record import Call, digest, line

SHAPE, CHUNKS = (25, 64, 64), (4, 32, 32)
"""The last plane, which is in chunks of its own, is never written, so that every label stays somewhere."""

LABELS = 60
NAME = "busy"
API = f"/api/v1/volumes/{NAME}"
PATIENCE = 300.0  # seconds that a server may take to come back, where much else is going on
DROPPED, REPEATED, CONDITIONAL = 0.03, 0.04, 0.4
"""Shares of edits whose answer is not waited for, or that are asked twice; of reads with a condition."""
ALIKE, TOGETHER = 0.5, 0.05  # share of chunks that are written as others write them, at the tick of so many seconds

Box = list[list[int]]
Answer = tuple[int, http.client.HTTPMessage, bytes]


class Failed(Exception):
    """An answer that no server should give."""


class Client:
    """One client: its own author, one thing at a time."""

    KINDS = {"read": 55, "paint": 13, "over": 5, "box": 3, "fill": 3, "relabel": 3, "both": 3, "merge": 1, "undo": 6,
             "redo": 2, "put": 5, "reuse": 1}  # fmt: skip

    def __init__(self, port: int, number: int, seed: int, write: Any) -> None:
        self._port, self._number, self._write = port, number, write
        self._random = random.Random(f"{seed} {number}")
        self._connection: http.client.HTTPConnection | None = None
        self._known: dict[str, tuple[str, str]] = {}  # address -> ETag, digest
        self._revision = 0
        self._looked: tuple[Box, str] | None = None  # what was read last
        self._merged = False
        self._used: tuple[str, dict] | None = None  # a key, and what for

    def run(self, calls: int) -> None:
        kinds, weights = zip(*self.KINDS.items(), strict=True)
        for number in range(calls):
            kind = self._random.choices(kinds, weights)[0]
            if self._merged and self._random.random() < 0.3:
                kind = "undo"  # or all would be one body in the end
            if kind == "reuse" and self._used is None:
                kind = "paint"
            named = kind if kind in ("read", "undo", "redo", "put", "reuse") else "edit"
            call = Call(self._number, number, named, {})
            call.start = time.monotonic()
            if {"read": self._read, "put": self._put}.get(kind, self._edit)(call, kind):
                call.stop = time.monotonic()
                self._revision = max(self._revision, call.revision or 0)
                self._write(line(call))

    # Requests

    def _send(self, call: Call, method: str, path: str, body: bytes | None, headers: dict[str, str],
              drop: bool = False) -> Answer | None:  # fmt: skip
        """One attempt; None if there is no answer, or nobody waited for one."""
        call.sent += 1
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
                self._connection.connect()
                self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.request(method, path, body, headers)
            if not drop:
                answer = self._connection.getresponse()
                return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException):
            pass
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return None

    def _answer(self, call: Call, method: str, path: str, body: dict | bytes | None = None, *, drops: bool = False,
                **headers: str) -> Answer:  # fmt: skip
        """What the server says, however often it takes; the first answer is not waited for now and then, if `drops`."""
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {"Labelog-Author": f"c{self._number:02}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if isinstance(body, dict):
            headers["Content-Type"] = "application/json"
        deadline = time.monotonic() + PATIENCE
        drop = drops and self._random.random() < DROPPED
        while True:
            answer = self._send(call, method, path, sent, headers, drop)
            if answer is not None:
                return answer
            if time.monotonic() > deadline:
                raise Failed(f"{call.name}: no answer to {method} {path}")
            if not drop:
                time.sleep(0.02)
            drop = False

    # Things to do

    def _part(self, most: tuple[int, int, int]) -> Box:
        """A box somewhere in what is written; often where all are."""
        sides = [self._random.randint(1, n) for n in most]
        where = (4, 40, 40) if self._random.random() < 0.3 else (24, 64, 64)
        start = [self._random.randint(0, max(0, n - side)) for n, side in zip(where, sides, strict=True)]
        return [start, [a + side for a, side in zip(start, sides, strict=True)]]

    def _label(self) -> str:
        return str(self._random.randint(0, LABELS))

    def _read(self, call: Call, _: str) -> bool:
        box, view = (
            self._part(self._random.choice([(2, 64, 64), (4, 8, 8)])),
            self._random.choice(["instance", "fragment"]),
        )
        if self._looked is not None and self._random.random() < 0.3:
            box, view = self._looked
        self._looked = box, view
        query = f"box={','.join(f'{a}:{b}' for a, b in zip(*box, strict=True))}&view={view}&dtype=uint64&format=raw"
        call.asked = {"box": box, "view": view}
        if self._revision and self._random.random() < 0.1:
            call.asked["rev"] = self._random.randint(1, self._revision)
            query += f"&rev={call.asked['rev']}"
        path = f"{API}/voxels?{query}"
        known = self._known.get(path) if self._random.random() < CONDITIONAL else None
        status, headers, body = self._answer(call, "GET", path, **({"If-None-Match": known[0]} if known else {}))
        if status not in (200, 304) or (status == 304 and known is None):
            raise Failed(f"{call.name}: {path} was answered {status}: {body[:500]!r}")
        call.status, call.revision = status, int(headers["Labelog-Revision"])
        call.told = known[1] if known and status == 304 else digest(body)
        if len(self._known) > 50:
            self._known.clear()
        self._known[path] = headers["ETag"], call.told
        return True

    def _spans(self) -> list[list[int]]:
        """A stroke."""
        (z, y, x), (_, stop, end) = self._part((1, 8, 24))
        return [[z, row, x, end] for row in range(y, stop)]

    def _operations(self, kind: str) -> list[dict]:
        label, part = self._label(), self._part((3, 10, 20))
        if kind == "box":
            return [{"op": "box", "label": label, "box": part}]
        if kind == "fill":
            part = self._part((2, 24, 24))
            return [{"op": "fill", "label": label, "seed": part[0], "within": part}]
        if kind == "relabel":
            labels = {self._label(): self._label() for _ in range(2)}
            return [{"op": "relabel", "labels": labels, "within": self._part((4, 32, 32))}]
        if kind == "merge":
            first, *others = self._random.sample(range(1, LABELS + 1), self._random.randint(2, 3))
            return [{"op": "merge", "label": str(first), "others": [str(other) for other in others]}]
        if kind == "both":
            return self._operations("paint") + self._operations("over")
        paint = {"op": "paint", "label": label, "spans": self._spans()}
        return [paint | {"over": [self._label() for _ in range(8)]}] if kind == "over" else [paint]

    def _edit(self, call: Call, kind: str) -> bool:
        """Whatever is done under a key."""
        body: dict[str, Any] = {"message": call.name}
        key = call.name
        if call.kind in ("undo", "redo"):
            path = f"{API}/{call.kind}"
            self._merged = False
        else:
            path = f"{API}/edits"
            body["operations"] = self._operations("box" if kind == "reuse" else kind)
            if kind == "reuse":
                assert self._used is not None
                key = self._used[0]
                body["operations"][0]["label"] = "61"  # which no other edit paints
            elif self._random.random() < 0.2:
                body["seen"] = max(0, self._revision - self._random.choice([0, 0, 3, 30]))
        call.asked = {name: value for name, value in body.items() if name != "message"}
        status, _, answer = self._answer(call, "POST", path, body, drops=True, Idempotency_Key=key)
        told = json.loads(answer)
        if status not in (200, 409):
            raise Failed(f"{call.name}: {path} {body} was answered {status}: {answer[:500]!r}")
        call.status, call.revision = status, told.get("revision")
        if status == 409:
            call.told = told.get("key")
        if status == 200:
            call.told = [told["voxels"], told["left_alone" if call.kind in ("undo", "redo") else "written"]]
            self._merged = kind == "merge"
            if call.kind == "edit":
                self._used = key, body
            if self._random.random() < REPEATED:
                again, _, text = self._answer(call, "POST", path, body, Idempotency_Key=key)
                if again != 200 or any(
                    json.loads(text)[name] != told[name] for name in ("revision", "voxels", "written")
                ):
                    raise Failed(f"{call.name} was answered {answer[:500]!r}, and then {again} {text[:500]!r}")
        return True

    def _put(self, call: Call, _: str) -> bool:
        """Read a chunk by Zarr, paint a part of it, and write it back if it is still the same. Some do so at the same
        moment, with what the chunk itself tells: those who read the same send the same, and one of them may succeed."""
        alike = self._random.random() < ALIKE
        part = [[20, 32, 32], [22, 34, 34]] if alike else self._part((3, 6, 20))
        chunk = [a // b for a, b in zip(part[0], CHUNKS, strict=True)]
        box = [
            [a * b for a, b in zip(chunk, CHUNKS, strict=True)],
            [(a + 1) * b for a, b in zip(chunk, CHUNKS, strict=True)],
        ]
        part[1] = [min(a, b) for a, b in zip(part[1], box[1], strict=True)]
        path = f"/zarr/{NAME}/instance/s0/c/{'/'.join(map(str, chunk))}"
        status, headers, body = self._answer(call, "GET", path)
        values = np.zeros(CHUNKS, np.uint64)
        if status == 200:
            values = np.frombuffer(zstandard.decompress(body), np.uint64).reshape(CHUNKS).copy()
        elif status != 404:
            raise Failed(f"{call.name}: {path} was answered {status}: {body[:500]!r}")
        call.sent = 0
        read = digest(values.tobytes())
        label = int(read, 16) % (LABELS + 1) if alike else int(self._label())
        if alike:
            time.sleep(-time.monotonic() % TOGETHER)
        call.asked = {"box": box, "read": read, "within": part, "label": label}
        inside = tuple(slice(a - c, b - c) for a, b, c in zip(*part, box[0], strict=True))
        call.asked["changes"] = bool((values[inside] != call.asked["label"]).any())
        values[inside] = call.asked["label"]
        condition = {"If-Match": headers["ETag"]} if status == 200 else {"If-None-Match": "*"}
        sent = zstandard.compress(values.tobytes(), 1)
        status, headers, body = self._answer(call, "PUT", path, sent, drops=True, **condition,
                                             Labelog_Author=f"zarr/{call.name}")  # fmt: skip
        if status not in (204, 412):
            raise Failed(f"{call.name}: {path} was answered {status}: {body[:500]!r}")
        call.status = status
        return True


def main(port: int, first: int, count: int, calls: int, seed: int, out: str) -> int:
    """Run clients; how many failed."""
    lock, failures = threading.Lock(), []
    with Path(out).open("w", buffering=1) as file:

        def write(text: str) -> None:
            with lock:
                file.write(text)

        def run(number: int) -> None:
            try:
                Client(port, number, seed, write).run(calls)
            except BaseException as error:
                failures.append(error)
                print(f"client {number}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201

        threads = [threading.Thread(target=run, args=(number,)) for number in range(first, first + count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return len(failures)


if __name__ == "__main__":
    port, first, count, calls, seed = map(int, sys.argv[1:6])
    sys.exit(min(main(port, first, count, calls, seed, sys.argv[6]), 100))
