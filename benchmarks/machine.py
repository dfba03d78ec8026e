"""What it ran on: the machine, its disk and the versions."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import apsw

from benchmarks.peers import PACKAGES
from benchmarks.timing import Sample, number, timed

OURS = ("numpy", "apsw", "blosc2")
FLUSHED, FLUSHES = 2**15, 80  # bytes at a time, and how often a second


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


def about_flushes(turns: Sequence[Sample]) -> str:
    """What `flushed` found, in words, before each of some turns."""
    p99 = Sample(turn.quantile(0.99) for turn in turns)
    longest = max(turn.quantile(1) for turn in turns)
    return (f"The disk alone, before each turn: {FLUSHED // 1024} kB written to a file and flushed, {FLUSHES} times a "
            f"second: p99 {p99.spread()}, the longest {number(longest * 1e3)} ms.")  # fmt: skip
