"""What it ran on: the machine and the versions."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import apsw

from benchmarks.peers import PACKAGES

OURS = ("numpy", "apsw", "blosc2")


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
