"""Snapshots and views whose values a server has: read as runs, box by box."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog import indexing
from labelog.arrays.boxes import ahead
from labelog.engine.classes import LabelClass
from labelog.engine.components import Components
from labelog.engine.extents import Extents
from labelog.engine.fills import Filled, Limits
from labelog.engine.regions import Region, Unannotated
from labelog.engine.remapped import Remapped
from labelog.engine.snapshot import Revision, Snapshot, View
from labelog.engine.values import checked_revision, checked_text, label_set
from labelog.engine.views import seen_runs
from labelog.errors import Invalid, NotFound, OutOfBounds
from labelog.geometry import Box, Scale, Triple, whole
from labelog.image import Image
from labelog.kernels.runs import Runs
from labelog.progress import Progress, checked_progress
from labelog.remote import media
from labelog.remote.image import RemoteImage
from labelog.remote.labels import RemoteLabels, spelled

if TYPE_CHECKING:
    from labelog.remote.volume import RemoteVolume

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 2**24  # voxels of one request
AHEAD = 16  # requests under way, or answered before who asked comes to them
MOST_LABELS = 500  # that the address of a request names


class RemoteRevision(Revision):
    """What remote snapshots and views have in common."""

    volume: RemoteVolume

    @property
    def _query(self) -> dict[str, Any]:
        """What is seen, as requests say it; the newest revision before the first answer has said which that is."""
        return {"rev": self.revision if self.revision >= 0 else None}

    @property
    def _scale(self) -> Scale:
        return self.volume.geometry[self.number]

    @property
    def scales(self) -> tuple[View, ...]:
        return tuple(self.scale(number) for number in range(len(self.volume.geometry)))

    # Voxels

    def _fill(self, box: Box, out: NDArray[Any]) -> None:
        parts = list(cut(box, self.chunks))
        first = parts[:1] if self.revision < 0 else []  # its answer says which revision the others are of
        for part in first:
            self._fill_part(part, out[part.relative(box.start).slices()])
        list(self.mapped(lambda part: self._fill_part(part, out[part.relative(box.start).slices()]),
                         parts[len(first) :], box.voxels))  # fmt: skip

    def _fill_part(self, box: Box, out: NDArray[Any]) -> None:
        runs = self._box(box)
        runs.fill(out, (0, 0, 0), runs.palette.astype(self.dtype))

    def _box(self, box: Box) -> Runs:
        """The values of a box."""
        answer = self.volume.connection.get("/voxels", accept=media.RUNS, box=spelled(box), **self._query)
        if self.revision < 0:
            self.revision = int(answer.headers["labelog-revision"])
        return media.decode(answer.content, box.shape)

    _lookup = indexing.Voxels._lookup

    def valued(self, chunk: int) -> tuple[Runs, NDArray[Any]]:
        """A chunk's runs of values, and their palette."""
        box = self.grid.box(chunk)
        runs = self._box(box)
        if box.shape != self.chunks:
            dense = np.zeros(self.chunks, np.uint64)
            runs.fill(dense[box.relative(box.start).slices()], (0, 0, 0), runs.palette)
            runs = Runs.from_dense(dense)
        return runs, runs.palette.astype(self.dtype)

    def mapped(self, function: Callable[[Item], Result], items: Iterable[Item], voxels: int) -> Iterator[Result]:
        """What a function gives for each item, in order; several requests are under way at once."""
        return ahead(self.volume.pool, function, items, AHEAD)

    # What is there

    def version(self, box: Box | tuple[Triple, Triple] | None = None) -> bytes:
        bounds = Box((0, 0, 0), self.shape) if box is None else indexing.within(box, self.shape)
        if not bounds.voxels:
            return bytes(24)
        told = self.volume.connection.told("/version", box=spelled(bounds), **self._query)
        return bytes.fromhex(told["version"])

    def at_hand(self, box: Box) -> bool:
        """Never: it waits for the server."""
        return False

    def remapped(self, since: int | None = None) -> Remapped:
        since = None if since is None else checked_revision(since)
        told = self.volume.connection.told(self._map_path, since=since, rev=self.revision)
        return Remapped({int(label): int(value) for label, value in told["values"].items()}, told["whole"])

    def values(self, labels: NDArray[np.uint64]) -> NDArray[np.uint64]:
        found: dict[int, int] = {}
        wanted = np.unique(labels).tolist()
        for at in range(0, len(wanted), MOST_LABELS):
            named = ",".join(map(str, wanted[at : at + MOST_LABELS]))
            told = self.volume.connection.told(self._map_path, labels=named, rev=self.revision)
            found |= {int(label): int(value) for label, value in told["values"].items()}
        return np.array([found[label] for label in np.ravel(labels).tolist()], np.uint64).reshape(np.shape(labels))

    @property
    def _map_path(self) -> str:
        return f"/views/{self.name}/map"

    def extents(self, within: Box | tuple[Triple, Triple] | None = None) -> Extents:
        box = Box((0, 0, 0), self.shape) if within is None else indexing.within(within, self.shape)
        rows: list[Any] = []
        if box.voxels:
            rows = self.volume.connection.told("/extents", box=spelled(box), **self._query)["extents"]
        label, voxels, start, stop = zip(*rows, strict=True) if rows else ((), (), (), ())
        return Extents(np.array(list(map(int, label)), np.uint64), np.array(voxels, np.int64),
                       np.array(start, np.int64).reshape(-1, 3), np.array(stop, np.int64).reshape(-1, 3))  # fmt: skip

    def components(self, *, cls: str | int | None = None, labels: Iterable[int] | int | None = None,
                   within: Box | tuple[Triple, Triple] | None = None, connectivity: int = 6,
                   progress: Progress | None = None) -> Components:  # fmt: skip
        """As of `Revision`; the chunks travel, and are labelled here."""
        checked_progress(progress)
        box = Box((0, 0, 0), self.shape) if within is None else indexing.within(within, self.shape)
        chosen = None if labels is None else label_set(labels)
        if cls is not None:
            of_class = self._values_of(cls)
            chosen = of_class if chosen is None else chosen & of_class
        return Components(lambda chunk: seen_runs(*self.valued(chunk)), self.grid, box, labels=chosen,
                          connectivity=connectivity, pool=self.volume.pool, progress=progress)  # fmt: skip

    def _values_of(self, cls: str | int) -> set[int]:
        """The values of the view where it shows objects of a class, or of a kind of it."""
        snapshot = self.volume.at(self.revision)
        if self.name == "fragment":
            raise Invalid(
                "the view fragment shows labels as stored; objects, which have classes, are in the view instance"
            )
        if self.name != "semantic":
            return {label.id for label in snapshot.labels.where(cls=cls)}
        classes = snapshot.classes
        named = next((known.name for known in classes.values() if cls in (known.name, known.id)), None)
        if named is None:
            raise NotFound(f"there is no class {cls!r}; there are: {', '.join(classes) or 'none'}")
        kinds = {named}
        while more := {known.name for known in classes.values() if known.kind_of in kinds} - kinds:
            kinds |= more
        return {classes[name].id for name in kinds}

    def fill_mask(self, seed: Iterable[int], *, progress: Progress | None = None, **limits: Unpack[Limits]) -> Filled:
        checked_progress(progress)
        if self.number or not self._is_mapped:
            raise Invalid("a fill is of the finest scale, and of labels as they are")
        return self.volume.fill_mask_at(self.revision, self.name, seed, limits)


