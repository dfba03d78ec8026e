"""Making, opening, editing and closing volumes; what is refused, and that it changes nothing."""

from __future__ import annotations

import inspect
import pickle
import threading
from contextlib import nullcontext as nothing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import labelog
from labelog import Corrupt, Exists, Invalid, NotFound, OutOfBounds, ReadOnly, Unsupported


@pytest.fixture
def volume(tmp_path):
    with labelog.create(tmp_path / "v.labelog", (4, 20, 30), chunks=(2, 8, 16), voxel_size=(40, 10, 10)) as volume:
        yield volume


def test_facts(volume):
    assert (volume.shape, volume.chunks, volume.size) == ((4, 20, 30), (2, 8, 16), 2400)
    assert (volume.voxel_size, volume.unit, volume.revision) == ((40, 10, 10), "nm", 0)
    assert (volume.dtype, volume.ndim, len(volume), volume.mode) == (np.uint64, 3, 4, "r+")
    assert np.asarray(volume).shape == volume.shape
    assert "4 x 20 x 30, revision 0" in repr(volume)
    assert volume.commit(0).kind == "create"
    assert labelog.open(volume.address).id == volume.id


def test_default_chunks_fit_small_volumes(tmp_path):
    with labelog.create(tmp_path / "v", (1, 800, 100)) as volume:
        assert volume.chunks == (1, 256, 100)


