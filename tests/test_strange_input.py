"""Arguments that nobody means, in every place of every public method: each is refused by an error of labelog's own, or
taken, and what is refused changes nothing."""

from __future__ import annotations

import inspect
import itertools
import math
import pickle
import shutil
from contextlib import suppress

import numpy as np
import pytest

import labelog
from labelog import Invalid, LabelogError, formats
from labelog.engine.objects import Labels
from labelog.formats import Stack
from labelog.image import import_image, open_image

STRANGE = [
    None, "x", "", -1, 1.5, math.nan, math.inf, True, 2**64, 10**30, "\ud800", "a\0b", b"x", [], {}, (), ["a"], [[1]],
    {"a": 1}, {-1: 2}, [math.nan], object(), np.array(5), np.array([["a"]]), 1j, "x" * 5000,
]  # fmt: skip
BOX = ((0, 0, 0), (1, 2, 2))
CELLS = np.ones((2, 3, 4), np.uint8)
SEEDS = [[(0, 0, 1)], [(1, 2, 3)]]
CLASS = labelog.LabelClass(30, "new")

SEEN = {
    "read": {"box": BOX, "out": None},
    "__getitem__": {"index": 0},
    "scale": {"number": 0},
    "extents": {"within": BOX},
    "components": {"cls": "cell", "labels": [5], "within": BOX, "connectivity": 6, "progress": None},
    "fill_mask": {"seed": (0, 0, 1), "connectivity": 6, "within": BOX, "axis": None, "limit": 100, "over": 5,
                  "tolerance": None, "between": None, "progress": None},
    "remapped": {"since": 0},
    "version": {"box": BOX},
}  # fmt: skip
VIEW = {"view": {"name": "cell", "dtype": np.uint64, "unannotated": None}}
ASKED = {
    "volume": {
        **VIEW,
        **{name: usual for name, usual in SEEN.items() if name not in ("remapped", "version")},
        "at": {"when": 1},
        "commit": {"revision": 1},
        "changes": {"revision": 1},
        "written": {"revision": 1},
        "blame": {"box": BOX},
        "history": {"author": "ana", "session": None, "label": 5, "box": BOX, "since": 0, "until": 2, "limit": 5},
        "watch": {"since": 0, "timeout": 0},
        "edit": {"author": "ana", "message": "", "session": None, "key": None, "seen": 1, "at": 1, "labels": ()},
    },
    "snapshot": {**VIEW, **SEEN},
    "view": SEEN,
    "labels": {
        "__getitem__": {"label": 5},
        "where": {"cls": "cell", "parent": 0, "name": None, "box": BOX, "after": 1, "limit": 5},
        "described": {"most": 5, "cls": "cell"},
        "children": {"label": 5},
        "ancestors": {"label": 5},
        "subtree": {"label": 5},
        "extent": {"labels": [5]},
        "extents": {"labels": [5]},
        "problems": {"region": "seen", "connectivity": 6, "progress": None},
        "voxels_in": {"region": "seen"},
    },
    "labelog": {
        "connected_components": {"array": CELLS, "connectivity": 6, "dtype": np.uint8, "threads": 1},
        "contingency": {"a": CELLS, "b": CELLS, "within": None, "threads": 1},
        "downsample": {"array": CELLS, "factors": (2, 2, 2), "threads": 1},
        "flood": {"array": CELLS, "seed": (0, 0, 0), "connectivity": 6, "threads": 1},
        "flood_fill": {"array": CELLS, "seed": (0, 0, 0), "new_label": 3, "connectivity": 6, "threads": 1},
        "polygon": {"rings": [[(0, 0), (0, 3), (3, 3)]], "axis": 0, "index": 0, "shape": (4, 6, 8)},
        "brush": {"path": [(0, 0), (3, 3)], "radius": 1, "axis": 0, "index": 0, "shape": (4, 6, 8)},
        "read_classes": {"source": "platelet"},
    },
}  # fmt: skip
STAGED = {
    "__setitem__": {"index": 0, "labels": 5},
    "__getitem__": {"index": 0},
    "paint": {"label": 5, "where": np.ones((2, 2), bool), "at": (0, 0, 0), "over": None},
    "change": {"box": BOX, "labels": np.ones((1, 2, 2), int)},
    "expect": {"box": BOX},
    "relabel": {"labels": {5: 7}, "within": BOX},
    "erase": {"label": 5, "within": BOX},
    "split": {"label": 5, "where": np.ones((2, 2), bool), "at": (0, 0, 0)},
    "fill": {"seed": (0, 0, 1), "label": 11, "connectivity": 6, "within": BOX, "limit": 100, "progress": None},
    "fill_mask": {"seed": (0, 0, 1), "view": "instance", "limit": 100, "progress": None},
    "fill_holes": {"label": 5, "axis": 0, "connectivity": 4, "below": 5, "over": 0, "within": BOX},
    "remove_islands": {"label": 5, "below": 5, "axis": 0, "connectivity": 4},
    "dilate": {"label": 5, "distance": 1, "unit": "voxel", "axis": 0, "over": 0, "within": BOX},
    "erode": {"label": 5, "distance": 1, "unit": "voxel", "axis": 0, "within": BOX},
    "interpolate": {"label": 7, "slices": None, "axis": 0, "over": 0},
    "separate": {"labels": [5], "connectivity": 6, "cls": "cell", "below": 0},
    "new": {"cls": "cell", "parent": 5, "name": "A", "size": 3},
    "assign": {"label": 5, "cls": "cell", "parent": 7, "name": "A", "size": 3},
    "merge": {"label": 5, "others": [7]},
    "merge_all": {"pairs": [(5, 7)]},
    "cleave": {"labels": [9]},
    "new_class": {"name": "new", "id": 30, "colour": "#123456", "kind_of": "cell", "within": ["cell"]},
    "new_classes": {"classes": [CLASS]},
    "assign_class": {"cls": "cell", "name": "new", "colour": "#123456", "kind_of": None, "within": []},
    "set_region": {"name": "new", "kind": "gold", "box": BOX, "mask": None},
    "remove_region": {"name": "seen"},
    "set_image": {"reference": {"address": "image", "kind": "ome-zarr"}},
}  # fmt: skip
WRITTEN = {"undo", "redo", "revert", "attach_image", "compact", "check", "close"}
INSIDE = {
    "store", "committer", "opened_image", "at_hand", "mapped", "valued", "values", "table", "take_over", "preview",
    "to_csv", "to_json", "to_arrow", "to_pandas", "table_rows", "by_class",
}  # fmt: skip
"""Without arguments, or for the layers above."""


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    path = tmp_path_factory.mktemp("strange") / "v.labelog"
    with labelog.create(path, (4, 6, 8), classes="platelet", author="ana") as volume:
        with volume.edit("ana") as edit:
            edit[:2, :3, :4] = 5
            edit[2:] = 7
            edit.assign(5, cls="cell")
            edit.set_region("seen", "gold", ((0, 0, 0), (2, 2, 2)))
        with volume.edit("bo") as edit:
            edit[0, 0, 0] = 9
            edit.merge(7, 9)
        yield volume


