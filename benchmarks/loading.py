"""Loads a volume in a process of its own, to say how much memory that takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import labelog
from labelog.synthetic import Platelets

SLAB = 8  # slices at a time


class Loaded(NamedTuple):
    """A volume of synthetic platelets on disk, and what it took to load it."""

    path: Path
    shape: tuple[int, int, int]
    peak: int  # bytes, of the process
    before: int  # bytes, of it before the first slab
    seconds: float


def loaded(path: Path, shape: tuple[int, int, int]) -> Loaded:
    """Load synthetic platelets in another process."""
    command = [sys.executable, "-m", "benchmarks.loading", str(path), *map(str, shape)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1])
    return Loaded(path, shape, **json.loads(done.stdout))


def memory() -> int:
    """The most memory that this process has had, in bytes. Of what was there before it was started nothing counts."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status does not say VmHWM; this is measured on Linux")


def main(path: str, *shape: str) -> None:
    z, y, x = map(int, shape)
    scene = Platelets((z, y, x))
    before, start = memory(), time.perf_counter()
    labelog.load(path, scene.slabs(SLAB), voxel_size=scene.voxel_size, classes="platelet", table=scene.table()).close()
    print(json.dumps({"peak": memory(), "before": before, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
