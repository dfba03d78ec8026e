"""A volume at a revision, and a snapshot seen through a label map, at any scale: read only, array-like."""

from __future__ import annotations

import json
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog import indexing
from labelog.engine import extents
from labelog.engine.classes import LabelClass
from labelog.engine.components import Components
from labelog.engine.extents import Extents
from labelog.engine.fills import Filled, Limits, Rule, Source, filled
from labelog.engine.objects import Labels
from labelog.engine.regions import Region, Unannotated, regions
from labelog.engine.remapped import Remapped, remapped
from labelog.engine.values import checked_text, label_set
from labelog.engine.views import LabelMap, seen_runs, values_of_class
from labelog.errors import Invalid, NotFound
from labelog.geometry import Box, Grid, Lengths, Scale, Triple
from labelog.image import Image
from labelog.indexing import Voxels
from labelog.kernels.runs import Runs
from labelog.progress import Progress, checked_progress
from labelog.storage.journal import IMAGE, Space

if TYPE_CHECKING:
    from labelog.engine.volume import Volume

Item = TypeVar("Item")
Result = TypeVar("Result")


class Revision(Voxels):
    """The labels of a revision, through a map: what snapshots and views have in common."""

    volume: Volume
    revision: int
    number = 0
    """Which scale this is; 0 is the finest."""

    @property
    def _scale(self) -> Scale:
        return self.volume.store.scales.all[self.number]

    name: str

    @property
    @abstractmethod
    def _map(self) -> LabelMap: ...

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """Of the values: an integer's."""
        return self._map.dtype

    @property
    def shape(self) -> Triple:  # type: ignore[override]
        """Voxels along z, y, x."""
        return self._scale.grid.shape

    @property
    def chunks(self) -> Triple:  # type: ignore[override]
        """Voxels of a chunk along z, y, x."""
        return self.volume.chunks

    @property
    def voxel_size(self) -> Lengths:
        """Along z, y, x, in `unit`."""
        return self._scale.voxel_size

    @property
    def unit(self) -> str:
        """The unit of voxel sizes, such as `nm`."""
        return self.volume.unit

    @property
    def grid(self) -> Grid:
        """The chunks of this scale."""
        return self._scale.grid

    @property
    def factors(self) -> Triple:
        """How many voxels of the finest scale, along z, y, x, one of this scale spans."""
        return self._scale.factors

    @property
    def translation(self) -> Lengths:
        """Where the centre of the first voxel is, along z, y, x, in `unit`: that of a coarse voxel is further in."""
        finest = zip(self.volume.voxel_size, self._scale.factors, strict=True)
        z, y, x = ((f - 1) * size / 2 for size, f in finest)
        return z, y, x

    @property
    def scales(self) -> tuple[View, ...]:
        """The same labels at each scale, finest first: see `scale`."""
        return tuple(self.scale(number) for number in range(len(self.volume.store.scales.all)))

    @abstractmethod
    def scale(self, number: int) -> View:
        """The same labels with fewer and larger voxels.

        Each scale halves the axes along which voxels are smallest (within a factor of sqrt(2)), until no axis is longer
        than the longest of a chunk. A voxel has the label, of those as stored, that most voxels of its window in the
        next finer scale have, and of equally frequent ones the smallest that is not 0; then the view applies.

        Parameters
        ----------
        number : 0 is the finest, -1 the coarsest.

        Raises OutOfBounds for a scale that there is not.
        """

    def _runs(self, chunk: int) -> Runs:
        return self.volume.store.scales.runs(self.number, chunk, self.revision)

    def _fill(self, box: Box, out: NDArray[Any]) -> None:
        store, number, revision = self.volume.store, self.number, self.revision  # once, not for each chunk
        runs = partial(store.scales.runs, number) if number else store.runs
        store.read(store.scales[number].grid, box, out, lambda chunk: runs(chunk, revision), self._map)

    def _lookup(self, points: NDArray[np.int64]) -> NDArray[Any]:
        return self.volume.store.lookup(self._scale.grid, points, self._runs, self._map)

    def fill_mask(self, seed: Iterable[int], *, progress: Progress | None = None, **limits: Unpack[Limits]) -> Filled:
        """What a fill from a voxel would take of what is seen here: voxels, box and spans. See `Edit.fill`.

        Of another view it is `volume.view(name).fill_mask`. Of coarser scales and of views with `unannotated` nothing
        is filled: Invalid.
        """
        checked_progress(progress)
        if self.number or not self._is_mapped:
            raise Invalid("a fill is of the finest scale, and of labels as they are")
        source = Source(self.volume.store, self._runs, self._map, lambda: self.volume.at(self.revision).image)
        return filled(source, Rule.of(self.shape, seed, **limits), progress=progress)

    @property
    def colours(self) -> dict[int, str]:
        """Value -> "#rrggbbaa": of labels as they came with the volume."""
        return self.volume.colours

    def version(self, box: Box | tuple[Triple, Triple] | None = None) -> bytes:
        """24 bytes that are the same at two revisions only if all values in a box are (the whole volume if None).

        They may differ where no value does: when other voxels of the same chunks were written. The first 8 are the
        newest revision that wrote in those chunks, big-endian.
        """
        bounds = Box((0, 0, 0), self.shape) if box is None else indexing.within(box, self.shape)
        scales, number, revision, labels = self.volume.store.scales, self.number, self.revision, self._map
        digest = blake2b(repr((self.__dask_tokenize__()[2:], self.volume.id, *bounds)).encode(), digest_size=16)
        newest = 0
        for chunk in scales.all[number].grid.numbers(bounds):
            state = scales.state(number, chunk, revision)
            newest = max(newest, state)
            digest.update(state.to_bytes(8, "little"))
            if not labels.same:
                digest.update(labels.version(self._runs(chunk)))
        return newest.to_bytes(8, "big") + digest.digest()

    def at_hand(self, box: Box) -> bool:
        """Whether all that reading a box takes is in memory: it waits for no file, and for nobody."""
        scales, number, revision, labels = self.volume.store.scales, self.number, self.revision, self._map
        for chunk in scales.all[number].grid.numbers(box):
            runs = scales.at_hand(number, chunk, revision)
            if runs is None or labels.at_hand(runs) is None:
                return False
        return self._is_mapped

    def remapped(self, since: int | None = None) -> Remapped:
        """The labels as stored whose value in this view is not what it was at revision `since`, with the value now.

        What a program needs that draws labels as stored (`view("fragment")`) through a map of its own: after a merge it
        changes colours, and reads no voxel again. Without `since`, and if classes were changed since, all of the map:
        see `Remapped`. Raises Invalid for a revision after this one, and where more than 10^6 labels may have changed.
        """
        return remapped(self, since)

    def values(self, labels: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """What labels as stored are in this view."""
        return self._map.of(labels).astype(np.uint64)

    def valued(self, chunk: int) -> tuple[Runs, NDArray[Any]]:
        """A chunk's runs, and the value of each entry of their palette."""
        runs = self._runs(chunk)
        return runs, self._map.values(runs)

    def mapped(self, function: Callable[[Item], Result], items: Iterable[Item], voxels: int) -> Iterator[Result]:
        """What a function gives for each item, in order; several threads take them if it is about many voxels."""
        return self.volume.store.mapped(function, items, voxels)

    # What is there

    def extents(self, within: Box | tuple[Triple, Triple] | None = None) -> Extents:
        """How many voxels each label has in a box (the whole volume if None), and their bounds.

        Labels are the values of the view, ascending, background not among them. Of the whole volume they come from the
        index, and no voxel is read. Raises OutOfBounds for a box outside the volume, Corrupt (naming the chunk) for
        damaged bytes.
        """
        whole = Box((0, 0, 0), self.shape)
        box = whole if within is None else indexing.within(within, self.shape)
        known = box == whole and self._is_mapped and not self.number
        return extents.indexed(self) if known else extents.walked(self, box)

    @property
    def _is_mapped(self) -> bool:
        """Whether a voxel's value depends on its label alone."""
        return True

    def components(self, *, cls: str | int | None = None, labels: Iterable[int] | int | None = None,
                   within: Box | tuple[Triple, Triple] | None = None, connectivity: int = 6,
                   progress: Progress | None = None) -> Components:  # fmt: skip
        """The connected components of equal values of the view.

        Parameters
        ----------
        cls : only those of this class, by name or id, or of a kind of it: in the semantic view the voxels of the
            class, in others the own voxels of its objects.
        labels : only of these values.
        within : a box; voxels outside count as background. The whole volume by default.
        connectivity : how many neighbours a voxel has: 6 (at its faces), 18 (and edges) or 26 (and corners).
        progress : called with chunks labelled, chunks in all. What it raises ends it.

        Several threads label chunk by chunk; memory grows with the number of components and the sides of one layer of
        chunks, not with voxels. Raises NotFound for a class that is not there, Invalid for a connectivity, label or
        view that is none, OutOfBounds for a box outside the volume, Corrupt (naming the chunk) for damaged bytes.
        """
        checked_progress(progress)
        store = self.volume.store
        box = Box((0, 0, 0), self.shape) if within is None else indexing.within(within, self.shape)
        chosen = None if labels is None else label_set(labels)
        if cls is not None:
            with store.table(self.revision) as table:
                of_class = values_of_class(table, self.name, cls)
            chosen = of_class if chosen is None else chosen & of_class
        with store.journal.reading() as journal:
            chunks = journal.chunks() if self._is_mapped and not self.number else None
        return Components(lambda chunk: seen_runs(*self.valued(chunk)), self.grid, box, labels=chosen,
                          connectivity=connectivity, chunks=chunks, pool=store.pool_for(box.voxels),
                          progress=progress)  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Revision) and self.__dask_tokenize__() == other.__dask_tokenize__()

    def __hash__(self) -> int:
        return hash(self.__dask_tokenize__())

    @abstractmethod
    def __dask_tokenize__(self) -> tuple[Any, ...]: ...


