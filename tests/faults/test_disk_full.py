"""The disk is full: an error that names it, nothing acknowledged is lost, reads go on; so do edits once there is room.

The limit is reached at many different points: a filler leaves a few pages more each time.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import labelog
from faults import strokes

PAGE = 4096
SIZE = 12 * 2**20

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tmpfs"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "labelog", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def leave(disk: Path, room: int) -> Path:
    """Fill the disk up to some bytes; the file that does so."""
    filler = disk / "filler"
    with open(filler, "ab") as file:
        space = os.statvfs(disk)
        more = space.f_bavail * space.f_frsize - room
        if more > 0:
            os.posix_fallocate(file.fileno(), 0, file.tell() + more)
    return filler


def until_full(volume: labelog.Volume, acknowledged: int, limit: int = 500) -> tuple[int, labelog.OutOfSpace | None]:
    """Commit until there is no room; the last commit acknowledged, and the error."""
    while acknowledged < limit:
        try:
            strokes.commit(volume, acknowledged + 1)
        except labelog.OutOfSpace as error:
            return acknowledged, error
        acknowledged += 1
    return acknowledged, None


def names(error: labelog.OutOfSpace, disk: Path) -> bool:
    """Whether the error says where there is no room."""
    return str(disk) in str(error) and str(error.path).startswith(str(disk))  # type: ignore[attr-defined]


def test_edits_wait_for_room(disk: Path) -> None:
    chance = random.Random(strokes.seed())
    path = disk / "full.labelog"
    strokes.create(path)
    acknowledged = 0
    for attempt in range(strokes.count(30)):
        room = chance.randrange(60) * PAGE
        with labelog.open(path) as volume, labelog.open(path, "r") as reader:
            filler = leave(disk, room)
            acknowledged, error = until_full(volume, acknowledged)
            where = f"seed {strokes.seed()}, attempt {attempt}, {room} bytes left, {acknowledged} acknowledged"
            assert error is not None and names(error, disk), where
            for handle in (volume, reader):
                assert handle.revision == acknowledged, where
                assert np.array_equal(handle[:], strokes.expected(acknowledged)), where
                assert np.array_equal(handle.at(acknowledged // 2)[:], strokes.expected(acknowledged // 2)), where
            if attempt % 3 == 0:  # with no room at all, another may open and read
                with labelog.open(path, "r") as other:
                    assert np.array_equal(other[:], strokes.expected(acknowledged)), where
            filler.unlink()
            for _ in range(2):
                strokes.commit(volume, acknowledged + 1)
                acknowledged += 1
        if attempt % 10 == 9:
            assert strokes.faults(path, acknowledged) == [], where
            shutil.rmtree(path)
            strokes.create(path)
            acknowledged = 0


def test_that_nothing_can_be_written_is_known_before(disk: Path) -> None:
    path = disk / "full.labelog"
    strokes.create(path)
    with labelog.open(path) as volume:
        volume.store.journal.refuse_unwritable()
        filler = leave(disk, 20 * PAGE)
        with pytest.raises(labelog.OutOfSpace, match=str(disk)):
            volume.store.journal.refuse_unwritable()
        filler.unlink()
        volume.store.journal.refuse_unwritable()
        strokes.commit(volume, 1)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with labelog.open(path) as volume, pytest.raises(labelog.ReadOnly, match=str(disk)):
        volume.store.journal.refuse_unwritable()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def test_folds_wait_for_room(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the background (then nobody hears of it), by `compact`, and in checkpoints."""
    for module, name in (("keeper", "FOLD_AT"), ("keeper", "KEEP_AT"), ("store", "FOLD_AT")):
        monkeypatch.setattr(f"labelog.engine.{module}.{name}", 3)
    monkeypatch.setattr("labelog.engine.keeper.CHECKPOINT_AT", 40)
    monkeypatch.setattr("labelog.storage.sqlite.CHECKPOINT_NOW", 120)
    chance = random.Random(strokes.seed())
    path = disk / "fold.labelog"
    strokes.create(path)
    acknowledged = failed = 0
    for attempt in range(strokes.count(30)):
        room = chance.randrange(40) * PAGE
        where = f"seed {strokes.seed()}, attempt {attempt}, {room} bytes left"
        with labelog.open(path) as volume:
            filler = leave(disk, room)
            acknowledged, error = until_full(volume, acknowledged, acknowledged + chance.randrange(1, 20))
            assert error is None or names(error, disk), where
            try:
                volume.compact()
            except labelog.OutOfSpace as error:
                assert names(error, disk), where
                failed += 1
            assert np.array_equal(volume[:], strokes.expected(acknowledged)), where
            filler.unlink()
            volume.compact()
            strokes.commit(volume, acknowledged + 1)
            acknowledged += 1
        assert strokes.faults(path, acknowledged) == [], where
    assert failed > 5, "the disk was never full in a fold"


@pytest.mark.parametrize("how", ["create", "load"])
def test_new_volumes_are_whole_or_not_there(disk: Path, how: str) -> None:
    labels = np.random.default_rng(1).integers(0, 2**40, (8, 64, 64), np.uint64)

    def make() -> None:
        if how == "create":
            strokes.create(disk / "new.labelog")
        else:
            labelog.load(disk / "new.labelog", labels, chunks=(2, 32, 32)).close()

    pages = 0
    while True:
        filler = leave(disk, pages * PAGE)
        try:
            make()
        except labelog.OutOfSpace as error:
            assert names(error, disk)
            assert sorted(disk.iterdir()) == [filler], f"with {pages} pages left"
        else:
            break
        filler.unlink()
        pages += 1 + pages // 8
    assert pages > 10
    with labelog.open(disk / "new.labelog", "r") as volume:
        assert np.array_equal(volume[:], labels if how == "load" else strokes.expected(0))
        assert volume.check().ok
