"""What it ran on: the machine, its disk and the versions."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import apsw
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import PACKAGES
from benchmarks.timing import Sample, number, timed

OURS = ("numpy", "apsw", "blosc2")
FLUSHED, FLUSHES = 2**15, 80  # bytes at a time, and how often a second
WINDOW = 0.02  # seconds


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def versions() -> str:
    import labelog

    found = [f"{package} {version(package)}" for package in (*OURS, *PACKAGES)]
    return ", ".join([f"labelog {labelog.__version__}", f"Python {platform.python_version()}",
                      f"SQLite {apsw.sqlite_lib_version()}", *found])  # fmt: skip


def machine() -> str:
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "processor unknown"


def flushed(folder: Path, seconds: float) -> Sample:
    """What appending to a file and flushing it takes, as many bytes as a brush stroke, as often as painters paint."""
    path, data, found = folder / "flushed", os.urandom(FLUSHED), []
    with path.open("wb", buffering=0) as file:

        def flush() -> None:
            file.write(data)
            os.fdatasync(file.fileno())

        for _ in range(round(seconds * FLUSHES)):
            found.append(timed(flush))
            time.sleep(max(0.0, 1 / FLUSHES - found[-1]))
    path.unlink()
    return Sample(found)


def starved(seconds: float) -> NDArray[np.bool_]:
    """For each window of time whether the processor, which only counts, did less than half of what it did in most of
    them: others on the machine had it then."""
    done, start = [0.0], time.perf_counter()
    while done[-1] < seconds:
        sum(range(5000))
        done.append(time.perf_counter() - start)
    work, _ = np.histogram(done, np.arange(0, seconds, WINDOW))
    return np.asarray(2 * work < np.median(work))


class Alone(NamedTuple):
    """What the machine does when nothing is measured: see `flushed` and `starved`."""

    flushes: Sample
    starved: NDArray[np.bool_]


def alone(folder: Path, seconds: float) -> Alone:
    return Alone(flushed(folder, seconds), starved(seconds))


def about_alone(turns: Sequence[Alone]) -> str:
    """What `alone` found, in words, before each of some turns."""
    p99 = Sample(turn.flushes.quantile(0.99) for turn in turns)
    longest = max(turn.flushes.quantile(1) for turn in turns)
    slow = ["".join("x" if window else " " for window in turn.starved) for turn in turns]
    share = sum(turn.count("x") for turn in slow) / sum(map(len, slow))
    row = max(map(len, " ".join(slow).split()), default=0)
    return (f"The machine alone, before each turn: {FLUSHED // 1024} kB written to a file and flushed, {FLUSHES} times "
            f"a second: p99 {p99.spread()}, the longest {number(longest * 1e3)} ms. Counting, its processor did less "
            f"than half of its usual work in {share:.1%} of the time, up to {1e3 * WINDOW * row:g} ms on end, which "
            "a p99 shows.")  # fmt: skip
