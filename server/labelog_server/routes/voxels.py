"""Slices and boxes of labels: read in several media types, written as edits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from numpy.typing import DTypeLike
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

import labelog
from labelog.engine.changes import differing
from labelog.engine.cut import cut
from labelog.engine.snapshot import Revision
from labelog.geometry import Box, Triple
from labelog_server import wire
from labelog_server.accept import liked
from labelog_server.access import Annotates, Reads, Writer
from labelog_server.answers import CHANGES, STAYS, answer, etag, matches, not_modified, refuse_other
from labelog_server.asked import Condition, Key, Look, Name, Served, catalog, settings
from labelog_server.facts import BINARY, WrittenFacts, answers, takes
from labelog_server.memory import share_of
from labelog_server.problems import Problem, plain
from labelog_server.quick import Quick
from labelog_server.wire import FORMATS, OF_RUNS, PNG, SHORT

router = APIRouter(prefix="/api/v1", tags=["voxels"])

Axis = Annotated[Literal["z", "y", "x"], Path(description="the axis that the slice is across")]
Format = Annotated[Literal["npy", "raw", "png", "indexed", "runs"] | None, Query(description="instead of Accept")]
Around = Annotated[int, Query(ge=0, le=64, description="so many slices on either side as well")]
Part = Annotated[str | None, Query(description="half-open, an end left out is the volume's: 0:100,200:300")]

Conditions = tuple[str | None, str | None]  # If-Match and If-None-Match

WORTH_CUTTING = 2**14  # voxels that a box has of each chunk, on average
FEW = 2**18  # voxels that are read in less time than it takes to let another thread do it

BODIES: dict[int | str, dict[str, Any]] = {
    200: {"description": "voxels (z, y, x)", "content": dict.fromkeys(FORMATS, BINARY)},
    304: {"description": "as it was"},
}

WRITES: dict[str, Any] = {"dependencies": [Annotates], "responses": answers(WrittenFacts),
                          "openapi_extra": takes(*(kind for kind in FORMATS if kind != PNG))}  # fmt: skip


class BoxLook(Look):
    """What is asked of a box."""

    box: Part = None
    format: Format = None


class SliceLook(BoxLook):
    """What is asked of a slice."""

    around: Around = 0


async def get_slice(
    request: Request, asked: Annotated[SliceLook, Query()], name: Name, axis: Axis, index: int
) -> Response:
    """A slice across an axis, or a part of it, with its neighbours if they are asked for."""
    return await looked_at(request, name, asked, lambda shape: slice_box(shape, axis, index, asked.box, asked.around))


async def get_box(request: Request, asked: Annotated[BoxLook, Query()], name: Name) -> Response:
    """A box."""
    return await looked_at(request, name, asked, lambda shape: wire.box_of(asked.box, shape))


def add_quick(router: APIRouter) -> None:
    """Add the routes that are asked most, to the application's own router: it looks through others twice."""
    for path, endpoint in (("slices/{axis}/{index}", get_slice), ("voxels", get_box)):
        router.add_api_route("/api/v1/volumes/{name}/" + path, endpoint, methods=["GET"], responses=BODIES,
                             tags=["voxels"], dependencies=[Reads], response_class=Response,
                             route_class_override=Quick)  # fmt: skip


@router.put("/volumes/{name}/slices/{axis}/{index}", **WRITES)
async def put_slice(request: Request, volume: Served, author: Writer, axis: Axis, index: int,
                    box: Part = None, key: Key = None, message: str = "", session: str | None = None,
                    dtype: str = "uint64", if_match: Condition = None, if_none_match: Condition = None,
                    ) -> Response:  # fmt: skip
    """Write a slice, or a part of it, as one edit."""
    whole = slice_box(volume.shape, axis, index, box, 0)
    return await _put(request, volume, whole, dtype, (if_match, if_none_match),
                      {"author": author, "message": message, "session": session, "key": key})  # fmt: skip


