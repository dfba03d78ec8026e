"""The classes that objects may have, and the TOML files they are kept in.

[[class]]
id = 6
name = "dense granule core"
colour = "#f500cb"                 # optional
kind_of = "organelle"              # optional: the class that this one is a kind of
within = ["dense granule body"]    # optional: where its objects may lie; [] is at the top level only
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

from labelog.engine.values import is_colour, is_name, several
from labelog.errors import Invalid, NotFound
from labelog.storage.disk import checked_path, refuse_inside_volume, write_file


@dataclass(frozen=True)
class LabelClass:
    """A kind of object.

    Attributes
    ----------
    id : its value in semantic files, 0 to 2**32 - 1; 0 is background.
    name : as people call it, one printable line without a slash; not `.` or `..`, nor the name of another view.
    colour : "#rrggbb" or "#rrggbbaa", if it has one.
    kind_of : the name of the class that it is a kind of, if any (a mitochondrion is an organelle).
    within : names of the classes, or of kinds of them, in which an object of this class may lie; () is at the top
        level only, None is anywhere.
    """

    id: int
    name: str
    colour: str | None = None
    kind_of: str | None = None
    within: tuple[str, ...] | None = None


PLAIN = ("instance", "fragment", "semantic")
"""Names of views that are there whatever the classes are, and so names that no class has."""

KEYS = tuple(field.name for field in fields(LabelClass))


def read_classes(source: str | os.PathLike[str]) -> list[LabelClass]:
    """The classes of a TOML file, or of one that comes with labelog, such as "platelet"; in the order of the file.

    Raises NotFound, naming the files that come with labelog; Invalid for what is not such a file, and for classes
    that do not go together (see `check_classes`).
    """
    path: Any = checked_path(source)
    name, shipped = os.fspath(source), files("labelog") / "classes"
    try:
        if not path.exists() and path.name == name:
            path = shipped / f"{name.removesuffix('.toml')}.toml"
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        own = ", ".join(sorted(file.name.removesuffix(".toml") for file in shipped.iterdir()))
        raise NotFound(f"{name} does not exist; the classes that come with labelog are: {own}", path=name) from error
    except (OSError, ValueError) as error:
        raise Invalid(f"{name} is not a file of classes in TOML: {error}", path=name) from error
    entries = table.get("class")
    if set(table) != {"class"} or not isinstance(entries, list) or not entries:
        found = ", ".join(table) or "nothing"
        raise Invalid(f"{name}: expected tables [[class]] and nothing else; found {found}", path=name)
    classes = [_class(entry, f"{name}: class {number}") for number, entry in enumerate(entries, 1)]
    check_classes(classes, name)
    return classes


def write_classes(classes: Iterable[LabelClass], path: str | os.PathLike[str]) -> None:
    """Write a TOML file that `read_classes` reads. Replaces what is there.

    Raises Invalid as `check_classes`, NotFound for a folder that is not there, Exists for a path in a volume.
    """
    target, classes = checked_path(path), listed_classes(classes)
    check_classes(classes, str(target))
    refuse_inside_volume(target)
    write_file(target, as_toml(classes).encode())


def as_toml(classes: Iterable[LabelClass]) -> str:
    """The text of a TOML file that `read_classes` reads."""
    return "\n".join(map(_table, classes))


def listed_classes(classes: Iterable[LabelClass]) -> list[LabelClass]:
    """Classes as callers give them, or Invalid for what are none."""
    found = several(classes)
    for entry in found:
        if not isinstance(entry, LabelClass):
            raise Invalid(f"classes: expected a list of LabelClass; found {entry!r} in it")
    return found


def listed_names(within: Any) -> tuple[str, ...] | None:
    """Names of classes as callers give them; Invalid for a text, which would be taken letter by letter."""
    if within is None:
        return None
    names = several(within)
    if isinstance(within, (str, bytes)) or not all(isinstance(name, str) for name in names):
        raise Invalid(f"within is a list of names of classes; found {within!r}")
    return tuple(names)


def check_classes(classes: Iterable[LabelClass], where: str = "classes") -> None:
    """Raise Invalid, naming the class, if an id, name or colour is not one or is there twice; if `kind_of` or
    `within` names a class that is not there; or if a class is, through others, a kind of itself.
    """
    by_name: dict[str, LabelClass] = {}
    ids: dict[int, str] = {}
    colours: dict[str, str] = {}
    for entry in listed_classes(classes):
        at = f"{where}: class {entry.name!r}"
        _check_fields(entry, at)
        if entry.name in by_name:
            raise Invalid(f"{at} is there twice")
        by_name[entry.name] = entry
        if ids.setdefault(entry.id, entry.name) != entry.name:
            raise Invalid(f"{at}: id {entry.id} is that of {ids[entry.id]!r}")
        shade = f"{entry.colour or entry.name}ff".lower()[:9]
        if entry.colour and colours.setdefault(shade, entry.name) != entry.name:
            raise Invalid(f"{at}: colour {entry.colour} is that of {colours[shade]!r}")
    for entry in by_name.values():
        for other in (*([] if entry.kind_of is None else [entry.kind_of]), *(entry.within or ())):
            if other not in by_name:
                raise Invalid(f"{where}: class {entry.name!r} names {other!r}; there is no class of that name")
    for entry in by_name.values():
        _check_kinds(entry, by_name, where)


def _check_fields(entry: LabelClass, at: str) -> None:
    if isinstance(entry.id, bool) or not isinstance(entry.id, int) or not 0 <= entry.id < 2**32:
        raise Invalid(f"{at}: id is a whole number of 0 to 2**32 - 1; found {entry.id!r}")
    if not isinstance(entry.name, str) or not entry.name.strip() or not entry.name.isprintable():
        raise Invalid(f"{at}: name is a line of text; found {entry.name!r}")
    if not is_name(entry.name):
        raise Invalid(f"{at}: a class gives its name to a view, which is a part of addresses: no slash, . or .. alone")
    if entry.colour is not None:
        if not is_colour(entry.colour):
            raise Invalid(f'{at}: colour is "#rrggbb" or "#rrggbbaa"; found {entry.colour!r}')
        if entry.id and len(entry.colour) == 9 and entry.colour.endswith("00"):
            raise Invalid(f"{at}: colour {entry.colour} is transparent, which is background, id 0")
    if entry.name in PLAIN:
        raise Invalid(f"{at}: there is a view of that name, {entry.name}; a class gives its name to a view of its own")
    if entry.kind_of is not None and not isinstance(entry.kind_of, str):
        raise Invalid(f"{at}: kind_of is the name of a class; found {entry.kind_of!r}")
    if entry.within is not None and not (
        isinstance(entry.within, (tuple, list)) and all(isinstance(name, str) for name in entry.within)
    ):
        raise Invalid(f"{at}: within is a list of names of classes; found {entry.within!r}")


def _check_kinds(entry: LabelClass, by_name: dict[str, LabelClass], where: str) -> None:
    seen, kind = [entry.name], entry.kind_of
    while kind is not None:
        if kind in seen:
            raise Invalid(f"{where}: {' is a kind of '.join(map(repr, [*seen, kind]))}")
        seen.append(kind)
        kind = by_name[kind].kind_of


def _class(entry: Any, where: str) -> LabelClass:
    if not isinstance(entry, dict):
        raise Invalid(f"{where}: expected a table; found {entry!r}")
    unknown = [key for key in entry if key not in KEYS]
    if unknown:
        raise Invalid(f"{where}: there is no {', '.join(unknown)}; a class has {', '.join(KEYS)}")
    missing = [key for key in ("id", "name") if key not in entry]
    if missing:
        raise Invalid(f"{where}: it has no {' and no '.join(missing)}")
    within = entry.get("within")
    if within is not None and not isinstance(within, list):
        raise Invalid(f"{where}: within is a list of names of classes; found {within!r}")
    return LabelClass(**entry | {"within": None if within is None else tuple(within)})


def _table(entry: LabelClass) -> str:
    """One class in TOML; its text is printable, so JSON's quotes and backslashes are TOML's."""
    lines = ["[[class]]"]
    for key in KEYS:
        value = getattr(entry, key)
        if value is not None:
            value = list(value) if isinstance(value, tuple) else value
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
