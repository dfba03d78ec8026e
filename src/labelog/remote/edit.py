"""An edit of a volume on a server: operations are collected here, and carried out there as one.

What only writes voxels is checked and kept. What gives something back, or may be refused for what the label table
says, is tried at once: the operations go to the server, which stages them as of the revision that the edit began with.
It keeps what is staged for a while, and is sent the operations after those next time; or all once more, if it has it no
longer or refused one. The labels that it set aside on the way are sent along then, so that every trial, and the commit,
make the same ones.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog import indexing
from labelog.engine import drawing
from labelog.engine.classes import LabelClass, listed_classes, listed_names
from labelog.engine.commit import Draft
from labelog.engine.edit import UINT64, Edit
from labelog.engine.fills import Filled, Limits, Rule
from labelog.engine.naming import KEEP
from labelog.engine.preview import Preview
from labelog.engine.regions import region
from labelog.engine.shaping import BoxLike, Shaped
from labelog.engine.splitting import Split, checked_seeds
from labelog.engine.table import label_facts
from labelog.engine.values import (
    checked_label,
    checked_labels,
    checked_mapping,
    checked_object,
    checked_pairs,
    fitted,
    label_set,
    several,
)
from labelog.errors import Invalid, LabelogError, Unsupported
from labelog.geometry import Box, Triple
from labelog.kernels.runs import Runs
from labelog.progress import Progress, checked_progress
from labelog.remote import media
from labelog.remote.problems import box_of, label_rows
from labelog.remote.request import Operation, Request

if TYPE_CHECKING:
    from typing import Unpack

    from labelog.remote.volume import RemoteVolume


Told = TypeVar("Told")

GONE = 410
"""The status of an answer about a trial that the server does not have, or no longer."""

WHICH = r"^(operation \d+ \(\w+\): |body\.operations\.\d+\.\w+\.)"
"""How a server says which of many operations it can't carry out."""