@pytest.mark.parametrize("slabs", [1, 3, 16, 100])
def test_load_slabs(tmp_path, slabs):
    array = (np.indices((37, 50, 70)).sum(axis=0) // 11).astype(np.int32)
    parts = (array[z : z + slabs] for z in range(0, 37, slabs))
    with labelog.load(tmp_path / "v", parts, chunks=(8, 32, 32), author="lab", message="vendor's") as volume:
        assert (volume[...] == array).all()
        assert (volume.commit(0).author, volume.commit(0).message) == ("lab", "vendor's")
        assert volume.check().ok
        with volume.edit("ana") as edit:
            edit[36, 49, 69] = 2**64 - 1
        volume.compact()
        assert (volume.at(0)[...] == array).all()
        assert volume[-1, -1, -1] == 2**64 - 1
        assert volume.check().ok


@pytest.mark.parametrize("slabs", [False, True])
def test_load_in_many_small_chunks(tmp_path, slabs):
    array = np.zeros((3, 512, 510), np.uint8)
    array[1:, 255:257, 500:] = 5
    with labelog.load(tmp_path / "v", [array] if slabs else array, chunks=(1, 8, 8)) as volume:
        assert (volume.shape, volume.chunks) == (array.shape, (1, 8, 8))
        assert (volume[...] == array).all()
        assert volume.check().ok


def test_load_writes_no_zeros(tmp_path):
    array = np.zeros((4, 64, 64), np.uint8)
    array[0, 0, 0] = 1
    with labelog.load(tmp_path / "v", array, chunks=(4, 32, 32)) as volume:
        assert volume.store.base.present() == [0]
        assert (volume[...] == array).all()


def failing():
    yield np.ones((3, 8, 8), np.uint8)
    raise OSError("the tape tore")


@pytest.mark.parametrize(
    ("labels", "error", "what"),
    [
        (np.zeros((2, 3, 4)), Invalid, "integer dtype.*float64"),
        (np.full((2, 3, 4), -1), Invalid, "slab 0.*found -1"),
        (np.zeros((3, 4), np.uint8), Invalid, r"not of shape \(3, 4\)"),
        ([], Invalid, "no slices"),
        ([np.zeros((1, 3, 4), int), np.zeros((1, 3, 5), int)], Invalid, r"slab 1.*expected slices of \(3, 4\)"),
        ([np.zeros((0, 3, 4), int)], Invalid, "with voxels"),
        ([np.broadcast_to(np.uint8(1), (2**31, 1, 1))], Invalid, r"at most 2147483647 slices .* found 2147483648"),
        (7, Invalid, "found int"),
        ("cells.labelog", Invalid, "found a path, 'cells.labelog'; files are read by"),
        (Path("cells.png"), Invalid, "found a path"),
        (failing(), OSError, "tape"),
    ],
)
def test_a_load_that_fails_leaves_nothing(tmp_path, labels, error, what):
    with pytest.raises(error, match=what):
        labelog.load(tmp_path / "v", labels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "colours", [{"a": "#ffffff"}, {1: 5}, {1: None}, {1.5: "#ffffff"}, {1: "red"}, {1: "#fff"}, {-1: "#ffffff"},
                {2**64: "#ffffff"}, "abc", 5, {1: "#ffffff\n"}], ids=str)  # fmt: skip
def test_a_load_with_other_colours_leaves_nothing(tmp_path, colours):
    with pytest.raises(Invalid, match=r"colour|label"):
        labelog.load(tmp_path / "v", np.ones((2, 3, 4), np.uint8), colours=colours)
    assert list(tmp_path.iterdir()) == []


def test_colours_that_come_with_the_slabs_are_checked_too(tmp_path):
    colours = {1: "#ff8000"}

    def slabs():
        yield np.ones((2, 3, 4), np.uint8)
        colours[2] = "red"

    with pytest.raises(Invalid, match="the colour of label 2 is a text #rrggbb or #rrggbbaa, not 'red'"):
        labelog.load(tmp_path / "v", slabs(), colours=colours)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cache_bytes", ["x", -1, 1.5, None])
def test_a_cache_of_no_size(volume, cache_bytes):
    with pytest.raises(Invalid, match="cache_bytes is a number of bytes, 0 or more, not"):
        labelog.open(volume.address, cache_bytes=cache_bytes)


@pytest.mark.parametrize(
    "arguments",
    [{"shape": (0, 1, 1)}, {"shape": (1, 1)}, {"shape": (1, 1, 1.5)}, {"shape": "abc"}, {"shape": (1, 1, 2**31)},
     {"chunks": (0, 1, 1)}, {"chunks": (1024, 1024, 1024)}, {"voxel_size": (1, 0, 1)}, {"voxel_size": (1, 1)},
     {"voxel_size": (1, 1, float("nan"))}, {"unit": "furlong"}, {"author": ""}, {"threads": 0},
     {"cache_bytes": -1}],
    ids=str,
)  # fmt: skip
def test_no_such_volumes(tmp_path, arguments):
    with pytest.raises(Invalid):
        labelog.create(tmp_path / "v", **({"shape": (1, 1, 1)} | arguments))
    assert list(tmp_path.iterdir()) == []


def test_existing_missing_and_foreign(tmp_path, volume):
    with pytest.raises(Exists, match="left as it is"):
        labelog.create(volume.address, (1, 1, 1))
    with pytest.raises(NotFound, match="does not exist"):
        labelog.open(tmp_path / "nothing")
    with pytest.raises(NotFound, match="not a labelog volume"):
        labelog.open(tmp_path)
    with pytest.raises(NotFound, match="folder"):
        labelog.create(tmp_path / "no" / "folder", (1, 1, 1))
    with pytest.raises(Invalid, match="mode"):
        labelog.open(volume.address, mode="w")


def test_a_newer_format_is_named(tmp_path, volume):
    path = volume.store.folder / "labelog.json"
    path.write_bytes(path.read_bytes().replace(b'"labelog": 1', b'"labelog": 2'))
    with pytest.raises(Unsupported, match="format 2"):
        labelog.open(volume.address)


def test_box_assignment_broadcasts_as_numpy_does(volume):
    expected = np.zeros(volume.shape, np.uint64)
    rng = np.random.default_rng(3)
    for index, value in [
        ((slice(None), 3), rng.integers(0, 9, 30)),
        ((1, slice(2, 9), slice(-9, None)), rng.integers(0, 9, (7, 1)).astype(np.uint8)),
        ((..., 5), 2**64 - 1),
        (-1, rng.integers(0, 9, (20, 30)).astype(">i4")),
        ((0, 0, 0), np.uint64(7)),
        ((slice(3, 1),), 5),
        ((0, slice(0, 2)), [[1] * 30, [2] * 30]),
    ]:
        expected[index] = value
        with volume.edit("ana") as edit:
            edit[index] = value
            assert (edit[...] == expected).all()
        assert (volume[...] == expected).all()


def test_a_slice_ends_at_the_faces_of_the_volume(volume):
    """As in NumPy; a single index does not."""
    expected = np.zeros((4, 20, 30), np.uint64)
    for number, index in enumerate(
        [np.s_[:, 10:30], np.s_[-9:2, :3], np.s_[3:99, 15:21, 28:1000], np.s_[5:9], np.s_[0, -50:-18, -3:99]], 1
    ):
        expected[index] = number
        with volume.edit("ana") as edit:
            edit[index] = number
        assert edit.written == expected[index].size
        assert (volume[...] == expected).all()
    with volume.edit("ana") as edit:
        edit[:, 18:40] = np.full((4, 2, 30), 7)
        with pytest.raises(Invalid, match=r"\(4, 22, 30\) do not fit the box 0:4, 18:20, 0:30"):
            edit[:, 18:40] = np.full((4, 22, 30), 7)
        with pytest.raises(OutOfBounds, match="axis y with 20"):
            edit[:, 20] = 7


def refused(volume, act, error, what):
    before, revision = volume[...], volume.revision
    with pytest.raises(error, match=what):
        with volume.edit("ana") as edit:
            edit[0, 0, 0] = 1
            act(edit)
    assert volume.revision == revision
    assert (volume[...] == before).all()


MASK = np.ones((2, 3, 4), bool)


@pytest.mark.parametrize(
    ("act", "error", "what"),
    [
        (lambda e: e.__setitem__((0, 0, 0), 1.5), Invalid, "whole number.*1.5"),
        (lambda e: e.__setitem__((0, 0, 0), -1), Invalid, "-1"),
        (lambda e: e.__setitem__((0, 0, 0), 2**64), Invalid, "18446744073709551616"),
        (lambda e: e.__setitem__((0, 0, 0), True), Invalid, "True"),
        (lambda e: e.__setitem__((0, 0, 0), np.bool(True)), Invalid, "True"),
        (lambda e: e.__setitem__(0, np.zeros((20, 30), np.float32)), Invalid, "float32"),
        (lambda e: e.__setitem__(0, np.zeros((20, 30), bool)), Invalid, "bool"),
        (lambda e: e.__setitem__(0, np.full((20, 30), -5)), Invalid, "found -5"),
        (lambda e: e.__setitem__(0, np.zeros((20, 31), int)), Invalid, r"\(20, 31\) do not fit"),
        (lambda e: e.__setitem__((4, 0, 0), 1), OutOfBounds, "axis z with 4"),
        (lambda e: e.__setitem__((slice(None), slice(None, None, 2)), 1), Invalid, "step 1"),
        (lambda e: e.__setitem__(([0, 1],), 1), Invalid, "takes a box"),
        (lambda e: e.paint(1, MASK, at=(3, 0, 0)), OutOfBounds, "3:5, 0:3, 0:4"),
        (lambda e: e.paint(1, MASK, at=(-1, 0, 0)), OutOfBounds, "-1:1"),
        (lambda e: e.paint(1, MASK, at=(0, 0)), Invalid, "first voxel"),
        (lambda e: e.paint(1, MASK, at=(0, 0, 0.5)), Invalid, "first voxel"),
        (lambda e: e.paint(1, MASK[0, 0], at=(0, 0, 0)), Invalid, "mask"),
        (lambda e: e.paint(1, MASK.astype(float), at=(0, 0, 0)), Invalid, "float64"),
        (lambda e: e.paint(1, MASK), Invalid, "spans"),
        (lambda e: e.paint(1, [[0, 0, 0, 3], [0, 0, 28, 31]]), OutOfBounds, "span 1"),
        (lambda e: e.paint(1, [[0, 0, 5, 5]]), OutOfBounds, "empty"),
        (lambda e: e.paint(1, [[0, 0, -1, 5]]), OutOfBounds, "span 0"),
        (lambda e: e.paint(1, [[0.0, 0, 1, 5]]), Invalid, "float64"),
        (lambda e: e.paint(1, MASK, at=(0, 0, 0), over=1.5), Invalid, "1.5"),
        (lambda e: e.relabel({1: -2}), Invalid, "-2"),
        (lambda e: e.relabel({1: 2}, within=((0, 0, 0), (9, 9, 9))), OutOfBounds, "does not lie"),
        (lambda e: e.erase("seven"), Invalid, "seven"),
    ],
)
def test_refused_edits_change_nothing(volume, act, error, what):
    refused(volume, act, error, what)


def test_an_exception_discards_all(volume):
    refused(volume, lambda edit: 1 / 0, ZeroDivisionError, "division")


def test_an_edit_is_one_threads_and_over_once(volume):
    with pytest.raises(Invalid, match="begins with"):
        volume.edit("ana")[0] = 1
    errors = []

    def elsewhere(edit):
        try:
            edit[0] = 2
        except Invalid as error:
            errors.append(str(error))

    with volume.edit("ana") as edit:
        edit[0] = 1
        thread = threading.Thread(target=elsewhere, args=[edit])
        thread.start()
        thread.join()
    assert "thread" in errors[0]
    with pytest.raises(Invalid, match="is over"):
        edit[0] = 3
    with pytest.raises(Invalid, match="begun already"), edit:
        pass
    assert (volume[0] == 1).all()


def test_authors_and_texts(volume):
    for author in ("", "/a", "a//b", "a/", 7, "a\0", "a\n", "a\x7f", "\u202e"):
        with pytest.raises(Invalid, match="author"):
            volume.edit(author)
    for more in ({"message": 5}, {"session": ""}, {"key": 5}):
        with pytest.raises(Invalid):
            volume.edit("ana", **more)
    with pytest.raises(NotFound, match="revision 5"):
        volume.edit("ana", seen=5)


def test_nothing_to_write_is_no_revision(volume):
    with volume.edit("ana") as edit:
        edit.paint(3, np.zeros((2, 2), bool), at=(0, 0, 0))
        edit.paint(3, np.ones((2, 2), bool), at=(0, 0, 0), over={8})
        edit.relabel({5: 6})
        edit.relabel({})
        edit.paint(1, [])
    assert (edit.revision, edit.voxels, volume.revision) == (None, 0, 0)


def test_a_stroke_over_a_chunk_that_cannot_be_read_is_not_staged_in_part(volume, monkeypatch):
    with volume.edit("ana") as edit:
        select = edit._select

        def damaged(chunk, *what):
            if chunk == 2:
                raise Corrupt("chunk (0, 1, 0) is damaged")
            return select(chunk, *what)

        monkeypatch.setattr(edit, "_select", damaged)
        with pytest.raises(Corrupt):
            edit.paint(3, np.ones((20, 30), bool), at=(0, 0, 0), over=0)
        edit[3] = 4
    assert not volume[:3].any() and (volume[3] == 4).all()


def test_a_write_of_what_is_there_counts_as_written(volume):
    with volume.edit("ana") as edit:
        edit[0] = volume[0]
    assert (edit.revision, edit.voxels, edit.written) == (1, 0, 600)


def test_over_and_swap(volume):
    with volume.edit("ana") as edit:
        edit[0, 0, :10] = 1
        edit[0, 0, 10:20] = 2
        edit.paint(3, np.ones((1, 30), np.uint8), at=(0, 0, 0), over={0, 2})
        edit.relabel({1: 3, 3: 1})
    assert volume[0, 0].tolist() == [3] * 10 + [1] * 20
    with volume.edit("ana") as edit:
        edit.relabel({0: 9})
    assert (volume[1:] == 9).all()
    with volume.edit("ana") as edit:
        edit.erase(9, within=((1, 0, 0), (2, 20, 30)))
    assert (volume[1] == 0).all()
    assert (volume[2:] == 9).all()
    assert volume.check().ok


def test_spans_may_overlap_and_cross_chunks(volume):
    rows = [(3, 19, 0, 30), (0, 0, 4, 9), (0, 0, 2, 6), (0, 0, 15, 17), (1, 8, 29, 30)]
    expected = np.zeros(volume.shape, np.uint64)
    for z, y, x0, x1 in rows:
        expected[z, y, x0:x1] = 4
    with volume.edit("ana") as edit:
        edit.paint(4, np.array(rows, np.uint16))
    assert (volume[...] == expected).all()
    assert edit.written == (expected > 0).sum()


def test_read_only(volume):
    with labelog.open(volume.address, "r") as reader:
        with pytest.raises(ReadOnly, match='mode="r\\+"'):
            with reader.edit("ana") as edit:
                edit[0] = 1
        for act in (lambda: reader.undo("ana"), lambda: reader.revert(1), lambda: reader.compact()):
            with pytest.raises(ReadOnly):
                act()
        with volume.edit("ana") as edit:
            edit[0] = 1
        assert (reader[0] == 1).all()
        assert reader.check().ok
        assert (reader.blame()[0] == 1).all()


def test_closed(volume):
    snapshot = volume.at()
    volume.close()
    volume.close()
    for act in (lambda: volume[0], lambda: snapshot[0], lambda: volume.revision, lambda: volume.undo("ana")):
        with pytest.raises(Invalid, match="closed"):
            act()
    assert "closed" in repr(volume)


def test_views_and_snapshots_are_pinned(volume):
    before, view = volume.at(), volume.view("fragment")
    with volume.edit("ana") as edit:
        edit[0] = 1
    assert (before[0] == 0).all()
    assert (view[0] == 0).all()
    assert (volume.view()[0] == 1).all()
    assert (view.shape, view.chunks, view.revision, view.size, len(view)) == (volume.shape, volume.chunks, 0, 2400, 4)
    assert np.asarray(before, np.uint8).dtype == np.uint8
    assert (before == volume.at(0), before == volume.at(1), hash(before) == hash(volume.at(0))) == (True, False, True)
    with pytest.raises(labelog.NotFound, match="instance, fragment"):
        volume.view("cells")


def test_errors_pickle():
    for _, kind in inspect.getmembers(labelog, inspect.isclass):
        if issubclass(kind, labelog.LabelogError):
            error = pickle.loads(pickle.dumps(kind("what", path="there", voxels=3)))
            assert (type(error), str(error), error.path, error.voxels) == (kind, "what", "there", 3)


def test_watch(volume):
    with volume.edit("ana") as edit:
        edit[0] = 1
    assert [commit.revision for commit in volume.watch(since=0, timeout=0)] == [1]
    seen, watching = [], volume.watch(timeout=30)  # from now on
    watcher = threading.Thread(target=lambda: seen.extend(islice(watching, 2)))
    watcher.start()
    with labelog.open(volume.address) as other:
        for label in (2, 3):
            with other.edit("bo") as edit:
                edit[0] = label
    watcher.join()
    assert [(commit.revision, commit.author) for commit in seen] == [(2, "bo"), (3, "bo")]
    assert list(volume.watch(timeout=0.1)) == []


def test_a_view_has_room_for_labels_painted_since(volume):
    for label, dtype in ((7, np.uint8), (300, np.uint16)):
        with volume.edit("ana") as edit:
            edit[0, 0, 0] = label
        view = volume.view("instance")
        assert (view[0, 0, 0], view.dtype) == (label, dtype)


def test_labels_from_2_to_the_62_on_are_nobodys(volume):
    with volume.edit("ana") as edit:
        edit[0, 0, 0] = 2**62
        assert edit.new() == 1
        edit[0, 0, 1] = 2**62 - 1
    with pytest.raises(Invalid, match="handed out up to"), volume.edit("ana") as edit:
        edit.new()


def test_change_writes_what_differs(tmp_path):
    """Voxels that have the label in the instance view are left as they are, fragment and history."""
    with labelog.create(tmp_path / "v.labelog", (4, 20, 20), chunks=(2, 8, 8)) as volume:
        with volume.edit("ana") as edit:
            edit[0:2] = 1
            edit[2:4] = 2
            edit.merge(1, [2])
        wanted = volume[1:3, 3:17]
        wanted[0, 0, :5] = 9
        with volume.edit("bo") as edit:
            edit[3, 19, 19] = 4
            edit.change(((1, 3, 0), (3, 17, 20)), wanted)
            with pytest.raises(labelog.Invalid, match="do not fit"):
                edit.change(((1, 3, 0), (3, 17, 19)), wanted)
        assert (edit.voxels, edit.written) == (6, 6)
        assert np.array_equal(volume[1:3, 3:17], wanted)
        assert volume.view("fragment")[2, 3, 3] == 2
        with volume.edit("bo") as edit:
            edit.change(((0, 0, 0), volume.shape), volume[:])
            edit.change(((2, 0, 0), (4, 3, 20)), np.full((2, 3, 20), 2))  # which is 1 since the merge
        assert edit.revision is None


def test_expect_refuses_what_changed_near_by(tmp_path):
    with labelog.create(tmp_path / "v.labelog", (4, 20, 20), chunks=(2, 8, 8)) as volume:
        with volume.edit("ana") as edit:
            edit[1, 7, 7] = 1
        for box, fine in ((((0, 0, 0), (2, 8, 8)), False), (((0, 0, 0), (2, 8, 7)), True)):
            edit = volume.edit("bo", seen=0)
            with nothing() if fine else pytest.raises(labelog.Conflict) as caught, edit:
                edit.expect(box)
                edit[0, 0, 0] = 2
            if not fine:
                assert (caught.value.box, caught.value.voxels) == (labelog.Box((1, 7, 7), (2, 8, 8)), 1)
                assert "1 of the voxels to be as they were" in str(caught.value)
        with pytest.raises(labelog.Invalid, match="seen"), volume.edit("bo") as edit:
            edit.expect(((0, 0, 0), (1, 1, 1)))
        assert volume.revision == 2


@pytest.mark.parametrize("key", [None, "k"])
def test_expect_refuses_also_where_nothing_is_left_to_write(tmp_path, key):
    """Two who write the same would both be told that theirs came next after what they saw."""
    where = (0, 0, 0), (1, 1, 4)
    with labelog.create(tmp_path / "v.labelog", (4, 20, 20), chunks=(2, 8, 8)) as volume:
        with volume.edit("ana") as edit:
            edit[0, 0, 0:4] = 7
        for values in (np.full((1, 1, 4), 7), None):
            with pytest.raises(labelog.Conflict), volume.edit("bo", seen=0, key=key) as edit:
                edit.expect(where)
                if values is not None:
                    edit.change(where, values)
            key = None
        with volume.edit("bo", seen=1) as edit:
            edit.expect(where)
        assert edit.revision is None and volume.revision == 1


def test_changes_of_a_commit(tmp_path):
    with labelog.create(tmp_path / "v.labelog", (4, 40, 40), chunks=(2, 8, 8)) as volume:
        with volume.edit("ana") as edit:
            edit[1, 6:9, 3:7] = 5
            edit[3, 39, 39] = 2**64 - 1
        found = volume.changes(1)
        assert found.boxes == (labelog.Box((1, 6, 3), (2, 8, 7)), labelog.Box((1, 8, 3), (2, 9, 7)),
                               labelog.Box((3, 39, 39), (4, 40, 40)))  # fmt: skip
        assert (found.labels, found.said) == ((5, 2**64 - 1), False)
        with volume.edit("ana") as edit:
            edit[1, 6:9, 3:7] = 5  # written, and not changed
            edit.merge(5, [2**64 - 1])
        assert volume.changes(2) == type(found)((), (5, 2**64 - 1), True)
        with pytest.raises(labelog.NotFound):
            volume.changes(3)
        assert volume.changes(0).boxes == ()