@pytest.fixture(scope="module")
def things(volume):
    return {"volume": volume, "snapshot": volume.at(), "view": volume.view("cell"), "labels": volume.labels,
            "labelog": labelog}  # fmt: skip


def methods(kind):
    """What is there to be called, properties aside."""
    return {name for name, found in inspect.getmembers(kind, callable) if not name.startswith("_")} - INSIDE


def test_no_method_is_left_out():
    assert methods(labelog.Volume) - WRITTEN <= set(ASKED["volume"])
    assert methods(labelog.Snapshot) <= set(ASKED["snapshot"])
    assert methods(labelog.View) <= set(ASKED["view"])
    assert methods(Labels) <= set(ASKED["labels"])
    assert methods(labelog.Edit) <= set(STAGED)


def called(thing, name, given):
    """What a method gives; what is found step by step is asked for its first steps."""
    found = getattr(thing, name)(*given.values()) if name.startswith("__") else getattr(thing, name)(**given)
    return list(itertools.islice(found, 2)) if hasattr(found, "__next__") else found


def strangely(usual, place):
    return [usual | {place: value} for value in STRANGE]


class Enough(Exception):
    """Ends an edit that was begun to be refused."""


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, asked in ASKED.items() for name in asked])
def test_questions(things, kind, name):
    usual = ASKED[kind][name]
    called(things[kind], name, usual)
    for given in itertools.chain.from_iterable(strangely(usual, place) for place in usual):
        try:
            called(things[kind], name, given)
        except LabelogError as error:
            assert 0 < len(str(error)) <= 1000


@pytest.mark.parametrize("name", STAGED)
def test_edits(volume, name):
    """What is refused is not staged, not even in part."""
    usual = STAGED[name]
    for given in itertools.chain([usual], *(strangely(usual, place) for place in usual)):
        with suppress(Enough), volume.edit("ana", seen=2) as edit:
            before = repr(edit.preview())
            try:
                called(edit, name, given)
            except LabelogError:
                assert given is not usual
                assert (edit.spans, repr(edit.preview())) == (0, before)
            raise Enough
    assert volume.revision == 2