class RemoteSnapshot(RemoteRevision, Snapshot):
    """A volume on a server at a revision. Get one from `Volume.at`."""

    volume: RemoteVolume

    def scale(self, number: int) -> View:
        return RemoteView(self, "instance", self.dtype, number=number)

    def view(self, name: str = "instance", *, dtype: DTypeLike | None = None, unannotated: int | None = None) -> View:
        return RemoteView(self, name, dtype, unannotated)

    @property
    def time(self) -> datetime:
        """When the revision was made, UTC."""
        return self.volume.commit(self.revision).time

    @property
    def labels(self) -> RemoteLabels:
        """The objects, and what is known of them."""
        return RemoteLabels(self)

    @property
    def classes(self) -> dict[str, LabelClass]:
        """The classes that objects may have, by name."""
        told = self.volume.connection.told("/classes", rev=self.revision)
        return {each["name"]: LabelClass(each["id"], each["name"], each["colour"], each["kind_of"],
                                         None if each["within"] is None else tuple(each["within"]))
                for each in told["classes"]}  # fmt: skip

    @property
    def regions(self) -> dict[str, Region]:
        """The regions that are named, by name."""
        return self.volume.regions_at(self.revision)

    @property
    def image(self) -> Image:
        """The EM image under the labels, read only; `image.scale(n)` is coarser. Raises NotFound if there is none."""
        told = self.volume.connection.told("/image", rev=self.revision)
        return RemoteImage(self.volume, self.revision, told)

    def __reduce__(self) -> Any:
        from labelog.remote.volume import reopened_at

        return reopened_at, (self.volume.address, self.revision)


