"""`mode="r"` writes nothing, needs no right to write, and sees what other processes commit."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

import labelog
from faults import strokes

NOBODY = 65534


def state(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file and folder: its size, its time of last change and its bytes."""
    found = {}
    for place in [path, *path.rglob("*")]:
        facts = place.stat()
        data = place.read_bytes() if place.is_file() else b""
        found[str(place.relative_to(path))] = facts.st_size, facts.st_mtime_ns, data
    return found


def use(volume: labelog.Volume) -> int:
    """Everything that can be done by reading; the revision."""
    revision = volume.revision
    for at in range(0, revision + 1, 5):
        assert np.array_equal(volume.at(at)[:], strokes.expected(at))
    assert len(list(volume.history())) == revision + 1
    volume.blame()
    assert volume.check().problems == []
    with pytest.raises(labelog.ReadOnly), volume.edit("ana") as edit:
        edit[0] = 1
    with pytest.raises(labelog.ReadOnly):
        volume.undo(strokes.AUTHOR)
    with pytest.raises(labelog.ReadOnly):
        volume.compact()
    return revision


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A volume that was closed, with folded chunks and others."""
    path = tmp_path / "read.labelog"
    strokes.create(path)
    with labelog.open(path) as volume:
        for revision in range(1, 21):
            strokes.commit(volume, revision)
            if revision == 10:
                volume.compact()
    return path


@pytest.fixture
def frozen(path: Path) -> Iterator[Path]:
    """The volume's folder without rights to write, where nobody (if this is root) can get to."""
    for place in [path, *path.rglob("*")]:
        place.chmod(0o555 if place.is_dir() else 0o444)
    parents = [parent for parent in path.parents if os.getuid() == 0 and not parent.stat().st_mode & stat.S_IXOTH]
    before = [(parent, parent.stat().st_mode) for parent in parents]
    for parent, mode in before:
        parent.chmod(mode | stat.S_IXOTH)
    yield path
    for parent, mode in before:
        parent.chmod(mode)
    for volume in path.parent.iterdir():
        for place in [volume, *volume.rglob("*")]:
            place.chmod(0o755)


def as_nobody(path: Path, mode: str) -> str:
    """What comes of using a volume in a process that may not write to it, even if this one is root's."""
    mine, its = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_use, args=(str(path), mode, its))
    child.start()
    its.close()
    try:
        return str(mine.recv())
    finally:
        child.join()


def _use(path: str, mode: labelog.engine.volume.Mode, pipe: Connection) -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    assert not os.access(path, os.W_OK)
    try:
        with labelog.open(path, mode) as volume:
            pipe.send(use(volume) if mode == "r" else strokes.commit(volume, volume.revision + 1))
    except labelog.LabelogError as error:
        pipe.send(f"{type(error).__name__}: {error}")
    except BaseException as error:
        pipe.send(repr(error))


def without(path: Path, *endings: str) -> Path:
    """A copy of a volume of which some of the journal's files were left behind."""
    copy = path.with_name("copy.labelog")
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns(*(f"*-{ending}" for ending in endings)))
    return copy


LEFT_OUT = pytest.mark.parametrize("left_out", [(), ("shm",), ("wal",), ("wal", "shm")], ids="+".join)


@LEFT_OUT
def test_reading_writes_nothing(path: Path, left_out: tuple[str, ...]) -> None:
    copy = without(path, *left_out)
    before = state(copy)
    with labelog.open(copy, "r") as volume:
        assert use(volume) == 20
    assert state(copy) == before


@LEFT_OUT
def test_reading_needs_no_right_to_write(frozen: Path, left_out: tuple[str, ...]) -> None:
    copy = without(frozen, *left_out)
    before = state(copy)
    assert as_nobody(copy, "r") == "20"
    assert state(copy) == before


def test_opening_to_write_without_the_right_says_so(frozen: Path) -> None:
    said = as_nobody(frozen, "r+")
    assert said.startswith("ReadOnly:") and str(frozen) in said


def test_reading_a_log_that_a_killed_process_left(path: Path) -> None:
    with labelog.open(path) as volume:
        strokes.commit(volume, 21)
        copy = without(path)  # as it is on the disk now
    before = state(copy)
    with labelog.open(copy, "r") as volume:
        assert volume.revision == 21 and np.array_equal(volume[:], strokes.expected(21))
    assert state(copy) == before


