"""Regions: what was looked at."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query

import labelog
from labelog_server.access import Reads
from labelog_server.asked import Served
from labelog_server.problems import plain

router = APIRouter(prefix="/api/v1", tags=["regions"])

Rev = Annotated[int | None, Query(ge=0, description="the revision; the newest if left out")]


@router.get("/volumes/{name}/regions", dependencies=[Reads])
def list_regions(volume: Served, rev: Rev = None) -> dict[str, Any]:
    """The regions that are named; `bits` says which voxels of the box belong to one, if not all do."""
    return {"regions": [region_facts(region) for region in volume.at(rev).regions.values()]}


def region_facts(region: labelog.Region) -> dict[str, Any]:
    bits = None if region.mask is None else base64.b64encode(np.packbits(region.mask).tobytes()).decode()
    return {"name": region.name, "kind": region.kind, "box": plain(region.box), "bits": bits}


@router.get("/volumes/{name}/regions/voxels", dependencies=[Reads])
def get_voxels_in(volume: Served, region: Annotated[str, Query(description="its name")],
                  rev: Rev = None) -> dict[str, Any]:  # fmt: skip
    """How many own voxels each object has in a region; background is 0."""
    found = volume.at(rev).labels.voxels_in(region)
    return {"voxels": {str(label): count for label, count in found.items()}}