class RemoteView(RemoteRevision, View):
    """A snapshot on a server, seen through a label map. Get one from `view` or `scale`."""

    def __init__(self, snapshot: RemoteSnapshot, name: str, dtype: DTypeLike | None = None,
                 unannotated: int | None = None, number: int = 0) -> None:  # fmt: skip
        checked_text("the name of a view", name)
        self.snapshot: RemoteSnapshot = snapshot
        self.name = name
        self.number = scale_number(snapshot.volume, number)
        self.unannotated = unannotated
        if unannotated is not None:
            Unannotated((), unannotated)  # is a value, or Invalid
        try:
            self._wanted = "smallest" if dtype is None else np.dtype(dtype).name
        except (TypeError, ValueError, SyntaxError) as error:
            raise Invalid(f"a view is of an integer dtype, not {dtype!r}") from error
        told = snapshot.volume.connection.told("/views", **self._query)
        self._dtype = np.dtype(told["dtype"])
        self._colours = {int(value): shade for value, shade in told["colours"].items()}

    @property
    def _query(self) -> dict[str, Any]:
        return {"rev": self.revision, "view": self.name, "scale": self.number, "dtype": self._wanted,
                "unannotated": self.unannotated}  # fmt: skip

    @property
    def volume(self) -> RemoteVolume:  # type: ignore[override]
        return self.snapshot.volume

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """Of the values: an integer's."""
        return self._dtype

    @property
    def colours(self) -> dict[int, str]:
        return dict(self._colours)

    @property
    def _is_mapped(self) -> bool:
        return self.unannotated is None

    def scale(self, number: int) -> View:
        return RemoteView(self.snapshot, self.name, self.dtype, self.unannotated, number)

    def __reduce__(self) -> Any:
        return RemoteView, (self.snapshot, self.name, self.dtype, self.unannotated, self.number)


def scale_number(volume: RemoteVolume, number: int) -> int:
    """Which scale is meant, from 0 on. Raises OutOfBounds."""
    last = len(volume.geometry) - 1
    try:
        return volume.geometry[whole(number)].number
    except (IndexError, TypeError):
        raise OutOfBounds(f"{volume.address} has scales 0 to {last}, not {number!r}") from None


def cut(box: Box, chunks: Triple) -> Iterator[Box]:
    """A box in parts of at most `MOST` voxels, cut between chunks where it can be."""
    if not box.voxels:
        return
    if box.voxels <= MOST:
        yield box
        return
    lengths = [stop - start for start, stop in zip(*box, strict=True)]
    axis = next((axis for axis in range(3) if lengths[axis] > chunks[axis]), int(np.argmax(lengths)))
    step = chunks[axis] if lengths[axis] > chunks[axis] else 1
    middle = max(box.start[axis] + 1, (box.start[axis] + lengths[axis] // 2) // step * step)
    stop, start = list(box.stop), list(box.start)
    stop[axis] = start[axis] = middle
    yield from cut(Box(box.start, (stop[0], stop[1], stop[2])), chunks)
    yield from cut(Box((start[0], start[1], start[2]), box.stop), chunks)