def test_a_log_without_its_index_is_not_passed_over(path: Path) -> None:
    with labelog.open(path) as volume:
        strokes.commit(volume, 21)
        copy = without(path, "shm")
        lost = path.with_name("lost.labelog")
        shutil.copytree(copy, lost, ignore=shutil.ignore_patterns("*-wal"))
    with pytest.raises(labelog.ReadOnly, match=r'mode="r\+"'):
        labelog.open(copy, "r")
    labelog.open(copy).close()
    with labelog.open(copy, "r") as volume:
        assert volume.revision == 21
    with pytest.raises(labelog.Corrupt, match=r"lost commits.* revision 21"):
        labelog.open(lost, "r")


def test_a_log_of_a_header_only_is_none(path: Path) -> None:
    """A process killed at the right moment leaves that, and SQLite cannot read it without writing."""
    copy = without(path)
    with labelog.open(path) as volume:
        strokes.commit(volume, 21)
        (copy / "journal.sqlite-wal").write_bytes((path / "journal.sqlite-wal").read_bytes()[:32])
    before = state(copy)
    with labelog.open(copy, "r") as volume:
        assert use(volume) == 20
    assert state(copy) == before


@LEFT_OUT
def test_readers_see_what_others_commit(path: Path, left_out: tuple[str, ...]) -> None:
    copy = without(path, *left_out)
    with labelog.open(copy, "r") as reader:
        pinned = reader.at()
        for revision in range(21, 40):
            with labelog.open(copy) as writer:  # a new one each time: it copies the log into the database, too
                assert reader.revision == revision - 1
                strokes.commit(writer, revision)
                assert reader.revision == revision
                assert np.array_equal(reader[:], strokes.expected(revision))
        assert reader.revision == 39
        assert np.array_equal(pinned[:], strokes.expected(20))
        assert reader.check().problems == []


@pytest.mark.parametrize("found", ["nothing wrong", "what seems damaged"])
def test_a_database_at_rest_that_is_written_to_meanwhile(path: Path, found: str) -> None:
    """What was read could be of before and after; and what seems damaged need not be."""
    copy = without(path, "shm", "wal")
    with labelog.open(copy, "r") as reader:
        journal = reader.store.journal
        with pytest.raises(labelog.LabelogError, match="written to while it was read; ask again"), journal.reading():
            child = multiprocessing.get_context("spawn").Process(target=_write, args=(copy,))
            child.start()
            child.join()
            assert child.exitcode == 0
            if found == "what seems damaged":
                raise labelog.Corrupt("two rows of one revision")
        assert reader.revision == 21 and np.array_equal(reader[:], strokes.expected(21))


def _write(path: Path) -> None:
    with labelog.open(path) as volume:
        strokes.commit(volume, 21)


@pytest.mark.parametrize("ends_with", ["mended", "left torn"])
def test_an_index_that_is_half_written(path: Path, ends_with: str) -> None:
    """What a reader sees in the moment in which a commit of another process writes the index's header."""
    mine, its = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_tear, args=(path, its))
    child.start()
    assert mine.recv() == "committed"
    try:
        with labelog.open(path, "r") as reader:
            assert np.array_equal(reader[:], strokes.expected(21))
            mine.send("tear")
            assert mine.recv() == "torn"
            if ends_with == "mended":
                mine.send("mend in a while")
                assert len(list(reader.history())) == 22
                assert mine.recv() == "mended", "the reader did not wait for it"
            else:
                with pytest.raises(labelog.ReadOnly, match=r'shm.* half written.* mode="r\+"'):
                    list(reader.history())
                mine.send("mend in a while")
                assert mine.recv() == "mended"
                assert len(list(reader.history())) == 22
    finally:
        mine.send("end")
        child.join()


def _tear(path: Path, pipe: Connection) -> None:
    """Commit, then make the two copies of the index's header differ, as between a writer's two writes, and mend it."""
    with labelog.open(path) as volume:
        strokes.commit(volume, 21)
        pipe.send("committed")
        if pipe.recv() == "tear":
            with open(path / "journal.sqlite-shm", "r+b", buffering=0) as index:
                header = os.pread(index.fileno(), 48, 0)
                os.pwrite(index.fileno(), header[:8] + bytes(byte ^ 1 for byte in header[8:12]) + header[12:], 48)
                pipe.send("torn")
                pipe.recv()
                time.sleep(0.1)
                os.pwrite(index.fileno(), header, 48)
                pipe.send("mended")
            pipe.recv()
