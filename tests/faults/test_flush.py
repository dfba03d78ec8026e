"""A flush to disk fails: the volume takes no more writes until it is opened again."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

import labelog
from faults import strokes


def _child(path: str, victim: str, pipe: Connection) -> None:
    try:
        pipe.send(_fail_once(path, victim))
    except BaseException as error:
        pipe.send(repr(error))


def _fail_once(path: str, victim: str) -> list[str]:
    """Let one flush of a file fail in the midst of work; what was seen then, told one after the other."""
    failing: list[str] = []
    _break_flushes(failing)
    volume = labelog.open(path)
    strokes.commit(volume, volume.revision + 1)
    acknowledged = volume.revision
    seen = []
    failing.append(victim)
    try:
        if victim.endswith("-wal"):
            strokes.commit(volume, acknowledged + 1)
        else:
            volume.compact()
    except labelog.LabelogError as error:
        seen.append(f"{type(error).__name__}: {error}")
    failing.clear()
    for _ in range(2):  # the disk is well again, but nobody knows what it has lost
        try:
            strokes.commit(volume, acknowledged + 1)
        except labelog.ReadOnly as error:
            seen.append(f"ReadOnly: {error}")
    assert np.array_equal(volume[:], strokes.expected(acknowledged))
    volume.close()
    return seen


def _break_flushes(failing: list[str]) -> None:
    class File(apsw.VFSFile):
        def __init__(self, name: Any, flags: list[int]) -> None:
            self.name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
            super().__init__("unix", name, flags)

        def xSync(self, flags: int) -> None:
            if any(self.name.endswith(name) for name in failing):
                error = apsw.IOError("a failed flush")
                error.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]
                raise error
            super().xSync(flags)

    class Vfs(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("flushes", "unix", makedefault=True)

        def xOpen(self, name: Any, flags: list[int]) -> File:
            return File(name, flags)

    _break_flushes.vfs = Vfs()  # type: ignore[attr-defined]


@pytest.mark.parametrize("victim", ["journal.sqlite-wal", "journal.sqlite"], ids=["commit", "checkpoint"])
def test_a_failed_flush_ends_writing_until_reopened(tmp_path: Path, victim: str) -> None:
    path = tmp_path / "flush.labelog"
    strokes.create(path)
    mine, its = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=_child, args=(str(path), victim, its))
    child.start()
    its.close()
    seen = mine.recv()
    child.join()
    assert isinstance(seen, list), seen
    failed, *refused = seen
    assert failed.startswith("LabelogError:") and str(path / "journal.sqlite") in failed
    assert len(refused) == 2
    assert all("until reopened" in sentence and str(path) in sentence for sentence in refused)
    with labelog.open(path) as volume:
        revision = volume.revision
        assert revision in (1, 2)  # of a commit whose flush failed nobody knows
        assert np.array_equal(volume[:], strokes.expected(revision))
        strokes.commit(volume, revision + 1)
    assert strokes.faults(path, revision + 1) == []
