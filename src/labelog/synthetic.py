"""Synthetic platelets: labels of any size that look like those of a real volume, for tests, benchmarks and trying out.

Long flat cells lie closely side by side, in them organelles, and in some of these cores. All are ellipsoids, or several
in a row, in a space that is bent a little, so that outlines wave:

    cells         whichever is nearest, in units of its own radii; where two are nearly as near, there is a gap
    organelles    painted on their cell only, at places where no other organelle is and no other cell is near
    cores         painted on their dense granule only

So objects nest by construction. A slice depends on nothing but the scene, which is small: volumes of any depth are made
slab by slab.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Invalid
from labelog.geometry import Lengths, Triple

Floats = NDArray[np.float64]
Slices = NDArray[np.float32]

CLASSES = ("background", "cell", "mitochondrion", "alpha granule", "canalicular vessel", "dense granule body",
           "dense granule core")  # fmt: skip
"""Names of classes by their ids: those of the classes `platelet` that come with labelog."""

CELL, MITOCHONDRION, ALPHA, VESSEL, BODY, CORE = range(1, 7)

# In nm; z, along the cell, across it.
RADII = (1500, 2500, 900)  # of a cell, on average
SLOPE = 0.5  # radians: how cells lie in a slice
GAP = 0.06  # between cells, as a share of a radius
WAVES = ((110, 1400), (14, 190))  # how far the space is bent, and over which length
APART = 30  # between organelles
TRIES = 10  # places that are tried for an organelle


class Kind(NamedTuple):
    """Of organelles: the class, how many a cell has, least and largest radius (nm), length by width, and how many
    ellipsoids in a row are one."""

    cls: int
    number: float
    least: float
    most: float
    long: float
    row: int


ORGANELLES = (Kind(MITOCHONDRION, 4, 130, 220, 1.7, 1), Kind(BODY, 1, 120, 180, 1.1, 1),
              Kind(ALPHA, 22, 110, 240, 1.2, 1), Kind(VESSEL, 60, 50, 110, 1.5, 4))  # fmt: skip


class Ellipsoids(NamedTuple):
    """A row of each: which object it is of, and how it lies. In nm."""

    label: NDArray[np.int64]
    centre: Floats  # (n, 3): z, y, x
    radii: Floats  # (n, 3): along z, along `angle`, across it
    angle: Floats  # from y to x, in a slice
    lean: Floats  # (n, 2): by how much the centre moves along y and x with z

    def shape(self) -> Floats:
        """(n, 3): the factors of dy^2, dy dx and dx^2 in the square of the distance from the centre, in radii."""
        along, across = self.radii[:, 1] ** -2.0, self.radii[:, 2] ** -2.0
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.stack([along * c * c + across * s * s, 2 * (along - across) * c * s,
                         along * s * s + across * c * c], axis=1)  # fmt: skip

    def distance(self, points: Floats) -> Floats:
        """(n, m): how far points (m, 3) are from each centre, in radii of each."""
        d = points - self.centre[:, None]
        dy, dx = (d[..., 1 + axis] - self.lean[:, None, axis] * d[..., 0] for axis in range(2))
        a, b, c = self.shape().T[:, :, None]
        return np.asarray(np.sqrt(a * dy * dy + b * dy * dx + c * dx * dx + (d[..., 0] / self.radii[:, :1]) ** 2))


class Platelets:
    """A scene of platelets, and the labels that it has at each voxel.

        scene = Platelets((250, 2000, 2000))
        labelog.load("cells.labelog", scene.slabs(), voxel_size=scene.voxel_size, classes="platelet",
                     table=scene.table())

    Attributes
    ----------
    shape, voxel_size : of the volume, z, y, x; voxels, and nm.
    cls : uint8: the class of each label, as in `CLASSES`; `cls[labels]` are the semantic labels.
    parent : int64: the object that each label lies in; 0 for cells.

    Everything follows from the arguments: two scenes of the same are the same, however they are cut into slabs.
    """

    def __init__(self, shape: Triple = (250, 2000, 2000), seed: int = 0, voxel_size: Lengths = (40, 10, 10)) -> None:
        """Lay out a scene. Raises Invalid for a shape, seed or voxel size that is none."""
        if len(shape) != 3 or min(shape) < 1 or seed < 0:
            raise Invalid(f"expected a shape of three numbers from 1 on and a seed from 0 on, found {shape} and {seed}")
        if len(voxel_size) != 3 or not all(0 < length < math.inf for length in voxel_size):
            raise Invalid(f"expected three lengths of a voxel in nm, found {voxel_size}")
        self.shape, self.voxel_size = shape, voxel_size
        rng = np.random.default_rng(seed)
        self._phases = rng.uniform(0, 2 * np.pi, (len(WAVES), 2, 2))
        self._cells = _cells(rng, np.multiply(shape, voxel_size))
        made = _Made(self._cells)
        for cell in range(len(self._cells.label)):
            made.fill(cell, rng)
        self.cls, self.parent = np.array(made.cls, np.uint8), np.array(made.parent, np.int64)
        self._parts = Ellipsoids(*map(np.array, zip(*made.rows, strict=True)))
        self._met = np.zeros(len(self.cls), bool)

    def slab(self, start: int, stop: int, threads: int | None = None) -> NDArray[np.uint32]:
        """The labels of slices start to stop - 1; by default one thread for each processor draws them."""
        if not 0 <= start <= stop <= self.shape[0]:
            raise Invalid(f"expected slices within 0 to {self.shape[0]}, found {start} to {stop}")
        out = np.zeros((stop - start, *self.shape[1:]), np.uint32)
        with ThreadPoolExecutor(threads or os.cpu_count() or 1, "labelog") as pool:
            list(pool.map(self._draw, range(start, stop), out))
        return out

    def slabs(self, depth: int = 16, threads: int | None = None) -> Iterator[NDArray[np.uint32]]:
        """All labels, so many slices at a time."""
        for z in range(0, self.shape[0], depth):
            yield self.slab(z, min(z + depth, self.shape[0]), threads)

    def table(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Label, and its class and parent, of those that were met in the slabs made so far: as `labelog.load` takes it,
        which looks at it after the last slab."""
        for label in np.flatnonzero(self._met).tolist():
            inside = {"parent": int(self.parent[label])} if self.parent[label] else {}
            yield label, {"cls": CLASSES[self.cls[label]]} | inside

    # One slice

    def _draw(self, z: int, out: NDArray[np.uint32]) -> None:
        y, x = self._bent(z)
        depth = (z + 0.5) * self.voxel_size[0]
        nearest, second = (np.full(out.shape, 9, np.float32) for _ in range(2))
        unmet = []
        for label, place, distance in self._sections(self._cells, depth, y, x, margin=1 + 2 * GAP):
            one, two = nearest[place], second[place]
            np.copyto(out[place], label, where=distance < one)
            np.minimum(two, np.maximum(one, distance), out=two)
            np.minimum(one, distance, out=one)
            if not self._met[label]:
                unmet.append((label, place))
        second -= nearest
        out[(nearest > 1) | (second < GAP)] = 0
        for label, place in unmet:
            self._met[label] = (out[place] == label).any()
        for label, place, distance in self._sections(self._parts, depth, y, x):
            here = (distance < 1) & (out[place] == self.parent[label])
            np.copyto(out[place], label, where=here)
            self._met[label] |= here.any()

    def _bent(self, z: int) -> tuple[Slices, Slices]:
        """Where the voxels of a slice are in the space in which objects are ellipsoids: y and x."""
        places = [(np.arange(n) + 0.5) * size for n, size in zip(self.shape, self.voxel_size, strict=True)]
        out = []
        for axis in range(2):
            along, across = places[1 + axis].copy(), np.zeros(self.shape[2 - axis])
            for (far, length), phases in zip(WAVES, self._phases[:, axis], strict=True):
                turn = 2 * np.pi / length
                along += far / 2 * np.sin(places[1 + axis] * turn + phases[0] + places[0][z] * turn / 3)
                across += far / 2 * np.sin(places[2 - axis] * turn + phases[1] - places[0][z] * turn / 3)
            pair = [along.astype(np.float32), across.astype(np.float32)]
            out.append(pair[axis][:, None] + pair[1 - axis])
        return out[0], out[1]

    def _sections(self, what: Ellipsoids, depth: float, y: Slices, x: Slices,
                  margin: float = 1) -> Iterator[tuple[int, tuple[slice, slice], Slices]]:  # fmt: skip
        """Of each ellipsoid that a slice cuts: label, the box around it, and there the distances from its centre."""
        dz = depth - what.centre[:, 0]
        flat = (dz / what.radii[:, 0]) ** 2
        cut = np.flatnonzero(flat < margin**2)
        centre = what.centre[cut, 1:] + what.lean[cut] * dz[cut, None]
        a, b, c = what.shape()[cut].T
        slack = sum(far for far, _ in WAVES)
        room = np.sqrt((margin**2 - flat[cut]) / (a * c - b * b / 4))
        reach = np.stack([room * np.sqrt(c), room * np.sqrt(a)], axis=1) + slack
        size = np.array(self.voxel_size[1:])
        first = np.maximum((centre - reach) // size, 0).astype(int)
        last = np.minimum((centre + reach) // size + 1, self.shape[1:]).astype(int)
        for i, k in enumerate(cut):
            if (first[i] >= last[i]).any():
                continue
            place = slice(first[i, 0], last[i, 0]), slice(first[i, 1], last[i, 1])
            dy, dx = y[place] - np.float32(centre[i, 0]), x[place] - np.float32(centre[i, 1])
            square = np.float32(a[i]) * dy
            square += np.float32(b[i]) * dx
            square *= dy
            dx *= dx
            dx *= np.float32(c[i])
            square += dx
            square += np.float32(flat[k])
            yield int(what.label[k]), place, np.sqrt(square, out=square)


def _cells(rng: np.random.Generator, size: Floats) -> Ellipsoids:
    """Cells on a lattice that lies askew, each moved, turned and scaled a little; as many as touch the volume."""
    pitch = np.array(RADII) * (1.7, 1.7, 1.75)
    turn = np.array([[1, 0, 0], [0, np.cos(SLOPE), -np.sin(SLOPE)], [0, np.sin(SLOPE), np.cos(SLOPE)]])
    reach = np.ceil(np.linalg.norm(size) / pitch / 2).astype(int) + 1
    lattice = np.stack(np.meshgrid(*(np.arange(-n, n + 1.0) for n in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    lattice[:, 1] += lattice[:, 0] % 2 / 2 + lattice[:, 2] % 2 / 2
    lattice += rng.uniform(-0.2, 0.2, lattice.shape)
    centre = (lattice * pitch) @ turn.T + size / 2
    near = ((centre > -max(RADII)) & (centre < size + max(RADII))).all(axis=1)
    n = int(near.sum())
    return Ellipsoids(np.arange(1, n + 1), centre[near], np.array(RADII) * rng.uniform(0.8, 1.15, (n, 3)),
                      SLOPE + rng.normal(0, 0.12, n), rng.normal(0, 0.15, (n, 2)))  # fmt: skip


class _Made:
    """Objects as they are made: class and parent of each, and the ellipsoids of organelles and cores."""

    def __init__(self, cells: Ellipsoids) -> None:
        self.cells = cells
        self.cls, self.parent = [0] + [CELL] * len(cells.label), [0] * (len(cells.label) + 1)
        self.rows: list[tuple[int, Floats, Floats, float, Floats]] = []

    def fill(self, cell: int, rng: np.random.Generator) -> None:
        """Put organelles into a cell."""
        kinds = [kind for kind in ORGANELLES for _ in range(rng.poisson(kind.number))]
        radius = rng.uniform([kind.least for kind in kinds], [kind.most for kind in kinds])
        long = radius * [kind.long for kind in kinds]
        rows = _rows(np.array([kind.row for kind in kinds]), long, rng)
        places = self._inside(cell, rng.uniform(-1, 1, (len(kinds), TRIES, 3)))[:, :, None] + rows
        clear = self._clear(cell, places, long)
        there, taken = np.zeros((0, 3)), np.zeros(0)
        for i, kind in enumerate(kinds):
            apart = np.linalg.norm(places[i, :, :, None] - there, axis=-1) > taken + long[i] + APART
            chosen = np.flatnonzero(clear[i] & apart.all(axis=(1, 2)))
            if len(chosen):
                found = places[i, chosen[0], : kind.row]
                there, taken = np.concatenate([there, found]), np.append(taken, [long[i]] * len(found))
                self._organelle(cell, kind, found, radius[i], rng)

    def _inside(self, cell: int, places: Floats) -> Floats:
        """Points that lie so many radii from the centre of a cell, along each of its axes."""
        z, along, across = np.moveaxis(places * self.cells.radii[cell], -1, 0)
        c, s = np.cos(self.cells.angle[cell]), np.sin(self.cells.angle[cell])
        lean = self.cells.lean[cell]
        y, x = along * c - across * s + lean[0] * z, along * s + across * c + lean[1] * z
        return np.asarray(self.cells.centre[cell] + np.stack([z, y, x], axis=-1))

    def _clear(self, cell: int, places: Floats, radius: Floats) -> NDArray[np.bool_]:
        """Which rows of points (n, m, k, 3) are well within a cell, with so much room around them, and off others."""
        near = np.abs(self.cells.centre - self.cells.centre[cell]).max(axis=1) < 2 * max(RADII)
        near[cell] = True
        cells = Ellipsoids(*(column[near] for column in self.cells))
        own = int(near[:cell].sum())
        distance = cells.distance(places.reshape(-1, 3))
        share = (radius / cells.radii[own].min())[:, None, None]
        mine = distance[own].reshape(places.shape[:3])
        least = np.delete(distance, own, axis=0).min(axis=0, initial=9).reshape(mine.shape)
        return np.asarray(((mine < 1 - GAP - 1.3 * share) & (least - mine > GAP + 3 * share)).all(axis=2))

    def _organelle(self, cell: int, kind: Kind, row: Floats, radius: float, rng: np.random.Generator) -> None:
        label = self._object(kind.cls, cell + 1)
        for centre in row:
            self._part(label, centre, radius, kind.long, rng)
        if kind.cls == BODY:
            self._part(self._object(CORE, label), row[0], radius * rng.uniform(0.35, 0.6), 1, rng)

    def _object(self, cls: int, parent: int) -> int:
        self.cls.append(cls)
        self.parent.append(parent)
        return len(self.cls) - 1

    def _part(self, label: int, centre: Floats, radius: float, long: float, rng: np.random.Generator) -> None:
        radii = np.array([radius * rng.uniform(0.9, 1.1), radius * long, radius * rng.uniform(0.85, 1)])
        self.rows.append((label, centre, radii, rng.uniform(0, np.pi), np.zeros(2)))


def _rows(counts: NDArray[np.int64], radius: Floats, rng: np.random.Generator) -> Floats:
    """Centres in a row, bent a little, from (0, 0, 0) on: (n, TRIES, most, 3); where fewer, the first again."""
    most = max((kind.row for kind in ORGANELLES), default=1)
    way = rng.normal(0, 1, (len(counts), TRIES, 1, 3)) + rng.normal(0, 0.35, (len(counts), TRIES, most, 3)).cumsum(2)
    way *= 1.1 * radius[:, None, None, None] / np.linalg.norm(way, axis=3, keepdims=True)
    way[:, :, 0] = 0
    way[np.arange(most) >= counts[:, None, None].repeat(TRIES, axis=1)] = 0
    found = way.cumsum(axis=2)
    found[np.arange(most) >= counts[:, None, None].repeat(TRIES, axis=1)] = 0
    return np.asarray(found)