@router.put("/volumes/{name}/voxels", **WRITES)
async def put_box(request: Request, volume: Served, author: Writer, box: Part = None, key: Key = None,
                  message: str = "", session: str | None = None, dtype: str = "uint64",
                  if_match: Condition = None, if_none_match: Condition = None) -> Response:  # fmt: skip
    """Write a box as one edit."""
    whole = wire.box_of(box, volume.shape)
    return await _put(request, volume, whole, dtype, (if_match, if_none_match),
                      {"author": author, "message": message, "session": session, "key": key})  # fmt: skip


async def looked_at(request: Request, name: str, asked: BoxLook, box: Callable[[Triple], Box]) -> Response:
    """The values of a box of the shape looked at: at once if they are few and in memory, else in another thread."""
    kind = SHORT[asked.format] if asked.format else accepted(request.headers.get("accept", "*/*"), FORMATS)
    volume = catalog(request).at_hand(name)
    if volume is not None and asked.is_plain and kind != PNG:
        seen = asked.at(volume)
        bounds = box(seen.shape)
        if bounds.voxels <= FEW and seen.at_hand(bounds):
            return voxels(request, asked, seen, bounds, kind)

    def found() -> Response:
        seen = asked.at(catalog(request)[name])
        return voxels(request, asked, seen, box(seen.shape), kind)

    return await run_in_threadpool(found)


def slice_box(shape: tuple[int, int, int], axis: str, index: int, part: str | None, around: int) -> Box:
    """The box of a slice, and of its neighbours as far as the volume goes. Raises OutOfBounds."""
    number = "zyx".index(axis)
    if not 0 <= index < shape[number]:
        raise labelog.OutOfBounds(f"there is no slice {axis} = {index}; they go from 0 to {shape[number] - 1}")
    bounds = max(0, index - around), min(shape[number], index + around + 1)
    return wire.box_of(part, shape, "zyx".replace(axis, ""), {number: bounds})


def voxels(request: Request, asked: Look, seen: Revision, box: Box, kind: str) -> Response:
    """The values of a box, in a media type."""
    refuse_many(request, box, seen.dtype)
    tag = tagged(seen, seen.version(box), kind)
    headers = {
        "Cache-Control": CHANGES if asked.rev is None else STAYS, "Vary": "Accept",
        "Labelog-Revision": str(seen.revision), **headers_of(box, seen.dtype),
    }  # fmt: skip
    refuse_other(request, tag)
    held = not_modified(request, tag, headers)
    if held:
        return held
    return answer(request, encoded(seen, box, kind), kind, tag, headers)


def headers_of(box: Box, dtype: np.dtype[Any]) -> dict[str, str]:
    """What says where values are, and how to read them raw."""
    return {"Labelog-Box": wire.spelled(box), "Labelog-Shape": ",".join(map(str, box.shape)),
            "Labelog-Dtype": dtype.name}  # fmt: skip


def tagged(seen: Revision, version: bytes, kind: str) -> str:
    """The validator of values in a media type. Of a picture it is one of the colours too."""
    name = next(name for name, known in SHORT.items() if known == kind)
    if kind == PNG:
        shown = repr(sorted(seen.colours.items())).encode()
        version = version[:8] + blake2b(version + shown, digest_size=16).digest()
    return etag(version, name)


def encoded(seen: Revision, box: Box, kind: str) -> wire.Body:
    """The values of a box in a media type; from the chunks' runs where that is quicker than to find runs in voxels."""
    if kind in OF_RUNS and box.voxels >= WORTH_CUTTING * len(seen.grid.numbers(box)):
        return OF_RUNS[kind](cut(seen, box))
    values = seen.read(box)
    if kind == PNG:
        return wire.encode(pictured(values, box), kind, seen.colours)
    return wire.encode(values, kind, {})


def pictured(values: wire.Voxels, box: Box) -> wire.Voxels:
    """A slice without the axis that it is across. Raises Problem 406 for more than one slice."""
    if 1 not in box.shape:
        raise Problem(406, f"a picture is of one slice; {box} is not")
    return values.squeeze(box.shape.index(1))


