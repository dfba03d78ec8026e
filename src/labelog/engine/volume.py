"""Volumes: what a program opens, reads and edits."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog import indexing
from labelog.arrays.boxes import thread_count
from labelog.engine import check, history, keeper
from labelog.engine import load as loading
from labelog.engine.changes import Changes, changes
from labelog.engine.classes import LabelClass
from labelog.engine.commit import Committer, Draft, Job, checked_author, draft
from labelog.engine.components import Components
from labelog.engine.drawing import LabelRows
from labelog.engine.edit import Edit
from labelog.engine.extents import Extents
from labelog.engine.fills import Filled, Limits
from labelog.engine.load import Classes, TableRows, user
from labelog.engine.objects import Labels
from labelog.engine.preview import written
from labelog.engine.regions import Region
from labelog.engine.snapshot import Snapshot, View
from labelog.engine.store import Store, check_fork
from labelog.engine.values import (
    checked_count,
    checked_label,
    checked_object,
    checked_revision,
    checked_text,
    checked_wait,
    existing,
    several,
)
from labelog.errors import Invalid, NotFound
from labelog.geometry import Box, Triple
from labelog.image import Image, import_image, open_image
from labelog.kernels import spans
from labelog.progress import Progress, checked_progress
from labelog.storage.disk import checked_path
from labelog.storage.journal import Commit

Mode = Literal["r", "r+"]
CACHE_BYTES = 256 * 2**20
PAGE = 256  # commits fetched at a time
POLL = 0.02  # seconds between looks for other processes' commits


def create(path: str | os.PathLike[str], shape: Iterable[int], *, voxel_size: Iterable[float] = (1, 1, 1),
           unit: str = "nm", chunks: Iterable[int] | None = None, classes: Classes = (), author: str | None = None,
           cache_bytes: int = CACHE_BYTES, threads: int | None = None) -> Volume:  # fmt: skip
    """Make a new volume of zeros and open it for editing.

    Parameters
    ----------
    path : where it shall be; nothing may be there. By custom the name ends in `.labelog`.
    shape : voxels along z, y, x.
    voxel_size : along z, y, x, in `unit` (nm, um, mm, m, angstrom).
    chunks : voxels of a chunk along z, y, x; by default 16, 256, 256, or less where the volume is smaller.
    classes : that objects may have: a TOML file, the name of one that comes with labelog (`platelet`), or a list of
        `LabelClass`.
    author : who made it, for the history; by default the operating system's user.
    cache_bytes, threads : as for `open`.

    Raises Exists if something is there, Invalid for numbers that make no volume, OutOfSpace.
    """
    _checked_resources(cache_bytes, threads)
    loading.create(path, shape, voxel_size, unit, chunks, classes, author)
    return open(path, cache_bytes=cache_bytes, threads=threads)


def load(path: str | os.PathLike[str], labels: Any, *, voxel_size: Iterable[float] = (1, 1, 1), unit: str = "nm",
         chunks: Iterable[int] | None = None, classes: Classes = (), table: TableRows = (),
         merges: Iterable[tuple[int, int]] = (), colours: Mapping[int, str] | None = None, author: str | None = None,
         message: str = "", cache_bytes: int = CACHE_BYTES, threads: int | None = None,
         progress: Progress | None = None) -> Volume:  # fmt: skip
    """Make a new volume of an array or of slabs, and open it for editing."""
    _checked_resources(cache_bytes, threads)
    checked_progress(progress)
    loading.load(path, labels, voxel_size=voxel_size, unit=unit, chunks=chunks, classes=classes, table=table,
                 merges=merges, colours=colours, author=author, message=message, threads=threads,
                 progress=progress)  # fmt: skip
    return open(path, cache_bytes=cache_bytes, threads=threads)


load.__doc__ = loading.load.__doc__


def _checked_resources(cache_bytes: int, threads: int | None) -> tuple[int, int]:
    """Bytes of the cache and a number of threads, or Invalid: before a volume is made that could not be opened so."""
    return checked_count("cache_bytes", cache_bytes, of="bytes"), thread_count(threads)


def open(path: str | os.PathLike[str], mode: Mode = "r+", *, cache_bytes: int = CACHE_BYTES,
         threads: int | None = None) -> Volume:  # fmt: skip
    """Open a volume.

    Parameters
    ----------
    path : the volume's folder.
    mode : `r+` to read and edit, `r` to read only: then nothing is written, and no right to write is needed.
    cache_bytes : how much memory decoded chunks may take.
    threads : how many threads a large read may use; by default one for each processor.

    Raises NotFound if no volume is there, Corrupt if it is damaged or has lost commits, Unsupported for a newer
    format or a network file system, ReadOnly if `r+` may not write there.
    """
    if mode not in ("r", "r+"):
        raise Invalid(f'mode must be "r" or "r+", not {mode!r}')
    return Volume(checked_path(path).absolute(), mode, cache_bytes, threads)


class Volume:
    """A label volume: voxels (z, y, x) of uint64 labels, 0 being background, with its whole history.

    Open one with `labelog.open`, make one with `labelog.create` or `labelog.load`. Indexing reads it as it is now:
    `volume[10, 100:300, 200:400]`. Use it from any thread, and from several processes at once.
    """

    dtype = np.dtype(np.uint64)
    ndim = 3

    def __init__(self, folder: Path, mode: Mode, cache_bytes: int, threads: int | None) -> None:
        cache, count = _checked_resources(cache_bytes, threads)
        self._open = Store(folder, writable=mode == "r+", cache_bytes=cache, threads=count)
        self._committer = Committer(self._open)
        self._arguments = folder, mode, cache_bytes, threads
        self._images: dict[str, Image] = {}

    # What it is

    @property
    def store(self) -> Store:
        """The opened files; opened anew in a process that inherited the volume by fork."""
        if self._open.pid != os.getpid():
            self._reopen_after_fork()
        return self._open

    def _reopen_after_fork(self) -> None:
        self._open = check_fork(self._open)
        self._committer = self._committer.anew(self._open)

    @property
    def committer(self) -> Committer:
        """What all commits through this handle go through."""
        if self._open.pid != os.getpid():
            self._reopen_after_fork()
        return self._committer

    @property
    def address(self) -> str:
        """What to give to `labelog.open`."""
        return str(self._arguments[0])

    @property
    def id(self) -> str:
        """32 hex digits that no other volume has."""
        return self._open.meta.id

    @property
    def mode(self) -> Mode:
        """How it was opened: `r` or `r+`."""
        return self._arguments[1]

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        return self._open.meta.shape

    @property
    def size(self) -> int:
        """Voxels."""
        return Box((0, 0, 0), self.shape).voxels

    @property
    def chunks(self) -> Triple:
        """Voxels of a chunk along z, y, x."""
        return self._open.meta.chunks

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Along z, y, x, in `unit`."""
        return self._open.meta.voxel_size

    @property
    def unit(self) -> str:
        """The unit of voxel sizes, such as `nm`."""
        return self._open.meta.unit

    @property
    def colours(self) -> dict[int, str]:
        """Label -> "#rrggbbaa", as the file that it was imported from had them."""
        return dict(self._open.meta.colours)

    @property
    def revision(self) -> int:
        """The newest revision, other processes' commits included."""
        return self.store.head()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._open.closed

    def __repr__(self) -> str:
        z, y, x = self.shape
        state = "closed" if self.closed else f"revision {self.revision}"
        return f"<Volume {self.address}, {z} x {y} x {x}, {state}>"

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> Any:
        return Volume, self._arguments

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close the files. Everything committed is on disk already; closing twice is fine."""
        if not self._open.closed and self._open.pid == os.getpid():
            self._open.close()

    # Reading

    def at(self, when: int | datetime | None = None) -> Snapshot:
        """The volume at a revision, or as it was at a time; at its newest revision if None.

        A datetime without a time zone is local time. Raises NotFound for a revision or time that is not there.
        """
        head = self.revision
        if when is None:
            return Snapshot(self, head)
        if isinstance(when, datetime):
            revision = self._revision_at(when, head)
            if revision < 0:
                raise NotFound(f"the volume did not exist yet at {when}")
            return Snapshot(self, revision)
        return Snapshot(self, existing(when, head))

    def _revision_at(self, when: datetime, head: int) -> int:
        """The newest revision at a time; -1 before there was any."""
        wanted = int(when.astimezone(UTC).timestamp() * 1_000_000)
        low, high = -1, head
        with self.store.journal.reading() as journal:
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if journal.time(middle) <= wanted else (low, middle - 1)
        return low

    def _bound(self, when: int | datetime | None) -> int:
        """As `at`, but -1 for a time before the first revision."""
        return self._revision_at(when, self.revision) if isinstance(when, datetime) else self.at(when).revision

    def view(self, name: str = "instance", *, dtype: DTypeLike | None = None, unannotated: int | None = None) -> View:
        """The newest revision seen through a label map, pinned: see `Snapshot.view`."""
        return self.at().view(name, dtype=dtype, unannotated=unannotated)

    def scale(self, number: int) -> View:
        """The newest revision with fewer and larger voxels, pinned: see `Snapshot.scale`."""
        return self.at().scale(number)

    @property
    def scales(self) -> tuple[View, ...]:
        """The newest revision at each of its scales, pinned, finest first."""
        return self.at().scales

    @property
    def labels(self) -> Labels:
        """The objects at the newest revision, pinned: `labels[7]`, `labels.where(cls="cell")`."""
        return self.at().labels

    @property
    def classes(self) -> dict[str, LabelClass]:
        """The classes that objects may have, by name."""
        return self.at().classes

    @property
    def regions(self) -> dict[str, Region]:
        """The regions that are named, by name."""
        return self.at().regions

    def read(self, box: Box | tuple[Triple, Triple] | None = None,
             out: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:  # fmt: skip
        """The labels of a box now: see `Snapshot.read`."""
        return Snapshot(self, self.revision).read(box, out)

    def __getitem__(self, index: Any) -> Any:
        return Snapshot(self, self.revision)[index]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self.at().__array__(dtype, copy)

    def extents(self, within: Box | tuple[Triple, Triple] | None = None) -> Extents:
        """How many voxels each label has in a box now, and their bounds: see `Snapshot.extents`."""
        return self.at().extents(within)

    def components(self, view: str = "instance", *, cls: str | int | None = None,
                   labels: Iterable[int] | int | None = None, within: Box | tuple[Triple, Triple] | None = None,
                   connectivity: int = 6, progress: Progress | None = None) -> Components:  # fmt: skip
        """The connected components of equal values of a view now, pinned: see `View.components`.

        `volume.components("semantic", cls="alpha granule")` are the separate pieces of a class.
        """
        return self.view(view).components(cls=cls, labels=labels, within=within, connectivity=connectivity,
                                          progress=progress)  # fmt: skip

    def fill_mask(self, seed: Iterable[int], *, progress: Progress | None = None, **limits: Unpack[Limits]) -> Filled:
        """What a fill from a voxel would take now: voxels, box and spans. See `Edit.fill`."""
        return self.at().fill_mask(seed, progress=progress, **limits)

    @property
    def image(self) -> Image:
        """The EM image under the labels, read only; `image.scale(n)` is coarser. Raises NotFound if there is none."""
        return self.at().image

    def opened_image(self, address: str) -> Image:
        """The image at an address, relative to the volume's folder; opened once."""
        if address not in self._images:
            self._images[address] = open_image(address, self.address)
        return self._images[address]

    # Writing

    def attach_image(self, source: Any, *, copy: bool = False, voxel_size: Iterable[float] | None = None,
                     unit: str | None = None, author: str | None = None, message: str = "",
                     progress: Progress | None = None) -> Commit:  # fmt: skip
        """Lay an EM image under the labels; an edit like any other, so that it can be undone.

        Parameters
        ----------
        source : an address, as `labelog.image.open_image` takes it: then the image stays where it is, and several
            volumes may share it. Or an array (z, y, x), or slabs: then it is written into the volume's folder, as
            OME-Zarr with coarser scales.
        copy : write it into the volume's folder also if it has an address.
        voxel_size, unit : of an image that is written; by default the volume's.
        progress : called with slices written, slices in all.

        Raises Invalid if the image does not have the volume's shape, what `open_image` and `import_image` raise.
        """
        self.store.journal.refuse_to_write()
        checked_progress(progress)
        if isinstance(source, (str, os.PathLike)):
            source = open_image(source)
        self._refuse_image(getattr(source, "shape", self.shape))
        written = copy or not isinstance(source, Image)
        folder = self._image_folder() if written else source.address
        edit = self.edit(
            author, message or f"image {PurePath(folder).name}"
        )  # refuses what can't be, before anything is written
        if written:
            source = import_image(source, folder, voxel_size=voxel_size or self.voxel_size, unit=unit or self.unit,
                                  progress=progress)  # fmt: skip
            if source.shape != self.shape:
                shutil.rmtree(folder)
                self._refuse_image(source.shape)
        with edit:
            edit.set_image(source.reference(self.address))
        assert edit.revision is not None
        return self.commit(edit.revision)

    def _image_folder(self) -> Path:
        """A name that nothing has yet: an image that is replaced stays, for revisions that had it."""
        home = Path(self.address)
        names = itertools.chain(["image"], (f"image-{n}" for n in itertools.count(2)))
        return next(home / name for name in names if not (home / name).exists())

    def _refuse_image(self, shape: Any) -> None:
        if tuple(shape) != self.shape:
            raise Invalid(f"the image of a volume has its shape {self.shape}, not {tuple(shape)}")

    def edit(self, author: str | None = None, message: str = "", *, session: str | None = None,
             key: str | None = None, seen: int | None = None, at: int | None = None,
             labels: Iterable[int] = ()) -> Edit:  # fmt: skip
        """Stage changes and commit them as one revision: `with volume.edit(author="ana") as edit: ...`

        Parameters
        ----------
        author : a name, or a path of names such as `vendor-b/ana`; by default the operating system's user.
        message : why, for the history.
        session : the window or program, so that undo can be held to it.
        key : an idempotency key. The same author's edit with the same key happens once; sent again it gives the
            same answer, and `new` the same labels. With other content it is a Conflict. A commit that was refused
            stays refused under its key.
        seen : the revision that the author was looking at: raise Conflict, naming box and voxels, if any voxel to
            be written got another label since.
        at : the revision as of which methods choose voxels and reading shows them; by default the newest when the edit
            begins. What a voxel had before is looked up at the commit all the same.
        labels : labels that were set aside before, by `new` and the like in an edit that was not committed; handed out
            first, in this order. With `at` and the same calls, an edit is so made again elsewhere. Invalid, when it
            begins, if one is in use or nobody's.
        """
        if seen is not None:
            seen = self.at(seen).revision
        begin = None if at is None else self.at(at).revision
        made = [checked_object(label) for label in several(labels)]
        return Edit(self, draft(user(author), session, message, key, "edit", seen), seen, begin, made)

    def undo(self, author: str | None = None, *, session: str | None = None, strict: bool = False, message: str = "",
             key: str | None = None) -> Commit:  # fmt: skip
        """Take back the author's newest edit (or revert) that counts, at any depth, under later work of others.

        Voxels that a later edit wrote stay as they are; the commit's `left_alone` says how many.

        Parameters
        ----------
        author : whose; by default the operating system's user.
        session : only of this session.
        strict : raise Conflict rather than leave any voxel alone.
        key : idempotency key, as for `edit`.

        Raises NothingToUndo.
        """
        who = draft(user(author), session, message, key, "undo", strict)
        return self._commit(who, lambda batch: history.undo(batch, who, strict))

    def redo(self, author: str | None = None, *, session: str | None = None, strict: bool = False, message: str = "",
             key: str | None = None) -> Commit:  # fmt: skip
        """Put back, at its own place in the order, what the author undid last, unless they have edited since.

        Parameters and errors are those of `undo`.
        """
        who = draft(user(author), session, message, key, "redo", strict)
        return self._commit(who, lambda batch: history.redo(batch, who, strict))

    def revert(self, revision: int | None = None, *, author: str | None = None, by: str | None = None,
               session: str | None = None, strict: bool = False, message: str = "",
               key: str | None = None) -> Commit:  # fmt: skip
        """Take out one commit of anybody's, or all that an author has done, and keep everyone else's work.

        Parameters
        ----------
        revision : the commit to take out; one that is itself an undo, redo or revert is undone by this.
        author : instead of a revision: all edits of this author, and of those below (`vendor-b` is also
            `vendor-b/ana`).
        by : who does it; by default the operating system's user.
        strict, session, key : as for `undo`.

        Raises NothingToUndo, Conflict, Invalid.
        """
        if (revision is None) == (author is None):
            raise Invalid("revert takes a revision or an author")
        who = draft(user(by), session, message, key, "revert", revision, author, strict)
        if author is not None:
            name = checked_author(author, below=True)
            return self._commit(who, lambda batch: history.revert_author(batch, who, name, strict))
        number = checked_revision(revision)
        return self._commit(who, lambda batch: history.revert(batch, who, number, strict))

    def _commit(self, who: Draft, job: Job) -> Commit:
        outcome = self.committer.commit(who, job)
        assert outcome.revision is not None
        return outcome.record.commit(live=True) if outcome.record else self.commit(outcome.revision)

    # History

    def commit(self, revision: int) -> Commit:
        """What a revision was: who, when, why, how much. Raises NotFound."""
        number = self.at(revision).revision
        with self.store.journal.reading() as journal:
            record = journal.record(number)
            assert record is not None
            return record.commit(journal.is_live(number))

    def history(self, author: str | None = None, *, session: str | None = None, label: int | None = None,
                box: Box | tuple[Triple, Triple] | None = None, since: int | datetime | None = None,
                until: int | datetime | None = None, limit: int | None = None) -> Iterator[Commit]:  # fmt: skip
        """The commits, newest first.

        Parameters
        ----------
        author : only this one's, and those below (`vendor-b` is also `vendor-b/ana`).
        session : only of this session.
        label : only commits that gave or took this label anywhere.
        box : only commits that wrote within it.
        since, until : a revision or a datetime: only commits after the one, up to and including the other.
        limit : at most this many.

        Raises Invalid, NotFound for a revision that is not there, OutOfBounds.
        """
        store = self.store
        limit = None if limit is None else checked_count("limit", limit, of="commits")
        checked_text("session", session, empty=False)
        label = None if label is None else checked_label(label)
        bounds = None if box is None else indexing.within(box, self.shape)
        newest = self._bound(until)
        after = -1 if since is None else self._bound(since)
        where, values = "revision > ? AND revision <= ?", (after,)
        if author is not None:
            name = checked_author(author, below=True)
            with store.journal.reading() as journal:
                where += f" AND author IN ({', '.join(map(str, journal.authors(name)))})"
        if session is not None:
            where, values = f"session = ? AND {where}", (session, *values)  # type: ignore[assignment]
        return self._pages(store, where, values, newest, label, bounds, limit)

    def _pages(self, store: Store, where: str, values: tuple[Any, ...], newest: int, label: int | None,
               box: Box | None, limit: int | None) -> Iterator[Commit]:  # fmt: skip
        found = 0
        while True:
            with store.journal.reading() as journal:
                page = journal.records(where, *values, newest, newest_first=True, limit=PAGE)
                chosen = [record.commit(live) for record, live in page
                          if history.touches(store, journal, record, label, box)]  # fmt: skip
            for commit in chosen:
                if limit is not None and found >= limit:
                    return
                found += 1
                yield commit
            if len(page) < PAGE:
                return
            newest = page[-1][0].revision - 1

    def changes(self, revision: int) -> Changes:
        """Where a commit changed voxels, and which labels it was about. Raises NotFound."""
        return changes(self.store, self.at(revision).revision)

    def written(self, revision: int) -> LabelRows:
        """What a commit wrote: rows of z, y, x0, x1, and a label for each. Of an undo, redo or revert, what it changed.

        Raises NotFound.
        """
        return written(self.store, self.at(revision).revision)

    def blame(self, box: Box | tuple[Triple, Triple] | None = None) -> NDArray[np.uint64]:
        """For each voxel of a box the revision of the live edit that last wrote it; 0 where none has.

        Returns a uint64 array of the box's shape; `commit(revision)` tells who that was.
        """
        store = self.store
        bounds = Box((0, 0, 0), self.shape) if box is None else indexing.within(box, self.shape)
        out = np.zeros(bounds.shape, np.uint64)
        with store.journal.reading() as journal:
            for chunk, part in store.grid.touching(bounds):
                start = part.relative(store.grid.origin(chunk)).start
                voxels = spans.box_spans(store.grid.chunks, start, part.shape, 0)
                runs = history.blame(store, journal, chunk, voxels)
                runs.fill(out[part.relative(bounds.start).slices()], start, runs.palette)
        return out

    def watch(self, since: int | None = None, *, timeout: float | None = None) -> Iterator[Commit]:
        """Commits as they are made, by this and other processes, in order.

        Parameters
        ----------
        since : the last revision already known; by default the newest now.
        timeout : stop after so many seconds without a commit; by default never.

        Raises Invalid, NotFound for a revision that is not there.
        """
        return self._watch(self.at(since).revision, checked_wait(timeout))

    def _watch(self, known: int, timeout: float | None) -> Iterator[Commit]:
        quiet_since = time.monotonic()
        while not self.closed:
            head = self.revision
            while known < head:
                known += 1
                yield self.commit(known)
                quiet_since = time.monotonic()
            if timeout is not None and time.monotonic() - quiet_since >= timeout:
                return
            with self.store.changed:
                self.store.changed.wait(POLL)

    # Care

    def compact(self, progress: Progress | None = None) -> int:
        """Fold all deltas into the base and the log into the journal, and bring the coarser scales that are kept on
        disk up to date; how many chunks were folded.

        Nothing is forgotten: every revision can still be read and undone.
        """
        checked_progress(progress)
        return keeper.compact(self.store, progress)

    def check(self, progress: Progress | None = None) -> check.Report:
        """Read everything and verify it: checksums, the hash chain, that all old and new labels follow from one
        another, that what is there is what the live edits made. What is wrong is in the report."""
        checked_progress(progress)
        return check.check(self.store, progress)
