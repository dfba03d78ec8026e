"""The log has room before commits need it, and a disk that has none for that still takes commits."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

import labelog
from faults import strokes
from labelog.storage import log_room


@pytest.fixture
def path(tmp_path: Path) -> Path:
    strokes.create(tmp_path / "v.labelog")
    return tmp_path / "v.labelog"


def test_commits_do_not_make_the_log_longer(path: Path) -> None:
    log = path / "journal.sqlite-wal"
    with labelog.open(path) as volume:
        sizes, revision = set(), 0
        while volume.store.journal.log_pages < log_room.STEP - log_room.COMMIT:
            revision += 1
            strokes.commit(volume, revision)
            sizes.add(log.stat().st_size)
        assert len(sizes) == 1
        for _ in range(2 * log_room.COMMIT):
            revision += 1
            strokes.commit(volume, revision)
            assert log.stat().st_size >= log_room.HEADER + volume.store.journal.log_pages * log_room.FRAME
        copy = path.with_name("copy.labelog")  # as after a crash: the log has commits, and room behind them
        shutil.copytree(path, copy)
        with labelog.open(copy) as found:
            assert found.revision == revision
            assert np.array_equal(found[:], volume[:])
            assert not found.check().problems
    assert log.stat().st_size == 0


def _commit_within(path: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with labelog.open(path) as volume:
        for revision in range(1, 9):
            strokes.commit(volume, revision)
        assert (path / "journal.sqlite-wal").stat().st_size < limit


def test_no_room_on_the_disk_leaves_the_log_as_it_was(path: Path) -> None:
    process = multiprocessing.Process(target=_commit_within, args=(path, 400_000))
    process.start()
    process.join()
    assert process.exitcode == 0
    with labelog.open(path) as volume:
        assert np.array_equal(volume[:], strokes.expected(8))