@pytest.mark.parametrize("seeds", [5, "x", [], [[]], [5, 6], SEEDS[:1], [*SEEDS, [(0, 0, 1.5)]], [SEEDS, SEEDS]])
def test_seeds_that_are_none(volume, seeds):
    with pytest.raises(LabelogError), volume.edit("ana") as edit:
        edit.split(5, seeds=seeds)
    assert volume.revision == 2


UNDONE = {
    "undo": {"author": "ana", "session": None, "strict": False, "message": "", "key": None},
    "redo": {"author": "ana", "session": None, "strict": False, "message": "", "key": None},
    "revert": {"revision": 1, "author": None, "by": "bo", "session": None, "message": "", "key": None},
}


@pytest.mark.parametrize("name", UNDONE)
def test_undo_redo_and_revert(tmp_path, name):
    with labelog.create(tmp_path / "v.labelog", (2, 2, 2), author="ana") as volume:
        for given in itertools.chain.from_iterable(strangely(UNDONE[name], place) for place in UNDONE[name]):
            with pytest.raises(LabelogError):  # of what is possible there is nothing to undo
                getattr(volume, name)(**given)
        assert volume.revision == 0


MADE = {
    "create": {"path": "v", "shape": (2, 2, 2), "voxel_size": (1, 1, 1), "unit": "nm", "chunks": (2, 2, 2),
               "classes": (), "author": "ana", "cache_bytes": 9, "threads": 1},
    "load": {"path": "v", "labels": CELLS, "table": {}, "merges": (), "colours": None, "message": "",
             "progress": None},
    "open": {"path": "there", "mode": "r", "cache_bytes": 9, "threads": 1, "token": None},
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_new_volumes_and_opened_ones(tmp_path, monkeypatch, name):
    """Nothing is left of a volume that was not made."""
    monkeypatch.chdir(tmp_path)
    labelog.create("there", (2, 2, 2)).close()
    for given in itertools.chain([MADE[name]], *(strangely(MADE[name], place) for place in MADE[name])):
        try:
            getattr(labelog, name)(**given).close()
        except LabelogError:
            assert given is not MADE[name]
        else:
            if name != "open":
                shutil.rmtree(given["path"])
        assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("given", strangely({"classes": [CLASS], "path": "c.toml"}, "path")
                         + strangely({"classes": [CLASS], "path": "c.toml"}, "classes"))  # fmt: skip
def test_classes_to_a_file(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    with suppress(LabelogError):
        labelog.write_classes(**given)
        assert len(list(tmp_path.iterdir())) == 1
        return
    assert list(tmp_path.iterdir()) == []


STACK = Stack.of(CELLS)
FILES = {
    "read": (formats.read, {"path": "there.npy", "format": "npy", "colours": None}),
    "read pictures": (formats.read, {"path": "there.png", "colours": {1: "#ff0000"}, "palette": None, "snap": 0}),
    "read_image": (formats.read_image, {"path": "there.npy", "format": "npy"}),
    "write npy": (formats.write, {"stack": STACK, "path": "new", "format": "npy", "dtype": np.uint8}),
    "write hdf5": (formats.write, {"stack": STACK, "path": "new", "format": "hdf5", "dataset": "a"}),
    "write npz": (formats.write, {"stack": STACK, "path": "new", "format": "npz", "name": "a"}),
    "write tiff": (formats.write, {"stack": STACK, "path": "new", "format": "tiff", "colours": False}),
    "Stack.of": (Stack.of, {"array": CELLS, "colours": None}),
    "import_image": (
        import_image,
        {"source": CELLS, "folder": "new", "voxel_size": (1, 1, 1), "unit": "nm", "progress": None},
    ),
    "open_image": (open_image, {"address": "there.npy", "relative_to": None}),
}


@pytest.mark.parametrize("name", FILES)
def test_files_in_and_out(tmp_path, monkeypatch, name):
    """Nothing is left of a file that was not written."""
    monkeypatch.chdir(tmp_path)
    np.save("there.npy", CELLS)
    formats.write(Stack.of(CELLS[:1], colours={1: (255, 0, 0, 255)}), "there.png")
    there = {"there.npy", "there.png"}
    function, usual = FILES[name]
    for given in itertools.chain.from_iterable(strangely(usual, place) for place in usual):
        try:
            function(**given)
        except LabelogError:
            assert {path.name for path in tmp_path.iterdir()} == there
        for path in tmp_path.iterdir():
            if path.name not in there:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_surfaces(volume):
    pytest.importorskip("zmesh")
    usual = {"seen": volume, "label": 5, "limit": 1000}
    for given in itertools.chain.from_iterable(strangely(usual, place) for place in usual):
        with suppress(LabelogError):
            labelog.mesh(**given)


@pytest.mark.parametrize(("name", "given", "what"), [
    ("history", {"limit": -1}, "limit is a number of commits, 0 or more, not -1"),
    ("history", {"limit": "x"}, "limit is a number of commits, 0 or more, not 'x'"),
    ("history", {"limit": 1.5}, "not 1.5"),
    ("history", {"author": 7}, "author must be a name or a path of names"),
    ("history", {"author": "\ud800"}, "author must be a name"),
    ("history", {"session": 7}, "session is a text that is not empty and has no NUL, not 7"),
    ("watch", {"timeout": "x"}, "timeout is a number of seconds, 0 or more, or None, not 'x'"),
    ("watch", {"timeout": -1}, "not -1"),
    ("watch", {"timeout": math.nan}, "not nan"),
    ("edit", {"labels": None}, "a label is a whole number .* not None"),
    ("edit", {"session": ""}, "session is a text that is not empty and has no NUL, not ''"),
    ("edit", {"key": "a\0b"}, "key is a text that is not empty"),
    ("fill_mask", {"seed": (0, 0, 0), "limit": 0}, "limit is a number of voxels, 1 or more, not 0"),
    ("components", {"progress": 7}, "progress is a function of how much is done .* not 7"),
    ("attach_image", {"source": CELLS, "progress": 7}, "progress is"),
    ("check", {"progress": 7}, "progress is"),
    ("compact", {"progress": 7}, "progress is"),
])  # fmt: skip
def test_what_is_refused_at_once(volume, name, given, what):
    """Not when the first of what was asked for is fetched."""
    with pytest.raises(Invalid, match=what):
        getattr(volume, name)(**given)


@pytest.mark.parametrize("text", ["x" * 10**6, "there is no class " * 10**5, "x" * 1001])
def test_a_long_text_is_quoted_by_its_beginning_and_its_end(volume, text):
    with pytest.raises(
        labelog.NotFound, match=r"^there is no class '.* \[...\] .*'; there are: background, cell, .*core"
    ) as caught:
        volume.components(cls=text)
    assert len(str(caught.value)) <= 1000
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(("name", "given", "what"), [
    ("relabel", {"labels": "a"}, r"expected old labels and their new ones, such as \{5: 7\}, found 'a'"),
    ("relabel", {"labels": None}, "found None"),
    ("relabel", {"labels": [5, 7]}, r"found \[5, 7\]"),
    ("relabel", {"labels": {"a": 1}}, "a label is a whole number .* not 'a'"),
    ("merge", {"label": 5, "others": "7"}, "a label is a whole number .* not '7'"),
    ("cleave", {"labels": b"7"}, "a label is a whole number .* not b'7'"),
    ("paint", {"label": 5, "where": np.ones((1, 1), bool), "at": (0, 0, 0), "over": ""}, "a label is .* not ''"),
])  # fmt: skip
def test_what_an_edit_refuses(volume, name, given, what):
    with pytest.raises(Invalid, match=what), volume.edit("ana") as edit:
        edit[0] = 1
        getattr(edit, name)(**given)
    assert volume.revision == 2


def test_one_label_may_come_as_an_array_without_axes(volume):
    with suppress(Enough), volume.edit("ana") as edit:
        edit.merge(np.array(5), np.array(7))
        edit.paint(3, np.ones((1, 1), bool), at=(0, 1, 1), over=np.array(5))
        assert edit[3, 0, 0] == 5 and edit[0, 1, 1] == 3
        raise Enough


@pytest.mark.parametrize(("table", "what"), [
    ({"a": {}}, "a label is a whole number from 0 to 18446744073709551615, not 'a'"),
    ({-1: {}}, "a label is from 0 to 18446744073709551615, not -1"),
    ({2**64: {}}, "not 18446744073709551616"),
    ({0: {}}, "label 0 is background, and no object"),
    ({1.0: {}}, "a label is a whole number .* not 1.0"),
    ({True: {}}, "a label is a whole number .* not True"),
    ({1: None}, "label 1: expected what is known of it by name, not None"),
    (None, "a table is label -> what is known of it: a mapping or pairs, not None"),
    ("ab", "a mapping or pairs, not 'ab'"),
])  # fmt: skip
def test_a_table_of_what_are_no_labels(tmp_path, table, what):
    with pytest.raises(Invalid, match=what):
        labelog.load(tmp_path / "v.labelog", np.ones((2, 8, 8), int), table=table)
    assert list(tmp_path.iterdir()) == []
