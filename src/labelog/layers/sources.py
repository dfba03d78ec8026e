"""Files as layers: which of them says what, and in which colours."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labelog.engine.classes import LabelClass
from labelog.errors import Invalid
from labelog.formats import find, read
from labelog.formats.overlap import Overlap
from labelog.formats.stack import Stack

SEMANTIC, IMAGE = "semantic", "image"
"""What layers are called that are not named after a class."""

PICTURES = ("png", "tiff")


@dataclass(frozen=True)
class Layers:
    """Files opened: class ids, labels by class, and the image that they belong to."""

    semantic: Stack | None
    objects: dict[str, Stack]
    image: Stack | None


def read_layers(
    sources: Mapping[str, str | os.PathLike[str]], classes: Iterable[LabelClass], *, snap: int = 0,
    overlap: Overlap | None = None,
) -> Layers:  # fmt: skip
    """Open the files of a volume's layers, of any format that labelog reads.

    Parameters
    ----------
    sources : layer -> file. "semantic": its colours are looked up in `classes`, or its values are ids of classes, if
        it has no colours. "image": grey values. Any other is the name of a class, each colour or value an object.
    snap : how far red, green or blue of a colour in the semantic file may be from a class's to be taken for it.
    overlap : whose voxels are that several masks of a JSON file cover; see `labelog.formats.json_rle`.

    Raises Invalid for a rule that none of the files has a use for, and as `labelog.formats.read`.
    """
    shades = {entry.id: entry.colour for entry in classes if entry.colour}
    known = {layer: find(path).name for layer, path in sources.items()}
    if overlap is not None and "json" not in known.values():
        raise Invalid(f'overlap="{overlap}" is for masks in JSON; none of the files is such')
    if not 0 <= snap <= 255:
        raise Invalid(f"snap: expected 0 to 255; found {snap}")
    stacks: dict[str, Stack] = {}
    for layer, path in sources.items():
        options: dict[str, Any] = {"overlap": overlap} if overlap and known[layer] == "json" else {}
        if layer == SEMANTIC and known[layer] in PICTURES:
            stacks[layer] = _semantic(path, shades, snap)
        else:
            stacks[layer] = read(path, **options)
    return Layers(stacks.pop(SEMANTIC, None), {name: stacks[name] for name in stacks if name != IMAGE},
                  stacks.get(IMAGE))  # fmt: skip


def _semantic(path: str | os.PathLike[str], shades: Mapping[int, str], snap: int) -> Stack:
    """In the classes' colours; a file without colours has their ids."""
    try:
        return read(path, colours=shades, snap=snap)
    except Invalid as error:
        if not getattr(error, "grey", False):
            raise
        return read(path)
