"""Regions: named boxes or masks that say what was looked at. Outside of them 0 is not background, but unknown."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.engine.table import Table
from labelog.errors import Invalid
from labelog.geometry import MAX_CHUNK, Box, Triple
from labelog.kernels import codec
from labelog.kernels.runs import Runs
from labelog.storage.journal import Space

KINDS = ("annotated", "gold", "ignore")
LOOKED_AT = ("annotated", "gold")


@dataclass(frozen=True)
class Region:
    """A part of the volume, named.

    Attributes
    ----------
    kind : `annotated` (somebody has labelled all of it), `gold` (annotated by experts, to learn and qualify on), or
        `ignore` (not to be used).
    box : its bounds.
    mask : a boolean array of the box's shape, if only a part of the box belongs to it.
    """

    name: str
    kind: str
    box: Box
    mask: NDArray[np.bool_] | None = field(default=None, compare=False)

    @property
    def voxels(self) -> int:
        """How many belong to it."""
        return self.box.voxels if self.mask is None else int(np.count_nonzero(self.mask))

    def part(self, box: Box) -> tuple[Box, NDArray[np.bool_] | bool]:
        """The voxels that it shares with a box: bounds, and which of them."""
        shared = self.box.intersect(box)
        return shared, True if self.mask is None else self.mask[shared.relative(self.box.start).slices()]

    def scaled(self, factors: Triple, shape: Triple) -> Region:
        """The region at a coarser scale of a volume of this shape: the voxels whose middle is in it, if any are."""
        if max(factors) == 1:
            return self
        middles = [np.minimum(np.arange(f // 2, n + f // 2, f), n - 1) for f, n in zip(factors, shape, strict=True)]
        bounds = [np.searchsorted(at, (a, b)).tolist() for at, a, b in zip(middles, *self.box, strict=True)]
        (z0, z1), (y0, y1), (x0, x1) = bounds
        inside = np.ix_(*(at[a:b] - start for at, (a, b), start in zip(middles, bounds, self.box.start, strict=True)))
        mask = None if self.mask is None else self.mask[inside]
        return Region(self.name, self.kind, Box((z0, y0, x0), (z1, y1, x1)), mask)

    def to_json(self) -> str:
        """As it is kept in the label table."""
        facts: dict[str, Any] = {"kind": self.kind, "box": self.box}
        if self.mask is not None:
            facts["mask"] = base64.b64encode(codec.encode(Runs.from_dense(self.mask.view(np.uint8)))).decode()
        return json.dumps(facts)

    @classmethod
    def from_json(cls, name: str, text: str) -> Region:
        facts = json.loads(text)
        (z0, y0, x0), (z1, y1, x1) = facts["box"]
        box, mask = Box((z0, y0, x0), (z1, y1, x1)), None
        if "mask" in facts:
            mask = codec.decode(base64.b64decode(facts["mask"]), box.shape).dense().astype(bool)
        return cls(name, facts["kind"], box, mask)


def region(name: str, kind: str, box: Box, mask: ArrayLike | None) -> Region:
    """A checked region. Raises Invalid."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise Invalid(f"the name of a region is a line of text, not {name!r}")
    if kind not in KINDS:
        raise Invalid(f"the kind of a region is one of {', '.join(KINDS)}, not {kind!r}")
    if not box.voxels:
        raise Invalid(f"a region has voxels; the box {box} has none")
    if mask is None:
        return Region(name, kind, box)
    array = np.ascontiguousarray(mask)
    if array.dtype.kind not in "biu" or array.shape != box.shape:
        raise Invalid(f"the mask of a region is a boolean array of its box's shape {box.shape}, not {array.dtype} "
                      f"of shape {array.shape}")  # fmt: skip
    if array.size > MAX_CHUNK:
        raise Invalid(f"the mask of a region may have {MAX_CHUNK} voxels, not {array.size}; make several regions of it")
    return Region(name, kind, box, array != 0)


def regions(table: Table) -> dict[str, Region]:
    """All regions of a label table, by name."""
    return {name: Region.from_json(name, str(value)) for name, value in table.fields(Space.REGION, 0).items()}


class Unannotated:
    """Gives voxels that nobody has looked at a value of their own."""

    def __init__(self, regions: Iterable[Region], value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64:
            raise Invalid(f"unannotated is a value from 0 to 2^64 - 1, not {value!r}")
        self.value = value
        self._regions = list(regions)

    def apply(self, box: Box, values: NDArray[Any]) -> None:
        """Change the values of a box in place."""
        unknown = values == 0
        ignored = np.zeros(values.shape, bool)
        for each in self._regions:
            shared, chosen = each.part(box)
            if shared.voxels:
                at = shared.relative(box.start).slices()
                if each.kind in LOOKED_AT:
                    unknown[at] &= ~np.asarray(chosen)
                else:
                    ignored[at] |= chosen
        values[unknown | ignored] = self.value

    def applied(self, points: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
        """The values of single voxels (n, 3), changed."""
        for row, (z, y, x) in enumerate(points.tolist()):
            self.apply(Box((z, y, x), (z + 1, y + 1, x + 1)), values[row : row + 1].reshape(1, 1, 1))
        return values
