"""A volume on a server, with the interface of one on disk."""

from __future__ import annotations

import base64
import json
import os
import time
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from labelog import indexing
from labelog.arrays.boxes import thread_count
from labelog.engine.changes import Changes
from labelog.engine.check import Report
from labelog.engine.commit import checked_author, draft
from labelog.engine.drawing import LabelRows
from labelog.engine.edit import Edit
from labelog.engine.fills import Filled, Limits
from labelog.engine.load import user
from labelog.engine.regions import Region
from labelog.engine.snapshot import Snapshot
from labelog.engine.values import (
    checked_count,
    checked_label,
    checked_object,
    checked_revision,
    checked_text,
    existing,
    several,
)
from labelog.engine.volume import Mode, Volume
from labelog.errors import Invalid, NotFound, ReadOnly, Unsupported
from labelog.geometry import Box, Grid, Triple, scales, whole
from labelog.image import Image
from labelog.kernels.runs import Runs
from labelog.progress import Progress
from labelog.remote import media
from labelog.remote.connection import TIMEOUT, Connection
from labelog.remote.edit import RemoteEdit
from labelog.remote.labels import spelled
from labelog.remote.problems import box_of, label_rows
from labelog.remote.snapshot import RemoteSnapshot, cut
from labelog.storage.journal import Commit, Kind

PAGE = 256  # commits of one answer
HEARTBEAT = ": still here"  # a line of a stream of events
QUIET = 40.0  # seconds after which a stream that says nothing, not even that it is there, is asked for again


