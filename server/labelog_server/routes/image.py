"""The EM image under the labels: slices and boxes at any scale, windowed to 8 bits if that is asked for."""

from __future__ import annotations

import io
import re
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response

import labelog
from labelog.geometry import Box
from labelog.image import Image
from labelog_server import wire
from labelog_server.access import Reads
from labelog_server.answers import CHANGES, answer, not_modified, of_bytes, refuse_other
from labelog_server.asked import Served
from labelog_server.problems import Problem
from labelog_server.routes.voxels import Around, Axis, Format, Part, accepted, pictured, refuse_many, slice_box
from labelog_server.wire import NPY, PNG, RAW, SHORT, Voxels

router = APIRouter(prefix="/api/v1", tags=["image"])

KINDS = (NPY, RAW, PNG)

Window = Annotated[str | None, Query(description="low,high: these become 0 and 255, and what is between in proportion")]


def pictures(
    served: Served, rev: Annotated[int | None, Query(ge=0)] = None, scale: Annotated[int, Query(ge=0)] = 0
) -> Image:
    """The image, at a scale: 0 is the finest."""
    return served.at(rev).image.scale(scale)


Picture = Annotated[Image, Depends(pictures)]


@router.get("/volumes/{name}/image", dependencies=[Reads])
def get_image(served: Served, rev: Annotated[int | None, Query(ge=0)] = None) -> dict[str, Any]:
    """What the image is: its dtype, and the shape of each scale. 404 if the volume has none."""
    image = served.at(rev).image
    scales = [{"shape": scale.shape, "chunks": scale.chunks, "voxel_size": scale.voxel_size, "unit": scale.unit,
               "translation": scale.translation} for scale in image.scales]  # fmt: skip
    return {"dtype": image.dtype.name, "kind": image.kind, "scales": scales}


@router.get("/volumes/{name}/image/slices/{axis}/{index}", response_class=Response, dependencies=[Reads])
def get_image_slice(request: Request, image: Picture, axis: Axis, index: int, box: Part = None,
                    around: Around = 0, window: Window = None, format: Format = None) -> Response:  # fmt: skip
    """A slice, or a part of it, in voxels of the scale."""
    return pixels(request, image, slice_box(image.shape, axis, index, box, around), window, format)


@router.get("/volumes/{name}/image/voxels", response_class=Response, dependencies=[Reads])
def get_image_box(request: Request, image: Picture, box: Part = None, window: Window = None,
                  format: Format = None) -> Response:  # fmt: skip
    """A box, in voxels of the scale."""
    return pixels(request, image, wire.box_of(box, image.shape), window, format)


def pixels(request: Request, image: Image, box: Box, window: str | None, short: str | None) -> Response:
    """The image in a box, in the media type that the client likes best."""
    refuse_many(request, box, image.dtype)
    bounds = window_of(window)
    kind = SHORT[short] if short else accepted(request.headers.get("accept", "*/*"), KINDS)
    if kind not in KINDS:
        raise Problem(406, f"images are sent as {', '.join(KINDS)}, not as {kind}")
    headers = {
        "Cache-Control": CHANGES, "Vary": "Accept", "Labelog-Box": wire.spelled(box),
        "Labelog-Shape": ",".join(map(str, box.shape)), "Labelog-Dtype": "uint8" if bounds else image.dtype.name,
    }  # fmt: skip
    values = image.read(box) if bounds is None else windowed(image.read(box), *bounds)
    body = _png(pictured(values, box)) if kind == PNG else wire.encode(values, kind, {})
    tag = of_bytes(body)  # whoever owns the image may change it where it lies
    refuse_other(request, tag)
    return not_modified(request, tag, headers) or answer(request, body, kind, tag, headers)


def window_of(text: str | None) -> tuple[float, float] | None:
    """Two numbers, the first the lower. Raises Invalid."""
    if text is None:
        return None
    number = r"\s*(-?\d+(?:\.\d+)?)\s*"
    found = re.fullmatch(f"{number},{number}", text)
    if found is None:
        raise labelog.Invalid(f"a window is two numbers, low,high; found {text!r}")
    if not float(found[1]) < float(found[2]):
        raise labelog.Invalid(f"a window is low,high, the first below the second; found {text!r}")
    return float(found[1]), float(found[2])


def windowed(values: Voxels, low: float, high: float) -> Voxels:
    """Values as uint8: `low` and below are 0, `high` and above 255."""
    scaled = (values.astype(np.float32) - low) * (255 / (high - low))
    found: Voxels = np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)
    return found


def _png(values: Voxels) -> bytes:
    from PIL import Image as Pillow

    if values.dtype not in (np.uint8, np.uint16):
        raise labelog.Invalid(f"a picture of {values.dtype} needs a window=low,high, which makes 8 bits of it")
    out = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(values)).save(out, "PNG", compress_level=1)
    return out.getvalue()
