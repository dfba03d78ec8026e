"""`labelog import --bodies`: fragments are stored as they are, and the table of their bodies becomes merges."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.cli.printing import counted
from labelog.engine.bodies import merges_of
from labelog.errors import Invalid
from labelog.formats import Stack
from labelog.formats.hdf5 import read_bodies

DATASET = "transforms"


class Bodies:
    """A table fragment -> body, as what a volume is loaded with.

    Attributes
    ----------
    merges : what the table says.
    renamed : fragment -> its label in the volume, where that is another one. Fragments and bodies share one range of
        labels, so a fragment that has the id of a body which it is not in gets a new id; one of body 0 becomes 0.

    A fragment that the table does not have is a body of its own.
    """

    def __init__(self, bodies: Mapping[int, int]) -> None:
        self.renamed, self.merges = merges_of(bodies)
        self._bodies = {fragment: body for fragment, body in bodies.items() if fragment}
        self._new = np.array(sorted({*self.renamed.values()} - {0}), np.uint64)
        self._old = np.array(sorted(self.renamed), np.uint64)
        self._given = np.array([self.renamed[int(old)] for old in self._old], np.uint64)

    def applied(self, stack: Stack) -> Stack:
        """A stack of fragments as labels of the volume."""
        return replace(stack, dtype=np.dtype(np.uint64), slabs=lambda: map(self._apply, stack.slabs()))

    def _apply(self, slab: NDArray[Any]) -> NDArray[np.uint64]:
        labels: NDArray[np.uint64] = slab.astype(np.uint64)
        taken = labels[np.isin(labels, self._new)]
        stray = next((label for label in np.unique(taken).tolist() if label not in self._bodies), None)
        if stray is not None:
            raise Invalid(f"fragment {stray} is not in the table of bodies, and its id was given to fragment "
                          f"{self._was(stray)}; add a row for it", label=stray)  # fmt: skip
        if len(self._old):
            at = np.minimum(np.searchsorted(self._old, labels), len(self._old) - 1)
            labels = np.where(self._old[at] == labels, self._given[at], labels)
        return labels

    def _was(self, label: int) -> int:
        return next(old for old, new in self.renamed.items() if new == label)

    def table(self) -> dict[int, dict[str, Any]]:
        """What is known of labels: of a fragment that was renamed, its id in the file."""
        return {new: {"fragment": old} for old, new in self.renamed.items() if new}

    def facts(self) -> dict[str, Any]:
        """For JSON; labels are texts, as some readers lose digits of large numbers."""
        moved = {str(old): str(new) for old, new in self.renamed.items()}
        return {"fragments": len(self._bodies), "bodies": len({*self._bodies.values()} - {0}), "renamed": moved}

    def __str__(self) -> str:
        bodies = counted(len({*self._bodies.values()} - {0}), "body", "bodies")
        words = [f"{counted(len(self._bodies), 'fragment')} of {bodies}"]
        moved = len(self._new)
        if moved:
            words.append(f"{moved:,} renamed, as another body has {'its id' if moved == 1 else 'their ids'}")
        lost = sum(not new for new in self.renamed.values())
        if lost:
            words.append(f"{lost:,} of body 0 {'is' if lost == 1 else 'are'} background")
        return "; ".join(words)


def bodies_of(known: str, arguments: argparse.Namespace) -> Bodies | None:
    """The table that was asked for, if any; Invalid for a file that can't have one."""
    if arguments.bodies is None:
        return None
    if known != "hdf5":
        raise Invalid(f"--bodies is a table in an HDF5 file; {arguments.source} is of format {known}")
    return Bodies(read_bodies(Path(arguments.source), arguments.bodies))
