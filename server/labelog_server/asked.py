"""What routes ask of a request: the volume, the snapshot or view, who sends it.

These run on the event loop, as everything that takes microseconds does: FastAPI would send each of them that is no
coroutine to another thread and wait for it, which takes longer than most of them do.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

import labelog
from labelog.engine.snapshot import Revision
from labelog_server.catalog import Catalog
from labelog_server.memory import share_of
from labelog_server.names import Names
from labelog_server.objects import Objects
from labelog_server.settings import Settings

Name = Annotated[str, Path(description="the volume's name", examples=["cells"])]
Condition = Annotated[str | None, Header()]
"""If-Match or If-None-Match, by the name of the parameter."""

Key = Annotated[str | None, Header(alias="Idempotency-Key", description="sent twice, the edit happens once")]


def settings(request: Request) -> Settings:
    found: Settings = request.app.state.settings
    return found


def catalog(request: Request) -> Catalog:
    found: Catalog = request.app.state.catalog
    return found


async def limits(request: Request) -> Settings:
    return settings(request)


async def shelf(request: Request) -> Catalog:
    return catalog(request)


Shelf = Annotated[Catalog, Depends(shelf)]
Limits = Annotated[Settings, Depends(limits)]


async def stored(request: Request) -> Objects:
    return Objects(catalog(request), share_of(request.scope))


Stored = Annotated[Objects, Depends(stored)]


async def volume(request: Request, name: Name) -> labelog.Volume:
    found = catalog(request).at_hand(name)
    return await run_in_threadpool(catalog(request).__getitem__, name) if found is None else found


Served = Annotated[labelog.Volume, Depends(volume)]


class Look(BaseModel):
    """Which voxels of a volume are looked at: a snapshot or a view of one, at a scale."""

    rev: int | None = Field(None, ge=0, description="the revision; the newest if left out")
    view: str = Field("instance", description="instance, fragment, semantic, or the name of a class")
    dtype: str | None = Field(None, description="an integer dtype of the values; `smallest` is that which holds them")
    unannotated: int | None = Field(None, ge=0, description="the value of what nobody has looked at")
    scale: int = Field(0, ge=0, description="0 is the finest; indices and boxes are in voxels of the scale")

    @property
    def is_plain(self) -> bool:
        """Whether it is of labels as a snapshot has them."""
        return self.view == "instance" and self.dtype is None and self.unannotated is None

    def at(self, volume: labelog.Volume) -> Revision:
        snapshot = volume.at(self.rev)
        dtype = None if self.dtype == "smallest" else self.dtype
        found = snapshot if self.is_plain else snapshot.view(self.view, dtype=dtype, unannotated=self.unannotated)
        return found.scale(self.scale) if self.scale else found


async def seen(volume: Served, look: Annotated[Look, Query()]) -> Revision:
    return look.at(volume)


Seen = Annotated[Revision, Depends(seen)]


async def called(request: Request) -> Names:
    """What operations may call by name: arrays that were sent with them, and labels that they make."""
    return Names(share_of(request.scope), request.scope.get("parts", {}), settings(request).max_voxels)


Called = Annotated[Names, Depends(called)]