def refuse_many(request: Request, box: Box, dtype: DTypeLike = np.uint64) -> None:
    """Raises Problem 413 for more voxels than a request may be about; 413 or 503 if there is no memory for them, as an
    array and once more as they are sent."""
    most = settings(request).max_voxels
    if box.voxels > most:
        raise Problem(413, f"a request may be about {most} voxels; this one is about {box.voxels}")
    share_of(request.scope).hold(2 * np.dtype(dtype).itemsize * box.voxels)


def accepted(header: str, formats: Iterable[str]) -> str:
    """The media type, of some, that an Accept likes best. Raises Problem 406."""
    best = liked(header, formats)
    if best is None:
        raise Problem(406, f"voxels are sent as {', '.join(formats)}; none of these is accepted by {header!r}")
    return best


async def _put(request: Request, volume: labelog.Volume, box: Box, dtype: str, conditions: Conditions,
               draft: dict[str, Any]) -> Response:  # fmt: skip
    refuse_many(request, box)
    body = await request.body()
    array = wire.decode(body, request.headers.get("content-type", ""), box.shape, dtype)
    return await run_in_threadpool(_write, volume, box, array, conditions, draft)


def _write(
    volume: labelog.Volume, box: Box, array: wire.Voxels, conditions: Conditions, draft: dict[str, Any]
) -> Response:
    """An edit of a box; only of what was seen, if the client says what that is."""
    snapshot = volume.at()
    if_match, if_none_match = conditions
    if if_none_match is not None and _holds(if_none_match, snapshot, box, strongly=False):
        raise Problem(412, f"the voxels of {box} are there, and what If-None-Match says")
    if if_match is not None and not _holds(if_match, snapshot, box):
        raise _changed(_seen(if_match, snapshot, box), snapshot, box)
    seen = None if if_match is None else snapshot.revision
    try:
        with volume.edit(**draft, seen=seen) as edit:
            edit[box.slices()] = array
    except labelog.Conflict as error:
        if seen is None or not hasattr(error, "box"):
            raise
        raise _changed(snapshot, volume.at(), box) from None
    revision = volume.revision if edit.revision is None else edit.revision
    after, headers = volume.at(revision), {"Labelog-Revision": str(revision)}
    if np.array_equal(after.read(box), array):  # a label that was merged shows as its body
        headers["ETag"] = etag(after.version(box), "npy")
    return JSONResponse({"revision": edit.revision, "voxels": edit.voxels, "written": edit.written}, headers=headers)


def _changed(before: labelog.Snapshot | None, now: labelog.Snapshot, box: Box) -> Problem:
    """412: where a box is not what it was before; all of it, if that is not known."""
    boxes = (box,) if before is None else differing(before, now, box)
    said = (
        "the voxels of {} are no longer what If-Match says; `boxes` has what to read again"
        if boxes
        else "the voxels of {} are what If-Match says, but others were written in their chunks: read the tag again"
    )
    return Problem(412, said.format(box),
                   headers={"Labelog-Revision": str(now.revision)}, boxes=[plain(each) for each in boxes],
                   since=None if before is None else before.revision, revision=now.revision)  # fmt: skip


def _seen(if_match: str, now: labelog.Snapshot, box: Box) -> labelog.Snapshot | None:
    """A revision at which a box was what a tag says: the one that last wrote there, which the tag begins with. None if
    it was not so then, as after a merge."""
    written = (int(digits, 16) for digits in re.findall(r'"([0-9a-f]{16})[0-9a-f]{32}-', if_match))
    snapshots = (now.volume.at(revision) for revision in written if revision < now.revision)
    return next((each for each in snapshots if _holds(if_match, each, box)), None)


def _holds(given: str, snapshot: labelog.Snapshot, box: Box, *, strongly: bool = True) -> bool:
    version = snapshot.version(box)
    return any(matches(given, tagged(snapshot, version, kind), strongly=strongly) for kind in FORMATS)
