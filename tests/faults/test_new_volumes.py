"""A new volume gets its name when all of it is on disk, so that a power loss never leaves half of one under it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelog


def labels() -> np.ndarray:
    """Three rows of chunks, of which one has no labels, and so no files."""
    found = np.arange(48 * 40 * 40, dtype=np.uint32).reshape(48, 40, 40) // 700
    found[16:32] = 0
    return found


def slabs() -> Any:
    return iter(np.array_split(labels(), 7))


@pytest.mark.parametrize("make", [
    lambda path: labelog.load(path, labels(), chunks=(16, 16, 16)),
    lambda path: labelog.load(path, slabs(), chunks=(16, 16, 16), threads=2),
    lambda path: labelog.create(path, (48, 40, 40)),
], ids=["array", "slabs", "zeros"])  # fmt: skip
def test_all_is_flushed_before_it_has_a_name(make: Callable[[Path], labelog.Volume], tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    path, missing = tmp_path / "new.labelog", []
    flushed: dict[int, Any] = {}  # inode -> what it had in it
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        flushed[os.fstat(descriptor).st_ino] = content(Path(f"/proc/self/fd/{descriptor}").resolve())

    def noted_rename(old: Path, new: Path) -> None:
        if new == path:
            missing.extend(each for each in (old, *old.rglob("*")) if not excepted(each)
                           and content(each) != flushed.get(each.stat().st_ino, b""))  # fmt: skip
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    make(path).close()
    assert missing == []
    assert len(flushed) > 5  # it looked


def content(place: Path) -> bytes | set[str]:
    return set(os.listdir(place)) if place.is_dir() else place.read_bytes()


def excepted(place: Path) -> bool:
    """SQLite flushes its own files; a mark that is lost says that it tells nothing."""
    return place.name.startswith("journal.") or place.name == "lock"
