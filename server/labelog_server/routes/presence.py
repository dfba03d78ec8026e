"""Who else is looking, and where."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from labelog_server.access import Reads, Writer
from labelog_server.asked import Name, Served
from labelog_server.facts import like
from labelog_server.presence import Presence

router = APIRouter(prefix="/api/v1", tags=["presence"])

Text = Annotated[str, Field(max_length=200)]


class Place(BaseModel):
    """Where a session is."""

    model_config = like(
        {"session": "window 3", "at": [10, 100.5, 220], "view": "cell", "label": "7", "seconds": 30}
    ) | ConfigDict(allow_inf_nan=False)
    session: Text = Field(min_length=1, description="the window or program", examples=["window 3"])
    at: tuple[float, float, float] | None = Field(None, description="the cursor, or the middle of what is shown")
    box: tuple[tuple[int, int, int], tuple[int, int, int]] | None = Field(None, description="what is shown")
    view: Text | None = None
    label: Annotated[str, Field(pattern="^[0-9]{1,20}$")] | None = Field(None, description="what is worked at")
    seconds: float = Field(30, ge=0, le=300, description="how long this holds; 0 says that the session has left")


@router.put("/volumes/{name}/presence", status_code=204, response_class=Response, dependencies=[Reads])
def put_presence(request: Request, name: Name, place: Place, volume: Served, author: Writer) -> Response:
    """Say where a session is. Say so again before it expires; streams of events tell the others."""
    del volume  # it is there
    facts = place.model_dump(exclude={"session", "seconds"}, exclude_none=True)
    known: Presence = request.app.state.presence
    known.put(name, author, place.session, facts, place.seconds)
    return Response(status_code=204)


@router.get("/volumes/{name}/presence", dependencies=[Reads])
def get_presence(request: Request, name: Name, volume: Served) -> dict[str, Any]:
    """Who is there now."""
    del volume
    return {"volume": name, "present": request.app.state.presence.of(name)}
