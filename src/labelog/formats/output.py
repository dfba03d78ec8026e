"""Files that are complete or absent: written beside their final name, synced, then renamed into place."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelog.errors import Exists, Invalid, LabelogError, NotFound, OutOfSpace
from labelog.storage.disk import explained, refuse_inside_volume

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path to write the file at; it takes the name `path` when the block ends without an error.

    Raises Exists if `path` is there (and `overwrite` is not given) or lies in a volume, NotFound if its folder is not,
    OutOfSpace.
    """
    refuse_inside_volume(path)
    with explained(path):
        there, folder = path.exists(), path.is_dir()
    if folder or (there and not overwrite):
        raise Exists(f"{path} already exists{'' if folder else '; overwrite=True replaces it'}", path=str(path))
    with _beside(path) as temporary:
        yield temporary
        _sync(temporary)
        if overwrite:
            os.replace(temporary, path)
        else:
            _rename_new(temporary, path)


@contextmanager
def new_folder(path: Path, *, suffix: str, overwrite: bool) -> Iterator[Path]:
    """The same for a folder of files that end in `suffix`; a folder with anything else in it is never replaced."""
    refuse_inside_volume(path)
    with explained(path):
        there = path.exists()
    if there:
        if not overwrite:
            raise Exists(f"{path} already exists; overwrite=True replaces it", path=str(path))
        if not path.is_dir() or any(not f.is_file() or f.suffix.lower() != suffix for f in path.iterdir()):
            raise Exists(f"{path} is not a folder of {suffix} files only, and is not replaced", path=str(path))
    with _beside(path) as temporary:
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        old = temporary.with_suffix(".old")
        if overwrite and path.exists():
            os.rename(path, old)
        try:
            os.rename(temporary, path)
        except OSError as error:
            if old.exists():
                os.rename(old, path)
            taken = error.errno in (errno.ENOTEMPTY, errno.ENOTDIR)
            raise FileExistsError(errno.EEXIST, "taken meanwhile", str(path)) if taken else error from error
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    if not path.parent.is_dir():
        raise NotFound(f"{path}: the folder {path.parent} does not exist", path=str(path.parent))
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _sync(path.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise Exists(f"{path} already exists; overwrite=True replaces it", path=str(path)) from error
        if _is_full(error):
            raise OutOfSpace(f"{path}: the disk is full; nothing was written", path=str(path)) from error
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise Invalid(f"{path} cannot be written: {error.strerror}", path=str(path)) from error
        raise


def _is_full(error: BaseException | None) -> bool:
    """Whether the disk was full; some libraries say so only in the error that theirs came from."""
    if error is None or isinstance(error, LabelogError):
        return False
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return _is_full(error.__cause__ or error.__context__)


def _rename_new(temporary: Path, path: Path) -> None:
    """Rename unless the name has been taken meanwhile, which a link notices and a rename does not."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.replace(temporary, path)
    else:
        temporary.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
