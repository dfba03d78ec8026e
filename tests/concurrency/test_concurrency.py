"""Threads and processes edit and read one volume at the same time."""

from __future__ import annotations

import multiprocessing
import threading
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import labelog
from concurrency import writers
from labelog.engine import commit

MANY = 8
both = pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = tmp_path / "busy.labelog"
    writers.create(path).close()
    return str(path)


def crowd(path: str, volume: labelog.Volume, processes: bool) -> str | labelog.Volume:
    """What to give to each: in a process the path, so that it opens the volume; threads share one handle."""
    return path if processes else volume


@both
def test_no_update_is_lost(path: str, processes: bool) -> None:
    edits = 12
    with labelog.open(path) as volume:
        where = crowd(path, volume, processes)
        made = writers.together([(writers.draw, (where, who, edits)) for who in range(MANY)], processes=processes)
        assert sorted(chain(*made)) == list(range(1, MANY * edits + 1))
        assert all(revisions == sorted(revisions) for revisions in made)
        expected = np.zeros(writers.SHAPE, np.uint64)
        expected[0, :MANY, :edits] = 1000 * (np.arange(MANY)[:, None] + 1) + np.arange(edits)
        assert np.array_equal(volume[:], expected)
        for who, revisions in enumerate(made):
            assert [made.revision for made in volume.history(f"writer-{who}")] == revisions[::-1]
        assert volume.check().ok
    with labelog.open(path, "r") as volume:
        assert np.array_equal(volume[:], expected)


@both
def test_readers_never_see_half_an_edit(path: str, processes: bool) -> None:
    edits = 40
    with labelog.open(path) as volume:
        where = crowd(path, volume, processes)
        jobs = [(writers.sweep, (where, who, edits)) for who in range(2)]
        jobs += [(writers.look, (where, 2 * edits))] * 2 + [(writers.look, (path, 2 * edits, "r"))]
        looks = writers.together(jobs, processes=processes)[2:]
        assert min(looks) > 1
        assert volume.revision == 2 * edits
        assert volume.check().ok


def test_processes_fold_at_the_same_time(path: str) -> None:
    jobs = [(writers.fold, (path, 60))] * 2 + [(writers.sweep, (path, 0, 60)), (writers.look, (path, 60))]
    assert sum(writers.together(jobs, processes=True)[:2]) > 0
    with labelog.open(path) as volume:
        assert volume.check().problems == []


