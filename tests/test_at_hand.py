"""What is said to be at hand is read without a file and without a question to the journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import labelog
from labelog.engine.snapshot import Revision
from labelog.storage.base import Base
from labelog.storage.sqlite import SqliteJournal

SHAPE, CHUNKS = (8, 32, 32), (4, 8, 8)
BOX = labelog.Box((1, 3, 3), (3, 20, 20))


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[labelog.Volume]:
    labels = np.random.default_rng(1).integers(0, 6, SHAPE).astype(np.uint64)
    labelog.load(tmp_path / "v.labelog", labels, chunks=CHUNKS).close()
    with labelog.open(tmp_path / "v.labelog") as volume:
        yield volume


@contextmanager
def nothing_asked() -> Iterator[None]:
    """Of this thread: the keeper, which looks after the volume meanwhile, may ask what it likes."""
    reader = threading.get_ident()

    def refused(asked: Callable[..., object]) -> Callable[..., object]:
        def ask(*args: object, **options: object) -> object:
            assert threading.get_ident() != reader, "a file or the journal was asked"
            return asked(*args, **options)

        return ask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteJournal, "reading", refused(SqliteJournal.reading))
        patch.setattr(Base, "read", refused(Base.read))
        yield


def at_hand(seen: Revision, box: labelog.Box = BOX) -> bool:
    """The same; if it is so, then reading must ask for nothing."""
    found = seen.at_hand(box)
    if found:
        with nothing_asked():
            seen.read(box)
            seen.version(box)
    return found


def test_what_was_read_is_at_hand_and_nothing_else(volume: labelog.Volume) -> None:
    assert not at_hand(volume.at())
    values = volume.at().read(BOX)
    assert at_hand(volume.at())
    assert not at_hand(volume.at(), labelog.Box((1, 3, 3), (3, 20, 28)))
    assert np.array_equal(volume.at().read(BOX), values)


def test_what_was_written_here_is_at_hand_at_the_head_only(volume: labelog.Volume) -> None:
    volume.at().read(BOX)
    with volume.edit("ana") as edit:
        edit[1, 3:6, 3:9] = 9
    assert at_hand(volume.at(1))
    assert not at_hand(volume.at(0))  # who asks for what was before the head asks the journal when that was
    untouched = labelog.Box((1, 16, 16), (3, 20, 20))
    assert at_hand(volume.at(0), untouched)


def test_what_an_edit_writes_over_is_read_before_its_turn(volume: labelog.Volume) -> None:
    def paint() -> None:
        with volume.edit("ana") as edit:
            edit[1, 3:6, 3:9] = 9

    painter = threading.Thread(target=paint)
    touched = labelog.Box((1, 3, 3), (2, 6, 9))
    with volume.store.journal.turn():  # somebody else's
        painter.start()
        deadline = time.monotonic() + 20
        while not at_hand(volume.at(), touched) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert at_hand(volume.at(), touched)
        assert painter.is_alive()
    painter.join()
    assert (volume[1, 3:6, 3:9] == 9).all()


def test_what_others_wrote_is_not_at_hand(volume: labelog.Volume) -> None:
    volume.at().read(BOX)
    before = volume.at()
    with labelog.open(volume.address) as other, other.edit("bo") as edit:
        edit[1, 3:6, 3:9] = 9
    assert at_hand(before)  # nobody has told this handle
    assert not at_hand(volume.at())
    volume.at().read(BOX)
    assert at_hand(volume.at())


def test_merged_labels_are_at_hand_once_they_were_looked_up(volume: labelog.Volume) -> None:
    volume.at().read(BOX)
    with volume.edit("ana") as edit:
        edit.merge(3, [4])
    assert not at_hand(volume.at())
    volume.at().read(BOX)
    assert at_hand(volume.at())


@pytest.mark.parametrize("scale", [1, -1])
def test_coarser_scales_too(volume: labelog.Volume, scale: int) -> None:
    box = labelog.Box((0, 0, 0), volume.scale(scale).shape)
    assert not at_hand(volume.at().scale(scale), box)
    volume.scale(scale).read(box)
    assert at_hand(volume.at().scale(scale), box)
    with volume.edit("ana") as edit:
        edit[1, 3:6, 3:9] = 9
    assert not at_hand(volume.at().scale(scale), box)


def test_what_is_forgotten_is_not_at_hand(tmp_path: Path, volume: labelog.Volume) -> None:
    with labelog.open(volume.address, "r", cache_bytes=0) as poor:
        poor.at().read(BOX)
        assert not at_hand(poor.at())


def test_a_view_with_regions_is_not(volume: labelog.Volume) -> None:
    seen = volume.view(unannotated=99)
    seen.read(BOX)
    assert not at_hand(seen)
