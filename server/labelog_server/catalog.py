"""The volumes that are served, by name. Names come from the folders found; no name of a request becomes a path."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import labelog
from labelog.storage.layout import META

SUFFIX = ".labelog"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Catalog:
    """Volumes by name; each is opened when it is first asked for, and stays open. Safe for several threads."""

    def __init__(self, paths: tuple[Path, ...], cache_bytes: int) -> None:
        """Find volumes. Raises NotFound for a path that is no volume and no folder, Invalid for one name twice."""
        self._cache_bytes = cache_bytes
        self.timed: Callable[[float, float], None] | None = None  # told of each commit, in volumes opened from then on
        self._lock = threading.Lock()
        self._open: dict[str, tuple[labelog.Volume, Any]] = {}  # with what it was when it was opened
        self._folders = [path for path in paths if not _is_volume(path)]
        self._single: dict[str, Path] = {}
        for path in paths:
            if not path.is_dir():
                raise labelog.NotFound(f"{path} is no volume and no folder", path=str(path))
            if _is_volume(path) and self._single.setdefault(_name(path), path) != path:
                raise labelog.Invalid(f"two volumes would be called {_name(path)}: {self._single[_name(path)]}, {path}")
        self.names()

    def _paths(self) -> dict[str, Path]:
        """Every volume that is there now."""
        found = dict(self._single)
        for folder in self._folders:
            for path in sorted(folder.iterdir()):
                if _is_volume(path) and found.setdefault(_name(path), path) != path:
                    raise labelog.Invalid(f"two volumes would be called {_name(path)}: {found[_name(path)]}, {path}")
        return {name: path for name, path in found.items() if _is_volume(path)}

    def names(self) -> list[str]:
        """What is served, ascending."""
        return sorted(self._paths())

    def __getitem__(self, name: str) -> labelog.Volume:
        """The volume of that name. Raises NotFound, and what opening it raises."""
        with self._lock:
            volume = self.at_hand(name)
            if volume is not None:
                return volume
            volume, _ = self._open.get(name, (None, None))
            path = self._paths().get(name)
            if path is None:
                raise labelog.NotFound(f"there is no volume {name!r} here")
            if volume is not None:
                volume.close()
            made = _identity(str(path))
            volume = _opened(path, self._cache_bytes)
            volume.committer.timed = self.timed
            self._open[name] = volume, made
            return volume

    def at_hand(self, name: str) -> labelog.Volume | None:
        """The volume of that name if it is open and still there. Waits for nobody."""
        volume, made = self._open.get(name, (None, None))
        if volume is None or volume.closed or _identity(volume.address) != made:
            return None
        return volume

    def opened(self) -> dict[str, labelog.Volume]:
        """The volumes that are open."""
        with self._lock:
            return {name: volume for name, (volume, _) in self._open.items()}

    def create(self, name: str, **arguments: Any) -> labelog.Volume:
        """Make a volume in the first folder that is served. Raises Exists, Invalid, Unsupported without a folder."""
        if not self._folders:
            raise labelog.Unsupported(
                "volumes are made in a folder that is served; this server has single volumes only"
            )
        if not NAME.fullmatch(name):
            raise labelog.Invalid(
                f"a name has up to 100 letters, digits, '.', '_' and '-', a letter first; not {name!r}"
            )
        if name in self._paths():
            raise labelog.Exists(f"there is a volume {name!r} already")
        labelog.create(self._folders[0] / f"{name}{SUFFIX}", **arguments).close()
        return self[name]

    def delete(self, name: str) -> None:
        """Remove a volume with its whole history. Raises NotFound."""
        volume = self[name]
        with self._lock:
            self._open.pop(name, None)
            volume.close()
            self._single.pop(name, None)
            (Path(volume.address) / META).unlink()  # from here on it is no volume, to other processes either
            shutil.rmtree(volume.address)

    def close(self) -> None:
        with self._lock:
            for volume, _ in self._open.values():
                volume.close()
            self._open.clear()


def _is_volume(path: Path) -> bool:
    return (path / META).is_file()


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a volume from another that takes its place; None if there is none."""
    try:
        found = os.stat(os.path.join(path, META))
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _name(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _opened(path: Path, cache_bytes: int) -> labelog.Volume:
    """For editing if that is allowed, else for reading."""
    try:
        return labelog.open(path, cache_bytes=cache_bytes)
    except labelog.ReadOnly:
        return labelog.open(path, "r", cache_bytes=cache_bytes)