class RemoteVolume(Volume):
    """A label volume that a server has. `labelog.open("http://...")` gives one; see `Volume` for what it does.

    Requests that change nothing are sent again if an answer is lost, and so are edits, which happen once by their key.
    """

    def __init__(self, address: str, mode: Mode, token: str | None, timeout: float, threads: int | None) -> None:
        self.connection = Connection(address, token, timeout)
        self._mode = mode
        self._threads = thread_count(threads)
        self._pool: ThreadPoolExecutor | None = None
        self._pool_pid = 0
        told = self.connection.told("")
        self._id = told["id"]
        self._unit = told["unit"]
        z, y, x = map(float, told["voxel_size"])
        self.geometry = scales(Grid(tuple(told["shape"]), tuple(told["chunks"])), (z, y, x))
        known = _opened.get(self.address)
        if known is None or known.closed:
            _opened[self.address] = self

    # What it is

    @property
    def store(self) -> NoReturn:
        """Not here: the files are the server's."""
        raise Unsupported(f"{self.address} is on a server, which has its files")

    committer = store

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for several requests at once."""
        if self._pool is None or self._pool_pid != os.getpid():
            self._pool, self._pool_pid = ThreadPoolExecutor(self._threads, "labelog-remote"), os.getpid()
        return self._pool

    @property
    def address(self) -> str:
        return self.connection.address

    @property
    def id(self) -> str:
        return str(self._id)

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def shape(self) -> Triple:
        return self.geometry[0].grid.shape

    @property
    def chunks(self) -> Triple:
        return self.geometry[0].grid.chunks

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        return self.geometry[0].voxel_size

    @property
    def unit(self) -> str:
        return str(self._unit)

    @property
    def colours(self) -> dict[int, str]:
        return {int(value): shade for value, shade in self.connection.told("/views")["colours"].items()}

    @property
    def revision(self) -> int:
        return int(self.connection.told("/revision")["revision"])

    @property
    def closed(self) -> bool:
        return self.connection.closed

    def __reduce__(self) -> Any:
        return reopened, (self.address, self.mode)

    def close(self) -> None:
        """Close the connections. Everything committed is on the server's disk already; closing twice is fine."""
        self.connection.close()
        if self._pool is not None and self._pool_pid == os.getpid():
            self._pool.shutdown(wait=False)

    # Reading

    def at(self, when: int | datetime | None = None) -> RemoteSnapshot:
        if isinstance(when, datetime):
            revision = self._revision_at(when, 0)
            if revision < 0:
                raise NotFound(f"the volume did not exist yet at {when}")
            return RemoteSnapshot(self, revision)
        head = self.revision
        if when is None:
            return RemoteSnapshot(self, head)
        return RemoteSnapshot(self, existing(when, head))

    def _revision_at(self, when: datetime, head: int) -> int:
        try:
            told = self.connection.told("/revision", at=when.astimezone(UTC).isoformat())
        except NotFound:
            return -1
        return int(told["revision"])

    def _newest(self) -> Snapshot:
        """The newest revision, whichever it is when the first answer comes."""
        return RemoteSnapshot(self, -1)

    def read(self, box: Box | tuple[Triple, Triple] | None = None,
             out: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:  # fmt: skip
        return self._newest().read(box, out)

    def __getitem__(self, index: Any) -> Any:
        return self._newest()[index]

    def regions_at(self, revision: int) -> dict[str, Region]:
        """The regions that were named at a revision."""
        told = self.connection.told("/regions", rev=revision)["regions"]
        return {each["name"]: _region(each) for each in told}

    def opened_image(self, address: str) -> Image:
        raise Unsupported(f"{self.address} is on a server, which has its image: volume.image")

    def attach_image(self, source: Any, *, copy: bool = False, voxel_size: Iterable[float] | None = None,
                     unit: str | None = None, author: str | None = None, message: str = "",
                     progress: Progress | None = None) -> Commit:  # fmt: skip
        """Not from afar: an address would be looked up on the server's machine."""
        raise Unsupported(f"{self.address} is on a server; attach an image where the volume lies")

    # Writing

    def write(self, path: str, body: bytes | dict[str, Any], *, author: str | None, key: str | None,
              kind: str = "application/json") -> dict[str, Any]:  # fmt: skip
        """What a request that writes is answered. Raises ReadOnly of a volume opened for reading."""
        if self._mode == "r":
            raise ReadOnly(f'{self.address} is open for reading; open it with mode="r+"', path=self.address)
        return self.connection.done(path, body, author=author, key=key, kind=kind)

    def staged(self, box: Box, body: bytes, **more: Any) -> tuple[Runs, str | None]:
        """The labels of a box as an edit would make them, and the name of the trial of it that the server keeps."""
        answer = self.connection.post("/edits/voxels", body, accept=media.RUNS, box=spelled(box), **more)
        return media.decode(answer.content, box.shape), answer.headers.get("labelog-trial")

    def cut(self, box: Box) -> Iterator[Box]:
        """A box in parts that a request may be about."""
        return cut(box, self.chunks)

    def edit(self, author: str | None = None, message: str = "", *, session: str | None = None,
             key: str | None = None, seen: int | None = None, at: int | None = None,
             labels: Iterable[int] = ()) -> Edit:  # fmt: skip
        if seen is not None:
            seen = self.at(seen).revision
        begin = None if at is None else self.at(at).revision
        made = [checked_object(label) for label in several(labels)]
        return RemoteEdit(self, author, draft(user(author), session, message, key), seen, begin, made)

    def undo(self, author: str | None = None, *, session: str | None = None, strict: bool = False, message: str = "",
             key: str | None = None) -> Commit:  # fmt: skip
        return self._take_back("/undo", author, session, strict, message, key)

    def redo(self, author: str | None = None, *, session: str | None = None, strict: bool = False, message: str = "",
             key: str | None = None) -> Commit:  # fmt: skip
        return self._take_back("/redo", author, session, strict, message, key)

    def revert(self, revision: int | None = None, *, author: str | None = None, by: str | None = None,
               session: str | None = None, strict: bool = False, message: str = "",
               key: str | None = None) -> Commit:  # fmt: skip
        if (revision is None) == (author is None):
            raise Invalid("revert takes a revision or an author")
        if author is not None:
            checked_author(author, below=True)
            return self._take_back("/revert", by, session, strict, message, key, author=author)
        number = checked_revision(revision)
        return self._take_back("/revert", by, session, strict, message, key, revision=number)

    def _take_back(self, path: str, who: str | None, session: str | None, strict: bool, message: str,
                   key: str | None, **what: Any) -> Commit:  # fmt: skip
        draft(user(who), session, message, key)
        body = {"session": session, "strict": strict, "message": message, **what}
        return commit_of(self.write(path, body, author=who, key=key or uuid4().hex))

    def fill_mask_at(self, revision: int, view: str, seed: Iterable[int], limits: Limits) -> Filled:
        """What a fill from a voxel would take at a revision."""
        with suppress(_Over), self.edit(at=revision) as edit:
            found = edit.fill_mask(seed, view=view, **limits)
            raise _Over
        return found

    # History

    def commit(self, revision: int) -> Commit:
        return commit_of(self._told_of(revision))

    def _told_of(self, revision: int) -> dict[str, Any]:
        try:
            number = whole(revision)
        except TypeError:
            raise Invalid(f"expected a revision or a datetime, not {revision!r}") from None
        return self.connection.told(f"/history/{number}")

    def history(self, author: str | None = None, *, session: str | None = None, label: int | None = None,
                box: Box | tuple[Triple, Triple] | None = None, since: int | datetime | None = None,
                until: int | datetime | None = None, limit: int | None = None) -> Iterator[Commit]:  # fmt: skip
        bounds = None if box is None else indexing.within(box, self.shape)
        limit = None if limit is None else checked_count("limit", limit, of="commits")
        author = None if author is None else checked_author(author, below=True)
        checked_text("session", session, empty=False)
        query = {"author": author, "session": session, "label": None if label is None else str(checked_label(label)),
                 "box": None if bounds is None else spelled(bounds)}  # fmt: skip
        newest = self._bound(until)
        after = -1 if since is None else self._bound(since)
        if newest < 0 or (bounds is not None and not bounds.voxels):
            return iter(())
        return self._told_pages(query | {"since": after if after >= 0 else None}, newest, limit)

    def _told_pages(self, query: dict[str, Any], until: int | None, limit: int | None) -> Iterator[Commit]:
        while until is not None and (limit is None or limit > 0):
            count = PAGE if limit is None else min(limit, PAGE)
            page = self.connection.told("/history", until=until, limit=count, **query)
            yield from map(commit_of, page["commits"])
            until, limit = page["next"], None if limit is None else limit - len(page["commits"])

    def changes(self, revision: int) -> Changes:
        """As of a volume on disk; `labels` is None for a commit of more than 1,000."""
        told = self._told_of(revision)
        labels = None if told["labels"] is None else tuple(map(int, told["labels"]))
        return Changes(tuple(map(box_of, told["boxes"])), labels, told["said"])

    def written(self, revision: int) -> LabelRows:
        return label_rows(self.connection.told(f"/history/{self.at(revision).revision}/runs")["runs"])

    def blame(self, box: Box | tuple[Triple, Triple] | None = None) -> NDArray[np.uint64]:
        bounds = Box((0, 0, 0), self.shape) if box is None else indexing.within(box, self.shape)
        out = np.zeros(bounds.shape, np.uint64)
        for part in cut(bounds, self.chunks):
            data = self.connection.get("/blame", accept=media.RUNS, box=spelled(part)).content
            runs = media.decode(data, part.shape)
            runs.fill(out[part.relative(bounds.start).slices()], (0, 0, 0), runs.palette)
        return out

    def _watch(self, known: int, timeout: float | None) -> Iterator[Commit]:
        quiet_since = time.monotonic()
        while not self.closed:
            left = QUIET if timeout is None else timeout - (time.monotonic() - quiet_since)
            if left <= 0:
                return
            with self.connection.events(known, min(left, QUIET)) as lines:
                kind = ""
                for line in lines:
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data" and kind == "commit":
                        known = json.loads(value)["revision"]
                        yield self.commit(known)
                        quiet_since = time.monotonic()
                    elif line == HEARTBEAT and timeout is not None:
                        break  # how long to wait for the next line is another time now

    # Care

    def compact(self, progress: Progress | None = None) -> int:
        return int(self.connection.job({"do": "compact"}, progress)["folded"])

    def check(self, progress: Progress | None = None) -> Report:
        told = self.connection.job({"do": "check"}, progress)
        return Report(told["problems"], told["revisions"], told["chunks"], told["deltas"])


class _Over(Exception):
    """Ends an edit that was begun to ask something."""


def commit_of(row: dict[str, Any]) -> Commit:
    """A commit of its row in JSON."""
    known = {name: row[name] for name in Commit.__dataclass_fields__}
    return Commit(**known | {"kind": Kind(row["kind"]), "time": datetime.fromisoformat(row["time"]),
                             "targets": tuple(row["targets"])})  # fmt: skip


def _region(told: dict[str, Any]) -> Region:
    box, mask = box_of(told["box"]), None
    if told["bits"] is not None:
        bits = np.frombuffer(base64.b64decode(told["bits"]), np.uint8)
        mask = np.unpackbits(bits, count=box.voxels).astype(bool).reshape(box.shape)
    return Region(told["name"], told["kind"], box, mask)


# Where volumes, snapshots and images are unpickled

_opened: weakref.WeakValueDictionary[str, RemoteVolume] = weakref.WeakValueDictionary()


def reopened(address: str, mode: Mode) -> RemoteVolume:
    """A volume where it is unpickled: with the token of this process."""
    known = _opened.get(address)
    if known is not None and not known.closed and known.mode == mode:
        return known
    _opened.pop(address, None)
    return RemoteVolume(address, mode, None, TIMEOUT, None)


def reopened_at(address: str, revision: int) -> RemoteSnapshot:
    known = _opened.get(address)
    volume = reopened(address, "r") if known is None or known.closed else known
    return RemoteSnapshot(volume, revision)


def reopened_image(address: str, revision: int, number: int) -> Image:
    return reopened_at(address, revision).image.scale(number)
