"""Objects and their classes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

import labelog
from labelog.engine.objects import Extent, as_csv
from labelog_server import wire
from labelog_server.access import Reads
from labelog_server.asked import Served
from labelog_server.facts import LabelsFacts, WholeLabelFacts, answers
from labelog_server.problems import plain

router = APIRouter(prefix="/api/v1", tags=["labels"])

Rev = Annotated[int | None, Query(ge=0, description="the revision; the newest if left out")]


def label_facts(label: labelog.Label) -> dict[str, Any]:
    """An object in JSON, without what lies in it."""
    box = label.box
    return {
        "label": str(label.id), "class": label.cls, "parent": str(label.parent), "name": label.name,
        "voxels": label.voxels, "box": None if box is None else [list(box.start), list(box.stop)],
        "attributes": label.attributes,
    }  # fmt: skip


def extent_facts(extent: Extent) -> dict[str, Any]:
    """Where voxels are, in JSON."""
    return {"voxels": extent.voxels, "box": None if extent.box is None else plain(extent.box),
            "chunks": list(extent.chunks)}  # fmt: skip


@router.get("/volumes/{name}/labels", responses=answers(LabelsFacts), dependencies=[Reads])
def list_labels(
    volume: Served, rev: Rev = None, cls: Annotated[str | None, Query(alias="class")] = None,
    parent: wire.Label | None = None,
    named: Annotated[str | None, Query(alias="name_is")] = None, box: str | None = None,
    after: wire.Label | None = None, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:  # fmt: skip
    """Objects that all of this holds for, ascending, a page at a time: `next` is the `after` of the page after it.

    The first page has how many there are in all. Name the `rev` that it is of to get the others of the same revision.
    """
    within = None if box is None else wire.box_of(box, volume.shape)
    snapshot = volume.at(rev)
    found = snapshot.labels.where(cls=cls, parent=parent, name=named, box=within, after=after,
                                  limit=None if after is None else limit + 1)  # fmt: skip
    page = found[:limit]
    following = str(page[-1].id) if len(found) > limit else None
    return {"labels": [label_facts(label) for label in page], "next": following,
            "total": len(found) if after is None else None, "revision": snapshot.revision}  # fmt: skip


@router.get("/volumes/{name}/labels.csv", response_class=Response, dependencies=[Reads])
def labels_table(volume: Served, rev: Rev = None) -> Response:
    """All objects as CSV."""
    return Response(as_csv(volume.at(rev).labels.table_rows()), media_type="text/csv; charset=utf-8")


@router.get("/volumes/{name}/labels/{label}", responses=answers(WholeLabelFacts), dependencies=[Reads])
def get_label(volume: Served, label: str, rev: Rev = None) -> dict[str, Any]:
    """One object, with what lies in it and what it is made of."""
    labels = volume.at(rev).labels
    found = labels[wire.label(label)]
    return label_facts(found) | {
        "children": list(map(str, found.children)), "ancestors": list(map(str, labels.ancestors(found.id))),
        "fragments": list(map(str, found.fragments)), "own": extent_facts(found.own),
        "whole": extent_facts(found.whole),
    }  # fmt: skip


@router.get("/volumes/{name}/labels/{label}/subtree", dependencies=[Reads])
def get_subtree(volume: Served, label: str, rev: Rev = None) -> dict[str, Any]:
    """An object and all that lie in it, at any depth; parents before children."""
    return {"labels": list(map(str, volume.at(rev).labels.subtree(wire.label(label))))}


@router.get("/volumes/{name}/classes", dependencies=[Reads])
def list_classes(volume: Served, rev: Rev = None) -> dict[str, Any]:
    """The classes that objects may have, and how many have each."""
    snapshot = volume.at(rev)
    counts = snapshot.labels.by_class()
    return {"classes": [
        {"id": known.id, "name": known.name, "colour": known.colour, "kind_of": known.kind_of,
         "within": None if known.within is None else list(known.within), "objects": counts.get(known.name, 0)}
        for known in snapshot.classes.values()
    ]}  # fmt: skip
