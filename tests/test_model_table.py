"""A volume with its label table and a plain model of both, driven side by side.

The model is that of `test_model.py`, and facts beside voxels: a dict in which each live edit, in order, sets what it
said. Bodies, parents, views and what is impossible are worked out from that dict anew, each time and in full.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import labelog
import oracles
from conftest import SOAK
from labelog.engine import keeper, store
from labelog.engine.classes import LabelClass
from labelog.storage.journal import Kind
from test_model import HANDLES, LARGE, Done, Model, set_up
from test_model import boxes as boxes_in

SHAPE, CHUNKS = (2, 5, 9), (2, 4, 5)
LOADED = (np.indices(SHAPE).sum(axis=0) // 4 % 3).astype(np.uint64)
AUTHORS = st.sampled_from(["ana", "vendor/bo"])
BIG = 2**64 - 1
PICKS = st.integers(0, 9)  # a label, by its place among those of the machine
CLASSES = [LabelClass(1, "organelle"), LabelClass(2, "granule", kind_of="organelle"), LabelClass(3, "cell")]
CLASS_NAMES = st.sampled_from(["organelle", "cell", "vesicle"])
BOXES = boxes_in(SHAPE)
TABLE = {1: {"cls": "cell", "name": "one"}, 2: {"parent": 1, "cls": 2}}
MERGED = [(1, BIG)]

FIELDS = st.fixed_dictionaries({}, optional={
    "cls": st.sampled_from([None, 1, 2, 3, 4]), "parent": st.none() | PICKS,
    "name": st.sampled_from([None, "a", "b"]), "weight": st.sampled_from([None, 1, [2, "c"]]),
})  # fmt: skip
CLASS_FIELDS = st.fixed_dictionaries({}, optional={"name": CLASS_NAMES, "kind_of": st.none() | CLASS_NAMES})
ACTIONS = st.one_of(
    st.tuples(st.just("paint"), BOXES, PICKS),
    st.tuples(st.just("paint_over"), BOXES, PICKS, st.sets(PICKS, max_size=3)),
    st.tuples(st.just("write_what_is_there"), BOXES),
    st.tuples(st.just("relabel"), st.dictionaries(PICKS, PICKS, max_size=2), st.none() | BOXES),
    st.tuples(st.just("erase"), PICKS),
    st.tuples(st.just("new"), FIELDS, BOXES),
    st.tuples(st.just("split"), PICKS, BOXES),
    st.tuples(st.just("separate"), PICKS),
    st.tuples(st.just("assign"), PICKS, FIELDS),
    st.tuples(st.just("assign"), PICKS, st.fixed_dictionaries({"parent": PICKS})),
    st.tuples(st.just("merge"), PICKS, st.lists(PICKS, max_size=2)),
    st.tuples(st.just("merge"), PICKS, st.lists(PICKS, min_size=1, max_size=2)),
    st.tuples(st.just("cleave"), st.sets(PICKS, min_size=1, max_size=2)),
    st.tuples(st.just("new_class"), CLASS_NAMES),
    st.tuples(st.just("assign_class"), st.integers(1, 4), CLASS_FIELDS),
)
EDITS = st.lists(ACTIONS, min_size=1, max_size=4)


class Impossible(Exception):
    """The model says that this can't be."""


