"""The main answers in JSON as the description of routes has them, so that clients made of it know their types.

They describe and do nothing: routes make plain dictionaries, and a test holds what a server answers against this.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

Text = Annotated[str, Field(pattern="^[0-9]{1,20}$", description="a label, as a decimal string", examples=["7"])]
Triple = tuple[int, int, int]
Corners = tuple[Triple, Triple]
Run = tuple[int, int, int, int, Text]

BINARY = {"schema": {"type": "string", "format": "binary"}}


class ScaleFacts(TypedDict):
    shape: Triple
    factors: Triple


class VolumeFacts(TypedDict):
    """What a volume is."""

    name: str
    id: str
    revision: int
    shape: Triple
    chunks: Triple
    voxel_size: tuple[float, float, float]
    unit: str
    dtype: str
    mode: str
    scales: list[ScaleFacts]
    views: list[str]


class VolumesFacts(TypedDict):
    """All volumes; `failing` says of those that cannot be opened why."""

    volumes: list[VolumeFacts]
    failing: dict[str, str]


class ExtentFacts(TypedDict):
    """Where voxels are."""

    voxels: int
    box: Corners | None
    chunks: list[Triple]


LabelFacts = TypedDict(
    "LabelFacts",
    {"label": Text, "class": str | None, "parent": Text, "name": str | None, "voxels": int, "box": Corners | None,
     "attributes": dict[str, Any]},
)  # fmt: skip


class WholeLabelFacts(LabelFacts):
    """An object, with what lies in it and what it is made of."""

    children: list[Text]
    ancestors: list[Text]
    fragments: list[Text]
    own: ExtentFacts
    whole: ExtentFacts


class LabelsFacts(TypedDict):
    """A page of objects: `next` is the `after` of the page after it; `total` is told with the first page only."""

    labels: list[LabelFacts]
    next: Text | None
    total: int | None
    revision: int


class CommitFacts(TypedDict):
    """Who did what, when and why."""

    revision: int
    kind: Literal["create", "edit", "undo", "redo", "revert"]
    author: str
    session: str | None
    time: str
    message: str
    voxels: int
    written: int
    left_alone: int
    targets: list[int]
    live: bool


class WholeCommitFacts(CommitFacts):
    """A commit, and where it changed which labels; null where there are too many to list."""

    boxes: list[Corners]
    labels: list[Text] | None
    said: bool


class WrittenFacts(TypedDict):
    """What writing a box did."""

    revision: int | None
    voxels: int
    written: int


class HistoryFacts(TypedDict):
    """A page of commits, newest first: `next` is the `until` of the page after it."""

    commits: list[CommitFacts]
    next: int | None


class EditFacts(TypedDict):
    """What an edit did, or in a dry run would do."""

    labels: dict[str, Text]
    made: list[Text]
    results: list[Any]
    revision: NotRequired[int | None]
    voxels: NotRequired[int]
    written: NotRequired[int]
    boxes: NotRequired[list[Corners]]
    changed: NotRequired[list[Text] | None]
    runs: NotRequired[list[Run] | None]
    refused: NotRequired[list[Run] | None]
    at: NotRequired[int]
    trial: NotRequired[str | None]


def like(*examples: dict[str, Any]) -> ConfigDict:
    """What is true of a body of JSON: it has no fields but the declared ones, and OpenAPI shows some examples."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": list(examples)})


def takes(*kinds: str) -> dict[str, Any]:
    """What OpenAPI is told of a route that reads the bytes of a body itself."""
    return {"requestBody": {"required": True, "content": dict.fromkeys(kinds, BINARY)}}


def in_parts(name: str) -> dict[str, Any]:
    """What OpenAPI is told of a route that takes an object of JSON with arrays beside it, as one body of many parts."""
    schema = {"type": "object", "properties": {"json": {"$ref": f"#/components/schemas/{name}"}},
              "required": ["json"], "additionalProperties": BINARY["schema"],
              "description": "the first part is the JSON (application/json); others are arrays in the media types of "
              "voxels, or spans as integers (n, 4), raw or npy, which it names by their Content-ID"}  # fmt: skip
    return {"requestBody": {"content": {"multipart/related": {"schema": schema}}}}


def answers(facts: Any, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI is told of a route that answers with these."""
    return {status: {"model": facts}}
