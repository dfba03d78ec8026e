"""The codec for Zarr v3: any Zarr program with labelog installed writes its own arrays, or reads a volume's base.

Registered as `labelog.runs` by an entry point; it stands in place of `bytes`, as the serializer. What it writes are
plain arrays; it also reads the chunks of volumes.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Corrupt, Invalid, Unsupported
from labelog.geometry import MAX_CHUNK
from labelog.storage.array_bytes import AXES, pack_array, unpack_array
from labelog.storage.base import unpack
from labelog.storage.layout import CHUNK_MAGIC, CODEC

try:
    from zarr.abc.codec import ArrayBytesCodec
except ImportError as error:
    raise Unsupported('the Zarr codec needs zarr-python 3: pip install "labelog[zarr]"') from error

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer


@dataclass(frozen=True)
class RunsCodec(ArrayBytesCodec):
    """Labels as compressed runs; see docs/codec.md."""

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        if data.get("name", CODEC) != CODEC or data.get("configuration"):
            raise Invalid(f"{CODEC} takes no configuration, found {data}")
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return {"name": CODEC, "configuration": {}}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raises Invalid unless it is an array of integers or bool in 1 to 4 dimensions, in chunks not too large."""
        native = dtype.to_native_dtype()
        if native.kind not in "biu" or not 1 <= len(shape) <= AXES:
            raise Invalid(f"{CODEC} holds arrays of integers or bool in 1 to {AXES} dimensions, "
                          f"not {native} in {len(shape)}")  # fmt: skip
        chunk = getattr(chunk_grid, "chunk_shape", ())
        if math.prod(chunk[-3:]) > MAX_CHUNK:
            raise Invalid(f"{CODEC} holds chunks of at most {MAX_CHUNK} voxels along the last three axes, not {chunk}")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError("what labels compress to is not known before")

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        data, shape = chunk_bytes.to_bytes(), tuple(chunk_spec.shape)
        place = f"a chunk of {len(data)} bytes"
        array: Any = _of_volume(data, shape, place) if data[:4] == CHUNK_MAGIC else unpack_array(data, place)
        native: Any = chunk_spec.dtype.to_native_dtype()
        if array.shape != shape or array.dtype.newbyteorder("=") != native.newbyteorder("="):
            raise Corrupt(f"{place} is not of this array: expected {native} of shape {shape}, "
                          f"found {array.dtype} of {array.shape}")  # fmt: skip
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(array.astype(native, copy=False))

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        array = chunk_array.as_numpy_array()
        if math.prod(array.shape[:3]) > MAX_CHUNK:  # the last three axes are those that `validate` has measured
            array = np.ascontiguousarray(array)
        return chunk_spec.prototype.buffer.from_bytes(pack_array(array))

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)


def _of_volume(data: bytes, shape: tuple[int, ...], place: str) -> NDArray[np.uint64]:
    if len(shape) != 3:
        raise Corrupt(f"{place} is a volume's, with three axes; the array's chunks have {len(shape)}")
    return unpack(data, (shape[0], shape[1], shape[2]), place).runs.dense()
