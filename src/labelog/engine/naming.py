"""What an edit says of labels, classes, regions and the image: the part of `Edit` that writes no voxels."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from labelog import indexing
from labelog.engine.bodies import merge_key
from labelog.engine.classes import KEYS, LabelClass, check_classes, listed_classes, listed_names
from labelog.engine.regions import region
from labelog.engine.table import Staged, Table, class_facts, label_facts
from labelog.engine.values import checked_object, checked_pairs, is_text, several
from labelog.errors import Invalid, NotFound
from labelog.geometry import Box, Triple
from labelog.storage.facts import OWN_IDS
from labelog.storage.journal import IMAGE, LISTED, PARENT, Fact, Key, Space, Value

if TYPE_CHECKING:
    from labelog.engine.store import Store

KEEP: Any = object()
"""Stands for a field that is left as it is, where None takes it away."""

MADE, SEEN = 1, 2
"""Why a label is listed: `new` made it, or it has voxels."""

MOST_TAKEN = 1024  # labels set aside at a time for an edit that makes many


class Naming:
    """Stages facts. `Edit` is one; its docstring says when they take effect."""

    _store: Store
    _start: int
    _said: Staged
    _spare: list[int]
    _taken = 0
    _steps = 0  # facts said so far
    _highest = 0  # of the labels that are staged, as voxels or in facts, and might be handed out
    _made: dict[int, int]  # labels that this edit made -> their place among them

    def _mine(self) -> None:
        raise NotImplementedError

    def _asked(self, *what: Any) -> None:
        raise NotImplementedError

    def _called(self, label: Any) -> tuple[int, int]:
        """A label as the digest has it: one that this edit made by its place, as it may be another if sent again."""
        return (1, self._made[label]) if label in self._made else (0, label)

    @contextmanager
    def _table(self) -> Iterator[Table]:
        """The label table as it was when the edit began, with what is staged over it."""
        with self._store.table(self._start, self._said) as table:
            yield table

    def _say(self, space: Space, subject: int, fields: dict[str, Value]) -> None:
        """Stage facts, or none of them if the table would be impossible with them."""
        keys = [Key(space, subject, name) for name in fields]
        self._say_all(dict(zip(keys, fields.values(), strict=True)))

    def _say_all(self, values: dict[Key, Value]) -> None:
        facts = [Fact(key, 2**63 - 1, self._steps + i, value) for i, (key, value) in enumerate(values.items())]
        self._steps += len(facts)
        take_back = self._said.trying(facts)
        try:
            with self._table() as table:
                self._said.add(table.journal, self._start, facts)
                table.verify(facts, conflict=False)
        except BaseException:
            take_back()
            raise
        named = [key.subject for key in values if key.space is Space.LABEL and key.subject < OWN_IDS]
        self._highest = max(self._highest, *named) if named else self._highest

    def _facts(self, revision: int) -> list[Fact]:
        """What is staged, as that revision says it."""
        return [Fact(key, revision, step, value) for key, _, step, value in self._said.facts.values()]

    # Labels

    def new(self, cls: str | int | None = None, parent: int = 0, name: str | None = None, **attributes: Any) -> int:
        """A label that nobody else has or will be given, for a new object.

        It is set aside at once, also if the edit is given up, so that clients never collide. Parameters and errors
        are those of `assign`.
        """
        self._mine()
        with self._table() as table:
            fields = label_facts({"cls": cls, "parent": parent, "name": name, **attributes}, table.class_ids)
        fields = {**{field: value for field, value in fields.items() if value is not None}, LISTED: MADE}
        listed = self._listed(fields.get(PARENT))
        self._asked("new", self._fields_called(fields))
        label = self._take()
        self._say_all(listed | {Key(Space.LABEL, label, name): value for name, value in fields.items()})
        return label

    def _fields_called(self, fields: dict[str, Value]) -> list[tuple[str, Any]]:
        """What is said of a label, as the digest has it."""
        return sorted((name, self._called(value) if name == PARENT else value) for name, value in fields.items())

    def _take(self) -> int:
        """A label of its own; of an edit that makes many they are set aside in growing numbers."""
        while not self._spare or self._spare[-1] <= self._highest:
            self._spare.clear()  # what the edit itself writes, by a number of its own, is taken
            count = min(max(1, self._taken), MOST_TAKEN)
            with self._store.journal.turn() as turn:
                first = turn.take_labels(count, above=self._highest)
            self._taken += count
            self._spare = list(range(first + count - 1, first - 1, -1))
        label = self._spare.pop()
        self._made[label] = len(self._made)
        return label

    def assign(self, label: int, *, cls: str | int | None = KEEP, parent: int | None = KEEP,
               name: str | None = KEEP, **attributes: Any) -> None:  # fmt: skip
        """Say what an object is. What is not named stays as it is.

        Parameters
        ----------
        label : the object; if it is merged with others, the body.
        cls : its class, by name or id; None for none.
        parent : the object that it lies in; 0 or None for none.
        name : any text; None for none.
        attributes : anything that JSON can say; None takes one away.

        Raises NotFound for a class or parent that is not there; Invalid if an object would be its own ancestor.
        """
        self._mine()
        label = checked_object(label)
        given = {"cls": cls, "parent": parent, "name": name, **attributes}
        with self._table() as table:
            body = table.body(label)
            fields = label_facts({key: value for key, value in given.items() if value is not KEEP}, table.class_ids)
        if fields:
            self._asked("assign", self._called(label), self._fields_called(fields))
            said = {Key(Space.LABEL, body, name): value for name, value in fields.items()}
            self._say_all(self._listed(fields.get(PARENT)) | said)

    def _listed(self, *labels: Value) -> dict[Key, Value]:
        """Facts by which these labels are there to be named. Raises NotFound for no object.

        Of a label with voxels each edit that names it says so anew: it shall not depend on others that did, and who
        may be undone. Only a label that was made by `new` goes with the edit that made it.
        """
        found: dict[Key, Value] = {}
        with self._table() as table:
            for label in (int(label) for label in labels if label):
                if table.value(Space.LABEL, label, LISTED) == MADE:
                    continue
                if self._has_voxels(table, label):
                    found[Key(Space.LABEL, label, LISTED)] = SEEN
                elif not table.is_said(label):
                    raise NotFound(f"there is no label {label}: it has no voxels, and nothing is said of it",
                                   label=label)  # fmt: skip
        return found

    def _has_voxels(self, table: Table, label: int) -> bool:
        raise NotImplementedError

    def merge(self, label: int, others: Iterable[int] | int) -> None:
        """Make one object of several: `merge(7, [8, 9])` gives a body with the id of the first named.

        No voxel is written. Class, parent and name are those of the label that gives the id; what lay in the others
        lies in the body. `cleave` takes a label out again.

        Raises NotFound for a label that is not there, Invalid if an object would be its own ancestor.
        """
        self._mine()
        first = checked_object(label)
        named = [checked_object(other) for other in several(others)]
        if first in named:
            raise Invalid(f"label {first} can't be merged with itself")
        self._asked("merge", self._called(first), [self._called(other) for other in named])
        if named:
            listed = self._listed(first, *named)
            self._say_all({**listed, **{merge_key(first, other): first for other in named}})

    def merge_all(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Many merges at once: pairs of labels, as named first and second."""
        self._mine()
        named = checked_pairs(pairs)
        self._asked("merge", [(self._called(first), self._called(second)) for first, second in named])
        listed = self._listed(*dict.fromkeys(label for pair in named for label in pair))
        self._say_all({**listed, **{merge_key(first, second): first for first, second in named}})

    def cleave(self, labels: Iterable[int] | int) -> None:
        """Take labels out of the body that they were merged into, as a body of their own. No voxel is written.

        The others stay together, also where these held them together.
        """
        self._mine()
        chosen = {checked_object(label) for label in several(labels)}
        self._asked("cleave", sorted(map(self._called, chosen)))
        with self._table() as table:
            bodies = sorted({table.body(label) for label in chosen})
            if len(bodies) != 1:
                raise Invalid(f"labels to be cleaved are of one body; these are of {bodies}")
            merges = table.bodies.cleaving(bodies[0], chosen)
        if not merges:
            raise Invalid(f"label {min(chosen)} is not merged with others; there is nothing to cleave")
        listed = self._listed(*sorted({first for (first, _), made in merges.items() if made}))
        self._say_all({**listed, **{merge_key(*pair): pair[0] if made else None for pair, made in merges.items()}})

    # Classes

    def new_class(self, name: str, *, id: int | None = None, colour: str | None = None, kind_of: str | None = None,
                  within: Iterable[str] | None = None) -> int:  # fmt: skip
        """Add a class; its id.

        Parameters
        ----------
        id : its value in the semantic view; by default the lowest that is free.
        colour : "#rrggbb" or "#rrggbbaa".
        kind_of : the name of the class that it is a kind of.
        within : names of classes in which its objects may lie; () is at the top level only, None is anywhere.

        Raises Invalid, naming the class, for what does not go together with the others.
        """
        self._mine()
        with self._table() as table:
            classes = dict(table.classes)
        number = next(n for n in range(1, len(classes) + 2) if n not in classes) if id is None else id
        check_classes([LabelClass(number, name, colour)])
        if number in classes:
            raise Invalid(f"there is a class {number} already: {classes[number].name!r}")
        entry = LabelClass(number, name, colour, kind_of, listed_names(within))
        self._say_classes({**classes, number: entry}, [entry])
        return number

    def new_classes(self, classes: Iterable[LabelClass]) -> None:
        """Add classes, such as `read_classes` gives; one that is there under the same id is replaced."""
        self._mine()
        with self._table() as table:
            known = dict(table.classes)
        entries = listed_classes(classes)
        self._say_classes(known | {entry.id: entry for entry in entries}, entries)

    def assign_class(self, cls: str | int, *, name: str = KEEP, colour: str | None = KEEP,
                     kind_of: str | None = KEEP, within: Iterable[str] | None = KEEP) -> None:  # fmt: skip
        """Change a class, given by name or id. What is not named stays as it is; parameters are those of `new_class`.

        Objects have classes by id, so a class may be renamed.
        """
        self._mine()
        if within is not KEEP:
            within = listed_names(within)
        given = {"name": name, "colour": colour, "kind_of": kind_of, "within": within}
        changes: dict[str, Any] = {field: value for field, value in given.items() if value is not KEEP}
        with self._table() as table:
            classes = dict(table.classes)
            old = classes[table.class_id(cls)]
        if "name" in changes:
            classes = {number: _renamed(known, old.name, name) for number, known in classes.items()}
        entry = replace(classes[old.id], **changes)
        self._say_classes({**classes, old.id: entry}, [entry], changes)

    def _say_classes(self, classes: dict[int, LabelClass], entries: list[LabelClass],
                     fields: Container[str] = KEYS) -> None:  # fmt: skip
        """Say these fields of some classes, and no others: somebody else may be at them."""
        check_classes(classes.values())
        self._asked("classes", entries, [field for field in KEYS if field in fields])
        ids = {known.name: number for number, known in classes.items()}
        self._say_all({Key(Space.CLASS, entry.id, field): value for entry in entries
                       for field, value in class_facts(entry, ids).items() if field in fields})  # fmt: skip

    # Regions

    def set_region(self, name: str, kind: str, box: Box | tuple[Triple, Triple], mask: ArrayLike | None = None) -> None:
        """Name a part of the volume, or give another part that name.

        Parameters
        ----------
        kind : `annotated`, `gold` or `ignore`: see `Region`.
        box : its bounds.
        mask : a boolean array of the box's shape, if only a part of the box belongs to it.
        """
        self._mine()
        found = region(name, kind, indexing.within(box, self._store.meta.shape), mask)
        self._asked("region", name, found.to_json())
        self._say(Space.REGION, 0, {name: found.to_json()})

    def remove_region(self, name: str) -> None:
        """Forget a region, from this revision on. Raises NotFound."""
        self._mine()
        with self._table() as table:
            names = table.fields(Space.REGION, 0)
        if not isinstance(name, str) or name not in names:
            raise NotFound(f"there is no region {name!r}; there are: {', '.join(names) or 'none'}")
        self._asked("no region", name)
        self._say(Space.REGION, 0, {name: None})

    # The image

    def set_image(self, reference: dict[str, str] | None) -> None:
        """Say which image lies under the labels, as `Image.reference` does; None for none. Raises Invalid."""
        self._mine()
        if reference is not None and (
            not isinstance(reference, dict)
            or reference.keys() != {"address", "kind"}
            or not all(map(is_text, reference.values()))
        ):
            raise Invalid(f"expected the address and kind of an image, as texts; found {reference!r}")
        text = None if reference is None else json.dumps(reference, sort_keys=True)
        self._asked("image", text)
        self._say(Space.VOLUME, 0, {IMAGE: text})


def _renamed(entry: LabelClass, old: str, new: str) -> LabelClass:
    """A class that names another by its new name."""
    within = None if entry.within is None else tuple(new if name == old else name for name in entry.within)
    return replace(entry, kind_of=new if entry.kind_of == old else entry.kind_of, within=within)
