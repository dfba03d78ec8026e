"""Volumes, snapshots, views and errors pickle, and open again in forked and spawned processes and in dask."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import dask
import dask.array
import numpy as np
import pytest
import xarray

import labelog
from concurrency import writers


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[labelog.Volume]:
    with writers.create(tmp_path / "pickled.labelog") as volume:
        for number in range(3):
            with volume.edit("ana") as edit:
                edit[:, number] = number + 1
        yield volume


@pytest.fixture
def busy(volume: labelog.Volume) -> Iterator[labelog.Volume]:
    """The volume while a thread writes to it."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with volume.edit("lee") as edit:
                edit[:, 8:] = number

    writer = threading.Thread(target=write)
    writer.start()
    yield volume
    stop.set()
    writer.join()


def total(labels: labelog.Volume | labelog.Snapshot | labelog.View) -> int:
    """Of what the writing thread leaves alone."""
    return int(labels[:, :8].sum())


EXPECTED = (1 + 2 + 3) * 4 * 32


def test_pickled_objects_are_the_same_elsewhere(volume: labelog.Volume) -> None:
    snapshot = volume.at(2)
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    view = pickle.loads(pickle.dumps(snapshot.view("fragment")))
    assert (view.name, view.revision) == ("fragment", 2) and np.array_equal(view[:], snapshot[:])
    with pickle.loads(pickle.dumps(volume)) as again:
        assert (again.address, again.mode, again.revision) == (volume.address, "r+", 3)
        with again.edit("ana") as edit:
            edit[0, 5] = 9
    assert volume.revision == 4


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_what_they_are_given(busy: labelog.Volume, method: str) -> None:
    given = [busy, busy.at(), busy.view("instance"), busy.at(3)]
    jobs = [(total, (labels,)) for labels in given]
    assert writers._in_processes(jobs, method) == [EXPECTED] * 4


def test_forked_processes_edit_with_the_volume_they_inherit(busy: labelog.Volume) -> None:
    before = busy.revision
    made = writers.together([(_edit_and_undo, (busy, row)) for row in range(4)], processes=True)
    assert len({revision for revisions in made for revision in revisions}) == 4 * 2
    assert busy.revision >= before + 8
    assert total(busy) == EXPECTED
    assert busy.check().problems == []


def _edit_and_undo(volume: labelog.Volume, row: int) -> tuple[int, int]:
    with volume.edit(f"child-{row}") as edit:
        edit[:, row] = 100
    return edit.revision, volume.undo(f"child-{row}").revision


def test_a_fork_while_others_write_neither_hangs_nor_holds_locks(busy: labelog.Volume) -> None:
    """The child may come into being in the middle of anything that other threads do."""
    for number in range(40):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                os._exit(0 if total(busy) == EXPECTED and _edit_and_undo(busy, number % 8) else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sleeper = get_context("fork").Process(target=signal.pause)
    sleeper.start()
    try:
        with labelog.open(busy.address) as other, other.edit("kim") as edit:
            edit[3, 3, 3] = edit[3, 3, 3]  # nobody waits for a lock that the child has inherited
    finally:
        sleeper.kill()
        sleeper.join()


IN_USE = 128  # the byte of the log's index that whoever has the database open has a lock on


@pytest.mark.parametrize("inherited", [True, False], ids=["inherited", "opened anew"])
def test_a_child_goes_on_when_its_parent_has_closed_the_volume(volume: labelog.Volume, inherited: bool) -> None:
    """It holds SQLite's locks itself, and did not inherit what only looks like them."""
    mine, its = get_context("fork").Pipe()
    child = get_context("fork").Process(target=_stay, args=(volume if inherited else volume.address, its))
    child.start()
    its.close()
    assert (mine.recv() if mine.poll(30) else None) == (4, EXPECTED)
    volume.close()
    with open(f"{volume.address}/journal.sqlite-shm", "r+b") as index, pytest.raises(BlockingIOError):
        fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, IN_USE)
    for number in range(5):
        writers.together([(writers.draw, (volume.address, 9, 3))], processes=True)
        mine.send("go on")
        assert (mine.recv() if mine.poll(30) else None) == (8 + 4 * number, EXPECTED)
    mine.send(None)
    child.join()
    with labelog.open(volume.address) as again:
        assert again.revision == 24
        assert again.check().problems == []


def _stay(given: labelog.Volume | str, pipe: Connection) -> None:
    volume = writers.opened(given)
    go_on = "yes"
    while go_on:
        with volume.edit("child") as edit:
            edit[:, 10] = volume.revision
        pipe.send((volume.revision, total(volume)))
        go_on = pipe.recv()


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_dask_reads_a_snapshot_while_others_write(busy: labelog.Volume, scheduler: str) -> None:
    snapshot = busy.at()
    array = dask.array.from_array(snapshot, chunks=snapshot.chunks)
    with dask.config.set(scheduler=scheduler, num_workers=2):
        assert np.array_equal(array.compute(), snapshot[:])
        assert int(array[:, :8].sum().compute()) == EXPECTED


def test_dask_names_depend_on_volume_revision_and_view(volume: labelog.Volume, tmp_path: Path) -> None:
    def name(labels: labelog.Snapshot | labelog.View) -> str:
        return dask.array.from_array(labels, chunks=labels.chunks).name

    assert name(volume.at(2)) == name(volume.at(2)) == name(pickle.loads(pickle.dumps(volume.at(2))))
    assert name(volume.view("fragment")) == name(volume.view("fragment"))
    with writers.create(tmp_path / "other.labelog") as other:
        different = [volume.at(2), volume.at(3), volume.view("instance"), volume.at(2).view("instance"), other.at(0),
                     volume.at(0)]  # fmt: skip
        assert len({name(labels) for labels in different}) == len(different)


def test_xarray_wraps_a_snapshot(volume: labelog.Volume) -> None:
    snapshot = volume.at()
    lazy = xarray.DataArray(dask.array.from_array(snapshot, chunks=snapshot.chunks), dims=("z", "y", "x"))
    assert np.array_equal(lazy.isel(z=1, y=slice(0, 4)).values, snapshot[1, :4])
    assert int((lazy == 2).sum()) == 4 * 32
    assert np.array_equal(xarray.DataArray(snapshot, dims=("z", "y", "x")).values, snapshot[:])


def _errors() -> list[labelog.LabelogError]:
    kinds = [labelog.LabelogError]
    for kind in kinds:
        kinds += [below for below in kind.__subclasses__() if below not in kinds]
    facts = {"path": "/x", "chunk": (1, 2, 3), "box": labelog.Box((0, 0, 0), (1, 1, 1)), "voxels": 5}
    return [kind(f"{kind.__name__} happened", **facts) for kind in kinds]


@pytest.mark.parametrize("error", _errors(), ids=lambda error: type(error).__name__)
def test_errors_pickle_with_their_facts(error: labelog.LabelogError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)


def test_errors_that_were_raised_pickle(volume: labelog.Volume) -> None:
    (Path(volume.address) / "base" / "0" / "c" / "0" / "0").mkdir(parents=True)
    (Path(volume.address) / "base" / "0" / "c" / "0" / "0" / "0").write_bytes(b"LLCK" + bytes(100))
    for attempt, kind in ((lambda: volume.at(99), labelog.NotFound), (lambda: volume[99], labelog.OutOfBounds),
                          (lambda: labelog.open(volume.address)[:], labelog.Corrupt)):  # fmt: skip
        with pytest.raises(kind) as raised:
            attempt()
        again = pickle.loads(pickle.dumps(raised.value))
        assert type(again) is kind and str(again) == str(raised.value) and vars(again) == vars(raised.value)