class Facts:
    """Key -> (place in the order of edits, value); a key is "label", label, field or "class", number, field."""

    def __init__(self, said):
        self.said = {key: (place, value) for key, (place, value) in said.items() if value is not None}
        self.by_subject = {}
        for (space, subject, name), (_, value) in self.said.items():
            self.by_subject.setdefault(space, {}).setdefault(subject, {})[name] = value
        self.merges = sorted((place, value, key[1]) for key, (place, value) in self.said.items()
                             if key[0] == "label" and key[2].startswith("merge:"))  # fmt: skip
        self.bodies = {}
        for _, first, second in self.merges:
            one, other = self.body(first), self.body(second)
            self.bodies |= {first: one, second: one}
            self.bodies |= {label: one for label, body in self.bodies.items() if body == other}

    def body(self, label):
        return self.bodies.get(label, label)

    def members(self, body):
        return {label for label, found in self.bodies.items() if found == body} | {body}

    def fields(self, label, space="label"):
        return self.by_subject.get(space, {}).get(label, {})

    def subjects(self, space="label"):
        return set(self.by_subject.get(space, ()))

    def parent(self, body):
        return self.body(self.fields(body).get("parent", 0))

    def around(self, body):
        """A body, what it lies in, and so on."""
        found = [body]
        while (body := self.parent(body)) != 0:
            if body in found:
                raise Impossible(f"{body} is its own ancestor")
            found.append(body)
        return found

    def kinds(self, number):
        """A class, what it is a kind of, and so on."""
        found = [number]
        while (number := self.fields(number, "class").get("kind_of")) is not None:
            if number in found or "name" not in self.fields(number, "class"):
                raise Impossible(f"class {number} is a kind of itself, or is not there")
            found.append(number)
        return found

    def verify(self):
        names = [self.fields(number, "class").get("name") for number in self.subjects("class")]
        if len(set(names)) < len(names) or None in names:
            raise Impossible("two classes have one name, or one has none")
        for number in self.subjects("class"):
            self.kinds(number)
        for label in self.subjects():
            fields = self.fields(label)
            self.around(self.body(label))
            if "class" in fields and not self.fields(fields["class"], "class"):
                raise Impossible(f"{label} has a class that is not there")
            for name, other in fields.items():
                if (name == "parent" or name.startswith("merge:")) and not self.fields(other):
                    raise Impossible(f"{label} names {other}, of which nothing is said")

    # Views: label -> value

    def semantic(self, label):
        return next((c for b in self.around(self.body(label)) if (c := self.fields(b).get("class")) is not None), 0)

    def nearest(self, label, number):
        return next((b for b in self.around(self.body(label))
                     if "class" in self.fields(b) and number in self.kinds(self.fields(b)["class"])), 0)  # fmt: skip

    def seen(self, fragments, view):
        labels, places = np.unique(fragments, return_inverse=True)
        found = np.array([view(label) if label else 0 for label in labels.tolist()], np.uint64)
        return found[places].reshape(fragments.shape)


@dataclass
class DoneWithFacts(Done):
    said: dict = field(default_factory=dict)  # in the order in which it was said


class TableModel(Model):
    """Revisions of voxels and facts, replayed. The states are fragments."""

    def __init__(self, ground, said):
        super().__init__(ground)
        self.done = [DoneWithFacts("create", "", None, said=said)]
        self.tables = [Facts(self.replayed())]

    def trial(self):
        found = super().trial()
        found.tables = list(self.tables)
        return found

    @property
    def table(self):
        return self.tables[-1]

    def replayed(self):
        return {key: ((r, step), value) for r in [0, *self.live_edits()]
                for step, (key, value) in enumerate(self.done[r].said.items())}  # fmt: skip

    def add(self, done):
        changed = super().add(done)
        self.tables.append(Facts(self.replayed()))
        return changed

    def instance(self, revision=-1):
        return self.tables[revision].seen(self.states[revision], self.tables[revision].body)

    def ever(self, label):
        """Whether any revision had voxels of it, or said something of it."""
        return any(label in state for state in self.states) or any(label in table.subjects() for table in self.tables)

    def commit(self, author, mask, values, said):
        """An edit as the table that it leaves makes it; its revision, or raise Impossible."""
        trial = self.trial()
        trial.add(DoneWithFacts("edit", author, None, (), np.zeros(SHAPE, bool), self.head, said))
        trial.table.verify()
        same = trial.instance() == trial.table.seen(values, trial.table.body)
        return self.add(DoneWithFacts("edit", author, None, (), mask, np.where(same, self.head, values), said))

    def take_out_or_refuse(self, kind, author, targets, strict):
        """Changed, left alone and written; raise Impossible and stay the same."""
        before, kept = set(self.live_edits()), self.trial()
        found = self.take_out(kind, author, None, targets)
        toggled = before ^ set(self.live_edits())
        try:
            self.table.verify()
            if strict and (found[1] or self.said_again(toggled)):
                raise Impossible("others wrote there since")
        except Impossible:
            vars(self).update(vars(kept))
            raise
        return found

    def said_again(self, toggled):
        """Whether a later live edit said something that these said."""
        newest = {key: r for r in sorted({*self.live_edits(), *toggled}) for key in self.done[r].said}
        return any(newest[key] not in toggled for r in toggled for key in self.done[r].said)