class Snapshot(Revision):
    """A volume at a revision: an array of instance labels (z, y, x), uint64, that never changes.

    What dask, xarray and napari are given. Pickles as address and revision, and opens the volume again where it is
    unpickled (another process, a worker), for reading.

    Get one from `Volume.at`.
    """

    dtype = np.dtype(np.uint64)
    name = "instance"

    def __init__(self, volume: Volume, revision: int) -> None:
        self.volume = volume
        self.revision = revision

    @property
    def _map(self) -> LabelMap:
        return self.volume.store.label_map("instance", self.revision, self.dtype)

    @property
    def time(self) -> datetime:
        """When the revision was made, UTC."""
        return self.volume.commit(self.revision).time

    def view(self, name: str = "instance", *, dtype: DTypeLike | None = None, unannotated: int | None = None) -> View:
        """This snapshot seen through a label map.

        Parameters
        ----------
        name : `instance` (merges applied), `fragment` (labels as stored), `semantic` (ids of classes), or the name of
            a class: then each voxel has the nearest object, of the one there and those around it, that is of this
            class or of a kind of it.
        dtype : an integer's; by default the smallest that holds every value.
        unannotated : the value of voxels that nobody has looked at: those that are 0 outside of the regions of kinds
            *annotated* and *gold*, and all in regions of kind *ignore*.

        Raises NotFound for a name that is none of these, Invalid for a dtype that cannot be.
        """
        return View(self, name, dtype, unannotated)

    def scale(self, number: int) -> View:
        return View(self, "instance", self.dtype, number=number)

    scale.__doc__ = Revision.scale.__doc__

    @property
    def labels(self) -> Labels:
        """The objects, and what is known of them."""
        return Labels(self)

    @property
    def classes(self) -> dict[str, LabelClass]:
        """The classes that objects may have, by name."""
        with self.volume.store.table(self.revision) as table:
            return {known.name: known for known in table.classes.values()}

    @property
    def regions(self) -> dict[str, Region]:
        """The regions that are named, by name."""
        with self.volume.store.table(self.revision) as table:
            return regions(table)

    @property
    def image(self) -> Image:
        """The EM image under the labels, read only; `image.scale(n)` is coarser. Raises NotFound if there is none."""
        with self.volume.store.table(self.revision) as table:
            reference = table.value(Space.VOLUME, 0, IMAGE)
        if reference is None:
            raise NotFound(f"{self.volume.address} has no image at revision {self.revision}; attach_image gives it one")
        return self.volume.opened_image(json.loads(str(reference))["address"])

    def __repr__(self) -> str:
        z, y, x = self.shape
        return f"<Snapshot of {self.volume.address} at revision {self.revision}, {z} x {y} x {x}>"

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.volume.id, self.revision, "instance", "uint64", None, 0

    def __reduce__(self) -> Any:
        return _reopened, (self.volume.address, self.revision)


