"""The chunk codec for Zarr v3: any Zarr program with labelog installed reads a volume's base, or writes its own arrays.

Registered as `labelog.runs` by an entry point; it stands in place of `bytes` as an array's only codec. Chunks of
unsigned and signed integer arrays of one to three dimensions; chunks written through Zarr belong to no volume.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from labelog.errors import Invalid, Unsupported
from labelog.geometry import Grid, Triple
from labelog.kernels.runs import Runs
from labelog.storage.base import pack, unpack
from labelog.storage.layout import CODEC

try:
    from zarr.abc.codec import ArrayBytesCodec
except ImportError as error:
    raise Unsupported('the Zarr codec needs zarr-python 3: pip install "labelog[zarr]"') from error

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NOBODY = bytes(16)


@dataclass(frozen=True)
class RunsCodec(ArrayBytesCodec):
    """Labels as compressed runs; see docs/format.md."""

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        if data.get("name", CODEC) != CODEC or data.get("configuration"):
            raise Invalid(f"{CODEC} takes no configuration, found {data}")
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return {"name": CODEC, "configuration": {}}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raises Invalid for arrays that are not of integers or have more than three dimensions."""
        native = dtype.to_native_dtype()
        if native.kind not in "iu" or not 1 <= len(shape) <= 3:
            raise Invalid(f"{CODEC} holds integer arrays of 1 to 3 dimensions, not {native} of {len(shape)}")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError("what labels compress to is not known before")

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        shape = _three(chunk_spec.shape)
        data = chunk_bytes.to_bytes()
        labels = unpack(data, shape, f"a chunk of {len(data)} bytes").runs.dense()
        native: Any = chunk_spec.dtype.to_native_dtype()
        if labels.max() > np.iinfo(native).max:
            raise Invalid(f"label {labels.max()} does not fit into {native}")
        array: Any = labels.astype(native).reshape(chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(array)

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        array = chunk_array.as_numpy_array().reshape(_three(chunk_spec.shape))
        data = pack(Runs.from_dense(np.asarray(array)), NOBODY, (0, 0, 0), 0)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)


def _three(shape: tuple[int, ...]) -> Triple:
    """A chunk's shape with leading axes of one voxel, within the limits of a chunk."""
    padded = (1,) * (3 - len(shape)) + tuple(shape)
    return Grid.of(padded, padded).chunks
