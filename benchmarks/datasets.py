"""The labels that are measured on, and the strokes that are painted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

import labelog
from benchmarks import settings
from benchmarks.loading import SLAB, Loaded

PLACE = "connectomics/connectomics-512.npz"
FIRST_LABEL = 1_000_000  # labels of strokes, which no volume has


class Labels(NamedTuple):
    """A dense uint64 volume and where it is from."""

    name: str
    array: NDArray[np.uint64]


def connectomics() -> Labels:
    """connectomics-512 (512^3 voxels, 25 to a run), or a synthetic volume like it if the file is not here."""
    home = Path(__file__).resolve().parents[1]
    folders = [os.environ.get("LABELOG_DATA"), home.parent / "shared" / "data"]
    for folder in folders:
        if folder and (path := Path(folder) / PLACE).exists():
            with np.load(path) as file:
                depth = settings.times(512, 128)
                return Labels(f"connectomics-512{'' if depth == 512 else f', first {depth} slices'}",
                              file["palette"].astype(np.uint64)[file["index"][:depth]])  # fmt: skip
    return Labels("synthetic (connectomics-512 was not found)", synthetic((settings.times(512, 128), 512, 512)))


def fib25() -> NDArray[np.uint32]:
    """The bodies of FIB-25 that come with the tests: neurons of 250^3 voxels."""
    with h5py.File(Path(__file__).resolve().parents[1] / "tests" / "data" / "fib25" / "groundtruth.h5") as file:
        stack, pairs = np.asarray(file["stack"][...], np.uint32), np.asarray(file["transforms"][...], np.uint32)
    bodies = np.arange(max(stack.max(), pairs[:, 0].max()) + 1, dtype=np.uint32)
    bodies[pairs[:, 0]] = pairs[:, 1]
    return np.asarray(bodies[stack])


def dense(platelets: Loaded) -> NDArray[np.uint32]:
    """All of the synthetic platelets: 4 GB for a gigavoxel, and no more at any time."""
    out = np.empty(platelets.shape, np.uint32)
    with labelog.open(platelets.path, "r") as volume:
        for z in range(0, len(out), SLAB):
            out[z : z + SLAB] = volume[z : z + SLAB]
    return out


def checkerboard(n: int) -> NDArray[np.uint32]:
    """n^3 voxels, 0 and 1, no two alike that touch at a face: the worst that runs can meet."""
    return np.indices((n, n, n), np.uint8).sum(axis=0, dtype=np.uint8).astype(np.uint32) % 2


def synthetic(shape: tuple[int, int, int], seed: int = 7) -> NDArray[np.uint64]:
    """Cells of a warped grid, about 25 voxels to a run."""
    rng = np.random.default_rng(seed)
    z, y, x = (np.arange(n, dtype=np.float32) for n in shape)
    out = np.empty(shape, np.uint64)
    phase = rng.uniform(0, 2 * np.pi, 4)
    for number, depth in enumerate(z):
        bend_y = 9 * np.sin(x[None, :] / 17 + phase[0] + depth / 40) + 5 * np.sin(y[:, None] / 7 + phase[1])
        bend_x = 9 * np.sin(y[:, None] / 13 + phase[2] + depth / 30) + 5 * np.sin(x[None, :] / 9 + phase[3])
        cell_y = ((y[:, None] + bend_y + 64) / 29).astype(np.uint64)
        cell_x = ((x[None, :] + bend_x + 64) / 27).astype(np.uint64)
        out[number] = 1 + (np.uint64(depth // 24) * np.uint64(64) + cell_y) * np.uint64(64) + cell_x
    return out


class Stroke(NamedTuple):
    """A brush stroke: a disc painted on one slice."""

    at: tuple[int, int, int]
    mask: NDArray[np.bool_]
    label: int

    @property
    def box(self) -> tuple[int, slice, slice]:
        z, y, x = self.at
        return z, slice(y, y + self.mask.shape[0]), slice(x, x + self.mask.shape[1])


def disc(radius: int) -> NDArray[np.bool_]:
    reach = np.arange(-radius, radius + 1)
    return np.asarray(reach[:, None] ** 2 + reach**2 <= radius**2)


def strokes(shape: tuple[int, int, int], seed: int) -> Iterator[Stroke]:
    """Discs of radius 6 to 15 at random places, each with a label of its own; without end."""
    rng = np.random.default_rng(seed)
    number = 0
    while True:
        mask = disc(int(rng.integers(6, 16)))
        z, y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(shape, (1, *mask.shape), strict=True))
        yield Stroke((z, y, x), mask, FIRST_LABEL + number)
        number += 1


def near(stroke: Stroke, shape: tuple[int, int, int], rng: np.random.Generator) -> Stroke:
    """A stroke on the same slice that overlaps another one in part."""
    reach = stroke.mask.shape[0] // 2
    z, y, x = stroke.at
    top = tuple(n - m for n, m in zip(shape[1:], stroke.mask.shape, strict=True))
    y, x = (int(np.clip(n + rng.integers(-reach, reach + 1), 0, limit)) for n, limit in zip((y, x), top, strict=True))
    return Stroke((z, y, x), stroke.mask, stroke.label + 500_000_000)
