"""What the processes of the concurrency tests do. Each function is the whole of a process, or of a thread of one."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import labelog

SHAPE = (4, 16, 32)
CHUNKS = (2, 16, 16)
PATIENCE = 60  # seconds that anything may take


def create(path: Path) -> labelog.Volume:
    return labelog.create(path, SHAPE, chunks=CHUNKS)


def together(jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]], *, processes: bool) -> list[Any]:
    """Run functions at the same time, in threads or in processes; what they return, or what one of them raised."""
    return _in_processes(jobs) if processes else _in_threads(jobs)


def _in_threads(jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    gate = threading.Barrier(len(jobs))
    results: list[Any] = [None] * len(jobs)

    def run(number: int) -> None:
        function, arguments = jobs[number]
        gate.wait()
        try:
            results[number] = function(*arguments)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread hangs"
    return _sound(results)


def _in_processes(jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]], method: str = "fork") -> list[Any]:
    context = get_context(method)
    gate = context.Event()
    children, pipes = [], []
    for function, arguments in jobs:
        mine, its = context.Pipe(duplex=False)
        child = context.Process(target=_run, args=(its, gate, function, arguments))
        child.start()
        its.close()
        children.append(child)
        pipes.append(mine)
    gate.set()
    try:
        results = [pipe.recv() if pipe.poll(PATIENCE) else AssertionError("a process hangs") for pipe in pipes]
    finally:
        for child in children:
            child.join(1)
            child.kill()
    return _sound(results)


def _run(pipe: Connection, gate: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    gate.wait()
    try:
        pipe.send(function(*arguments))
    except BaseException as error:
        error.add_note(traceback.format_exc())
        pipe.send(error)


def _sound(results: list[Any]) -> list[Any]:
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


# What writers and readers do; each opens the volume by itself if given its path


def opened(volume: labelog.Volume | str) -> labelog.Volume:
    return labelog.open(volume) if isinstance(volume, str) else volume


def draw(volume: labelog.Volume | str, who: int, edits: int) -> list[int]:
    """Write voxels that nobody else does, all in the first chunk; the revisions made."""
    volume = opened(volume)
    revisions = []
    for number in range(edits):
        with volume.edit(f"writer-{who}") as edit:
            edit[0, who, number] = 1000 * (who + 1) + number
        revisions.append(edit.revision)
    return revisions


def sweep(volume: labelog.Volume | str, who: int, edits: int) -> None:
    """Fill the whole volume with one label, again and again: a reader that sees two labels has seen half an edit."""
    volume = opened(volume)
    for number in range(edits):
        with volume.edit(f"sweeper-{who}") as edit:
            edit[:] = 1000 * (who + 1) + number


def look(volume: labelog.Volume | str, upto: int, mode: labelog.engine.volume.Mode = "r+") -> int:
    """Read until a revision is there: every revision is whole, never changes, and they never go back."""
    volume = labelog.open(volume, mode) if isinstance(volume, str) else volume
    looks = seen = 0
    pinned = volume.at()
    first = pinned[:]
    while seen < upto:
        snapshot = volume.at()
        labels = snapshot[:]
        assert snapshot.revision >= seen, f"revision {snapshot.revision} after {seen}"
        assert len(np.unique(labels)) == 1, f"half an edit at revision {snapshot.revision}: {np.unique(labels)}"
        assert np.array_equal(labels, snapshot[:]), f"revision {snapshot.revision} has changed"
        assert np.array_equal(first, pinned[:]), f"revision {pinned.revision} has changed"
        assert len(np.unique(volume[:])) == 1
        seen = snapshot.revision
        looks += 1
    return looks


def fold(path: str, upto: int) -> int:
    """Compact again and again until a revision is there, and once more; how many chunks were folded."""
    with labelog.open(path) as volume:
        folded = 0
        while volume.revision < upto:
            folded += volume.compact()
        return folded + volume.compact()


def send(volume: labelog.Volume | str, key: str, label: int, empty: bool = False) -> tuple[Any, ...]:
    """An edit with a key; what it says it did."""
    volume = opened(volume)
    with volume.edit("ana", key=key) as edit:
        if empty:
            edit.relabel({999: 5})
        else:
            edit[0, :4] = label
    return edit.revision, edit.voxels, edit.written


def follow(path: str, upto: int) -> list[int]:
    """The revisions that `watch` tells of, until one."""
    with labelog.open(path, "r") as volume:
        found = []
        for commit in volume.watch(since=0, timeout=PATIENCE):
            found.append(commit.revision)
            if commit.revision >= upto:
                break
        return found
