"""Durable writes to the file system, and what can be wrong with one."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelog.errors import Exists, Invalid, LabelogError, NotFound, OutOfSpace, ReadOnly, Unsupported
from labelog.storage.layout import META

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs",
    *(f"fuse.{name}" for name in ("sshfs", "s3fs", "gcsfuse", "rclone", "glusterfs", "ceph-fuse")),
}  # fmt: skip


def checked_path(path: object) -> Path:
    """A path that a file can have, from a text or a path; or Invalid."""
    try:
        name = os.fspath(path)  # type: ignore[call-overload]
        if not isinstance(name, str) or not name or b"\0" in os.fsencode(name):
            raise ValueError
    except (TypeError, ValueError):
        raise Invalid(f"expected a path, found {path!r}") from None
    return Path(name)


def refuse_inside_volume(path: Path) -> None:
    """Raise Exists for a file or folder that would be a volume or lie in one: these have their own files only."""
    place = path.resolve()
    for folder in (place, *place.parents):
        if os.path.exists(folder / META):
            raise Exists(f"{path} lies in the volume {folder}, whose files are its own; choose another place",
                         path=str(path))  # fmt: skip


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """OSErrors as labelog's errors, naming the path."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{error.filename or path} does not exist", path=str(path)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"the disk that holds {path} is full", path=str(path)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ReadOnly(f"{error.filename or path} may not be written: {error.strerror}", path=str(path)) from error
        raise LabelogError(f"{error.filename or path}: {error.strerror or error}", path=str(path)) from error


def temporary(path: Path) -> Path:
    """What `write_file` writes first. A process that is killed leaves it; the next one overwrites it."""
    return path.with_name(f".{path.name}.tmp")


def write_file(path: Path, data: bytes) -> None:
    """Replace a file as a whole: temporary file, flush to disk, rename. The folder is for the caller to flush.

    Call it where nobody else replaces the same file: in a turn, or in a folder not known to others yet.
    """
    draft = temporary(path)
    with explained(path):
        try:
            with open(draft, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def put_file(path: Path, data: bytes) -> None:
    """A file in a folder not known to others yet, which is made if needed; for the caller to flush."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def flush_file(path: Path) -> None:
    """Make what was written to a file durable."""
    with explained(path), open(path, "rb") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Make renames and new names within a folder durable."""
    with explained(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flush_tree(path: Path) -> None:
    """Make a folder durable with all that is in it.

    The disk begins with all files before one is waited for. Else each would take a commit of the file system's journal:
    of files that are under way one commit takes all.
    """
    tree = [(Path(folder), names) for folder, _, names in os.walk(path)]
    files = [folder / name for folder, names in tree for name in names]
    for file in files:
        with explained(file), open(file, "rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # what is not written is begun
    for file in files:
        flush_file(file)
    for folder, _ in tree:
        flush_folder(folder)


@contextmanager
def under_construction(path: Path) -> Iterator[Path]:
    """A folder beside `path` that becomes it at the end, or vanishes if an exception says so."""
    path = path.absolute()
    with explained(path):
        if path.exists():
            raise Exists(f"{path} exists already, and was left as it is", path=str(path))
        if not path.parent.is_dir():
            raise NotFound(f"the folder {path.parent} does not exist", path=str(path.parent))
        refuse_network(path.parent)
        folder = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        folder.mkdir()
    try:
        yield folder
        flush_folder(folder)
        try:
            os.rename(folder, path)
        except OSError as error:
            raise Exists(f"{path} was made by somebody else meanwhile", path=str(path)) from error
        flush_folder(path.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def refuse_network(path: Path) -> None:
    """Raise Unsupported on a network file system: locks and the write-ahead log's shared memory fail there."""
    kind = filesystem(path)
    if kind in NETWORK:
        raise Unsupported(f"{path} is on a network file system ({kind}); a volume must lie on a local disk")


def filesystem(path: Path) -> str | None:
    """The type of the file system that holds an existing path, where the system tells (Linux)."""
    try:
        mounts, device = MOUNTS.read_text(errors="replace"), os.stat(path).st_dev
    except OSError:
        return None
    return mounted(mounts, f"{os.major(device)}:{os.minor(device)}")


def mounted(mounts: str, device: str) -> str | None:
    """The type of the file system on a device "major:minor", by the text of mountinfo (proc(5)).

    36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
          ^ device            any number ^        ^ type
    """
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split()[2:3] == [device] and rest:
            return rest.split()[0]
    return None
