"""Layers read side by side, slab by slab, as runs of voxels that all layers agree to be alike.

Runs have some 25 voxels, so what is counted, sorted and bounded here is a twentieth of the voxels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Invalid
from labelog.formats.stack import Stack, blocks
from labelog.geometry import Box, Triple

SLAB_VOXELS = 2**22
"""A slab has about this many voxels, or one slice; some 100 bytes a voxel are in memory at a time."""

Row = tuple[int | None, ...]
"""What the layers have at a voxel: the semantic class's id (None without that layer), and each other layer's label."""


@dataclass
class Tally:
    """Some voxels: how many, the box around them, the first in z, y, x order, and how many in each slice."""

    voxels: int
    box: Box
    first: Triple
    slices: dict[int, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        slices = dict(self.slices)
        for z, count in other.slices.items():
            slices[z] = slices.get(z, 0) + count
        return Tally(
            self.voxels + other.voxels, self.box.union(other.box), min(self.first, other.first), slices
        )  # fmt: skip


@dataclass
class Slab:
    """A few slices of all layers: `starts` and `lengths` of runs within rows, and each layer's value along them."""

    z: int
    shape: Triple
    starts: NDArray[np.intp]
    lengths: NDArray[np.intp]
    values: list[NDArray[np.uint64]]

    def spread(self, of_run: NDArray[Any]) -> NDArray[Any]:
        """A value for each run as an array (n, y, x)."""
        return np.repeat(of_run, self.lengths).reshape(self.shape)


class Joint:
    """The layers of one volume, read together.

    Parameters
    ----------
    semantic : class ids, or None.
    objects : labels of the other layers.
    depth : slices to a slab; by default as many as make SLAB_VOXELS.

    Raises Invalid for layers that differ in shape.
    """

    def __init__(self, semantic: Stack | None, objects: Sequence[tuple[str, Stack]], depth: int | None = None) -> None:
        named = ([("semantic", semantic)] if semantic else []) + list(objects)
        if not named:
            raise Invalid("expected a semantic layer, or a layer of objects; found none")
        (first, one), *others = named
        for name, stack in others:
            if stack.shape != one.shape:
                raise Invalid(f"layer {name} has shape {stack.shape}; expected {one.shape}, as layer {first} has")
        self.shape = one.shape
        self.has_semantic = semantic is not None
        self._stacks = [stack for _, stack in named]
        self._depth = depth or max(1, SLAB_VOXELS // (one.shape[1] * one.shape[2]))

    def slabs(self) -> Iterator[Slab]:
        """Each slab; what is wrong with a file is raised from here, by the format that reads it."""
        for parts in zip(*(blocks(stack, self._depth, stack.dtype) for stack in self._stacks), strict=True):
            z, shape = parts[0][0], parts[0][1].shape
            flat = [array.reshape(-1) for _, array in parts]
            starts = run_starts(flat, shape[2])
            lengths = np.diff(starts, append=flat[0].size)
            yield Slab(z, shape, starts, lengths, [values[starts].astype(np.uint64) for values in flat])

    def rows(self, slab: Slab) -> tuple[list[Row], NDArray[np.intp]]:
        """The distinct rows of a slab, and which of them each run has."""
        columns, which = distinct_rows(slab.values)
        lists: list[list[Any]] = [column.tolist() for column in columns]
        if not self.has_semantic:
            lists.insert(0, [None] * len(lists[0]))
        return list(zip(*lists, strict=True)), which

    def count(self) -> dict[Row, Tally]:
        """One pass over the layers: the voxels of each row that occurs."""
        table: dict[Row, Tally] = {}
        for slab in self.slabs():
            rows, which = self.rows(slab)
            for number, tally in tallies(which, slab):
                row = rows[number]
                if row in table:
                    tally = table[row] + tally
                table[row] = tally
        return table


def run_starts(flat: Sequence[NDArray[Any]], width: int) -> NDArray[np.intp]:
    """Where the runs start that are equal in all these flat arrays; each row of `width` voxels starts one."""
    new = np.zeros(flat[0].size, bool)
    new[::width] = True
    for values in flat:
        new[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(new)


def distinct_rows(columns: Sequence[NDArray[Any]]) -> tuple[list[NDArray[Any]], NDArray[np.intp]]:
    """The distinct rows of columns of equal length, as columns, and for each row which one it is."""
    which = np.zeros(len(columns[0]), np.intp)
    for column in columns:
        found, place = np.unique(column, return_inverse=True)
        # Below the square of the number of rows, so it does not overflow.
        _, which = np.unique(which * len(found) + place, return_inverse=True)
    _, first = np.unique(which, return_index=True)
    return [column[first] for column in columns], which


def tallies(of_run: NDArray[Any], slab: Slab) -> Iterator[tuple[int, Tally]]:
    """For each distinct value of the runs, its voxels: those of the slab's slices add up to one tally."""
    _, ny, nx = slab.shape
    z, rest = np.divmod(slab.starts, ny * nx)
    (value, page), which = distinct_rows([of_run, z])
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(len(value)))
    y, x = (part[order] for part in np.divmod(rest, nx))
    lengths = slab.lengths[order]
    facts = zip(
        value.tolist(), (page + slab.z).tolist(), np.add.reduceat(lengths, edges).tolist(),
        y[edges].tolist(), x[edges].tolist(), np.maximum.reduceat(y, edges).tolist(),
        np.minimum.reduceat(x, edges).tolist(), np.maximum.reduceat(x + lengths, edges).tolist(), strict=True,
    )  # fmt: skip
    for number, at, voxels, y0, first_x, y1, x0, x1 in facts:
        yield number, Tally(voxels, Box((at, y0, x0), (at + 1, y1 + 1, x1)), (at, y0, first_x), {at: voxels})
