"""The codec for numcodecs, and so for Zarr v2 and whatever else takes numcodecs.

Registered as `labelog.runs` by an entry point. It takes arrays, not flat bytes: the bytes say dtype, shape and order.
"""

from __future__ import annotations

from typing import Any, Self

from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_ndarray, ndarray_copy

from labelog.errors import Invalid
from labelog.storage.array_bytes import pack_array, unpack_array
from labelog.storage.layout import CODEC


class RunsNumcodec(Codec):  # type: ignore[misc]
    """Arrays of integers or bool in 1 to 4 dimensions as compressed runs."""

    codec_id = CODEC

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The codec. Raises Invalid for a configuration that is not empty."""
        if config:
            raise Invalid(f"{CODEC} takes no configuration, found {config}")
        return cls()

    def encode(self, buf: Any) -> bytes:
        """The bytes of an array. Raises Invalid for other dtypes, and for more than 4 dimensions."""
        return pack_array(ensure_ndarray(buf))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array, or `out` with its voxels, in the order in which they lie in the array that was encoded.

        Raises Corrupt for damaged bytes, and Invalid for an `out` of another size.
        """
        data = ensure_bytes(buf)
        array = unpack_array(data, f"a buffer of {len(data)} bytes")
        if out is not None and memoryview(out).nbytes != array.nbytes:
            raise Invalid(f"expected a buffer of {array.nbytes} bytes for {array.dtype} of shape {array.shape}, "
                          f"found one of {memoryview(out).nbytes}")  # fmt: skip
        return ndarray_copy(array, out)
