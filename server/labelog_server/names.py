"""What the operations of one edit call by name: labels that they make, and arrays that were sent with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

import labelog
from labelog.progress import Progress
from labelog_server.memory import Share
from labelog_server.parts import Part
from labelog_server.problems import Problem
from labelog_server.wire import label

NAME = r"\$[A-Za-z_][A-Za-z0-9_]{0,63}"

Ref = Annotated[str, Field(pattern=rf"^([0-9]{{1,20}}|{NAME})$", examples=["7", "$a"])]
"""A label, or the name of one that was made before in the same edit."""

Made = Annotated[str, Field(pattern=f"^{NAME}$", examples=["$a"])]
Voxel = tuple[int, int, int]


class Names:
    """The labels that an edit has given names to, and the arrays that came with it."""

    def __init__(self, share: Share, parts: Mapping[str, Part] = {}, most: int = 2**27) -> None:
        self.made: dict[str, int] = {}
        self._share, self._parts, self._most, self._drawn = share, parts, most, 0
        self.progress: Progress = lambda done, total: None  # may raise, which ends the edit

    def part(self, name: str) -> Part:
        """An array that was sent beside the JSON. Raises Invalid."""
        if name not in self._parts:
            raise labelog.Invalid(f"no part of the request has the Content-ID {name!r}")
        return self._parts[name]

    def voxels(self, shape: Voxel, size: int) -> int:
        """How many a mask has, of so many bytes each. Raises Problem 413 if all masks have more than a request may be
        about, 503 if there is no memory for them, Invalid for an empty one."""
        if min(shape) < 1:
            raise labelog.Invalid(f"a mask has voxels; one of shape {shape} has none")
        self._drawn += math.prod(shape)
        if self._drawn > self._most:
            raise Problem(413, f"a request may be about {self._most} voxels; its masks have {self._drawn} or more")
        self._share.hold(size * math.prod(shape))
        return math.prod(shape)

    def __call__(self, ref: str) -> int:
        """The label that is meant. Raises Invalid."""
        if not ref.startswith("$"):
            return label(ref)
        if ref not in self.made:
            raise labelog.Invalid(f"no operation before this one has named a label {ref}")
        return self.made[ref]

    def name(self, ref: str | None, value: int) -> None:
        if ref is not None:
            if ref in self.made:
                raise labelog.Invalid(f"two labels are named {ref}")
            self.made[ref] = value

    def forget(self) -> None:
        """Let the edit begin again."""
        self.made.clear()
        self._drawn = 0

    def told(self) -> dict[str, str]:
        """The same in JSON."""
        return {ref: str(label) for ref, label in self.made.items()}