class View(Revision):
    """A snapshot seen through a label map, at one of its scales: array-like, read only.

    Get one from `view` or `scale` of a volume, a snapshot or another view.
    """

    def __init__(self, snapshot: Snapshot, name: str, dtype: DTypeLike | None = None,
                 unannotated: int | None = None, number: int = 0) -> None:  # fmt: skip
        checked_text("the name of a view", name)
        self.snapshot = snapshot
        self.name = name
        self.unannotated = unannotated
        self.number = snapshot.volume.store.scales[number].number
        self._cover = None if unannotated is None else Unannotated(self._regions(), unannotated)
        try:
            wanted = None if dtype is None else np.dtype(dtype)
        except (TypeError, ValueError, SyntaxError) as error:  # NumPy parses some texts as Python
            raise Invalid(f"a view is of an integer dtype, not {dtype!r}") from error
        found = snapshot.volume.store.label_map(name, snapshot.revision, wanted)
        if self._cover is not None:
            found = self._holding(found, wanted)
        self._labels = found

    def _regions(self) -> list[Region]:
        """All of the snapshot, as they lie in this scale."""
        return [each.scaled(self.factors, self.volume.shape) for each in self.snapshot.regions.values()]

    def _holding(self, found: LabelMap, wanted: np.dtype[Any] | None) -> LabelMap:
        """The map in a dtype that has room for `unannotated` too."""
        assert self._cover is not None
        if wanted is None:
            both = np.promote_types(found.dtype, np.min_scalar_type(self._cover.value))
            return self.snapshot.volume.store.label_map(self.name, self.snapshot.revision, both)
        if self._cover.value > np.iinfo(wanted).max:
            raise Invalid(f"{wanted} does not hold unannotated={self._cover.value}")
        return found

    @property
    def _map(self) -> LabelMap:
        return self._labels

    @property
    def volume(self) -> Volume:  # type: ignore[override]
        return self.snapshot.volume

    @property
    def revision(self) -> int:  # type: ignore[override]
        """The revision seen."""
        return self.snapshot.revision

    @property
    def colours(self) -> dict[int, str]:
        """Value -> "#rrggbb" or "#rrggbbaa": of classes in the semantic view, else of labels as they came."""
        if self.name == "semantic":
            return {known.id: known.colour for known in self.snapshot.classes.values() if known.colour}
        return super().colours

    def version(self, box: Box | tuple[Triple, Triple] | None = None) -> bytes:
        """As of a snapshot; with `unannotated`, of the regions too."""
        found = super().version(box)
        if self._cover is None:
            return found
        regions = repr([each.to_json() for each in self.snapshot.regions.values()]).encode()
        return found[:8] + blake2b(found + regions, digest_size=16).digest()

    def scale(self, number: int) -> View:
        return View(self.snapshot, self.name, self.dtype, self.unannotated, number)

    scale.__doc__ = Revision.scale.__doc__

    @property
    def _is_mapped(self) -> bool:
        return self._cover is None

    def valued(self, chunk: int) -> tuple[Runs, NDArray[Any]]:
        runs, values = super().valued(chunk)
        if self._cover is None:
            return runs, values
        dense = np.zeros(runs.shape, self.dtype)
        box = self.grid.box(chunk)
        inside = dense[box.relative(box.start).slices()]
        runs.fill(inside, (0, 0, 0), values)
        self._cover.apply(box, inside)
        runs = Runs.from_dense(dense)
        return runs, runs.palette.astype(self.dtype)

    def _fill(self, box: Box, out: NDArray[Any]) -> None:
        super()._fill(box, out)
        if self._cover is not None:
            self._cover.apply(box, out)

    def _lookup(self, points: NDArray[np.int64]) -> NDArray[Any]:
        values = super()._lookup(points)
        return values if self._cover is None else self._cover.applied(points, values)

    def __repr__(self) -> str:
        return f"<View {self.name} ({self.dtype}){f', scale {self.number}' * bool(self.number)} of {self.snapshot!r}>"

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.volume.id, self.revision, self.name, str(self.dtype), self.unannotated, self.number

    def __reduce__(self) -> Any:
        return View, (self.snapshot, self.name, self.dtype, self.unannotated, self.number)


_opened: weakref.WeakValueDictionary[str, Volume] = weakref.WeakValueDictionary()


def _reopened(address: str, revision: int) -> Snapshot:
    """A snapshot in the process that unpickles it; all of one volume share one opening."""
    from labelog.engine.volume import open as open_volume

    volume = _opened.get(address)
    if volume is None or volume.closed:
        volume = _opened[address] = open_volume(address, "r")
    return volume.at(revision)