class Staging:
    """An edit that is being made, in the volume and in the model."""

    def __init__(self, machine, edit):
        self.machine, self.edit, self.model = machine, edit, machine.model
        self.fragments, self.base = self.model.head.copy(), self.model.head
        self.before = self.model.tables[-1]
        self.mask = np.zeros(SHAPE, bool)
        self.said = {}

    @property
    def table(self):
        return self.over(self.said)

    def over(self, said):
        staged = {key: ((2**62, step), value) for step, (key, value) in enumerate(said.items())}
        return Facts(self.before.said | staged)

    def instance(self):
        return self.table.seen(self.fragments, self.table.body)

    def write(self, mask, values):
        self.fragments = np.where(mask, np.broadcast_to(np.asarray(values, np.uint64), SHAPE), self.fragments)
        self.mask |= mask

    def say(self, said):
        said = {**{key: value for key, value in self.said.items() if key not in said}, **said}
        self.over(said).verify()
        self.said = said

    def listed(self, *labels):
        """What is said of labels that an edit names: those that have voxels are there on its own account."""
        said = {}
        for label in filter(None, labels):
            known = self.table.fields(label)
            if known.get("listed") == 1:
                continue
            if label in self.base or label in self.fragments[self.mask]:
                said["label", label, "listed"] = 2
            elif not known:
                raise Impossible(f"there is no {label}")
        return said

    def carry_out(self, name, *arguments):
        """One action: both do it, or both refuse it."""
        do, expect = getattr(self, name)(*arguments)
        try:
            expect()
        except Impossible as why:
            refused(why, do, labelog.Invalid, labelog.NotFound)
        else:
            do()

    # Each gives what to call, and what the model does

    def paint(self, box, pick):
        label = self.machine.label(pick)
        return lambda: self.edit.__setitem__(box.slices(), label), lambda: self.write(inside(box), label)

    def paint_over(self, box, pick, over):
        label, labels = self.machine.label(pick), [self.machine.label(o) for o in over]
        chosen = inside(box) & np.isin(self.instance(), np.array(labels, np.uint64))
        return (lambda: self.edit.paint(label, np.ones(box.shape, bool), at=box.start, over=labels),
                lambda: self.write(chosen, label))  # fmt: skip

    def write_what_is_there(self, box):
        seen = self.edit[...]
        assert (seen == self.instance()).all()
        return lambda: self.edit.__setitem__(box.slices(), seen[box.slices()]), lambda: self.write(inside(box), seen)

    def relabel(self, picks, box):
        mapping = {self.machine.label(a): self.machine.label(b) for a, b in picks.items()}
        return lambda: self.edit.relabel(mapping, within=box), lambda: self.exchange(mapping, box)

    def exchange(self, mapping, box=None):
        there, values = self.instance(), self.fragments.copy()
        for old, new in mapping.items():
            values[there == np.uint64(old)] = new
        self.write(np.isin(there, np.array(list(mapping), np.uint64)) & inside(box), values)

    def erase(self, pick):
        label = self.machine.label(pick)
        body = self.table.body(label)
        return lambda: self.edit.erase(label), lambda: self.exchange({body: self.table.parent(body)})

    def fields(self, given):
        """Fields as drawn, with a label as parent."""
        return given | {name: self.machine.label(value) for name, value in given.items()
                        if name == "parent" and value is not None}  # fmt: skip

    def facts(self, label, fields):
        if fields.get("cls") is not None and not self.table.fields(fields["cls"], "class"):
            raise Impossible("there is no such class")
        said = self.listed(fields.get("parent"))
        for name, value in fields.items():
            if name == "weight":
                said["label", label, "attribute:weight"] = None if value is None else json.dumps(value)
            else:
                said["label", label, "class" if name == "cls" else name] = value
        return said

    def new(self, given, box):
        fields = {name: value for name, value in self.fields(given).items() if value is not None}

        def do():
            label = self.edit.new(**fields)
            self.made(label)
            self.say(self.facts(label, fields) | {("label", label, "listed"): 1})
            self.edit[box.slices()] = label
            self.write(inside(box), label)

        return do, lambda: self.facts(0, fields)

    def split(self, pick, box):
        label, mask = self.machine.label(pick), np.ones(box.shape, bool)
        return self.divide(label, lambda: self.edit.split(label, mask, at=box.start), lambda extent: inside(box), True)

    def separate(self, pick):
        label = self.machine.label(pick)
        return self.divide(label, lambda: self.edit.separate(label),
                           lambda extent: oracles.largest_stays(oracles.components(extent, 1)), False)  # fmt: skip

    def divide(self, label, act, parts_of, needed):
        """An object made several; `needed` if each part has to have something."""

        def expect():
            if not label:
                raise Impossible("background is no object")
            self.listed(label)
            table, there, body = self.table, self.instance(), self.table.body(label)
            bodies = {table.body(known) for known in table.subjects()}
            parents = {known: table.parent(known) for known in bodies}
            parts = parts_of(oracles.extent(there, parents, body)).astype(int)
            written, moved, straddling, stays = oracles.divided(there, parents, body, parts)
            met = sorted(set(written[written > 0].tolist()) | set(moved.values()))
            if needed and not (met and stays):
                raise Impossible("a part would be empty, or everything")
            return body, written, moved, straddling, met

        def do():
            split = act()
            body, written, moved, straddling, met = expect()
            fields, new = self.table.fields(body), dict(zip(met, split.labels, strict=True))
            assert split.moved == {child: new[part] for child, part in moved.items()}
            assert split.straddling == tuple(sorted(straddling))
            said = self.listed(fields.get("parent")) if met else {}
            for part, label in new.items():
                self.made(label)
                said |= {("label", label, name): fields[name] for name in ("class", "parent") if name in fields}
                said["label", label, "listed"] = 1
                self.write(written == part, label)
            self.say(said | {("label", child, "parent"): new[part] for child, part in moved.items()})

        return do, expect

    def made(self, label):
        """A label that nobody has had."""
        assert not (label in self.machine.given or self.model.ever(label) or label in self.fragments)
        assert label not in self.table.subjects()
        self.machine.given.append(label)
        self.machine.labels += [label] if label not in self.machine.labels else []

    def assign(self, pick, given):
        label, fields = self.machine.label(pick), self.fields(given)

        def expect():
            if fields:
                self.say(self.facts(self.table.body(label), fields))

        return lambda: self.edit.assign(label, **fields), expect

    def merge(self, pick, picks):
        first, others = self.machine.label(pick), [self.machine.label(p) for p in picks]

        def expect():
            if first in others:
                raise Impossible("merged with itself")
            if others:
                self.say(self.listed(first, *others) | {("label", o, f"merge:{first}"): first for o in others})

        return lambda: self.edit.merge(first, others), expect

    def cleave(self, picks):
        merged = sorted(self.table.bodies) or self.machine.labels
        chosen = {merged[pick % len(merged)] for pick in picks}

        def expect():
            table = self.table
            bodies = {table.body(label) for label in chosen}
            if len(bodies) > 1 or table.members(min(bodies)) == chosen:
                raise Impossible("nothing to cleave")
            body = min(bodies)
            edges = [(a, b) for _, a, b in table.merges if table.body(a) == body]
            said = {("label", b, f"merge:{a}"): None for a, b in edges if (a in chosen) != (b in chosen)}
            ends = {label for pair in edges if (pair[0] in chosen) != (pair[1] in chosen) for label in pair}
            for group, named in ((chosen, chosen), (table.members(body) - chosen, ends | {body})):
                parts = parted(group, edges, sorted(group & named, key=lambda label: (label != body, label)))
                said |= {("label", part, f"merge:{parts[0]}"): parts[0] for part in parts[1:]}
            self.say(self.listed(*(first for first in said.values() if first)) | said)

        return lambda: self.edit.cleave(chosen), expect

    def new_class(self, name):
        def expect():
            number = min(set(range(1, 9)) - self.table.subjects("class"))
            self.say(
                {
                    ("class", number, field): name if field == "name" else None
                    for field in ("name", "colour", "kind_of", "within")
                }
            )

        return lambda: self.edit.new_class(name), expect

    def assign_class(self, number, given):
        def expect():
            table = self.table
            if not table.fields(number, "class"):
                raise Impossible("there is no such class")
            names = {table.fields(n, "class")["name"]: n for n in table.subjects("class")}
            if "name" in given:  # a new name counts for what it is a kind of, too
                names = {name: n for name, n in names.items() if n != number} | {given["name"]: number}
            if given.get("kind_of") is not None and given["kind_of"] not in names:
                raise Impossible("a kind of what is not there")
            self.say({("class", number, name): names[value] if name == "kind_of" and value else value
                      for name, value in given.items()})  # fmt: skip

        return lambda: self.edit.assign_class(number, **given), expect


