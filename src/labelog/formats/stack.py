"""What every format reads into and writes from: a stack of slices, never all of them in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog.engine.values import is_text
from labelog.errors import Invalid
from labelog.formats.limits import check_labels, label_dtype, slab_depth, volume_shape

Colour = tuple[int, int, int, int]
"""Red, green, blue, alpha; each 0 to 255."""


@dataclass(frozen=True)
class Stack:
    """A label volume on its way in or out; or an image on its way in, then of any integers or floats.

    Attributes
    ----------
    shape : (z, y, x), voxels.
    dtype : the integer dtype of the slabs.
    slabs : called anew for each pass; yields consecutive blocks of slices, arrays (n, y, x) in z order, whose n
        sum to z. What is wrong with the file behind it is raised from here, naming file and page.
    voxel_size : (z, y, x) in `unit`, where the file says so.
    colours : label -> colour, for files that have colours. Where ids are made from distinct colours it is filled
        while the slabs are read, and complete after the last.
    changes : what reading changed, in words -> voxels: colours taken for others, masks laid over one another. Complete
        after the last slab.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    slabs: Callable[[], Iterator[NDArray[Any]]]
    voxel_size: tuple[float, float, float] | None = None
    unit: str | None = None
    colours: dict[int, Colour] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        array: NDArray[Any],
        *,
        voxel_size: tuple[float, float, float] | None = None,
        unit: str | None = None,
        colours: dict[int, Colour] | None = None,
    ) -> Stack:
        """A stack over an integer array (z, y, x), or (y, x) for one slice; anything else is Invalid."""
        array = np.asarray(array)
        if not (colours is None or isinstance(colours, Mapping)):
            raise Invalid(f"colours are a dict of labels and colours, not {colours!r}")
        shape, dtype = volume_shape(array.shape, "the array"), label_dtype(array.dtype, "the array")
        volume, depth = array.reshape(shape), slab_depth(shape, dtype)

        def slabs() -> Iterator[NDArray[Any]]:
            for z in range(0, shape[0], depth):
                yield volume[z : z + depth].astype(dtype, copy=False)

        return cls(shape, dtype, slabs, voxel_size, unit, dict(colours or {}))


def array_name(name: object) -> str:
    """The name that an array is given in a file with several, or Invalid."""
    if not is_text(name) or "\0" in str(name) or not str(name).strip("/."):
        raise Invalid(f"the name of an array in a file is a text such as 'stack', not {name!r}")
    return str(name)


VoxelSize = tuple[tuple[float, float, float] | None, str | None]


def voxel_size(sizes: Any, unit: Any) -> VoxelSize:
    """Voxel size and unit out of a file's metadata, which may be anything; None where they are not what they should."""
    try:
        z, y, x = (float(size) for size in sizes)
    except (TypeError, ValueError):
        return None, None
    if not all(0 < size < float("inf") for size in (z, y, x)):
        return None, None
    return (z, y, x), unit if isinstance(unit, str) else None


def checked(stack: Stack) -> Iterator[tuple[int, NDArray[Any]]]:
    """(z of its first slice, slab) for each slab, once it is seen to be what the stack's shape promised.

    Raises Invalid, naming the slice, if a slab has another shape or dtype or a negative label, or if the slabs hold
    more or fewer slices than the shape says.
    """
    z = 0
    for slab in stack.slabs():
        where = f"the slab at slice {z}"
        if slab.ndim != 3 or slab.shape[1:] != stack.shape[1:] or z + len(slab) > stack.shape[0]:
            raise Invalid(f"{where} has shape {slab.shape}; the stack has {stack.shape}", page=z)
        if label_dtype(slab.dtype, where) != label_dtype(stack.dtype, "the stack"):
            raise Invalid(f"{where} is of {slab.dtype}; the stack is of {stack.dtype}", page=z)
        check_labels(slab, where)
        yield z, slab
        z += len(slab)
    if z != stack.shape[0]:
        raise Invalid(f"the slabs hold {z} slices; the stack has shape {stack.shape}", page=z)


def blocks(stack: Stack, depth: int, dtype: np.dtype[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """The checked slabs cut and joined into blocks (depth, y, x) of `dtype`; the last may be shallower.

    A label that `dtype` cannot hold is Invalid, naming it and its slice.
    """
    parts: list[NDArray[Any]] = []
    first = held = 0
    for z, slab in checked(stack):
        for start in range(0, len(slab), depth):
            rest = fit(slab[start : start + depth], dtype, z + start)
            while len(rest):
                take = rest[: depth - held]
                parts.append(take)
                held, rest = held + len(take), rest[len(take) :]
                if held == depth:
                    yield first, parts[0] if len(parts) == 1 else np.concatenate(parts)
                    parts, first, held = [], first + held, 0
    if parts:
        yield first, np.concatenate(parts)


def fit(slab: NDArray[Any], dtype: np.dtype[Any], z: int) -> NDArray[Any]:
    """The slab (n, y, x), whose first slice is `z`, as `dtype`; a label that does not fit is Invalid."""
    limit = int(np.iinfo(dtype).max)
    if slab.dtype != np.bool_ and np.iinfo(slab.dtype).max > limit and int(slab.max()) > limit:
        raise _too_large(slab, z, dtype.name, limit)
    return slab.astype(dtype, copy=False)


def written_dtype(stack: Stack, known: Sequence[str], dtype: DTypeLike | None, what: str) -> np.dtype[Any]:
    """The dtype a format writes: the one asked for, or the smallest of those `known` to it that holds every label.

    Without `dtype` it takes one pass over the stack, unless the first in `known` holds all of `stack.dtype`.
    Raises Invalid if the format `what` does not know the dtype, or no dtype it knows holds the largest label.
    """
    if dtype is not None:
        try:
            wanted = np.dtype(dtype)
        except (TypeError, ValueError, SyntaxError):  # NumPy parses some texts as Python
            raise Invalid(f"{what} holds {', '.join(known)}; dtype is {dtype!r}") from None
        chosen = label_dtype(wanted, "dtype")
        if chosen.name not in known:
            raise Invalid(f"{what} holds {', '.join(known)}; dtype is {chosen}")
        return chosen
    limits = {name: int(np.iinfo(name).max) for name in known}
    top = -1
    if int(np.iinfo(stack.dtype).max) > limits[known[0]]:
        for z, slab in checked(stack):
            top = max(top, int(slab.max()))
            if top > limits[known[-1]]:
                raise _too_large(slab, z, what, limits[known[-1]], "; TIFF, HDF5, npy and JSON hold larger labels")
    return np.dtype(next(name for name in known if top <= limits[name]))


def _too_large(slab: NDArray[Any], z: int, what: str, limit: int, advice: str = "") -> Invalid:
    label, at = int(slab.max()), z + int(slab.argmax()) // (slab.shape[1] * slab.shape[2])
    return Invalid(f"label {label} in slice {at} does not fit {what}, which ends at {limit}{advice}", label=label)