def test_background_folds_race_with_writers(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry = {"keeper.FOLD_AT": 2, "keeper.KEEP_AT": 4, "store.FOLD_AT": 3, "keeper.CHECKPOINT_AT": 20}
    for place, value in hurry.items():
        monkeypatch.setattr(f"labelog.engine.{place}", value)
    jobs = [(writers.sweep, (path, who, 40)) for who in range(3)] + [(writers.look, (path, 120))]
    writers.together(jobs, processes=True)  # forked, so with these settings
    with labelog.open(path) as volume:
        assert volume.store.base.present()
        assert volume.check().problems == []


def test_a_first_fold_between_a_readers_steps_is_no_damage(path: str) -> None:
    """The reader has found no file of the chunk; then another process folds it, and the manifest has it."""
    with labelog.open(path) as volume, labelog.open(path) as other:
        writers.sweep(volume, 0, 3)
        read = volume.store.base.read

        def interrupted(chunk: int) -> object:
            stored = read(chunk)
            other.compact()
            return stored

        volume.store.base.read = interrupted  # type: ignore[method-assign,assignment]
        assert (volume.at(1)[:] == 1000).all()
        assert (volume.at(0)[:] == 0).all()


def test_a_check_is_not_misled_by_what_happens_meanwhile(path: str) -> None:
    stop = threading.Event()

    def toggle(volume: labelog.Volume) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            writers.draw(volume, number % MANY, 2)
            for action in (volume.undo, volume.redo, volume.undo, volume.compact):
                action(f"writer-{number % MANY}") if action != volume.compact else action()

    def verify(volume: labelog.Volume) -> list[str]:
        try:
            return [problem for _ in range(25) for problem in volume.check().problems]
        finally:
            stop.set()

    with labelog.open(path) as volume, labelog.open(path, "r") as reader:
        jobs = [(toggle, (volume,)), (verify, (volume,)), (verify, (reader,))]
        assert writers.together(jobs, processes=False)[1:] == [[], []]


def test_seen_refuses_to_overwrite_unseen_work(path: str) -> None:
    with labelog.open(path) as volume, labelog.open(path) as other:
        with other.edit("lee") as edit:
            edit[1, 4:6, 10:20] = 3
        with volume.edit("ana", seen=0) as edit:
            edit[1, 8, :] = 4  # nothing of lee's
        with pytest.raises(labelog.Conflict) as raised, volume.edit("ana", seen=0) as edit:
            edit[0:3, 5:9, 12:32] = 5
        assert raised.value.voxels == 8 + 20  # ana's own row, too: it was not there at revision 0
        assert raised.value.box == labelog.Box((1, 5, 12), (2, 9, 32))
        assert str(raised.value.voxels) in str(raised.value) and str(raised.value.box) in str(raised.value)
        assert volume.revision == 2
        with volume.edit("ana", seen=2) as edit:
            edit[0:3, 5:9, 12:32] = 5
        assert edit.revision == 3


@both
def test_a_key_is_used_once(path: str, processes: bool) -> None:
    with labelog.open(path) as volume:
        where = crowd(path, volume, processes)
        answers = writers.together([(writers.send, (where, "k", 7))] * MANY, processes=processes)
        assert set(answers) == {(1, 4 * 32, 4 * 32)}
        assert volume.revision == 1


@both
def test_a_key_of_an_edit_that_changes_nothing_is_used_once(path: str, processes: bool) -> None:
    with labelog.open(path) as volume:
        where = crowd(path, volume, processes)
        answers = writers.together([(writers.send, (where, "k", 0, True))] * MANY, processes=processes)
        assert set(answers) == {(None, 0, 0)}
        assert volume.revision == 0
        with volume.edit("ana") as edit:
            edit[3] = 999  # now the same edit would do something
        assert writers.send(volume, "k", 0, True) == (None, 0, 0)
        with pytest.raises(labelog.Conflict):
            writers.send(volume, "k", 7)


@both
def test_a_key_with_another_payload_is_a_conflict(path: str, processes: bool) -> None:
    with labelog.open(path) as volume:
        where = crowd(path, volume, processes)
        jobs = [(_outcome, (where, "k", label)) for label in range(1, MANY + 1)]
        outcomes = writers.together(jobs, processes=processes)
        assert sorted(outcomes) == ["Conflict"] * (MANY - 1) + ["revision 1"]
        assert volume.revision == 1


def _outcome(volume: labelog.Volume | str, key: str, label: int) -> str:
    try:
        return f"revision {writers.send(volume, key, label)[0]}"
    except labelog.Conflict as error:
        assert error.key == key  # type: ignore[attr-defined]
        return "Conflict"


def test_keys_are_each_authors_own(path: str) -> None:
    with labelog.open(path) as volume:
        for number, author in enumerate(["ana", "lee"]):
            for _ in range(2):
                with volume.edit(author, key="k") as edit:
                    edit[number] = 5
                assert edit.revision == number + 1
        assert volume.undo("ana", key="u").revision == volume.undo("ana", key="u").revision == 3
        assert volume.revision == 3


def test_watch_tells_of_every_commit_in_order(path: str) -> None:
    edits = 15
    jobs = [(writers.follow, (path, 3 * edits))] * 2 + [(writers.draw, (path, who, edits)) for who in range(3)]
    for followed in writers.together(jobs, processes=True)[:2]:
        assert followed == list(range(1, 3 * edits + 1))


def test_watch_ends_when_nothing_happens_or_the_volume_is_closed(path: str) -> None:
    with labelog.open(path) as volume:
        assert list(volume.watch(since=0, timeout=0.1)) == []
        closing = threading.Timer(0.2, volume.close)
        closing.start()
        assert list(volume.watch(since=0, timeout=writers.PATIENCE)) == []
        closing.join()


def test_one_failure_in_a_group_of_commits_fails_alone(path: str) -> None:
    """All queue up while the turn is held, and are then committed as one group."""
    with labelog.open(path) as volume:
        with volume.edit("lee") as edit:
            edit[0, 3] = 1
        groups = []
        publish = volume.store.published
        volume.store.published = lambda *told: (groups.append(told[1]), publish(*told))  # type: ignore
        with volume.committer._turn:
            results: dict[int, object] = {}
            threads = [threading.Thread(target=_stroke, args=(volume, row, results)) for row in range(6)]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + writers.PATIENCE
            while len(volume.committer._waiting) < 6 and time.monotonic() < deadline:
                time.sleep(0.001)
        for thread in threads:
            thread.join()
        assert isinstance(results.pop(3), labelog.Conflict)
        assert sorted(results.values()) == [2, 3, 4, 5, 6]
        assert groups == [6], "they were not one group"
        assert volume[0, :6, 0].tolist() == [10, 11, 12, 1, 14, 15]
        assert volume.check().ok


def test_a_forked_process_is_told_how_long_its_commits_take(path: str) -> None:
    with labelog.open(path) as volume:
        told: list[tuple[float, float]] = []
        volume.committer.timed = lambda *seconds: told.append(seconds)
        volume.committer.large = 7

        def commit_there() -> None:
            with volume.edit("ana") as edit:
                edit[0, 1] = 5
            assert len(told) == 1 and volume.committer.large == 7

        child = multiprocessing.get_context("fork").Process(target=commit_there)
        child.start()
        child.join()
        assert child.exitcode == 0 and volume.revision == 1 and told == []


def _stroke(volume: labelog.Volume, row: int, results: dict[int, object]) -> None:
    try:
        with volume.edit(f"writer-{row}", seen=0) as edit:
            edit[0, row] = 10 + row
        results[row] = edit.revision
    except labelog.LabelogError as error:
        results[row] = error


def test_an_interrupt_hits_one_commit_of_a_group_only(path: str) -> None:
    def interrupted(batch: commit.Batch) -> commit.Outcome:
        raise KeyboardInterrupt

    with labelog.open(path) as volume:
        committer = volume.committer
        results: dict[int, object] = {}
        threads = [threading.Thread(target=_stroke, args=(volume, row, results)) for row in range(3)]
        with committer._turn:
            for thread in threads:
                thread.start()
            own = commit._Ticket(interrupted)
            committer._waiting.append(own)
            while len(committer._waiting) < 4:
                time.sleep(0.001)
            with pytest.raises(KeyboardInterrupt):
                committer._carry_out(own)
        for thread in threads:
            thread.join(writers.PATIENCE)
        assert sorted(results.values()) == [1, 2, 3]  # type: ignore[type-var]
        assert volume.revision == 3
        assert volume[0, :3, 0].tolist() == [10, 11, 12]


def test_closing_while_others_work_gives_clean_errors(path: str) -> None:
    for _ in range(10):
        volume = labelog.open(path, threads=2)
        gate = threading.Barrier(5)
        results: list[BaseException] = []
        threads = [threading.Thread(target=_until_closed, args=(work, volume, gate, results))
                   for work in (_read, _read, _write, _watch)]  # fmt: skip
        for thread in threads:
            thread.start()
        gate.wait()
        time.sleep(0.01)
        volume.close()
        for thread in threads:
            thread.join(writers.PATIENCE)
            assert not thread.is_alive()
        assert [type(error) for error in results] == [labelog.Invalid] * 4, results
        assert all("closed" in str(error) for error in results)
        assert volume.store.journal._connections._idle == [] and volume.store.journal._connections._writer is None
    with labelog.open(path) as volume:
        assert volume.check().ok


def _until_closed(work: object, volume: labelog.Volume, gate: threading.Barrier, results: list[BaseException]) -> None:
    gate.wait()
    try:
        while True:
            work(volume)  # type: ignore[operator]
    except BaseException as error:
        results.append(error)


def _read(volume: labelog.Volume) -> None:
    volume[:]


def _write(volume: labelog.Volume) -> None:
    with volume.edit("ana") as edit:
        edit[1] = volume.revision + 1


def _watch(volume: labelog.Volume) -> None:
    for _ in volume.watch(timeout=0.05):
        pass
    volume.at()


def test_an_edit_of_a_closed_volume_is_refused(path: str) -> None:
    volume = labelog.open(path)
    with pytest.raises(labelog.Invalid, match="closed"), volume.edit("ana") as edit:
        edit[0] = 1
        volume.close()
    with labelog.open(path) as volume:
        assert volume.revision == 0


def test_handles_in_one_process_share_a_volume(path: str) -> None:
    with labelog.open(path) as one, labelog.open(path) as two, labelog.open(path, "r") as three:
        made = writers.together([(writers.draw, (volume, who, 20)) for who, volume in enumerate([one, two, one, two])],
                                processes=False)  # fmt: skip
        assert sorted(chain(*made)) == list(range(1, 81))
        assert np.array_equal(one[:], two[:]) and np.array_equal(one[:], three[:])
