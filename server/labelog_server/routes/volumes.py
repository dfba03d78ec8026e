"""Which volumes there are, and what they are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, status
from pydantic import BaseModel, Field

import labelog
from labelog_server.access import Administers, Reads, Sent, Writer, visible
from labelog_server.asked import Name, Served, Shelf, settings
from labelog_server.facts import VolumeFacts, VolumesFacts, answers, like
from labelog_server.problems import Problem, said

router = APIRouter(prefix="/api/v1", tags=["volumes"])


class NewVolume(BaseModel):
    """What `labelog.create` takes."""

    model_config = like(
        {"name": "pilot", "shape": [250, 2000, 2000], "voxel_size": [40, 10, 10], "classes": "platelet"}
    )
    name: str = Field(examples=["cells"])
    shape: tuple[int, int, int]
    voxel_size: tuple[float, float, float] = (1, 1, 1)
    unit: str = "nm"
    chunks: tuple[int, int, int] | None = None
    classes: str | None = Field(
        None, description='the name of a file of classes that comes with labelog: "platelet"', pattern="^[a-z]+$"
    )


def metadata(name: str, volume: labelog.Volume) -> dict[str, Any]:
    return {
        "name": name,
        "id": volume.id,
        "revision": volume.revision,
        "shape": list(volume.shape),
        "chunks": list(volume.chunks),
        "voxel_size": list(volume.voxel_size),
        "unit": volume.unit,
        "dtype": volume.dtype.name,
        "mode": volume.mode,
        "scales": [{"shape": scale.shape, "factors": scale.factors} for scale in volume.scales],
        "views": ["instance", "fragment", "semantic", *volume.classes],
    }


@router.get("/volumes", responses=answers(VolumesFacts), dependencies=[Reads])
def list_volumes(request: Request, shelf: Shelf, token: Sent) -> dict[str, Any]:
    """All volumes that the token is good for, by name; and of those that cannot be opened, why."""
    found, failing = [], {}
    for name in visible(shelf.names(), token):
        try:
            found.append(metadata(name, shelf[name]))
        except labelog.NotFound:  # it was deleted meanwhile
            continue
        except labelog.LabelogError as error:
            failing[name] = said(error, settings(request).folders)
    return {"volumes": found, "failing": failing}


@router.post(
    "/volumes", status_code=status.HTTP_201_CREATED, responses=answers(VolumeFacts, 201), dependencies=[Administers]
)
def create_volume(new: NewVolume, shelf: Shelf, author: Writer, request: Request, response: Response) -> dict[str, Any]:
    """Make a volume of zeros in the folder that is served."""
    given = new.model_dump(exclude={"name", "classes"})
    volume = shelf.create(new.name, **given, classes=new.classes or (), author=author)
    response.headers["Location"] = str(request.url_for("get_volume", name=new.name))
    return metadata(new.name, volume)


@router.get("/volumes/{name}", responses=answers(VolumeFacts), dependencies=[Reads])
def get_volume(name: Name, volume: Served) -> dict[str, Any]:
    """What a volume is."""
    return metadata(name, volume)


@router.get("/volumes/{name}/revision", dependencies=[Reads])
def get_revision(volume: Served, at: Annotated[datetime | None, Query(description="a time, ISO 8601")] = None,
                 ) -> dict[str, Any]:  # fmt: skip
    """The newest revision, or the one that was the newest at a time."""
    return {"revision": volume.at(at).revision}


@router.delete("/volumes/{name}", status_code=status.HTTP_204_NO_CONTENT, dependencies=[Administers])
def delete_volume(name: Name, shelf: Shelf, confirm: Annotated[str, Query(description="the name once more")]) -> None:
    """Remove a volume with its whole history. There is no way back."""
    if confirm != name:
        raise Problem(422, f"to delete {name!r} for good, say confirm={name}")
    shelf.delete(name)
