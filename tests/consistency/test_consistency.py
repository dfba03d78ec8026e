"""Many clients read and edit at once over HTTP, while the server is killed and answers are lost; then all that they
were told is held against a model."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import labelog
from conftest import SOAK
from consistency import clients, faults
from consistency.checker import problems
from consistency.model import Edit
from consistency.record import calls
from serving import COMMAND, Server

TESTS = Path(__file__).parents[1]
PROCESSES, CLIENTS = 2, 32
EACH = 157  # calls of a client of each of two servers: 10^4 in all
FEW = 25  # those of a client of a faulty server
ROUNDS = 100 if SOAK else 1
WORKERS = (1, 2)
INTERRUPTED = "labelog: interrupted"  # says a server that is ended as it begins: all clients were done by then
SEED = random.SystemRandom().randrange(2**32) if SOAK else 1


def ground() -> np.ndarray:
    """Blocks of labels with background between them; the last plane, which nobody writes, has every label."""
    z, y, x = np.indices(clients.SHAPE)
    labels = (1 + (z // 4 + 5 * (y // 9) + 11 * (x // 12)) % clients.LABELS).astype(np.uint64)
    labels[(y + x) % 13 < 4] = 0
    labels[-1].flat[: clients.LABELS + 2] = np.arange(clients.LABELS + 2)
    return labels


def written(volume: labelog.Volume, revision: int) -> Edit:
    """What a revision wrote."""
    _, height, width = clients.SHAPE
    rows, labels = volume.written(revision)
    z, y, start, stop = rows.T
    first = (z * height + y) * width
    voxels = [np.arange(a, b) for a, b in zip(first + start, first + stop, strict=True)]
    flat = np.concatenate(voxels) if voxels else np.zeros(0, np.int64)
    order = np.argsort(flat)
    return Edit(flat[order], np.repeat(labels, stop - start)[order])


class Run:
    """A volume, its server, and clients in processes of their own."""

    def __init__(self, folder: Path, seed: int, each: int, workers: int, program: tuple[str, ...] = COMMAND) -> None:
        self.folder, self.seed, self.each, self.workers, self.program = folder, seed, each, workers, program
        self.path = folder / f"{clients.NAME}.labelog"
        labelog.load(self.path, ground(), chunks=clients.CHUNKS, author="lab").close()
        self.outs = [folder / f"{number}.jsonl" for number in range(PROCESSES)]

    def carry_out(self, kills: int, by: int = signal.SIGKILL) -> list[str]:
        """What was wrong; `kills` times the server is ended in the middle, and begun again; one worker of several
        before that."""
        server = self._server()
        crowd = [self._clients(number, server.port) for number in range(PROCESSES)]
        log: list[str] = []
        try:
            for kill in range(kills):
                self._wait_for(CLIENTS * self.each * (2 * kill + 1) // (2 * kills + 1), crowd)
                if self.workers > 1:
                    killed = server.all_workers(self.workers)[kill % self.workers]
                    os.kill(killed, signal.SIGKILL)
                self._wait_for(CLIENTS * self.each * (2 * kill + 2) // (2 * kills + 1), crowd)
                if self.workers > 1:
                    server.all_workers(self.workers, killed)
                    time.sleep(0.5)  # a worker that is not begun altogether when its parent dies leaves a traceback
                code, lines = server.stop(by)
                log += lines
                if code not in (0, -signal.SIGKILL):
                    log.append(f"Traceback: none, but it ended with {code}")
                server = self._server(server.port)
            failed = [each.communicate(timeout=600)[0] for each in crowd]
            log += server.stop()[1]
        finally:
            for process in [*crowd, server.process]:
                process.kill()
                process.wait()
        told = [line for text in failed for line in text.splitlines()]
        told += [line for line in log if '"status": 5' in line or not line.startswith(("{", INTERRUPTED))]
        return told + self.checked()

    def _server(self, port: int = 0) -> Server:
        return Server(self.folder, "--workers", str(self.workers), program=self.program, port=port)

    def _clients(self, number: int, port: int) -> subprocess.Popen[str]:
        share = CLIENTS // PROCESSES
        numbers = [port, number * share, share, self.each, self.seed]
        return subprocess.Popen(
            [sys.executable, clients.__file__, *map(str, numbers), str(self.outs[number])],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
        )  # fmt: skip

    def _wait_for(self, count: int, crowd: list[subprocess.Popen[str]]) -> None:
        """Until so many calls are over."""
        while sum(out.read_bytes().count(b"\n") for out in self.outs if out.exists()) < count:
            if all(process.poll() is not None for process in crowd):
                return
            time.sleep(0.2)

    def checked(self) -> list[str]:
        made = list(calls(self.outs))
        with labelog.open(self.path) as volume:
            found = problems(made, volume.history(), partial(written, volume), ground(), volume[:])
            return found + volume.check().problems


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_clients_are_told_is_what_happened(tmp_path: Path, number: int, workers: int) -> None:
    run = Run(tmp_path, SEED + number, EACH, workers)
    assert run.carry_out(kills=2) == [], f"seed {run.seed}"
    made = list(calls(run.outs))
    assert len(made) == CLIENTS * EACH
    assert {call.kind for call in made} == {"read", "edit", "undo", "redo", "put", "reuse"}
    assert sum(call.sent > 1 for call in made) > 20 and sum(call.status == 304 for call in made) > 10
    assert sum(call.status == 412 for call in made) > 0 and sum(call.status == 409 for call in made) > 10


def test_ctrl_c_ends_it_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    run = Run(tmp_path, SEED, 2 * FEW, 1)
    assert run.carry_out(kills=2, by=signal.SIGINT) == []
    assert len(list(calls(run.outs))) == CLIENTS * 2 * FEW


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_a_faulty_server_is_found_out(tmp_path: Path, fault: str) -> None:
    """Or the test above would say little. In one run nobody may have met it; hardly in twenty-four."""
    workers = 2 if fault == "deaf" else 1

    def found(number: int) -> bool:
        (folder := tmp_path / str(number)).mkdir()
        problems = Run(folder, SEED + number, FEW, workers, (faults.__file__, fault)).carry_out(kills=0)
        assert not any("Internal Server Error" in problem for problem in problems), "the fault itself does not run"
        return problems != []

    assert any(map(found, range(24)))
