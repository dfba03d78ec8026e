"""Undo, redo, revert and blame, case by case; the model test has the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import labelog
from labelog import Conflict, Invalid, NotFound, NothingToUndo


@pytest.fixture
def volume(tmp_path):
    with labelog.create(tmp_path / "v.labelog", (2, 8, 20), chunks=(2, 8, 8)) as volume:
        yield volume


def row(volume):
    return volume[0, 0].tolist()


def paint(volume, author, x0, x1, label, **more):
    with volume.edit(author, **more) as edit:
        edit[0, 0, x0:x1] = label
    return edit


def test_undo_under_later_work_of_others(volume):
    paint(volume, "ana", 0, 12, 1)
    paint(volume, "bo", 6, 9, 2)
    done = volume.undo("ana")
    assert row(volume) == [0] * 6 + [2] * 3 + [0] * 11
    assert (done.voxels, done.written, done.left_alone) == (9, 12, 3)
    assert volume.redo("ana").left_alone == 3
    assert row(volume) == [1] * 6 + [2] * 3 + [1] * 3 + [0] * 8


def test_undo_beneath_an_undone_one(volume):
    """bo's edit holds ana's label as its old value, but ana's edit no longer counts when bo's is undone."""
    paint(volume, "ana", 0, 4, 1)
    paint(volume, "bo", 0, 4, 2)
    assert volume.undo("ana").voxels == 0
    volume.undo("bo")
    assert row(volume) == [0] * 20
    volume.redo("ana")
    assert row(volume)[:4] == [1] * 4


def test_two_authors_paint_the_same_label(volume):
    paint(volume, "ana", 0, 4, 5)
    second = paint(volume, "bo", 0, 4, 5)
    assert (second.voxels, second.written) == (0, 4)
    assert volume.undo("ana").left_alone == 4
    assert row(volume)[:4] == [5] * 4
    volume.undo("bo")
    assert row(volume)[:4] == [0] * 4


def test_any_depth_after_a_restart_and_compaction(volume, tmp_path):
    for label in range(1, 9):
        paint(volume, "ana", 0, 10, label)
    volume.compact()
    volume.close()
    with labelog.open(tmp_path / "v.labelog") as again:
        for label in range(7, -1, -1):
            again.undo("ana")
            assert row(again)[0] == label
        with pytest.raises(NothingToUndo, match="ana has nothing left to undo"):
            again.undo("ana")
        for label in range(1, 9):
            again.redo("ana")
            assert row(again)[0] == label
        with pytest.raises(NothingToUndo, match="nothing to redo"):
            again.redo("ana")


def test_a_new_edit_clears_redo(volume):
    paint(volume, "ana", 0, 4, 1)
    volume.undo("ana")
    paint(volume, "bo", 0, 1, 9)
    volume.redo("ana")
    volume.undo("ana")
    paint(volume, "ana", 5, 6, 2)
    with pytest.raises(NothingToUndo):
        volume.redo("ana")


def test_windows_of_one_person(volume):
    paint(volume, "ana", 0, 4, 1, session="left")
    paint(volume, "ana", 5, 9, 2, session="right")
    volume.undo("ana", session="left")
    assert row(volume)[:9] == [0] * 5 + [2] * 4
    paint(volume, "ana", 10, 11, 3, session="right")
    volume.redo("ana", session="left")
    assert row(volume)[:9] == [1] * 4 + [0] + [2] * 4
    with pytest.raises(NothingToUndo, match="session middle"):
        volume.undo("ana", session="middle")


def test_reverting_a_vendor_keeps_everyone_else(volume):
    paint(volume, "vendor-b/ana", 0, 8, 1)
    paint(volume, "lee", 2, 4, 2)
    paint(volume, "vendor-b/bo", 3, 12, 3)
    paint(volume, "vendor-bc", 14, 16, 4)
    done = volume.revert(author="vendor-b", by="lee", message="not good enough")
    assert row(volume) == [0, 0, 2, 2] + [0] * 10 + [4, 4] + [0] * 4
    assert (done.author, done.targets, done.message) == ("lee", (1, 3), "not good enough")
    assert [(c.revision, c.live) for c in volume.history("vendor-b")] == [(3, False), (1, False)]
    with pytest.raises(NothingToUndo, match="reverted already"):
        volume.revert(author="vendor-b", by="lee")
    volume.undo("lee")
    assert row(volume)[:12] == [1, 1, 2, 3] + [3] * 8


def test_reverting_an_author_takes_out_what_they_undid_themselves(volume):
    paint(volume, "ana", 0, 4, 1)
    volume.undo("ana")
    volume.revert(author="ana", by="lee")
    volume.redo("ana")
    assert row(volume) == [0] * 20


def test_revert_of_a_revert(volume):
    paint(volume, "ana", 0, 4, 1)
    volume.revert(1, by="lee")
    for never in (0, -1, 3, 2**70):
        with pytest.raises(NothingToUndo, match=f"there is no commit {never} to revert"):
            volume.revert(never, by="lee")
    volume.revert(2, by="kim")
    assert row(volume)[:4] == [1] * 4
    assert [c.live for c in volume.history()] == [True, False, True, True]


def test_strict_refuses_and_changes_nothing(volume):
    paint(volume, "ana", 0, 8, 1)
    paint(volume, "bo", 6, 9, 2)
    with pytest.raises(Conflict, match="2 of the voxels") as caught:
        volume.undo("ana", strict=True)
    assert caught.value.voxels == 2
    assert caught.value.box == labelog.Box((0, 0, 6), (1, 1, 8))
    assert volume.revision == 2
    assert volume.check().ok
    volume.undo("bo")
    assert volume.undo("ana", strict=True).left_alone == 0


def test_what_can_not_be_reverted(volume):
    for revision in (0, 7, -1):
        with pytest.raises(NothingToUndo, match="there is nothing to revert: nothing was done yet after revision 0"):
            volume.revert(revision)
    paint(volume, "ana", 0, 8, 1)
    for revision in (0, 2, -1):
        with pytest.raises(NothingToUndo, match="they go from 1 to 1"):
            volume.revert(revision)
    volume.undo("ana")
    with pytest.raises(NothingToUndo, match="already taken out, by 2"):
        volume.revert(1)
    for arguments in ({}, {"revision": 1, "author": "ana"}, {"revision": "1"}, {"revision": True}, {"author": 3}):
        with pytest.raises(Invalid):
            volume.revert(**arguments)
    with pytest.raises(NothingToUndo):
        volume.revert(author="no one at all")


def test_blame(volume):
    paint(volume, "ana", 0, 8, 1)
    paint(volume, "bo", 6, 10, 1)
    assert volume.blame()[0, 0].tolist() == [1] * 6 + [2] * 4 + [0] * 10
    volume.undo("bo")
    assert volume.blame(((0, 0, 5), (1, 1, 12)))[0, 0].tolist() == [1] * 3 + [0] * 4
    assert volume.commit(1).author == "ana"


def test_history_filters(volume):
    paint(volume, "vendor/ana", 0, 4, 1, session="left", message="first")
    paint(volume, "vendor/bo", 12, 16, 2)
    paint(volume, "vendors", 4, 6, 3)
    volume.undo("vendor/bo")

    def revisions(**filters):
        return [commit.revision for commit in volume.history(**filters)]

    assert revisions() == [4, 3, 2, 1, 0]
    assert revisions(author="vendor") == [4, 2, 1]
    assert revisions(author="vendor/ana") == [1]
    assert revisions(author="no one at all") == []
    assert revisions(session="left") == [1]
    assert revisions(label=2) == [4, 2]
    assert revisions(label=0) == [4, 3, 2, 1]
    assert revisions(box=((0, 0, 3), (1, 1, 5))) == [3, 1]
    assert revisions(box=((0, 1, 0), (1, 8, 20))) == []
    assert revisions(since=2) == [4, 3]
    assert revisions(since=1, until=3, limit=1) == [3]
    first = volume.commit(1)
    assert (first.message, first.session, first.kind, first.voxels) == ("first", "left", "edit", 4)
    with pytest.raises(NotFound, match="from 0 to 4"):
        volume.history(since=5)
    with pytest.raises(labelog.OutOfBounds):
        volume.history(box=((0, 0, 0), (9, 9, 9)))


def test_history_of_many(volume):
    for n in range(600):
        paint(volume, "ana", n % 20, n % 20 + 1, n)
    assert [commit.revision for commit in volume.history()] == list(range(600, -1, -1))
    assert volume.check().ok
    for revision in (1, 77, 300, 599):
        last = [n for n in range(revision) if n % 20 == 3]
        assert volume.at(revision)[0, 0, 3] == (max(last) if last else 0)


def test_time_travel(volume):
    before = datetime.now(UTC)
    paint(volume, "ana", 0, 4, 1)
    times = [commit.time for commit in volume.history()]
    assert times == sorted(times, reverse=True)
    assert volume.at(volume.commit(1).time).revision == 1
    assert volume.at(volume.commit(1).time - timedelta(microseconds=1)).revision == 0
    assert volume.at(datetime.now() + timedelta(seconds=1)).revision == 1  # local time
    assert volume.at(before.astimezone()).revision == 0
    with pytest.raises(NotFound, match="did not exist"):
        volume.at(before - timedelta(days=1))
    for bad in (2, -1):
        with pytest.raises(NotFound, match="from 0 to 1"):
            volume.at(bad)
    with pytest.raises(Invalid, match="revision or a datetime"):
        volume.at("yesterday")


def test_seen(volume):
    paint(volume, "ana", 0, 4, 1)
    paint(volume, "bo", 2, 6, 2)
    paint(volume, "ana", 8, 9, 1, seen=1)
    with pytest.raises(Conflict, match="2 of the voxels to be written") as caught:
        paint(volume, "ana", 0, 4, 3, seen=1)
    assert caught.value.box == labelog.Box((0, 0, 2), (1, 1, 4))
    assert (caught.value.voxels, caught.value.revision) == (2, 3)
    assert paint(volume, "ana", 0, 4, 3, seen=2).revision == 4
    paint(volume, "bo", 0, 4, 3)
    assert paint(volume, "ana", 0, 4, 7, seen=4).revision == 6, "the same label again is no change"


@pytest.mark.parametrize("deep", [False, True])
def test_undo_far_down_reads_only_what_it_must(volume, deep):
    """The floor of a chunk: what was toggled beneath decides how far back the walk has to go."""
    for n in range(30):
        paint(volume, f"author{n % 3}", n % 7, n % 7 + 5, n + 1)
    if deep:
        volume.revert(2, by="lee")
        volume.revert(5, by="lee")
    expected = np.zeros(20, int)
    dead = {28} | ({2, 5} if deep else set())
    for n in range(30):
        if n + 1 not in dead:
            expected[n % 7 : n % 7 + 5] = n + 1
    volume.undo("author0")
    assert row(volume) == expected.tolist()


def test_keys(volume):
    first = paint(volume, "ana", 0, 4, 1, key="k1")
    again = paint(volume, "ana", 0, 4, 1, key="k1")
    assert (again.revision, again.voxels, again.written) == (first.revision, 4, 4) == (1, 4, 4)
    assert paint(volume, "bo", 0, 4, 2, key="k1").revision == 2, "keys are an author's own"
    with pytest.raises(Conflict, match="another edit"):
        paint(volume, "ana", 0, 4, 2, key="k1")
    with pytest.raises(Conflict, match="another edit"):
        volume.undo("ana", key="k1")
    done = volume.undo("ana", key="u")
    assert volume.undo("ana", key="u") == done
    assert volume.revision == 3


def test_a_key_of_an_edit_that_changed_nothing(volume):
    def relabel(label):
        with volume.edit("ana", key="k") as edit:
            edit.relabel({77: label})
        return edit

    assert relabel(5).revision is None
    paint(volume, "bo", 0, 4, 77)
    assert (relabel(5).revision, relabel(5).voxels) == (None, 0), "it was asked for before, when there was nothing"
    assert row(volume)[:4] == [77] * 4
    with pytest.raises(Conflict):
        relabel(6)