def refused(why, act, *errors):
    try:
        act()
    except errors:
        return
    raise AssertionError(f"accepted, but {why}")


def inside(box):
    mask = np.zeros(SHAPE, bool)
    mask[box.slices() if box else ...] = True
    return mask


def parted(labels, edges, named):
    """The first that is named of each group that edges between these labels hold together."""
    firsts, met = [], set()
    for label in named:
        if label not in met:
            firsts.append(label)
            reach = {label}
            while more := {x for a, b in edges if {a, b} <= labels and {a, b} & reach for x in (a, b)} - reach:
                reach |= more
            met |= reach
    assert met == labels
    return firsts


class Machine(RuleBasedStateMachine):
    looks = 0  # by which handle all is compared after each step

    def __init__(self):
        super().__init__()
        self.path = Path(tempfile.mkdtemp(prefix="labelog-model-")) / "v.labelog"
        self.patch = pytest.MonkeyPatch()
        for module in (keeper, store):
            self.patch.setattr(module, "FOLD_AT", 3)
        self.patch.setattr(keeper, "KEEP_AT", 5)
        self.given = []
        self.labels = [1, 2, 3, 4, 2**63, BIG]

    def label(self, pick):
        return self.labels[pick % len(self.labels)]

    @initialize(loaded=st.booleans(), large=LARGE)
    def begin(self, loaded, large):
        path = self.path
        said = {("class", c.id, "name"): c.name for c in CLASSES} | {("class", 2, "kind_of"): 1}
        if loaded:
            first = labelog.load(path, LOADED, chunks=CHUNKS, classes=CLASSES, table=TABLE, merges=MERGED)
            said |= {("label", 1, "class"): 3, ("label", 1, "name"): "one", ("label", 1, "listed"): 1,
                     ("label", 2, "parent"): 1, ("label", 2, "class"): 2, ("label", BIG, "merge:1"): 1}  # fmt: skip
        else:
            first = labelog.create(path, SHAPE, chunks=CHUNKS, classes=CLASSES)
        self.model = TableModel(LOADED.copy() if loaded else np.zeros(SHAPE, np.uint64), said)
        self.large = large
        self.handles = [set_up(first, large), self.opened(path)]

    def teardown(self):
        try:
            if hasattr(self, "handles"):
                report = self.handles[0].check()
                assert report.ok, report.problems
                self.compare_said()
                for revision in range(len(self.model.states)):
                    self.compare(self.handles[1].at(revision), revision)
                self.compare_objects(self.handles[1].at(revision // 2), revision // 2)
                for volume in self.handles:
                    volume.close()
        finally:
            self.patch.undo()
            self.remove()

    def remove(self):
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def opened(self, address):
        return set_up(labelog.open(address), self.large)

    def compare_said(self):
        """Of what each edit has said something."""
        with self.handles[0].store.journal.reading() as journal:
            for revision, done in enumerate(self.model.done):
                told = {(key.space.name.lower(), key.subject, key.field) for key, *_ in journal.facts_by(revision)}
                assert done.kind != "edit" or told == done.said.keys(), revision

    def compare(self, snapshot, revision):
        """Every view of a revision."""
        table, fragments = self.model.tables[revision], self.model.states[revision]
        assert (snapshot[...] == self.model.instance(revision)).all(), revision
        assert (snapshot.view("fragment")[...] == fragments).all(), revision
        assert (snapshot.view("semantic")[...] == table.seen(fragments, table.semantic)).all(), revision
        for number in (1, 3):
            name = table.fields(number, "class")["name"]
            expected = table.seen(fragments, lambda label, number=number: table.nearest(label, number))
            assert (snapshot.view(name)[...] == expected).all(), (revision, name)

    def compare_objects(self, snapshot, revision):
        """Every object of a revision."""
        table, fragments = self.model.tables[revision], self.model.states[revision]
        there = self.model.instance(revision)
        bodies = {table.body(label) for label in table.subjects()} | set(np.unique(there).tolist()) - {0}
        found = {label.id: label for label in snapshot.labels}
        assert set(found) == bodies
        paged, page = [], [-1]
        while page:
            page = [label.id for label in snapshot.labels.where(after=max(page[-1], 0), limit=3)]
            paged += page
        assert paged == list(found)
        assert {row["label"]: row["voxels"] for row in snapshot.labels.table_rows()} == \
               {body: (there == np.uint64(body)).sum() for body in bodies}  # fmt: skip
        for body, label in found.items():
            fields = table.fields(body)
            cls = table.fields(fields["class"], "class")["name"] if "class" in fields else None
            assert (label.cls, label.name, label.parent) == (cls, fields.get("name"), table.parent(body))
            assert label.attributes == ({"weight": json.loads(fields["attribute:weight"])}
                                        if "attribute:weight" in fields else {})  # fmt: skip
            assert set(label.fragments) == table.members(body)
            assert label.children == sorted(b for b in bodies if table.parent(b) == body)
            own = np.argwhere(there == np.uint64(body))
            assert label.voxels == len(own)
            box = (
                labelog.Box(tuple(own.min(axis=0).tolist()), tuple((own.max(axis=0) + 1).tolist()))
                if len(own)
                else None
            )
            assert label.box == box
            whole = there[np.isin(there, np.array([b for b in bodies if body in table.around(b)], np.uint64))]
            assert label.whole.voxels == whole.size
        for label in self.labels:
            known = bool(table.fields(label)) or label in fragments
            assert (label in snapshot.labels) == known
            if known:
                assert snapshot.labels[label].id == table.body(label)

    def committed(self, staging, author):
        """What the commit of a staged edit shall do; None if it is refused."""
        if not (staging.said or staging.mask.any()):
            return None, 0, 0
        values = np.where(staging.mask, staging.fragments, self.model.head)
        changed = self.model.commit(author, staging.mask, values, staging.said)
        return len(self.model.states) - 1, changed, staging.mask.sum()

    @rule(h=HANDLES, author=AUTHORS, actions=EDITS)
    def edit(self, h, author, actions):
        with self.handles[h].edit(author) as edit:
            staging = Staging(self, edit)
            for action in actions:
                staging.carry_out(*action)
            assert (edit[...] == staging.instance()).all()
        assert (edit.revision, edit.voxels, edit.written) == self.committed(staging, author)

    @rule(h=HANDLES, one=AUTHORS, other=AUTHORS, pick=PICKS, parent=st.booleans(), box=BOXES)
    def name_what_another_made(self, h, one, other, pick, parent, box):
        """So that undo has something to refuse."""
        self.edit(h, one, [("new", {"cls": 3}, box)])
        new = self.labels.index(self.given[-1])
        self.edit(h, other, [("assign", pick, {"parent": new}) if parent else ("merge", new, [pick])])

    @rule(one=HANDLES, other=HANDLES, authors=st.tuples(AUTHORS, AUTHORS), first=EDITS, second=EDITS)
    def edit_while_another_does(self, one, other, authors, first, second):
        """The first to begin is the last to commit: what it said is judged by what is there then."""
        edit = self.handles[one].edit(authors[0])
        edit.__enter__()
        staging = Staging(self, edit)
        for action in first:
            staging.carry_out(*action)
        self.edit(other, authors[1], second)
        try:
            expected = self.committed(staging, authors[0])
        except Impossible:
            with pytest.raises(labelog.Invalid):
                edit.__exit__(None, None, None)
            return
        edit.__exit__(None, None, None)
        assert (edit.revision, edit.voxels, edit.written) == expected

    def take_out(self, act, kind, author, targets, strict=False):
        if not targets or None in targets:
            with pytest.raises(labelog.NothingToUndo):
                act()
            return
        try:
            expected = self.model.take_out_or_refuse(kind, author, targets, strict)
        except Impossible as why:
            refused(why, act, labelog.Conflict)
            return
        commit = act()
        assert (commit.kind, commit.author, commit.targets) == (kind, author, tuple(targets))
        assert (commit.voxels, commit.left_alone, commit.written) == expected

    @rule(h=HANDLES, author=AUTHORS, undos=st.integers(0, 3), redos=st.integers(0, 3), strict=st.booleans())
    def undo_and_redo(self, h, author, undos, redos, strict):
        volume, model = self.handles[h], self.model
        for _ in range(undos):
            self.take_out(
                lambda: volume.undo(author, strict=strict), Kind.UNDO, author, [model.undoable(author, None)], strict
            )
        for _ in range(redos):
            self.take_out(lambda: volume.redo(author), Kind.REDO, author, [model.redoable(author, None)])

    @rule(h=HANDLES, by=AUTHORS, data=st.data(), strict=st.booleans())
    def revert(self, h, by, data, strict):
        revision = data.draw(st.integers(0, len(self.model.done)))
        possible = 0 < revision < len(self.model.done) and self.model.live(revision)
        self.take_out(lambda: self.handles[h].revert(revision, by=by, strict=strict), Kind.REVERT, by,
                      [revision] if possible else [], strict)  # fmt: skip

    @rule(h=HANDLES, by=AUTHORS, author=st.sampled_from(["ana", "vendor"]), strict=st.booleans())
    def revert_author(self, h, by, author, strict):
        self.take_out(lambda: self.handles[h].revert(author=author, by=by, strict=strict), Kind.REVERT, by,
                      self.model.revertible(author), strict)  # fmt: skip

    @rule(h=HANDLES, reopen=st.booleans())
    def compact(self, h, reopen):
        self.handles[h].compact()
        if reopen:
            path = self.handles[h].address
            self.handles[h].close()
            self.handles[h] = self.opened(path)

    @rule(h=HANDLES, data=st.data())
    def look(self, h, data):
        revision = data.draw(st.integers(0, len(self.model.states) - 1))
        self.compare(self.handles[h].at(revision), revision)
        self.compare_objects(self.handles[h].at(revision), revision)

    @invariant()
    def same(self):
        if hasattr(self, "handles"):
            for volume in self.handles:
                assert volume.revision == len(self.model.states) - 1
                assert (volume[...] == self.model.instance()).all()
            self.compare(self.handles[self.looks].at(), -1)


TestModelOfTheTable = Machine.TestCase
TestModelOfTheTable.settings = settings(max_examples=1000 if SOAK else 60, stateful_step_count=200 if SOAK else 30)
