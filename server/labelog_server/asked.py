"""What routes ask of a request: the volume, the snapshot or view, who sends it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

import labelog
from labelog.engine.snapshot import Revision
from labelog_server.catalog import Catalog
from labelog_server.names import Names
from labelog_server.settings import Settings

Name = Annotated[str, Path(description="the volume's name", examples=["cells"])]
Key = Annotated[str | None, Header(alias="Idempotency-Key", description="sent twice, the edit happens once")]


def settings(request: Request) -> Settings:
    found: Settings = request.app.state.settings
    return found


def catalog(request: Request) -> Catalog:
    found: Catalog = request.app.state.catalog
    return found


Shelf = Annotated[Catalog, Depends(catalog)]
Limits = Annotated[Settings, Depends(settings)]


def volume(name: Name, shelf: Shelf) -> labelog.Volume:
    return shelf[name]


Served = Annotated[labelog.Volume, Depends(volume)]


def seen(
    served: Served,
    rev: Annotated[int | None, Query(ge=0, description="the revision; the newest if left out")] = None,
    view: Annotated[str, Query(description="instance, fragment, semantic, or the name of a class")] = "instance",
    dtype: Annotated[str | None, Query(description="an integer dtype of the values")] = None,
    unannotated: Annotated[int | None, Query(ge=0, description="the value of what nobody has looked at")] = None,
    scale: Annotated[int, Query(ge=0, description="0 is the finest; indices and boxes are in voxels of the scale")] = 0,
) -> Revision:
    """A snapshot or a view of one, at a scale."""
    snapshot = served.at(rev)
    plain = view == "instance" and dtype is None and unannotated is None
    found = snapshot if plain else snapshot.view(view, dtype=dtype, unannotated=unannotated)
    return found.scale(scale) if scale else found


Seen = Annotated[Revision, Depends(seen)]


def called(request: Request, limits: Limits) -> Names:
    """What operations may call by name: arrays that were sent with them, and labels that they make."""
    return Names(request.scope.get("parts", {}), limits.max_voxels)


Called = Annotated[Names, Depends(called)]
