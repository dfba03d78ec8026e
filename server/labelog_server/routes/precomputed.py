"""Volumes and images for Neuroglancer, and whoever reads what it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Request, Response

from labelog.engine.mesh import placed
from labelog.engine.snapshot import View
from labelog.extras import extra
from labelog.image import Image
from labelog_server import precomputed
from labelog_server.access import Reads
from labelog_server.answers import CHANGES, answer, etag, not_modified, of_bytes, refuse_other
from labelog_server.asked import Served
from labelog_server.mesher import Mesher
from labelog_server.wire import RAW

router = APIRouter(prefix="/precomputed", tags=["precomputed"])

ViewName = Annotated[str, Path(description="instance, fragment, semantic, or the name of a class")]
Key = Annotated[str, Path(description="s0 is the finest scale", examples=["s0"])]
Chunk = Annotated[str, Path(description="x0-x1_y0-y1_z0-z1", examples=["0-64_0-64_0-16"])]


def shown(served: Served, view: ViewName) -> View:
    return served.at().view(view, dtype=np.uint64)


def pictured(served: Served) -> Image:
    return served.at().image


Shown = Annotated[View, Depends(shown)]
Picture = Annotated[Image, Depends(pictured)]


@router.get("/{name}/image/info", response_class=Response, dependencies=[Reads])
def image_info(request: Request, served: Served, image: Picture) -> Response:
    """What the image is. 404 if the volume has none."""
    return _document(request, precomputed.image_document(served, image))


@router.get("/{name}/image/{scale}/{chunk}", response_class=Response, dependencies=[Reads])
def image_chunk(request: Request, image: Picture, scale: Key, chunk: Chunk) -> Response:
    """A chunk of the image: raw, x fastest."""
    level = image.scale(precomputed.scale_named(scale, len(image.scales)))
    box = precomputed.box_named(chunk, precomputed.grid_of(level))
    return _whole(request, RAW, precomputed.image_chunk(level, box))


@router.get("/{name}/{view}/info", response_class=Response, dependencies=[Reads])
def info(request: Request, seen: Shown) -> Response:
    """What a view is."""
    return _document(request, precomputed.labels_document(seen))


@router.get("/{name}/{view}/segment_properties/info", response_class=Response, dependencies=[Reads])
def segment_properties(request: Request, seen: Shown) -> Response:
    """Names, classes, parents and sizes of the objects of a view."""
    tag = etag(_digest(repr((seen.volume.id, seen.revision, seen.name)).encode()))
    return _sent(request, tag, "application/json", lambda: _json(precomputed.properties_document(seen)))


@router.get("/{name}/{view}/mesh/info", response_class=Response, dependencies=[Reads])
def mesh_info(request: Request, seen: Shown) -> Response:
    """What meshes are. 501 without zmesh."""
    extra("zmesh", "meshes")
    return _document(request, {"@type": "neuroglancer_legacy_mesh"})


@router.get("/{name}/{view}/mesh/{label}:0", response_class=Response, dependencies=[Reads])
def mesh_manifest(request: Request, seen: Shown, label: str) -> Response:
    """Where the mesh of an object is: in one piece."""
    extra("zmesh", "meshes")
    placed(seen, number := precomputed.label_named(label))
    return _document(request, {"fragments": [f"{number}.mesh"]})


@router.get("/{name}/{view}/mesh/{label}.mesh", response_class=Response, dependencies=[Reads])
def mesh(request: Request, seen: Shown, label: str) -> Response:
    """The mesh of an object: vertices x, y, z in nanometres, and triangles."""
    extra("zmesh", "meshes")
    number = precomputed.label_named(label)
    level, box = placed(seen, number)
    mesher: Mesher = request.app.state.mesher
    tag = etag(level.version(box), f"{label}-{level.number}")
    return _sent(request, tag, RAW, lambda: mesher.made(seen, number))


@router.get("/{name}/{view}/{scale}/{chunk}", response_class=Response, dependencies=[Reads])
def chunk(request: Request, seen: Shown, scale: Key, chunk: Chunk) -> Response:
    """A chunk of a view: compressed_segmentation."""
    level = seen.scale(precomputed.scale_named(scale, len(seen.scales)))
    box = precomputed.box_named(chunk, precomputed.grid_of(level))
    return _sent(request, etag(level.version(box)), RAW, lambda: precomputed.labels_chunk(level, box))


def _document(request: Request, document: dict[str, Any]) -> Response:
    return _whole(request, "application/json", _json(document))


def _whole(request: Request, media_type: str, body: bytes) -> Response:
    """What is made anyway."""
    return _sent(request, of_bytes(body), media_type, lambda: body)


def _sent(request: Request, tag: str, media_type: str, make: Callable[[], bytes]) -> Response:
    """What is made only if the client has not got it."""
    headers = {"Cache-Control": CHANGES}
    refuse_other(request, tag)
    return not_modified(request, tag, headers) or answer(request, make(), media_type, tag, headers)


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
