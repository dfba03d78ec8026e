"""Large commits beside small ones: made before their turn, handed over in pieces that nobody sees, shown as a whole."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelog
import oracles
from concurrency import writers
from labelog.engine import change, parcel
from labelog.engine.parcel import Parcel
from labelog.engine.store import NICE, Store
from labelog.storage.commits import Turn

SHAPE, CHUNKS = (4, 48, 48), (2, 8, 8)
PAINTERS = 8
KILLS = 8


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = tmp_path / "large.labelog"
    labelog.load(path, np.ones(SHAPE, np.uint8), chunks=CHUNKS).close()
    return str(path)


def opened(path: str, large: int = 2, piece: int = 2000) -> labelog.Volume:
    """A handle for which a few chunks are many, and a few bytes a piece."""
    volume = labelog.open(path)
    volume.committer.large, volume.committer.piece = large, piece
    return volume


def inside(box: labelog.Box) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[box.slices()] = True
    return mask


def left_over(volume: labelog.Volume) -> list[int]:
    with volume.store.journal.reading() as journal:
        return journal.unpublished()


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], Any]]]:
    """What is in the list is called, once each, when pieces of a large commit have been handed over."""
    waiting: list[Callable[[], Any]] = []
    hand_over = Parcel._hand_over

    def handing_over(parcel: Parcel) -> None:
        hand_over(parcel)
        if waiting:
            waiting.pop(0)()

    monkeypatch.setattr(Parcel, "_hand_over", handing_over)
    yield waiting
    assert waiting == [], "so many pieces were not handed over"


# Beside others, for real


def paint(path: str, number: int, stop: Any) -> list[tuple[int, labelog.Box, int]]:
    """Paint small boxes with labels of one's own until told to stop: revision, box, label of each."""
    chance = random.Random(number)
    done = []
    with labelog.open(path) as volume:
        while not stop.is_set():
            start = [chance.randrange(n - 3) for n in (SHAPE[0], 24, 24)]
            box = labelog.Box(tuple(start), tuple(n + 3 for n in start))  # type: ignore[arg-type]
            with volume.edit(f"painter-{number}") as edit:
                edit[box.slices()] = 10 + number
            done.append((edit.revision, box, 10 + number))
            time.sleep(0.15)
    return done  # type: ignore[return-value]


def enlarge(path: str, stop: Any) -> list[tuple[int, np.ndarray, int]]:
    """Give all voxels of one label another, again and again, and undo it sometimes: revision, mask, label of each."""
    done = []
    with opened(path, large=8, piece=4000) as volume:
        for number in range(4):
            old, new = (1, 2) if (volume[...] == 1).any() else (2, 1)
            with volume.edit("large") as edit:
                if number % 4 == 3:
                    mask = np.ones(SHAPE, bool)
                    edit[...] = new
                else:
                    mask = edit[...] == old
                    edit.relabel({old: new})
            assert edit.revision is not None
            done.append((edit.revision, mask, new))
            if number % 3 == 2:
                volume.undo("large")
                volume.redo("large")
    stop.set()
    return done


def look(path: str, stop: Any) -> int:
    """Read all the time: the two labels that take turns are never both there. How often both were seen in turn."""
    seen = []
    with labelog.open(path, "r") as volume:
        while not stop.is_set():
            there = {1, 2} & set(np.unique(volume[...]).tolist())
            assert len(there) < 2, "half of a large edit was seen"
            seen += [there] if seen[-1:] != [there] else []
    return len(seen)


@pytest.mark.parametrize("processes", [True, False])
def test_painters_and_readers_beside_large_edits(path: str, processes: bool) -> None:
    context: Any = multiprocessing.get_context("fork") if processes else threading
    stop = context.Event()
    jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [(paint, (path, n, stop)) for n in range(PAINTERS)]
    *painted, large, turns = writers.together([*jobs, (enlarge, (path, stop)), (look, (path, stop))],
                                              processes=processes)  # fmt: skip
    assert turns > 1 and all(painted)
    with labelog.open(path) as volume:
        writes = [(revision, inside(box), label) for done in painted for revision, box, label in done]
        order = sorted([*writes, *large], key=lambda write: write[0])
        edits = [(mask, np.full(SHAPE, label, np.uint64)) for _, mask, label in order]
        assert (volume[...] == oracles.replay(np.ones(SHAPE, np.uint64), edits)).all()
        assert left_over(volume) == []
        assert volume.check().problems == []


