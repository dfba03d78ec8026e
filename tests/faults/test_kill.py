"""A process that edits is killed at any moment: what it acknowledged is there, whole; nothing is there in part."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

import labelog
from faults import strokes

KILLS = strokes.count(100)
LIVES = 10  # kills that one volume suffers

nursery = multiprocessing.get_context("fork")  # quick, and safe here: no thread is doing anything


def killed(path: Path, after: float, *, opened: bool = True, early: bool = False) -> int:
    """The last commit that a process acknowledged which was killed so many seconds after its first one.

    Unless `opened`, after its start: it may not have come so far as to open the volume. Then 0, if it made no commit.
    """
    reading, writing = nursery.Pipe(duplex=False)
    child = nursery.Process(target=strokes.write, args=(str(path), writing, early))
    child.start()
    writing.close()
    data = os.read(reading.fileno(), strokes.ACK.size) if opened else b""
    time.sleep(after)
    assert child.is_alive(), f"the writer ended by itself, with {child.exitcode}"
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    while more := os.read(reading.fileno(), 1 << 16):
        data += more
    reading.close()
    assert child.exitcode == -signal.SIGKILL
    return max((number for (number,) in strokes.ACK.iter_unpack(data)), default=0)


def test_acknowledged_edits_survive_kill(tmp_path: Path) -> None:
    chance = random.Random(strokes.seed())
    folded = commits = acknowledged = 0
    for kill in range(KILLS):
        path = tmp_path / f"{kill // LIVES}.labelog"
        if kill % LIVES == 0:
            strokes.create(path)
            acknowledged = 0
        opened = kill % 5 > 0
        acknowledged = max(acknowledged, killed(path, chance.random() * (0.06 if opened else 0.02), opened=opened))
        if kill % 2:
            assert strokes.faults(path, acknowledged, "r") == [], f"kill {kill}, seed {strokes.seed()}, read only"
        assert strokes.faults(path, acknowledged) == [], f"kill {kill}, seed {strokes.seed()}"
        if kill % LIVES == LIVES - 1:
            with labelog.open(path, "r") as volume:
                commits += volume.revision
                folded += len(volume.store.base.present())
    assert folded > 0 and commits > KILLS  # the writer did get to fold


def test_kill_test_notices_an_early_acknowledgement(tmp_path: Path) -> None:
    chance = random.Random(strokes.seed())
    path = tmp_path / "early.labelog"
    strokes.create(path)
    for _ in range(50):
        acknowledged = killed(path, chance.random() * 0.02, early=True)
        problems = strokes.faults(path, acknowledged)
        if any("was acknowledged" in problem for problem in problems):
            return
    pytest.fail("edits acknowledged before the commit were never missed")
