"""The mark in the file `lock` spares handles the question what is newest, and never hides a commit from them."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import apsw
import pytest

import labelog
from faults import strokes
from labelog.storage import mark
from labelog.storage.connections import Connections


@pytest.fixture
def path(tmp_path: Path) -> Path:
    strokes.create(tmp_path / "v.labelog")
    with labelog.open(tmp_path / "v.labelog") as volume:
        strokes.commit(volume, 1)
    return tmp_path / "v.labelog"


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the journal is asked for."""
    asked: list[str] = []
    value = Connections.value

    def asking(self: Connections, query: str) -> object:
        asked.append(query)
        return value(self, query)

    monkeypatch.setattr(Connections, "value", asking)
    return asked


def _commit(path: Path, revision: int) -> None:
    with labelog.open(path) as volume:
        strokes.commit(volume, revision)


def commit_elsewhere(path: Path, revision: int) -> None:
    """In another process."""
    process = multiprocessing.Process(target=_commit, args=(path, revision))
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_the_journal_is_asked_only_when_the_mark_has_changed(path: Path, mode: labelog.engine.volume.Mode,
                                                             questions: list[str]) -> None:  # fmt: skip
    with labelog.open(path, mode) as volume:
        assert volume.revision == 1
        questions.clear()
        assert [volume.revision for _ in range(5)] == [1] * 5
        assert questions == []
        commit_elsewhere(path, 2)
        assert volume.revision == 2
        assert len(questions) == 1
        if mode == "r+":
            strokes.commit(volume, 3)
            assert volume.revision == 3
            assert len(questions) == 1


def test_a_commit_under_way_is_looked_for(path: Path, questions: list[str]) -> None:
    """Zeros are what somebody leaves who is killed between a commit and its mark."""
    with labelog.open(path, "r") as volume:
        assert volume.revision == 1
        commit_elsewhere(path, 2)
        (path / "lock").write_bytes(mark.UNDER_WAY)
        assert [volume.revision for _ in range(3)] == [2] * 3
        questions.clear()
        assert volume.revision == 2
        assert len(questions) == 1


@pytest.mark.parametrize("length", [0, 7, None])
def test_without_a_mark_the_journal_is_asked(path: Path, length: int | None) -> None:
    """A lock file that is empty, cut, or removed while the volume is open."""
    with labelog.open(path, "r") as volume:
        assert volume.revision == 1
        if length is None:
            (path / "lock").unlink()
        else:
            (path / "lock").write_bytes((path / "lock").read_bytes()[:length])
        commit_elsewhere(path, 2)
        assert volume.revision == 2
    assert len((path / "lock").read_bytes()) == mark.SIZE


def test_a_volume_at_rest_without_the_file_is_asked_once(path: Path, questions: list[str]) -> None:
    """As on a medium that is read only, to which it was not copied."""

    def put_down() -> None:
        (path / "lock").unlink()
        an_hour_ago = time.time() - 3600
        os.utime(path / "journal.sqlite", (an_hour_ago, an_hour_ago))
        questions.clear()

    with labelog.open(path, "r") as volume:
        put_down()
    with labelog.open(path, "r") as volume:
        assert [volume.revision for _ in range(5)] == [1] * 5
        assert len(questions) == 1
        commit_elsewhere(path, 2)
        assert volume.revision == 2
    put_down()
    with labelog.open(path, "r") as volume, labelog.open(path) as writer:
        assert volume.revision == 2
        strokes.commit(writer, 3)
        (path / "lock").unlink()  # its commit lies in the log
        assert [volume.revision for _ in range(3)] == [3] * 3


def test_what_has_changed_a_moment_ago_may_change_again(path: Path, questions: list[str]) -> None:
    """The time of a file's last change is too coarse to tell two changes apart that follow at once."""
    (path / "lock").unlink()
    os.utime(path / "journal.sqlite")
    with labelog.open(path, "r") as volume:
        questions.clear()
        assert [volume.revision for _ in range(5)] == [1] * 5
        assert len(questions) == 5


def test_a_commit_that_fails_leaves_a_new_mark(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (path / "lock").read_bytes()
    with labelog.open(path) as volume:
        writer = volume.store.journal._connections.writer()

        class Full:
            def __getattr__(self, name: str) -> object:
                return getattr(writer, name)

            def execute(self, query: str, *values: object) -> object:
                if query == "COMMIT":
                    raise apsw.FullError("database or disk is full")
                return writer.execute(query, *values)

        with monkeypatch.context() as patch:
            patch.setattr(volume.store.journal._connections, "_writer", Full())
            with pytest.raises(labelog.OutOfSpace):
                strokes.commit(volume, 2)
        after = (path / "lock").read_bytes()
        assert after not in (before, mark.UNDER_WAY)
        assert volume.revision == 1
        strokes.commit(volume, 2)
        assert volume.revision == 2
