"""The label table at a revision, with what an edit has staged over it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from labelog.engine.bodies import Bodies, edges
from labelog.engine.classes import LabelClass, check_classes
from labelog.engine.moved import Moved
from labelog.engine.values import checked_label, checked_text, is_text
from labelog.errors import Conflict, Invalid, LabelogError, NotFound
from labelog.geometry import whole
from labelog.storage.facts import Facts
from labelog.storage.journal import ATTRIBUTE, CLASS, MERGE, NAME, PARENT, Fact, Key, Space, Value


@dataclass
class Staged:
    """Facts that are not committed yet, and what follows from them for the bodies."""

    facts: dict[Key, Fact] = field(default_factory=dict)
    moved: Moved = field(default_factory=Moved)
    _of: dict[tuple[Space, int], dict[str, Value]] = field(default_factory=lambda: defaultdict(dict))
    _saying: dict[tuple[Space, str, Value], set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(self, journal: Facts, revision: int, facts: list[Fact]) -> None:
        """Stage facts over the table as of a revision; later ones over earlier ones."""
        for fact in facts:
            self._set(fact)
        if merges := edges(facts):
            Bodies(journal, revision, self.moved).change(merges)

    def trying(self, facts: list[Fact]) -> Callable[[], None]:
        """Call what this gives to take back the facts, which are about to be added."""
        before, mark = [self.facts.get(fact.key) for fact in facts], self.moved.mark()

        def take_back() -> None:
            for fact, old in zip(facts, before, strict=True):
                self._drop(fact.key)
                if old is not None:
                    self._set(old)
            self.moved.take_back(mark)

        return take_back

    def _set(self, fact: Fact) -> None:
        (space, subject, name), _, _, value = fact
        self._drop(fact.key)
        self.facts[fact.key] = fact
        self._of[space, subject][name] = value
        self._saying[space, name, value].add(subject)

    def _drop(self, key: Key) -> None:
        fact = self.facts.pop(key, None)
        if fact is not None:
            space, subject, name = key
            del self._of[space, subject][name]
            self._saying[space, name, fact.value].discard(subject)

    def saying(self, space: Space, name: str, value: Value) -> set[int]:
        """Of whom it is staged that a field says this."""
        return self._saying.get((space, name, value), set())

    def of(self, space: Space, subject: int) -> Mapping[str, Value]:
        """What is staged of a subject."""
        return self._of.get((space, subject), {})


class Table:
    """Questions to the label table."""

    def __init__(self, journal: Facts, revision: int, staged: Staged | None = None) -> None:
        self.journal = journal
        self.revision = revision
        self.staged = staged or Staged()
        self._classes: dict[int, LabelClass] | None = None

    def value(self, space: Space, subject: int, name: str) -> Value:
        """What a field says, or None."""
        key = Key(space, subject, name)
        fact = self.staged.facts.get(key) or self.journal.fact(key, self.revision)
        return fact.value if fact else None

    def fields(self, space: Space, subject: int) -> dict[str, Value]:
        """All that is said of a subject."""
        return self.fields_of(space, [subject])[subject]

    def fields_of(self, space: Space, subjects: Sequence[int]) -> dict[int, dict[str, Value]]:
        """The same of several."""
        known = self.journal.facts_of(space, subjects, self.revision)
        found = {subject: {**known.get(subject, {}), **self.staged.of(space, subject)} for subject in subjects}
        return {subject: {name: value for name, value in fields.items() if value is not None}
                for subject, fields in found.items()}  # fmt: skip

    def is_said(self, label: int) -> bool:
        """Whether anything is said of a label."""
        staged = self.staged.of(Space.LABEL, label)
        if any(value is not None for value in staged.values()):
            return True
        return any(name not in staged for name in self.journal.said_of(label, self.revision))

    def subjects(self, space: Space, name: str, value: Value) -> list[int]:
        """Of whom a field says this, ascending."""
        found = {subject for subject in self.journal.who_say(space, name, value, self.revision)
                 if Key(space, subject, name) not in self.staged.facts}  # fmt: skip
        return sorted(found | self.staged.saying(space, name, value))

    def known(self, space: Space) -> Iterator[tuple[int, str, Value]]:
        """All that is said in a space: subject, field, value."""
        said = {(subject, name): value for subject, name, value in self.journal.facts_in(space, self.revision)}
        said |= {key[1:]: fact.value for key, fact in self.staged.facts.items() if key.space is space}
        return ((*key, value) for key, value in sorted(said.items()) if value is not None)

    # Labels

    @cached_property
    def merged(self) -> bool:
        """Whether any labels were ever merged; if not, each is its own body."""
        return self.journal.merged()

    @cached_property
    def bodies(self) -> Bodies:
        """Labels merged into one, with the merges that are staged."""
        return Bodies(self.journal, self.revision, self.staged.moved)

    def highest(self) -> int:
        """No label in use is higher."""
        staged = max((key.subject for key in self.staged.facts if key.space is Space.LABEL), default=0)
        return max(self.journal.highest(), staged)

    def body(self, label: int) -> int:
        """The body that a label belongs to: itself, if it is not merged."""
        if not (self.merged or self.staged.moved):
            return label
        return self.bodies.body(label)

    def members(self, body: int) -> list[int]:
        """The labels that make up a body, ascending; none if it is a part of another."""
        return self.bodies.members(body)

    def class_of(self, body: int) -> int | None:
        """The id of a body's class."""
        found = self.value(Space.LABEL, body, CLASS)
        return found if isinstance(found, int) else None

    def parent_named(self, body: int) -> int:
        """The label that is said to be the parent of a body, 0 if none."""
        named = self.value(Space.LABEL, body, PARENT)
        return named if isinstance(named, int) else 0

    def parent(self, body: int) -> int:
        """The body that a body lies in, 0 if none."""
        return self.body(self.parent_named(body))

    def ancestors(self, body: int) -> Iterator[int]:
        """A body's parent, the parent's parent and so on. Raises Invalid if that leads back."""
        seen = {body}
        while body := self.parent(body):
            if body in seen:
                raise Invalid(f"label {body} would be its own ancestor", label=body)
            seen.add(body)
            yield body

    def children(self, body: int) -> list[int]:
        """The bodies that lie in a body, directly; ascending."""
        named = {child for member in self.members(body) for child in self.subjects(Space.LABEL, PARENT, member)}
        return sorted(child for child in named if child != body and self.body(child) == child)

    def subtree(self, body: int) -> list[int]:
        """A body and all that lies in it, at any depth; parents before children."""
        found = [body]
        for each in found:
            found += self.children(each)
        return found

    # Classes

    @property
    def classes(self) -> dict[int, LabelClass]:
        """All classes, by id."""
        if self._classes is None:
            said: dict[int, dict[str, Any]] = {}
            for subject, name, value in self.known(Space.CLASS):
                said.setdefault(subject, {})[name] = value
            names = {number: str(fields["name"]) for number, fields in said.items() if "name" in fields}
            self._classes = {number: _class(number, said[number], names) for number in names}
        return self._classes

    @property
    def class_ids(self) -> dict[str, int]:
        """Name -> id."""
        return {known.name: number for number, known in self.classes.items()}

    def class_id(self, cls: int | str) -> int:
        """The id of a class given by id or name. Raises NotFound."""
        for number, known in self.classes.items():
            if cls == known.name or (cls == number and not isinstance(cls, bool)):
                return number
        there = ", ".join(known.name for known in self.classes.values()) or "none"
        raise NotFound(f"there is no class {cls!r}; there are: {there}")

    def kinds(self, cls: int) -> set[int]:
        """A class and all classes that are kinds of it."""
        by_name = {known.name: known for known in self.classes.values()}
        found = set()
        for number, known in self.classes.items():
            at: LabelClass | None = known
            while at is not None:
                if at.id == cls:
                    found.add(number)
                at = by_name[at.kind_of] if at.kind_of else None
        return found

    # What must hold

    def verify(self, facts: Collection[Fact], *, conflict: bool) -> None:
        """Raise if the table, with these facts staged, cannot be: Conflict or Invalid, with the reason.

        Parameters
        ----------
        conflict : whether others' work is in the way, rather than a mistake of who says them.
        """
        kind: type[LabelogError] = Conflict if conflict else Invalid
        labels = {fact.key.subject for fact in facts if fact.key.space is Space.LABEL}
        merged = {first for first, _ in edges(facts)}  # and their second labels: of each body that changes one is named
        classes = {fact.key.subject for fact in facts if fact.key.space is Space.CLASS}
        try:
            if classes:
                check_classes(self.classes.values())
            for body in {self.body(label) for label in labels | merged}:
                for _ in self.ancestors(body):
                    pass
        except Invalid as error:
            raise kind(str(error), **vars(error)) from None
        for cls in classes - set(self.classes):
            for label in self.subjects(Space.LABEL, CLASS, cls):
                raise kind(f"label {label} has class {cls}, which would be no more", label=label)
        for label in labels:
            if not self.is_said(label):
                self._verify_gone(label, kind)
        for (space, subject, name), _, _, value in facts:
            if space is Space.LABEL and value is not None:
                self._verify_named(subject, name, value, kind)

    def _verify_gone(self, label: int, kind: type[LabelogError]) -> None:
        """Nothing may name a label of which nothing is said any more."""
        for child in self.subjects(Space.LABEL, PARENT, label):
            raise kind(f"label {child} lies in label {label}, which would be no more", label=child)
        for first, second in self.bodies.merges_of(label):
            if first == label:
                raise kind(f"label {second} is merged with label {label}, which would be no more", label=second)

    def _verify_named(self, label: int, name: str, value: Value, kind: type[LabelogError]) -> None:
        """The class, parent or label to merge with that is said of a label must be there."""
        if name == CLASS and value not in self.classes:
            raise kind(f"label {label} would have class {value}, which is not there any more", label=label)
        if (name == PARENT or name.startswith(MERGE)) and not self.is_said(int(value or 0)):
            raise kind(f"label {label} names label {value}, which would be no more", label=label)


