"""Arguments that nobody means, in every place of every public method: each is refused by an error of labelog's own, or
taken, and what is refused changes nothing."""

from __future__ import annotations

import itertools
import math
from contextlib import suppress

import numpy as np
import pytest

import labelog
from labelog import Invalid, LabelogError

STRANGE = [
    None, "x", "", -1, 1.5, math.nan, math.inf, True, 2**64, 10**30, "\ud800", "a\0b", b"x", [], {}, (), ["a"], [[1]],
    {"a": 1}, {-1: 2}, [math.nan], object(), np.array(5), np.array([["a"]]), 1j,
]  # fmt: skip
BOX = ((0, 0, 0), (1, 1, 1))

ASKED = {
    "at": {"when": 1},
    "commit": {"revision": 1},
    "changes": {"revision": 1},
    "written": {"revision": 1},
    "blame": {"box": BOX},
    "history": {"author": "ana", "session": None, "label": 5, "box": BOX, "since": 0, "until": 2, "limit": 5},
    "watch": {"since": 0, "timeout": 0},
    "read": {"box": BOX, "out": None},
    "extents": {"within": BOX},
    "__getitem__": {"index": 0},
}  # fmt: skip
STAGED = {
    "__setitem__": {"index": 0, "labels": 5},
    "__getitem__": {"index": 0},
    "paint": {"label": 5, "where": np.ones((2, 2), bool), "at": (0, 0, 0), "over": None},
    "change": {"box": BOX, "labels": np.ones((1, 1, 1), int)},
    "expect": {"box": BOX},
    "relabel": {"labels": {5: 7}, "within": BOX},
    "erase": {"label": 5, "within": BOX},
    "new": {"cls": "cell", "parent": 5, "name": "A", "size": 3},
    "assign": {"label": 5, "cls": "cell", "parent": 7, "name": "A", "size": 3},
    "merge": {"label": 5, "others": [7]},
    "merge_all": {"pairs": [(5, 7)]},
    "cleave": {"labels": [9]},
}  # fmt: skip


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


def places(methods):
    return [(name, place) for name, usual in methods.items() for place in usual]


def called(thing, name, given):
    """What a method gives; what is found step by step is asked for its first steps."""
    found = getattr(thing, name)(*given.values()) if name.startswith("__") else getattr(thing, name)(**given)
    return list(itertools.islice(found, 2)) if hasattr(found, "__next__") else found


def strangely(usual, place):
    return [usual | {place: value} for value in STRANGE]


class Enough(Exception):
    """Ends an edit that was begun to be refused."""


@pytest.mark.parametrize(("name", "place"), places(ASKED))
def test_questions(volume, name, place):
    called(volume, name, ASKED[name])
    for given in strangely(ASKED[name], place):
        with suppress(LabelogError):
            called(volume, name, given)


@pytest.mark.parametrize(("name", "place"), places(STAGED))
def test_edits(volume, name, place):
    """What is refused is not staged, not even in part."""
    for given in [STAGED[name], *strangely(STAGED[name], place)]:
        with suppress(Enough), volume.edit("ana", seen=2) as edit:
            before = repr(edit.preview())
            try:
                called(edit, name, given)
            except LabelogError:
                assert given is not STAGED[name]
                assert (edit.spans, repr(edit.preview())) == (0, before)
            raise Enough
    assert volume.revision == 2


@pytest.mark.parametrize(("name", "given", "what"), [
    ("history", {"limit": -1}, "limit is a number of commits, 0 or more, not -1"),
    ("history", {"limit": "x"}, "limit is a number of commits, 0 or more, not 'x'"),
    ("history", {"limit": 1.5}, "not 1.5"),
    ("history", {"author": 7}, "author must be a name or a path of names"),
    ("history", {"author": "\ud800"}, "author must be a name"),
    ("history", {"session": 7}, "session must be a text or None, not 7"),
    ("watch", {"timeout": "x"}, "timeout is a number of seconds, 0 or more, or None, not 'x'"),
    ("watch", {"timeout": -1}, "not -1"),
    ("watch", {"timeout": math.nan}, "not nan"),
    ("edit", {"labels": None}, "a label is a whole number .* not None"),
])  # fmt: skip
def test_what_is_refused_at_once(volume, name, given, what):
    """Not when the first of what was asked for is fetched."""
    with pytest.raises(Invalid, match=what):
        getattr(volume, name)(**given)


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
