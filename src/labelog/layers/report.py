"""What layers disagree about, object by object: as text, as JSON, and as a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labelog.formats.stack import Stack
from labelog.geometry import Box, Triple

Kind = Literal["class", "no object", "outside", "across", "hidden"]

KINDS: dict[Kind, str] = {
    "class": "the semantic layer has another class at voxels of an object",
    "no object": "the semantic layer has a class where its layer of objects has none",
    "outside": "voxels of an object that are not in anything it may lie in",
    "across": "voxels of an object that are in another one than its parent",
    "hidden": "voxels of an object that became another's, which does not lie in it",
}


@dataclass(frozen=True)
class Disagreement:
    """Voxels at which layers disagree in one way about one object.

    Attributes
    ----------
    kind : see KINDS.
    layer : of the object; "semantic" for an object made of that layer's voxels.
    object : its label in its file; None where no object is concerned, and for objects made.
    label : its label in the volume; None if it is not there.
    colour : "#rrggbbaa" in its file, if that has colours.
    cls : its class in the volume.
    found : what was found there: a semantic class, or an object such as "cell 3" (its label in the volume).
    voxels, box, example : how many, the box around them, and the first in z, y, x order.
    done : whose they are in the volume, or what the object's parent is.
    """

    kind: Kind
    layer: str
    object: int | None
    label: int | None
    colour: str | None
    cls: str
    found: str
    voxels: int
    box: Box
    example: Triple
    done: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}, {self.found}, {self.voxels:,} voxels in {self.box}: {self.done}"

    @property
    def name(self) -> str:
        """The object as people look for it: layer, and label in its file (in the volume if it is not in a file)."""
        if self.object is not None:
            return f"{self.layer} {self.object}"
        return f"new {self.label}" if self.label is not None else "(none)"


@dataclass(frozen=True)
class Part:
    """An object made of the voxels of one class within another object, such as the core of a granule."""

    label: int
    cls: str
    voxels: int
    parent: int
    of: str
    whole: int

    def __str__(self) -> str:
        return f"{self.of}: {self.voxels:,} of {self.whole:,} voxels are {self.cls}, object {self.label}"


@dataclass(frozen=True)
class Report:
    """What became of layers.

    Attributes
    ----------
    trust, shape : the rule that was applied, and (z, y, x).
    objects : layer -> objects in its file. made : class -> objects made by connected components.
    disagreements : most voxels first.
    voxels : how many voxels are in a disagreement, each counted once; slices : slice -> how many of them are there.
    parts : objects made within objects of a layer. No disagreement.
    renumbered : layer -> label in its file -> label in the volume, where they differ.
    lost : "layer label" of the objects that have no voxel in the volume, nor anything that lies in them.
    changes : layer -> what reading it changed -> voxels: colours snapped, masks laid over one another.
    """

    trust: str
    shape: Triple
    objects: Mapping[str, int]
    made: Mapping[str, int]
    disagreements: Sequence[Disagreement]
    voxels: int
    slices: Mapping[int, int]
    parts: Sequence[Part]
    renumbered: Mapping[str, Mapping[int, int]]
    lost: Sequence[str]
    changes: Mapping[str, Mapping[str, int]]
    _marks: Callable[[int], NDArray[np.uint8]] = field(repr=False, compare=False)

    def to_json(self) -> str:
        """One JSON object, with the attributes above; boxes are [[z, y, x], [z, y, x]], half open."""
        facts = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        facts |= {"shape": list(self.shape), "disagreements": [asdict(one) for one in self.disagreements]}
        return json.dumps(facts | {"parts": [asdict(part) for part in self.parts]}, indent=2)

    def picture(
        self, path: str | os.PathLike[str], z: int | None = None, image: Stack | None = None, *, overwrite: bool = False
    ) -> int:
        """Write slice `z` as a PNG with the places of disagreement marked; the slice that it is of.

        By default it is the one with the most voxels in disagreements. Behind the marks is the slice of `image`,
        or the edges of the labels. Raises OutOfBounds, Invalid for an image of another shape, Exists, NotFound.
        """
        from labelog.layers.marked import write_picture

        return write_picture(self, path, z, image, overwrite)

    def marks(self, z: int) -> NDArray[np.uint8]:
        """Slice `z` (y, x): 0 where layers agree, elsewhere the kind of disagreement by its place in KINDS, from 1.

        In the highest bit is the edge of what the volume has there.
        """
        return self._marks(z)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        given = ", ".join(f"{count:,} of {layer}" for layer, count in self.objects.items()) or "none"
        made = ", ".join(f"{count:,} {cls}" for cls, count in self.made.items()) or "none"
        yield f"objects given: {given}; made by components: {made}; rule: trust {self.trust}"
        for layer, labels in self.renumbered.items():
            yield f"{layer}: {len(labels):,} labels were taken, and are new ones: {_pairs(labels)}"
        for layer, changes in self.changes.items():
            for what, voxels in changes.items():
                yield f"{layer}: {what}: {voxels:,} voxel{'' if voxels == 1 else 's'}"
        yield from map(str, self.parts)
        for name in self.lost:
            yield f"{name} has no voxels left"
        if not self.disagreements:
            yield "the layers agree"
            return
        whole = self.shape[0] * self.shape[1] * self.shape[2]
        yield f"the layers disagree at {self.voxels:,} of {whole:,} voxels:"
        yield ""
        yield from self._rows()
        yield ""
        for kind, meaning in KINDS.items():
            if any(one.kind == kind for one in self.disagreements):
                yield f"{kind}: {meaning}"

    def _rows(self) -> Iterator[str]:
        """The table of disagreements."""
        heads: tuple[str, ...] = (
            "kind",
            "object",
            "colour",
            "label",
            "class",
            "found",
            "voxels",
            "box (z, y, x)",
            "first",
            "now",
        )
        rows: list[tuple[str, ...]] = [
            (one.kind, one.name, one.colour or "", "" if one.label is None else str(one.label), one.cls, one.found,
             f"{one.voxels:,}", str(one.box), ", ".join(map(str, one.example)), one.done)
            for one in self.disagreements
        ]  # fmt: skip
        if not any(row[2] for row in rows):
            heads, rows = _without(heads, 2), [_without(row, 2) for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        right = [head in ("label", "voxels") for head in heads]
        for row in (heads, *rows):
            cells = zip(row, widths, right, strict=True)
            yield "  ".join(cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in cells).rstrip()


def _without(cells: Sequence[str], index: int) -> tuple[str, ...]:
    return (*cells[:index], *cells[index + 1 :])


def _pairs(labels: Mapping[int, int], most: int = 5) -> str:
    shown = ", ".join(f"{old} is {new}" for old, new in list(labels.items())[:most])
    return shown + (", ..." if len(labels) > most else "")


def in_order(found: Iterable[Disagreement]) -> list[Disagreement]:
    """Most voxels first; those of one object together, under its largest."""
    found = list(found)
    most: dict[tuple[Any, ...], int] = {}
    for one in found:
        key = (one.layer, one.object, one.label)
        most[key] = max(most.get(key, 0), one.voxels)
    return sorted(
        found,
        key=lambda one: (
            -most[one.layer, one.object, one.label], one.layer, one.object or 0, one.label or 0, -one.voxels,
            one.kind, one.found, one.example,
        ),
    )  # fmt: skip
