"""Idempotency keys: an edit that is sent again is the same edit, whatever labels it makes and whatever came after; and
what was refused in its turn stays refused."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import labelog
from labelog import Conflict, Invalid, NotFound
from labelog.engine.classes import LabelClass

ONES = np.ones((1, 2, 3), bool)


@pytest.fixture
def volume(tmp_path):
    """Rows 1 to 4 have the labels 1 to 4; 2 lies in 1."""
    with labelog.create(tmp_path / "v.labelog", (1, 6, 8), chunks=(1, 4, 4), classes=[LabelClass(1, "cell")]) as volume:
        with volume.edit("maker") as edit:
            for label in range(1, 5):
                edit[0, label] = label
            edit.assign(2, parent=1)
        yield volume


def new_and_all_that_names_it(edit):
    a = edit.new(cls="cell")
    b = edit.new(parent=a, name="b")
    edit[0, 0] = a
    edit.paint(b, ONES, at=(0, 0, 0), over=[a, 1])
    edit.relabel({a: b, 3: a})
    edit.assign(b, name="B", parent=a, weight=1)
    edit.assign(3, parent=b)
    edit.merge(4, [b])
    edit.cleave([b])
    edit.merge_all([(a, 4)])
    edit.erase(b)
    return a, b


def new_in_what_is_there(edit):
    return edit.new(parent=4), edit.new(parent=3)


def new_in_an_array(edit):
    label = edit.new()
    edit[0, 5] = np.where(np.arange(8) % 2, label, 0)
    return (label,)


def split(edit):
    split = edit.split(1, [[0, 1, 0, 4]])
    edit.assign(split.labels[0], cls="cell")
    return split


def seeds(edit):
    return edit.split(1, seeds=[[(0, 1, 0)], [(0, 1, 7)], [(0, 2, 3)]])


def separate(edit):
    edit[0, 1, 3] = 0
    edit[0, 2] = 0
    return edit.separate(1)


def split_what_was_split(edit):
    (new,) = edit.split(1, [[0, 1, 0, 4]]).labels
    return edit.split(new, [[0, 1, 0, 2]])


def merge_and_cleave(edit):
    edit.merge(1, [3, 4])
    edit.cleave([3])


def new_class(edit):
    return edit.new_class("nucleus", id=7), edit.new_class("vesicle")


def remove_region(edit):
    edit.set_region("r", "gold", ((0, 0, 0), (1, 2, 2)))
    edit.remove_region("r")


EDITS = [new_and_all_that_names_it, new_in_what_is_there,
    new_in_an_array, split, seeds, separate, split_what_was_split, merge_and_cleave,
         new_class, remove_region]  # fmt: skip


def send(volume, what, key="k", author="ana"):
    with volume.edit(author, key=key) as edit:
        found = what(edit)
    return found, (edit.revision, edit.voxels, edit.written)


@pytest.mark.parametrize("what", EDITS)
def test_sent_again(volume, what):
    """At once, after others' work, after an undo, and from another handle: the same labels, the same answer."""
    first = send(volume, what)
    there = volume[...]
    assert send(volume, what) == first
    with volume.edit("bo") as edit:
        edit[:] = edit.new()
        edit[0, 3] = 99
    assert send(volume, what) == first
    volume.undo("bo")
    volume.undo("ana")
    assert send(volume, what) == first
    volume.redo("ana")
    with labelog.open(volume.address) as other:
        assert send(other, what) == first
    assert (volume[...] == there).all()
    assert volume.revision == 6
    assert volume.check().problems == []
    with volume.edit("bo") as edit:
        assert edit.new() == 100, "what was handed out again is nobody else's"


@pytest.mark.parametrize("what", [what for what in EDITS if what is not new_in_an_array])
def test_sent_again_before_the_first_was_committed(volume, what):
    """Both make labels; one of them is the edit. The other is told to begin again, and then has its answer."""
    both = [volume.edit("ana", key="k") for _ in range(2)]
    for edit in both:
        edit.__enter__()
    labels = [what(edit) for edit in both]
    both[0].__exit__(None, None, None)
    if what not in (merge_and_cleave, new_class, remove_region):
        assert labels[0] != labels[1]
        with pytest.raises(Conflict, match="begun again it gives the same") as found:
            both[1].__exit__(None, None, None)
        assert found.value.again and found.value.key == "k"
        with volume.edit("ana", key="k") as again:
            assert what(again) == labels[0]
    else:
        again = both[1]
        again.__exit__(None, None, None)
    assert both[0].revision == again.revision == volume.revision == 2
    assert (both[0].written, both[0].made) == (again.written, again.made)
    assert volume.check().problems == []