def attributes(said: Mapping[str, Value]) -> dict[str, Any]:
    """The attributes of a label, of all that is said of it."""
    return {name.removeprefix(ATTRIBUTE): json.loads(str(value)) for name, value in said.items()
            if name.startswith(ATTRIBUTE)}  # fmt: skip


def _class(number: int, fields: dict[str, Any], names: dict[int, str]) -> LabelClass:
    """A class from what is said of it; it names others as they are called now."""

    def called(other: int) -> str:
        return names.get(other, f"class {other}")

    within, kind_of = fields.get("within"), fields.get("kind_of")
    return LabelClass(
        number, names[number], fields.get("colour"), None if kind_of is None else called(kind_of),
        None if within is None else tuple(map(called, json.loads(within))),
    )  # fmt: skip


def class_facts(entry: LabelClass, ids: dict[str, int]) -> dict[str, Value]:
    """What is to be said of a class: it names others by id, so that they may be renamed."""
    within = None if entry.within is None else json.dumps([ids[name] for name in entry.within])
    return {
        NAME: entry.name,
        "colour": entry.colour,
        "kind_of": None if entry.kind_of is None else ids[entry.kind_of],
        "within": within,
    }


def label_facts(fields: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Value]:
    """What is to be said of a label: of `cls` (name or id), `parent`, `name` and attributes those that are given."""
    said: dict[str, Value] = {}
    for name, value in fields.items():
        if name == "cls":
            said[CLASS] = None if value is None else _class_number(value, ids)
        elif name == "parent":
            said[PARENT] = checked_label(value or 0) or None
        elif name == "name":
            checked_text("the name of a label", value)
            said[NAME] = value
        else:
            if not is_text(name):
                raise Invalid(f"the name of an attribute is a text, not {name!r}")
            said[ATTRIBUTE + name] = None if value is None else _as_json(name, value)
    return said


def _as_json(name: str, value: Any) -> str:
    try:
        json.dumps(value, ensure_ascii=False).encode()  # what is half of a surrogate pair could not be sent on
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        raise Invalid(f"attribute {name} is something that JSON can say, not {value!r}") from None


def _class_number(cls: Any, ids: Mapping[str, int]) -> int:
    """The id of a class given by name or id, as a plain number: what is hashed must be what is stored."""
    try:
        number = ids.get(cls) if isinstance(cls, str) else whole(cls)
    except TypeError:
        number = None
    if number is None or number not in ids.values():
        raise NotFound(f"there is no class {cls!r}; there are: {', '.join(ids) or 'none'}")
    return number
