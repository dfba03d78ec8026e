"""Voxels as they are drawn, in JSON: masks, spans, polygons, brush strokes."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

import labelog
from labelog_server.names import Names, Voxel
from labelog_server.wire import decode, decode_rows

Span = tuple[int, int, int, int]

MOST_VALUES = 2**22  # spans of one operation
MOST_POINTS = 100_000  # of a stroke


class Mask(BaseModel):
    """Which voxels of a box: bits, or those that are not 0 in a part of the request."""

    model_config = ConfigDict(extra="forbid")
    at: Voxel
    shape: Voxel
    bits: str | None = Field(
        None, max_length=2**27,
        description="base64 of ceil(voxels / 8) bytes, C order: the first voxel in the highest bit of the first byte",
    )  # fmt: skip
    part: str | None = Field(None, description="instead: the Content-ID of voxels in one of their media types")

    def array(self, names: Names) -> NDArray[Any]:
        count = names.voxels(self.shape, 1 if self.part is None else 8)
        if (self.bits is None) == (self.part is None):
            raise labelog.Invalid("a mask has bits or a part")
        if self.bits is None:
            sent = names.part(self.part or "")
            return decode(sent.data, sent.media_type, self.shape, sent.dtype)
        try:
            data = base64.b64decode(self.bits, validate=True)
        except (binascii.Error, ValueError) as error:
            raise labelog.Invalid(f"the mask's bits are not base64: {error}") from None
        if len(data) != -(-count // 8):
            raise labelog.Invalid(f"a mask of shape {self.shape} has {-(-count // 8)} bytes, not {len(data)}")
        return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(bool).reshape(self.shape)


class Sent(BaseModel):
    """An array in a part of the request: spans, or voxels."""

    model_config = ConfigDict(extra="forbid")
    part: str = Field(description="the Content-ID of integers (n, 4), raw with a dtype, or npy; or of voxels")

    def array(self, names: Names) -> NDArray[Any]:
        sent = names.part(self.part)
        return decode_rows(sent.data, sent.media_type, sent.dtype)

    def voxels(self, shape: Voxel, names: Names) -> NDArray[Any]:
        """Instead of spans, voxels of a box."""
        names.voxels(shape, 8)
        sent = names.part(self.part)
        return decode(sent.data, sent.media_type, shape, sent.dtype)


Position = tuple[float, float]


class OnSlice(BaseModel):
    """Positions on a slice, along its two axes in the order z, y, x. Voxel 3 reaches from 3 to 4: its centre is 3.5."""

    model_config = ConfigDict(extra="forbid")
    axis: Literal[0, 1, 2] = Field(0, description="which the slice is across: 0 is z")
    index: int


class Polygon(OnSlice):
    """The voxels whose centre is inside, by the even-odd rule: a ring within a ring is a hole."""

    rings: list[Annotated[list[Position], Field(min_length=3)]] = Field(
        min_length=1, examples=[[[[10, 20], [10, 40], [30, 30]]]]
    )

    def rows(self, shape: Voxel) -> NDArray[np.int64]:
        return labelog.polygon(self.rings, self.axis, self.index, shape)


class Brush(OnSlice):
    """The voxels whose centre is no further from a path than a radius, in voxels."""

    path: list[Position] = Field(min_length=1, max_length=MOST_POINTS, examples=[[[10, 20], [12.5, 24]]])
    radius: float = Field(ge=0, examples=[4])

    def rows(self, shape: Voxel) -> NDArray[np.int64]:
        return labelog.brush(self.path, self.radius, self.axis, self.index, shape)