def test_an_array_is_told_by_its_numbers(volume):
    """A limit, and said so: which of them are labels that the edit made can't be known before all are looked at."""
    both = [volume.edit("ana", key="k") for _ in range(2)]
    for edit in both:
        edit.__enter__()
        new_in_an_array(edit)
    both[0].__exit__(None, None, None)
    with pytest.raises(Conflict):
        both[1].__exit__(None, None, None)


def two_new(edit):
    return edit.new(), edit.new()


OTHERS = {
    "paint": (
        lambda edit, a, b: edit.paint(a, ONES, at=(0, 0, 0)),
        lambda edit, a, b: edit.paint(b, ONES, at=(0, 0, 0)),
    ),
    "box": (lambda edit, a, b: edit.__setitem__((0, 0), a), lambda edit, a, b: edit.__setitem__((0, 0), b)),
    "over": (
        lambda edit, a, b: edit.paint(3, ONES, at=(0, 0, 0), over=[a]),
        lambda edit, a, b: edit.paint(3, ONES, at=(0, 0, 0), over=[b]),
    ),
    "key": (lambda edit, a, b: edit.relabel({a: 3}), lambda edit, a, b: edit.relabel({b: 3})),
    "value": (lambda edit, a, b: edit.relabel({3: a}), lambda edit, a, b: edit.relabel({3: b})),
    "erase": (lambda edit, a, b: edit.erase(a), lambda edit, a, b: edit.erase(b)),
    "parent": (lambda edit, a, b: edit.new(parent=a), lambda edit, a, b: edit.new(parent=b)),
    "assign": (lambda edit, a, b: edit.assign(a, name="x"), lambda edit, a, b: edit.assign(b, name="x")),
    "assign_parent": (lambda edit, a, b: edit.assign(3, parent=a), lambda edit, a, b: edit.assign(3, parent=b)),
    "merge": (lambda edit, a, b: edit.merge(a, [b]), lambda edit, a, b: edit.merge(b, [a])),
    "merges": (lambda edit, a, b: edit.merge_all([(a, b)]), lambda edit, a, b: edit.merge_all([(b, a)])),
    "separate": (lambda edit, a, b: edit.separate(a), lambda edit, a, b: edit.separate(b)),
    "separate_by": (lambda edit, a, b: edit.separate(3), lambda edit, a, b: edit.separate(3, 18)),
    "place": (lambda edit, a, b: edit.assign(a, name="x"), lambda edit, a, b: edit.assign(1, name="x")),
    "split": (
        lambda edit, a, b: edit.split(1, [[0, 1, 0, 2]]),
        lambda edit, a, b: edit.split(1, [[0, 1, 0, 3]]),
    ),
    "seeds": (
        lambda edit, a, b: edit.split(1, seeds=[[(0, 1, 0)], [(0, 1, 2)]]),
        lambda edit, a, b: edit.split(1, seeds=[[(0, 1, 0)], [(0, 1, 3)]]),
    ),
    "whose": (
        lambda edit, a, b: edit.split(1, [[0, 1, 0, 2], [0, 3, 0, 2]]),
        lambda edit, a, b: edit.split(3, [[0, 1, 0, 2], [0, 3, 0, 2]]),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_edit_is_not_the_same(volume, name):
    one, other = OTHERS[name]
    send(volume, lambda edit: one(edit, *two_new(edit)))
    before = volume.revision
    with pytest.raises(Conflict, match="another edit"):
        send(volume, lambda edit: other(edit, *two_new(edit)))
    assert volume.revision == before
    assert send(volume, lambda edit: one(edit, *two_new(edit)))[1][0] == before


def test_what_another_edit_under_the_key_is_handed_is_given_to_nobody(volume):
    """It asks for more than the first one made, and is refused; the labels that it got stay the first one's."""
    (first, _), _ = send(volume, two_new)
    with pytest.raises(Conflict):
        send(volume, lambda edit: [edit.new() for _ in range(5)])
    labels = volume.labels
    assert first in labels
    found, _ = send(volume, two_new, key="l")
    assert not {first, first + 1} & set(found)


def test_a_number_of_its_own_between(volume):
    """A label that the edit writes by a number of its own may be what would have been handed out next."""

    def what(edit):
        a = edit.new()
        edit[0, 0] = a + 1
        return a, edit.new(), edit.new()

    first = send(volume, what)
    assert len({*first[0], first[0][0] + 1}) == 4
    assert send(volume, what) == first


def test_a_refusal_within_is_refused_again(volume):
    def what(edit):
        with pytest.raises(NotFound):
            edit.new(parent=50)
        with pytest.raises(Invalid):
            edit.split(1, [[0, 5, 0, 3]])
        return edit.new()

    first = send(volume, what)
    with volume.edit("bo") as edit:
        edit[0, 5] = 50
    assert send(volume, what) == first


def test_keys_of_undo_are_not_keys_of_edits(volume):
    send(volume, two_new)
    volume.undo("ana", key="u")
    volume.redo("ana", key="r")
    for key in "ur":
        with pytest.raises(Conflict):
            send(volume, two_new, key=key)
    done = volume.revert(2, by="ana", key="v")
    assert volume.revert(2, by="ana", key="v") == done
    asked = {
        "u": lambda key, **more: volume.undo("ana", key=key, **more),
        "r": lambda key, **more: volume.redo("ana", key=key, **more),
        "v": lambda key, revision=2, **more: volume.revert(revision, by="ana", key=key, **more),
    }
    for key, other in [(key, other) for key in asked for other in asked if key != other]:
        with pytest.raises(Conflict, match="another edit"):
            asked[other](key)
    for key, ask in asked.items():
        with pytest.raises(Conflict, match="another edit"):
            ask(key, strict=True)
    for revision in (1, 3):
        with pytest.raises(Conflict, match="another edit"):
            asked["v"]("v", revision)
    assert volume.revision == done.revision == 5
    assert volume.check().problems == []


REFUSED = {
    "undo": (lambda volume, key: volume.undo("ana", key=key), labelog.NothingToUndo),
    "redo": (lambda volume, key: volume.redo("ana", key=key), labelog.NothingToUndo),
    "revert": (lambda volume, key: volume.revert(5, by="ana", key=key), labelog.NothingToUndo),
    "strict": (lambda volume, key: volume.undo("cy", strict=True, key=key), Conflict),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_refused_stays_refused(volume, name):
    """An attempt may come late: when another of the same key was refused, and there is something to do by now."""
    ask, kind = REFUSED[name]
    with volume.edit("cy") as edit:
        edit[0, 5] = 7
    with volume.edit("bo") as edit:
        edit[0, 5] = 8
    for _ in range(2):
        with pytest.raises(kind) as caught:
            ask(volume, "k")
        assert not hasattr(caught.value, "key"), "why, and not that it was before"
    send(volume, two_new, key="l")
    if name == "redo":
        volume.undo("ana")
    send(volume, two_new, key="m", author="dee")
    volume.undo("bo")
    before = volume.revision
    with labelog.open(volume.address) as other, pytest.raises(Conflict, match="refused before") as caught:
        ask(other, "k")
    assert caught.value.key == "k" and volume.revision == before
    assert ask(volume, "another").revision == volume.revision == before + 1
    assert volume.check().problems == []


def test_an_edit_that_was_refused_stays_refused(volume):
    def put_in(key, meanwhile):
        with volume.edit("ana", key=key) as edit:
            edit.assign(3, parent=4)
            meanwhile()
        return edit.revision

    def the_other_way_round():
        with volume.edit("bo") as edit:
            edit.assign(4, parent=3)

    with pytest.raises(Invalid):
        put_in("k", the_other_way_round)
    volume.undo("bo")
    with pytest.raises(Conflict, match="refused before"):
        put_in("k", lambda: None)
    assert volume.labels[3].parent == 0
    assert put_in("l", lambda: None) == volume.revision == 4


def test_what_is_asked_otherwise_after_a_refusal_is_done(volume):
    """And then it is what the key stands for."""
    with pytest.raises(labelog.NothingToUndo):
        volume.undo("ana", key="k")
    first = send(volume, two_new)
    assert send(volume, two_new) == first
    with pytest.raises(Conflict, match="another edit"):
        volume.undo("ana", key="k")
    assert volume.check().problems == []


def in_one_turn(volume, *jobs):
    """What comes of jobs of several threads that share a turn, in this order."""
    committer, done = volume.committer, []
    with ThreadPoolExecutor(len(jobs)) as pool:
        with committer._turn:
            for number, job in enumerate(jobs, 1):
                done.append(pool.submit(job))
                until = time.monotonic() + 30
                while len(committer._waiting) < number and time.monotonic() < until:
                    time.sleep(0.001)
        return [each.exception() or each.result() for each in done]


def test_a_refusal_of_several_in_one_turn_is_its_own(volume):
    """Those that share the turn with it are done, on what is there without it."""

    def undo():
        return volume.undo("ana", key="k")

    def paint(author, label):
        return lambda: send(volume, lambda edit: edit.__setitem__((0, 0), int(label)), label, author)[1]

    refused, done = in_one_turn(volume, undo, paint("bo", "5"))
    assert isinstance(refused, labelog.NothingToUndo) and done == (2, 8, 8)
    assert paint("ana", "6")() == (3, 8, 8)
    refused, done = in_one_turn(volume, undo, paint("cy", "6"))
    assert isinstance(refused, Conflict) and "refused before" in str(refused)
    assert done == (4, 0, 8), "it is 6 already, as nothing was undone"
    assert (volume[0, 0] == 6).all() and volume.check().problems == []