class RemoteEdit(Edit):
    """Changes to a volume on a server. Get one from `Volume.edit`.

    As `Edit`, but that `progress` of a fill is never called.
    """

    def __init__(self, volume: RemoteVolume, author: str | None, draft: Draft, seen: int | None, begin: int | None,
                 labels: list[int]) -> None:  # fmt: skip
        super().__init__(volume, draft, seen, begin)
        self._far = volume
        self._author = author
        self._request = Request(draft.message, draft.session, seen, [])
        self._request.labels = labels
        self._trial: str | None = None  # its name on the server, which has staged the first so many operations
        self._tried = 0

    # Life

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise Invalid("this edit has begun already; begin another")
        self._thread = threading.get_ident()
        if self._begin is None and self._draft.key is None and not self._request.labels:
            self._request.at = self._far.revision
        else:  # the server knows when the edit of that key began
            self._request.at = self._begin
            self._request.at = self._ask()["at"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._mine()
        self._over = True
        if kind is None and (self._request.operations or self._draft.key is not None):
            body, media_type = self._request.body({"return": "boxes" if self._seen is None else "runs"})
            told = self._far.write("/edits", body, kind=media_type, author=self._author,
                                   key=self._draft.key or uuid4().hex)  # fmt: skip
            self.revision, self.voxels, self.written = told["revision"], told["voxels"], told["written"]

    @property
    def at(self) -> int:
        return self._request.at or 0

    # What is sent

    def _stage_one(self, op: str, *arrays: tuple[str, bytes], **fields: Any) -> None:
        self._request.operations.append(Operation(op, fields, arrays))

    def _try(self, op: str, *arrays: tuple[str, bytes], **fields: Any) -> Any:
        """Stage an operation, and what it gives; or raise, and it is not staged."""
        self._stage_one(op, *arrays, **fields)
        try:
            told = self._ask()
        except BaseException as error:
            self._request.operations.pop()
            if isinstance(error, LabelogError):
                error.args = (re.sub(WHICH, "", str(error)),)
            raise
        for label in map(int, told["made"]):
            self._made.setdefault(label, len(self._made))
        self._request.labels = [*self._made, *(label for label in self._request.labels if label not in self._made)]
        return told["results"][-1]

    def _ask(self, returns: str = "results") -> dict[str, Any]:
        """What the operations so far would do; results and labels are of those that are sent now."""

        def send(body: bytes, kind: str) -> tuple[dict[str, Any], str | None]:
            told = self._sent(body, kind)
            return told, told["trial"]

        return self._go_on(send, {"dry_run": True, "return": returns})

    def _go_on(self, send: Callable[[bytes, str], tuple[Told, str | None]], more: dict[str, Any]) -> Told:
        """The answer to a trial of all operations: those are sent that the server has not staged yet."""
        trial, self._trial = self._trial, None  # whatever is raised, all of them are sent the next time
        if trial is not None:
            try:
                told, self._trial = send(*self._request.rest(self._tried, {"keep": True, "trial": trial, **more}))
            except LabelogError as error:
                if getattr(error, "status", None) != GONE:
                    raise
            else:
                self._tried = len(self._request.operations)
                return told
        told, self._trial = send(*self._request.body({"keep": True, **more}))
        self._tried = len(self._request.operations)
        return told

    def _sent(self, body: bytes, media_type: str) -> dict[str, Any]:
        return self._far.connection.done("/edits", body, kind=media_type, author=self._author, key=self._draft.key)

    # Voxels

    def __setitem__(self, index: Any, labels: ArrayLike) -> None:
        self._mine()
        box, shape = indexing.box(index, self.shape)
        if np.ndim(labels) == 0:
            label = checked_label(labels)
            if box.voxels:
                self._stage_one("box", label=str(label), box=box)
            return
        self._stage_array(box, fitted(labels, shape, box))

    def change(self, box: Box | tuple[Triple, Triple], labels: ArrayLike) -> None:
        self._mine()
        bounds, array = indexing.within(box, self.shape), checked_labels(labels)
        if array.shape != bounds.shape:
            raise Invalid(f"labels of shape {array.shape} do not fit the box {bounds} of shape {bounds.shape}")
        self._stage_array(bounds, array, change=True)

    def _stage_array(self, box: Box, array: NDArray[Any], **fields: Any) -> None:
        if box.voxels:
            data = media.encode(Runs.from_dense(np.ascontiguousarray(array)))
            self._stage_one("write", (media.RUNS, data), box=box, **fields)

    def paint(self, label: int, where: ArrayLike, at: Iterable[int] | None = None, *,
              over: Iterable[int] | int | None = None) -> None:  # fmt: skip
        self._mine()
        label = checked_label(label)
        chosen = _labels(over)
        rows = self._drawn(where, at)
        if len(rows):
            self._stage_one("paint", spans_part(rows), label=str(label), over=chosen)

    def _drawn(self, where: ArrayLike, at: Iterable[int] | None) -> NDArray[np.int64]:
        """A mask or spans as rows of z, y, x0, x1, checked."""
        grid = self._far.geometry[0].grid
        return drawing.label_rows(grid, drawing.drawn(grid, where, at, 1)).rows

    def expect(self, box: Box | tuple[Triple, Triple]) -> None:
        self._mine()
        bounds = indexing.within(box, self.shape)
        if self._seen is None:
            raise Invalid("to expect voxels to be as they were, begin the edit with `seen`, a revision")
        if bounds.voxels:
            self._stage_one("expect", box=bounds)

    def relabel(self, labels: Mapping[int, int], *, within: Box | tuple[Triple, Triple] | None = None) -> None:
        self._mine()
        mapping = {str(old): str(new) for old, new in checked_mapping(labels).items()}
        box = self._within(within)
        if mapping:
            self._stage_one("relabel", labels=mapping, within=box)

    def erase(self, label: int, *, within: Box | tuple[Triple, Triple] | None = None) -> None:
        self._mine()
        self._stage_one("erase", label=str(checked_label(label)), within=self._within(within))

    def _within(self, within: Box | tuple[Triple, Triple] | None) -> Box | None:
        return None if within is None else indexing.within(within, self.shape)

    # Objects made of parts

    def split(self, label: int, where: ArrayLike | None = None, at: Iterable[int] | None = None, *,
              seeds: Iterable[Iterable[Triple]] | None = None) -> Split:  # fmt: skip
        self._mine()
        if (where is None) == (seeds is None):
            raise Invalid("split takes a mask or spans, or seeds")
        name = str(checked_object(label))
        if seeds is not None:
            return _split(self._try("split", label=name, seeds=checked_seeds(seeds)))
        assert where is not None
        return _split(self._try("split", spans_part(self._drawn(where, at)), label=name))

    def separate(self, labels: Iterable[int] | int | None = None, connectivity: int = 6, *,
                 cls: str | int | None = None, below: int = 0) -> Split:  # fmt: skip
        self._mine()
        chosen = None if labels is None else [str(checked_object(label)) for label in label_set(labels)]
        return _split(self._try("separate", labels=chosen, connectivity=connectivity, below=below, **{"class": cls}))

    # Fills

    def fill(self, seed: Iterable[int], label: int, *, view: str = "instance", connectivity: int | None = None,
             within: Box | tuple[Triple, Triple] | None = None, axis: int | None = None, limit: int | None = None,
             over: Iterable[int] | int | None = None, tolerance: float | None = None,
             between: tuple[float, float] | None = None, progress: Progress | None = None) -> Filled:  # fmt: skip
        self._mine()
        checked_progress(progress)
        return self._filled("fill", seed, {"label": str(checked_label(label)), "view": view}, {
            "connectivity": connectivity, "within": within, "axis": axis, "limit": limit, "over": over,
            "tolerance": tolerance, "between": between,
        })  # fmt: skip

    def fill_mask(self, seed: Iterable[int], *, view: str = "instance", progress: Progress | None = None,
                  **limits: Unpack[Limits]) -> Filled:  # fmt: skip
        self._mine()
        checked_progress(progress)
        found = self._filled("fill_mask", seed, {"view": view}, limits)
        self._request.operations.pop()
        self._tried = min(self._tried, len(self._request.operations))
        return found

    def _filled(self, op: str, seed: Iterable[int], what: dict[str, Any], limits: Limits | dict[str, Any]) -> Filled:
        fields = what | fill_fields(self.shape, seed, limits)
        told = self._try(op, **fields)
        asked = self._request.copy()

        def rows() -> NDArray[np.int64]:
            asked.operations[-1] = Operation(op, fields | {"rows": True}, ())
            body, media_type = asked.body({"dry_run": True, "return": "results"})
            return np.array(self._sent(body, media_type)["results"][-1]["rows"], np.int64).reshape(-1, 4)

        return RemoteFilled(told, rows, self._far)

    # Shapes

    def fill_holes(self, label: int, *, axis: int | None = None, connectivity: int | None = None,
                   below: int | None = None, over: Iterable[int] | int | None = 0,
                   within: BoxLike | None = None) -> Shaped:  # fmt: skip
        return self._shaped_by("fill_holes", label, axis=axis, connectivity=connectivity, below=below,
                               over=_labels(over), within=self._within(within))  # fmt: skip

    def remove_islands(self, label: int, *, below: int, axis: int | None = None,
                       connectivity: int | None = None) -> Shaped:  # fmt: skip
        return self._shaped_by("remove_islands", label, below=below, axis=axis, connectivity=connectivity)

    def dilate(self, label: int, distance: float, *, unit: str = "voxel", axis: int | None = None,
               over: Iterable[int] | int | None = 0, within: BoxLike | None = None) -> Shaped:  # fmt: skip
        return self._shaped_by("dilate", label, distance=distance, unit=unit, axis=axis, over=_labels(over),
                               within=self._within(within))  # fmt: skip

    def erode(self, label: int, distance: float, *, unit: str = "voxel", axis: int | None = None,
              within: BoxLike | None = None) -> Shaped:  # fmt: skip
        return self._shaped_by("erode", label, distance=distance, unit=unit, axis=axis, within=self._within(within))

    def interpolate(self, label: int, slices: Iterable[int] | None = None, *, axis: int = 0,
                    over: Iterable[int] | int | None = 0) -> Shaped:  # fmt: skip
        places = None if slices is None else list(slices)
        return self._shaped_by("interpolate", label, slices=places, axis=axis, over=_labels(over))

    def _shaped_by(self, op: str, label: int, **fields: Any) -> Shaped:
        self._mine()
        told = self._try(op, label=str(checked_object(label)), **fields)
        return Shaped(told["voxels"], None if told["box"] is None else box_of(told["box"]), told["pieces"])

    # What is said

    def new(self, cls: str | int | None = None, parent: int = 0, name: str | None = None, **attributes: Any) -> int:
        self._mine()
        label_facts({"parent": parent, "name": name, **attributes}, {})
        return int(self._try("new", parent=str(parent or 0), name=name, attributes=attributes, **{"class": cls}))

    def assign(self, label: int, *, cls: str | int | None = KEEP, parent: int | None = KEEP,
               name: str | None = KEEP, **attributes: Any) -> None:  # fmt: skip
        self._mine()
        given = {field: value for field, value in (("class", cls), ("parent", parent), ("name", name))
                 if value is not KEEP}  # fmt: skip
        number = checked_object(label)
        label_facts({**{field: value for field, value in given.items() if field != "class"}, **attributes}, {})
        if "parent" in given:
            given["parent"] = str(given["parent"] or 0)
        if given or attributes:
            self._try("assign", label=str(number), attributes=attributes, **given)

    def merge(self, label: int, others: Iterable[int] | int) -> None:
        self._mine()
        first = checked_object(label)
        named = [checked_object(other) for other in several(others)]
        if first in named:
            raise Invalid(f"label {first} can't be merged with itself")
        if named:
            self._try("merge", label=str(first), others=list(map(str, named)))

    def merge_all(self, pairs: Iterable[tuple[int, int]]) -> None:
        self._mine()
        if named := checked_pairs(pairs):
            self._try("merge_all", pairs=[(str(first), str(second)) for first, second in named])

    def cleave(self, labels: Iterable[int] | int) -> None:
        self._mine()
        chosen = [checked_object(label) for label in several(labels)]
        self._try("cleave", labels=list(map(str, chosen)))

    def new_class(self, name: str, *, id: int | None = None, colour: str | None = None, kind_of: str | None = None,
                  within: Iterable[str] | None = None) -> int:  # fmt: skip
        self._mine()
        within = listed_names(within)
        return int(self._try("new_class", name=name, id=id, colour=colour, kind_of=kind_of, within=within))

    def new_classes(self, classes: Iterable[LabelClass]) -> None:
        self._mine()
        self._try("new_classes", classes=[vars(entry) for entry in listed_classes(classes)])

    def assign_class(self, cls: str | int, *, name: str = KEEP, colour: str | None = KEEP,
                     kind_of: str | None = KEEP, within: Iterable[str] | None = KEEP) -> None:  # fmt: skip
        self._mine()
        given = {"class": cls, "name": name, "colour": colour, "kind_of": kind_of,
                 "within": within if within is KEEP else listed_names(within)}  # fmt: skip
        self._try("assign_class", **{field: value for field, value in given.items() if value is not KEEP})

    def set_region(self, name: str, kind: str, box: Box | tuple[Triple, Triple], mask: ArrayLike | None = None) -> None:
        self._mine()
        found = region(name, kind, indexing.within(box, self.shape), mask)
        fields: dict[str, Any] = {"name": name, "kind": kind, "box": found.box}
        if found.mask is None:
            self._stage_one("set_region", **fields)
            return
        inside = {"at": found.box.start, "shape": found.box.shape}
        data = media.encode(Runs.from_dense(np.ascontiguousarray(found.mask.view(np.uint8))))
        self._stage_one("set_region", (media.RUNS, data), mask=inside, **fields)

    def remove_region(self, name: str) -> None:
        self._mine()
        self._try("remove_region", name=name)

    def set_image(self, reference: dict[str, str] | None) -> None:
        raise Unsupported("an image is attached where the volume lies, not from afar")

    # Reading what is staged

    def __getitem__(self, index: Any) -> Any:
        self._mine()
        if not self._request.operations and self._draft.key is None:
            return self._far.at(self.at)[index]
        return _Foreseen(self)[index]

    def preview(self) -> Preview:
        self._mine()
        told = self._ask("runs")
        if told["runs"] is None or told["refused"] is None:
            raise Unsupported("there are too many runs to be told from afar")
        return Preview(told["at"], told["voxels"], told["written"], tuple(map(box_of, told["boxes"])),
                       label_rows(told["runs"]), label_rows(told["refused"]))  # fmt: skip

    def foresee(self, box: Box) -> Runs:
        """The labels of a box as they would be."""

        def send(body: bytes, kind: str) -> tuple[Runs, str | None]:
            return self._far.staged(box, body, kind=kind, author=self._author, key=self._draft.key)

        return self._go_on(send, {})


class _Foreseen(indexing.Voxels):
    """What an edit would make of the volume."""

    dtype = UINT64

    def __init__(self, edit: RemoteEdit) -> None:
        self._edit = edit
        self.shape, self.chunks = edit.shape, edit._far.chunks

    def _fill(self, box: Box, out: NDArray[Any]) -> None:
        for part in self._edit._far.cut(box):
            runs = self._edit.foresee(part)
            runs.fill(out[part.relative(box.start).slices()], (0, 0, 0), runs.palette)


class RemoteFilled(Filled):
    """What a fill takes; which voxels is asked for when it is looked at."""

    def __init__(self, told: dict[str, Any], rows: Any, volume: RemoteVolume) -> None:
        box = None if told["box"] is None else box_of(told["box"])
        super().__init__(told["voxels"], box, {}, volume.geometry[0].grid)
        object.__setattr__(self, "_rows", rows)

    @property
    def spans(self) -> NDArray[np.int64]:
        found: NDArray[np.int64] = vars(self)["_rows"]()
        return found


def fill_fields(shape: Triple, seed: Iterable[int], limits: Limits | dict[str, Any]) -> dict[str, Any]:
    """A seed and limits as an operation has them, checked."""
    given = dict(limits)
    first = Rule.of(shape, seed, **given).seed
    within = given.pop("within", None)
    return {**given, "seed": first, "over": _labels(given.get("over")),
            "within": None if within is None else indexing.within(within, shape)}  # fmt: skip


def spans_part(rows: NDArray[np.int64]) -> tuple[str, bytes]:
    return "application/octet-stream; dtype=int32", rows.astype("<i4").tobytes()


def _labels(over: Any) -> list[str] | None:
    return None if over is None else sorted(map(str, label_set(over)))


def _split(told: dict[str, Any]) -> Split:
    return Split(tuple(map(int, told["labels"])), {int(a): int(b) for a, b in told["moved"].items()},
                 tuple(map(int, told["straddling"])), told["removed"])  # fmt: skip
