"""Jobs that take much memory if they are done badly, each in a process of its own, which says how much it took:

python tests/memory.py load PATH 1000     a load of so many slices of 16 million voxels
python tests/memory.py fill PATH          a fill of 10^9 voxels of background
python tests/memory.py components PATH    the components of 10^9 voxels, and slices of them
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import labelog
from labelog.synthetic import Platelets

TILE, TILES = 1000, 4  # voxels along y and x that are drawn, and how often they are put beside one another
SLAB = 4  # slices at a time


def most_used():
    """The most memory this process has had, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status does not say VmHWM")


def slabs(scene):
    """Slices of TILES x TILES scenes, the labels of each its own."""
    labels = len(scene.cls)
    for slab in scene.slabs(SLAB):
        out = np.zeros((len(slab), TILE * TILES, TILE * TILES), np.uint32)
        for place in range(TILES * TILES):
            y, x = TILE * (place // TILES), TILE * (place % TILES)
            np.add(slab, np.uint32(place * labels), out=out[:, y : y + TILE, x : x + TILE], where=slab != 0)
        yield out


def load(path, depth):
    scene = Platelets((depth, TILE, TILE))
    with labelog.load(path, slabs(scene), voxel_size=scene.voxel_size) as volume:
        assert volume.shape == (depth, TILE * TILES, TILE * TILES)


def fill(path):
    with labelog.create(path, (250, 2000, 2000)) as volume:
        with volume.edit("maker") as edit:
            edit[100:150, 500:1500, 900:1100] = 7
        with volume.edit("ana") as edit:
            found = edit.fill((0, 0, 0), 8)
        assert found.voxels == 250 * 2000 * 2000 - 50 * 1000 * 200
        assert volume[249, 1999, 1999] == 8 and volume[120, 1000, 1000] == 7


def components(path):
    with labelog.create(path, (250, 2000, 2000)) as volume:
        with volume.edit("maker") as edit:
            edit[:] = 1
            for y in range(0, 2000, 100):
                edit[:, y] = 0
            edit[120:130, 1000, 500:1500] = 1
        found = volume.components()
        assert len(found.label) == 1 + 20 - 1 and found.voxels.sum() == 250 * 1980 * 2000 + 10 * 1000
        for z in (0, 125, 249):
            plane = found[z]
            assert plane[99, 0] == 1 and plane[1999, 1999] == len(found.label) - 1 and plane[900, 0] == 0


if __name__ == "__main__":
    job, path, *size = sys.argv[1:]
    {"load": lambda: load(path, int(size[0])), "fill": lambda: fill(path), "components": lambda: components(path)}[
        job
    ]()
    sys.stdout.write(str(most_used()))
