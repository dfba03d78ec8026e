"""What routes ask of a request: the volume, the snapshot or view, who sends it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

import labelog
from labelog.engine.snapshot import Revision
from labelog_server.catalog import Catalog
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
) -> Revision:
    """A snapshot or a view of one."""
    snapshot = served.at(rev)
    if view == "instance" and dtype is None and unannotated is None:
        return snapshot
    return snapshot.view(view, dtype=dtype, unannotated=unannotated)


Seen = Annotated[Revision, Depends(seen)]