def test_what_others_change_meanwhile_is_made_again(path: str, between: list[Callable[[], Any]]) -> None:
    assert beside_a_stroke(path, between) == []


def test_that_is_noticed_if_it_is_not_made_again(path: str, between: list[Callable[[], Any]],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    opening = Parcel.open
    monkeypatch.setattr(Parcel, "open", lambda parcel, *told: [
        chunk for chunk in opening(parcel, *told) if chunk not in parcel.made])  # fmt: skip
    assert beside_a_stroke(path, between) != []


def beside_a_stroke(path: str, between: list[Callable[[], Any]]) -> list[str]:
    """Relabel everything while somebody paints what was handed over already; what is wrong then."""
    with opened(path) as volume, labelog.open(path) as other:

        def stroke() -> None:
            with other.edit("ana") as edit:
                edit[0, :10, :10] = 7
            assert (other[0, :10, :10] == 7).all() and (other[1] == 1).all()
            assert other.check().problems == []
            with other.edit("bo") as edit:
                edit[3, 40:, 40:] = 8

        between += [lambda: None, stroke]
        with volume.edit("large") as edit:
            edit.relabel({1: 2})
        wrong = [] if edit.revision == 3 and (volume[...] == 2).all() and (other[...] == 2).all() else ["the edit"]
        volume.undo("large")
        expected = np.ones(SHAPE, np.uint64)
        expected[0, :10, :10], expected[3, 40:, 40:] = 7, 8
        wrong += [] if (other[...] == expected).all() else ["the undo"]
        blamed = volume.blame()
        wrong += [] if (blamed[0, :10, :10] == 1).all() and (blamed[1] == 0).all() else ["blame"]
        return wrong + other.check().problems


def test_undo_beside_strokes_and_another_undo(path: str, between: list[Callable[[], Any]]) -> None:
    with opened(path) as volume, labelog.open(path) as other:
        with other.edit("bo") as edit:
            edit[0] = 5
        with volume.edit("large") as edit:
            edit[...] = 2

        def meanwhile() -> None:
            other.undo("bo")
            with other.edit("ana") as edit:
                edit[1, :4] = 7

        between.append(meanwhile)
        commit = volume.undo("large")
        assert (commit.revision, commit.left_alone) == (5, 4 * 48)
        expected = np.ones(SHAPE, np.uint64)
        expected[1, :4] = 7
        assert (other[...] == expected).all()
        volume.redo("large")
        with pytest.raises(labelog.Conflict, match="192 of the voxels"):
            volume.undo("large", strict=True)
        assert left_over(volume) == []
        assert volume.check().problems == []


def test_the_same_undo_is_not_done_twice(path: str, between: list[Callable[[], Any]]) -> None:
    """Two of one author's large edits, undone from two windows at once: each undoes another."""
    with opened(path) as volume, opened(path) as other:
        for label in (2, 3):
            with volume.edit("large") as edit:
                edit[...] = label
        between.append(lambda: other.undo("large"))
        commit = volume.undo("large")
        assert commit.targets == (1,) and volume.commit(3).targets == (2,)
        assert (other[...] == 1).all()
        assert left_over(volume) == []
        assert volume.check().problems == []


def test_two_large_edits_at_once(path: str, between: list[Callable[[], Any]]) -> None:
    with opened(path) as volume, opened(path) as other:

        def fill() -> None:
            with other.edit("bo") as edit:
                edit[:, :40] = 3

        between += [lambda: None, fill]
        with volume.edit("ana") as edit:
            edit[:, 8:] = 2
        assert edit.revision == 2
        assert (volume[:, :8] == 3).all() and (volume[:, 8:] == 2).all()
        assert (volume.at(1)[:, :40] == 3).all() and (volume.at(1)[:, 40:] == 1).all()
        volume.revert(author="bo", by="lee")
        assert (other[:, :8] == 1).all() and (other[:, 8:] == 2).all()
        assert volume.check().problems == []


def test_merges_meanwhile_count(path: str, between: list[Callable[[], Any]]) -> None:
    """A voxel keeps its label if that is of the body which it is given: as of the commit, not of when it was made."""
    with opened(path, piece=200) as volume, labelog.open(path) as other:
        with volume.edit("ana") as edit:
            edit[:, :, :24] = 5
            for label in (6, 7, 8):
                edit.assign(label, name=str(label))
            edit.merge(7, [8])

        def merge() -> None:
            with other.edit("bo") as edit:
                edit.merge(6, [5])

        between += [lambda: None, merge]
        with volume.edit("large") as edit:
            edit[...] = 6
        assert set(np.unique(volume.view("fragment")[:, :, :24])) == {5}
        assert set(np.unique(volume.view("fragment")[:, :, 24:])) == {6}
        between.append(lambda: other.undo("bo"))
        with volume.edit("large") as edit:
            edit[...] = 6
        assert set(np.unique(volume.view("fragment")[...])) == {6}
        assert volume.check().problems == []


def test_merges_meanwhile_do_not_mix_with_those_asked_for(path: str, between: list[Callable[[], Any]]) -> None:
    """2 would be of one body with 5 if 3 were still of the body of 2, and 4 already of that of 6."""
    with opened(path, piece=200) as volume, labelog.open(path) as other:
        with volume.edit("ana") as edit:
            edit[...] = 2
            for label in range(3, 8):
                edit.assign(label, name=str(label))
            edit.merge_all([(7, 2), (7, 3), (4, 5)])

        def change() -> None:
            with other.edit("bo") as edit:
                edit.merge(6, [4])
                edit.cleave(3)

        between.append(change)
        with volume.edit("large") as edit:
            edit.merge(6, [3])
            edit[...] = 5
        assert set(np.unique(volume.view("fragment")[...])) == {5}
        assert [volume.labels[label].id for label in (2, 3, 5)] == [7, 6, 6]
        assert volume.check().problems == []


def test_seen_and_keys(path: str, between: list[Callable[[], Any]]) -> None:
    def stroke() -> None:
        with other.edit("bo") as edit:
            edit[0, 0, :5] = 9

    with opened(path) as volume, labelog.open(path) as other:
        between.append(stroke)
        with pytest.raises(labelog.Conflict, match="5 of the voxels") as caught, volume.edit("ana", seen=0) as edit:
            edit[...] = 2
        assert caught.value.box == labelog.Box((0, 0, 0), (1, 1, 5))
        assert volume.revision == 1 and left_over(volume) == []
        for _ in range(2):
            with volume.edit("ana", key="k") as edit:
                edit[...] = 2
            assert (edit.revision, edit.voxels) == (2, 4 * 48 * 48)
        assert left_over(volume) == []
        assert volume.check().problems == []


def test_a_label_that_is_not_there_yet_shows_nowhere(path: str, between: list[Callable[[], Any]]) -> None:
    with opened(path) as volume, labelog.open(path) as other:

        def asking() -> None:
            assert other.check().problems == []
            assert other.view("instance").dtype == np.uint8
            with pytest.raises(labelog.NotFound):
                other.labels[300]
            assert [label.id for label in other.labels] == [1]

        between.append(asking)
        with volume.edit("ana") as edit:
            edit[...] = 300
        assert [label.id for label in other.labels] == [300]


# What fails, or dies


@pytest.mark.parametrize("error", [labelog.OutOfSpace, KeyboardInterrupt])
def test_a_failure_leaves_nothing(path: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    add, pieces = Turn.add_deltas, []

    def failing(turn: Turn, deltas: Any, parcel: int = 0) -> None:
        pieces.append(parcel)
        if len(pieces) == 4:
            raise error("the disk is full, or somebody has had enough")
        add(turn, deltas, parcel)

    with opened(path) as volume:
        monkeypatch.setattr(Turn, "add_deltas", failing)
        with pytest.raises(error), volume.edit("ana") as edit:
            edit[...] = 2
        assert pieces[0] > 0 and len(pieces) == 4
        assert volume.revision == 0 and (volume[...] == 1).all() and left_over(volume) == []
        with volume.store.journal.reading() as journal:
            assert journal.rows("SELECT * FROM deltas") == journal.rows("SELECT * FROM parcels") == []
            assert journal.haunted(2) == []
        with volume.edit("ana") as edit:
            edit[...] = 3
        assert (volume[...] == 3).all()
        assert volume.check().problems == []


def test_an_interrupt_on_the_way_says_only_that(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that there was more to do than fits in a turn, with all there was to do."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parcel, "worked_out", interrupted)
    with opened(path) as volume:
        with pytest.raises(KeyboardInterrupt) as failed, volume.edit("ana") as edit:
            edit[...] = 2
        assert failed.value.__context__ is None
        assert volume.revision == 0 and left_over(volume) == []


def test_a_chunk_that_fails_in_the_turn_leaves_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads work out the chunks of one turn; what fails in one of them fails the commit."""
    work_out, threads = change.worked_out, set()

    def failing(store: Store, work: change.Work, plan: change.Plan) -> change.Change:
        threads.add(threading.get_ident())
        if plan.chunk == 8:
            raise labelog.OutOfSpace("for chunk 8")
        time.sleep(0.01)
        return work_out(store, work, plan)

    with labelog.open(path, threads=2) as volume:
        monkeypatch.setattr(change, "worked_out", failing)
        with pytest.raises(labelog.OutOfSpace, match="for chunk 8"), volume.edit("ana") as edit:
            edit[:2, :16, :40] = 2
        assert len(threads) == 2
        assert volume.revision == 0 and (volume[...] == 1).all()
        monkeypatch.undo()
        with volume.edit("ana") as edit:
            edit[:2, :16, :40] = 3
        assert (volume[:2, :16, :40] == 3).all() and (volume[...] == 3).sum() == 2 * 16 * 40
        assert volume.check().problems == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no niceness of their own")
def test_threads_of_large_edits_stand_back(path: str) -> None:
    def niceness(_: int) -> int:
        time.sleep(0.01)
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    own = niceness(0)
    with labelog.open(path, threads=2) as volume:
        for _ in range(2):
            assert set(volume.store.ahead(niceness, range(4), 2**30)) == {min(own + NICE, 19)}
            assert set(volume.store.mapped(niceness, range(4), 2**30)) == {own} == {niceness(0)}


def fill_slowly(path: str, ready: Any) -> None:
    with opened(path, piece=500) as volume:
        ready.send(True)
        for label in (2, 3, 4):
            with volume.edit("large") as edit:
                edit[...] = label


def test_a_large_writer_that_is_killed_leaves_nothing_to_be_seen(path: str) -> None:
    chance = random.Random(7)
    context = multiprocessing.get_context("fork")
    orphans = 0
    for number in range(KILLS):
        reading, writing = context.Pipe(duplex=False)
        child = context.Process(target=fill_slowly, args=(path, writing))
        child.start()
        assert reading.poll(writers.PATIENCE)
        time.sleep(chance.random() * 0.1)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        with labelog.open(path) as volume:
            assert len(np.unique(volume[...])) == 1
            assert volume.check().problems == []
            orphans += len(left_over(volume))
            with volume.edit("ana") as edit:
                edit[...] = 1
            volume.undo("ana")
            if number % 2:
                volume.compact()
                assert left_over(volume) == []
            assert volume.check().problems == []
    assert orphans > 1


def test_compact_leaves_alone_what_somebody_is_at_work_with(path: str, between: list[Callable[[], Any]]) -> None:
    with opened(path) as volume, labelog.open(path) as other:
        between += [lambda: None, other.compact]
        with volume.edit("large") as edit:
            edit[...] = 2
        assert (other[...] == 2).all()
        other.compact()
        assert other.check().problems == []
