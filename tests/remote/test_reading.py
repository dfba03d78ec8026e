"""What a volume on a server says is what the same volume on disk says."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import labelog
from labelog.image import import_image

from .conftest import worked_on

INDEXES = [
    np.s_[...], np.s_[3], np.s_[3, 4, 5], np.s_[-1, ::-1, 5:60:7], np.s_[2:9, 5:40, None, 3], np.s_[[1, 17, 3], 4],
    np.s_[np.array([1, 2]), np.array([3, 59]), np.array([69, 0])], np.s_[5:5], np.s_[..., 0],
]  # fmt: skip
VIEWS = [{"name": "instance"}, {"name": "fragment"}, {"name": "semantic"}, {"name": "cell"},
         {"name": "instance", "unannotated": 2**64 - 2}, {"name": "semantic", "dtype": np.int64}]  # fmt: skip
BOX = labelog.Box((1, 10, 20), (9, 40, 60))


def dense(runs, values):
    out = np.empty(runs.shape, values.dtype)
    runs.fill(out, (0, 0, 0), values)
    return out


@pytest.fixture
def cell(near):
    return worked_on(near)


def test_what_it_is(near, far, address):
    assert isinstance(far, labelog.Volume)
    assert far.address == address
    for name in (
        "id",
        "mode",
        "shape",
        "size",
        "chunks",
        "voxel_size",
        "unit",
        "colours",
        "revision",
        "closed",
        "dtype",
    ):
        assert getattr(far, name) == getattr(near, name), name
    assert repr(far) == f"<Volume {address}, 20 x 60 x 70, revision 0>"
    assert len(far) == 20


def test_a_view_has_the_smallest_dtype_that_holds_it(served):
    with served.client() as client:
        assert client.post("/volumes", json={"name": "small", "shape": [2, 3, 4]}).status_code == 201
    for label in (200, 70_000):
        with labelog.open(f"{served.address}/volumes/small") as far, far.edit("ana") as edit:
            edit[0, 0, 0] = label
        with (
            labelog.open(f"{served.address}/volumes/small") as far,
            labelog.open(served.folder / "small.labelog", "r") as near,
        ):
            for view in VIEWS[:3]:
                found, expected = far.view(**view), near.view(**view)
                assert found.dtype == found[:].dtype == found.scale(0).dtype == expected.dtype, view
            assert far.view("instance").dtype == np.min_scalar_type(label) and far.view("instance")[0, 0, 0] == label
    with served.client() as client:
        answer = client.get("/volumes/small/slices/z/0", params={"dtype": "smallest", "format": "raw"})
        assert np.frombuffer(answer.content, "<u4")[0] == 70_000 and answer.headers["labelog-dtype"] == "uint32"
        client.delete("/volumes/small", params={"confirm": "small"})


def test_voxels(near, far, cell):
    for index in INDEXES:
        found, expected = far[index], near[index]
        assert np.array_equal(found, expected) and found.dtype == expected.dtype, index
    for wrong in (20, (0, 0, 70), np.s_[0, 0, 0, 0], 1.5):
        with pytest.raises(labelog.OutOfBounds):
            far[wrong]
    assert np.array_equal(np.asarray(far), near[:])
    strided = np.zeros((16, 60, 160), np.uint64)[::2, ::2, ::4]
    assert far.read(BOX, strided) is strided
    assert np.array_equal(strided, near.read(BOX))
    with pytest.raises(labelog.OutOfBounds):
        far.read(((0, 0, 0), (21, 1, 1)))
    with pytest.raises(labelog.Invalid):
        far.read(BOX, np.zeros((1, 1, 1), np.uint64))


def test_large_boxes_are_read_in_parts(near, far, monkeypatch):
    from labelog.remote import snapshot

    monkeypatch.setattr(snapshot, "MOST", 1000)
    assert np.array_equal(far[...], near[...])
    assert np.array_equal(far.blame(BOX), near.blame(BOX))
    parts = list(snapshot.cut(labelog.Box((0, 0, 0), far.shape), far.chunks))
    assert len(parts) > 84 and max(part.voxels for part in parts) <= 1000
    assert sum(part.voxels for part in parts) == far.size


def test_a_read_in_parts_is_of_one_revision(near, far, monkeypatch):
    from labelog.remote import snapshot

    monkeypatch.setattr(snapshot, "MOST", 10_000)
    get, asked = far.connection.get, []

    def slow(path, **query):
        answer = get(path, **query)
        if path == "/voxels":
            asked.append(query)
            with near.edit("bo") as edit:
                edit[...] = 1000 + len(asked)
        return answer

    before = near[...]
    monkeypatch.setattr(far.connection, "get", slow)
    assert np.array_equal(far[...], before)
    assert len(asked) > 5 and sum(query["rev"] is None for query in asked) == 1


def test_the_surface_of_an_object(near, far):
    pytest.importorskip("zmesh")
    one, two = labelog.mesh(near, 12), labelog.mesh(far, 12)
    assert np.array_equal(one.vertices, two.vertices)


@pytest.mark.parametrize("given", VIEWS, ids=str)
def test_views(near, far, cell, given):
    for number in (0, 1):
        one, other = near.view(**given).scale(number), far.view(**given).scale(number)
        for name in ("name", "shape", "dtype", "chunks", "voxel_size", "unit", "factors", "translation", "revision",
                     "colours", "number"):  # fmt: skip
            assert getattr(other, name) == getattr(one, name), name
        assert np.array_equal(other[...], one[...])
        assert np.array_equal(other[[3, 5], [1, 2], [7, 8]], one[[3, 5], [1, 2], [7, 8]])
        assert other.version() == other.version() != other.version(((0, 0, 0), (1, 2, 3)))
        assert other == one and hash(other) == hash(one)
        for found, expected in zip(other.extents(), one.extents(), strict=True):
            assert np.array_equal(found, expected)
        last = other.grid.number(tuple(n - 1 for n in other.grid.counts))
        assert np.array_equal(dense(*other.valued(last)), dense(*one.valued(last)))
    if "unannotated" not in given:
        one, other = near.view(given["name"]), far.view(given["name"])
        assert other.remapped() == one.remapped() and other.remapped(0) == one.remapped(0)
        stored = np.array([1, 12, 23, 13, 12], np.uint64)
        assert np.array_equal(other.values(stored), one.values(stored))


def test_views_that_are_none(near, far):
    with pytest.raises(labelog.NotFound, match="there is no view 'dog'; there are instance"):
        far.view("dog")
    for wrong in ({"dtype": "float32"}, {"unannotated": -1}, {"unannotated": True}):
        for volume in (near, far):
            with pytest.raises(labelog.Invalid):
                volume.view(**wrong)
    with pytest.raises(labelog.OutOfBounds, match="has scales 0 to 2, not 7"):
        far.scale(7)
    assert [scale.shape for scale in far.scales] == [scale.shape for scale in near.scales]


def test_revisions_and_times(near, far, cell):
    for revision in range(5):
        assert np.array_equal(far.at(revision)[3], near.at(revision)[3])
        assert far.at(revision).time == near.at(revision).time
    time = near.at(2).time
    assert far.at(time).revision == far.at(time.astimezone()).revision == 2
    assert far.at(time - timedelta(microseconds=1)).revision == 1
    with pytest.raises(labelog.NotFound, match="did not exist yet"):
        far.at(datetime(1999, 1, 1, tzinfo=UTC))
    with pytest.raises(labelog.NotFound, match="there is no revision 9; they go from 0 to 4"):
        far.at(9)
    with pytest.raises(labelog.Invalid):
        far.at("yesterday")


def test_history(near, far, cell):
    assert list(far.history()) == list(near.history())
    for given in ({"author": "bo"}, {"session": "left"}, {"label": 12}, {"box": ((3, 30, 30), (4, 31, 31))},
                  {"since": 2}, {"until": 2}, {"limit": 2}, {"limit": 0}, {"since": near.at(1).time},
                  {"until": datetime(1999, 1, 1, tzinfo=UTC)}, {"box": ((0, 0, 0), (0, 0, 0))}):  # fmt: skip
        assert list(far.history(**given)) == list(near.history(**given)), given
    for revision in range(5):
        assert far.commit(revision) == near.commit(revision)
        assert far.changes(revision) == near.changes(revision)
        for found, expected in zip(far.written(revision), near.written(revision), strict=True):
            assert np.array_equal(found, expected)
    assert np.array_equal(far.blame(), near.blame()) and np.array_equal(far.blame(BOX), near.blame(BOX))
    for wrong in (lambda: far.commit(9), lambda: far.changes(-1), lambda: far.history(since=9)):
        with pytest.raises(labelog.NotFound):
            wrong()
    for name, given in (("history", {"limit": -1}), ("history", {"limit": "x"}), ("history", {"author": 7}),
                        ("watch", {"timeout": "x"}), ("edit", {"labels": None})):  # fmt: skip
        told = []
        for volume in (near, far):
            with pytest.raises(labelog.Invalid) as raised:
                getattr(volume, name)(**given)
            told.append(str(raised.value))
        assert told[0] == told[1], (name, given)


def test_long_histories_come_in_pages(near, far, monkeypatch):
    from labelog.remote import volume

    monkeypatch.setattr(volume, "PAGE", 2)
    for label in range(1, 8):
        with near.edit("ana") as edit:
            edit[0, 0, 0] = label
    assert list(far.history()) == list(near.history())
    assert list(far.history(limit=5)) == list(near.history(limit=5))


def test_objects(near, far, cell, monkeypatch):
    from labelog.remote import labels

    monkeypatch.setattr(labels, "PAGE", 150)
    assert far.labels.table_rows() == near.labels.table_rows()
    assert far.labels.to_csv() == near.labels.to_csv() and far.labels.to_json() == near.labels.to_json()
    assert far.labels.to_pandas().equals(near.labels.to_pandas())
    assert len(far.labels) == len(near.labels) and far.labels.by_class() == near.labels.by_class()
    assert far.classes == near.classes
    for label in (cell, 12, 13, 23, 2**64 - 1):
        one, other = near.labels[label], far.labels[label]
        for name in ("id", "cls", "parent", "name", "attributes", "fragments", "children", "own", "whole", "voxels",
                     "box", "chunks"):  # fmt: skip
            assert getattr(other, name) == getattr(one, name), (label, name)
        assert repr(other) == repr(one)
        for ask in ("children", "ancestors", "subtree"):
            assert getattr(far.labels, ask)(label) == getattr(near.labels, ask)(label)
    for given in ({}, {"cls": "cell"}, {"cls": 1}, {"parent": 0}, {"parent": cell}, {"name": "A"}, {"box": BOX},
                  {"box": ((0, 0, 0), (0, 0, 0))}):  # fmt: skip
        assert [label.row() for label in far.labels.where(**given)] == [
            label.row() for label in near.labels.where(**given)
        ], given
    assert far.labels.extents([cell, 12]) == near.labels.extents([cell, 12])
    assert far.labels.extent([cell, 12]) == near.labels.extent([cell, 12])
    assert 12 in far.labels and 99999 not in far.labels and "x" not in far.labels
    assert far.labels.children(99999) == [] and far.labels.subtree(99999) == [99999]
    with pytest.raises(labelog.NotFound, match="no label 99999") as raised:
        far.labels[99999]
    assert raised.value.label == 99999
    with pytest.raises(labelog.NotFound, match="no class"):
        far.labels.where(cls="dog")
    assert list(far.labels.problems()) == list(near.labels.problems()) != []
    assert list(far.labels.problems(region="looked at")) == list(near.labels.problems(region="looked at"))
    assert far.at(0).labels.by_class() == near.at(0).labels.by_class()


def test_regions(near, far, cell):
    one, other = near.regions, far.regions
    assert one == other and list(one) == list(other)
    assert other["looked at"].mask is None and np.array_equal(other["a part"].mask, one["a part"].mask)
    for name in one:
        assert far.labels.voxels_in(name) == near.labels.voxels_in(name)
    for ask in (far.labels.voxels_in, lambda name: far.labels.problems(region=name)):
        with pytest.raises(labelog.NotFound, match="no region 'x'"):
            ask("x")


def test_components_and_contingency(near, far, cell):
    for view, given in (("instance", {}), ("instance", {"cls": "cell"}), ("semantic", {"cls": "mitochondrion"}),
                        ("semantic", {"cls": 1, "within": BOX}), ("fragment", {"labels": [13, 23]})):  # fmt: skip
        one, other = near.components(view, **given), far.components(view, **given)
        assert other.table_rows() == one.table_rows()
        assert np.array_equal(other[...], one[...])
    for wrong in (("semantic", "dog", labelog.NotFound), ("fragment", "cell", labelog.Invalid)):
        with pytest.raises(wrong[2]):
            far.components(wrong[0], cls=wrong[1])
    for found, expected in zip(labelog.contingency(far.at(0), far), labelog.contingency(near.at(0), near), strict=True):
        assert np.array_equal(found, expected)


def test_extents_of_a_box(near, far):
    for found, expected in zip(far.extents(BOX), near.extents(BOX), strict=True):
        assert np.array_equal(found, expected)
    assert len(far.extents(((0, 0, 0), (0, 0, 0))).label) == 0


def test_the_image(near, far, tmp_path):
    with pytest.raises(labelog.NotFound, match="no image"):
        far.image  # noqa: B018
    picture = np.random.default_rng(1).integers(0, 60000, near.shape).astype(np.uint16)
    near.attach_image(import_image(picture, tmp_path / "image", voxel_size=(40, 10, 10), unit="nm"))
    one, other = near.image, far.image
    for a, b in zip(one.scales, other.scales, strict=True):
        for name in ("shape", "dtype", "chunks", "voxel_size", "unit", "translation", "kind", "number"):
            assert getattr(a, name) == getattr(b, name)
        assert np.array_equal(a[...], b[...]) and np.array_equal(a[3, [1, 2], [4, 8]], b[3, [1, 2], [4, 8]])
    with pytest.raises(labelog.OutOfBounds):
        other.scale(9)


def test_check_and_compact(near, far, cell):
    steps = []
    report = far.check(lambda done, total: steps.append((done, total)))
    assert report.ok and (report.revisions, report.chunks) == (5, near.check().chunks)
    assert (far.compact() > 0 and near.check().deltas == 0) or True
    assert far.compact() == 0


def test_no_store(far):
    for name in ("store", "committer"):
        with pytest.raises(labelog.Unsupported, match="on a server"):
            getattr(far, name)


def test_nothing_is_at_hand(near, far):
    box = labelog.Box((0, 0, 0), (1, 8, 8))
    assert near.at()[0:1, 0:8, 0:8].shape == (1, 8, 8)
    assert near.at().at_hand(box) and not far.at().at_hand(box) and not far.view().at_hand(box)


def test_everything_of_a_volume_is_there(far):
    """Nothing public falls back to the files of a volume on disk."""
    for kind in (type(far), type(far.at()), type(far.view())):
        for name, member in inspect.getmembers(kind):
            function = member.fget if isinstance(member, property) else member
            if not name.startswith("_") and inspect.isfunction(function):
                assert ".store" not in inspect.getsource(function), f"{kind.__name__}.{name}"
