"""`import_image`: a picture written as OME-Zarr, with its coarser scales."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Invalid
from labelog.extras import extra
from labelog.geometry import Grid, Lengths, Triple, next_factors, whole
from labelog.image.halve import halved
from labelog.image.image import Image, open_image
from labelog.image.ome import group_attributes
from labelog.progress import Progress, checked_progress
from labelog.storage.disk import checked_path, explained, flush_tree, under_construction
from labelog.storage.meta import checked_size

CHUNKS = (16, 256, 256)
"""The default chunk, as that of labels."""

SMALL = 256
"""A scale whose slices have at most this many voxels a side needs no coarser one."""

ROW_BYTES = 2**28
"""What a row of default chunks may take in memory; where slices are huge, chunks have fewer of them."""


def import_image(source: Any, folder: str | os.PathLike[str], *, voxel_size: Iterable[float] | None = None,
                 unit: str | None = None, scales: int | None = None, chunks: Iterable[int] | None = None,
                 progress: Progress | None = None) -> Image:  # fmt: skip
    """Write an image as OME-Zarr 0.5 (Zarr 3, Blosc with Zstandard, a checksum on each chunk), with coarser scales.

    At most a row of chunks is held in memory. Each scale halves the axes along which voxels are smallest, by the mean,
    so that voxels become cubes and then stay so.

    Parameters
    ----------
    source : an array (z, y, x) of integers or floats that gives NumPy arrays when sliced (NumPy, Zarr, an `Image`), or
        an iterable of slabs: arrays (n, y, x), consecutive along z, of any n and one dtype.
    folder : where the image shall be; nothing may be there. It is complete or absent.
    voxel_size : along z, y, x, in `unit` (nm, um, mm, m, angstrom); an `Image` may bring its own.
    scales : how many at most, the finest included; by default until slices have 256 x 256 voxels or less.
    chunks : voxels of a chunk along z, y, x; by default 16, 256, 256, or less where the image is smaller.
    progress : called with slices done, slices in all (0 for slabs), while the finest scale is written.

    Returns the image, opened. Raises Exists, Invalid (dtype, shape: naming the slab), Unsupported for a missing extra,
    OutOfSpace; then nothing is left behind.
    """
    checked_progress(progress)
    zarr = extra("zarr", "zarr")
    size, unit, translation = _placed(source, voxel_size, unit)
    wanted = None if chunks is None else Grid.of((1, 1, 1), chunks).chunks
    most = None if scales is None else _most(scales)
    total, slabs = _slabs(source)
    target = checked_path(folder)
    with under_construction(target) as draft, explained(target):
        group = zarr.create_group(str(draft), zarr_format=3)
        array = _finest(group, slabs, wanted, lambda done: progress(done, total) if progress else None)
        placed = [(size, translation)]
        while max(array.shape[1:]) > SMALL if most is None else len(placed) < most:
            factors = next_factors(array.shape, size)
            if max(factors) == 1:
                break
            array = _coarser(group, str(len(placed)), array, factors)
            # the centre of a voxel made of two is half a voxel further in
            translation = _each(lambda t, n, f: t + (f - 1) * n / 2, translation, size, factors)
            size = _each(lambda n, f: n * f, size, factors)
            placed.append((size, translation))
        group.attrs.put(group_attributes(placed, unit, "image"))
        flush_tree(draft)
    return open_image(folder)


def _each(function: Callable[..., float], *triples: tuple[float, float, float]) -> Lengths:
    z, y, x = (function(*values) for values in zip(*triples, strict=True))
    return z, y, x


def _placed(source: Any, voxel_size: Any, unit: str | None) -> tuple[Lengths, str, Lengths]:
    """Voxel size, unit and translation: those given, or those of an Image."""
    translation = (0.0, 0.0, 0.0)
    if voxel_size is None and isinstance(source, Image) and source.voxel_size is not None:
        voxel_size, unit, translation = source.voxel_size, unit or source.unit, source.translation
    if voxel_size is None or unit is None:
        raise Invalid("the image does not say how large its voxels are: give voxel_size= (z, y, x) and unit=")
    return checked_size(voxel_size, unit), unit, translation


def _most(scales: int) -> int:
    try:
        most = whole(scales)
    except TypeError:
        most = 0
    if not 1 <= most <= 32:
        raise Invalid(f"scales must be a whole number of 1 to 32, not {scales!r}")
    return most


def _slabs(source: Any) -> tuple[int, Iterable[NDArray[Any]]]:
    """How many slices there are (0 if that is not known), and the slabs."""
    if hasattr(source, "shape") and hasattr(source, "__getitem__"):
        shape = tuple(source.shape)
        if len(shape) != 3:
            raise Invalid(f"an image is an array (z, y, x) of one channel, not of shape {shape}")
        step = max(1, min(CHUNKS[0], ROW_BYTES // max(1, shape[1] * shape[2] * np.dtype(source.dtype).itemsize)))
        return shape[0], (np.asarray(source[z : z + step]) for z in range(0, shape[0], step))
    if not hasattr(source, "__iter__"):
        raise Invalid(f"expected an array (z, y, x) or an iterable of slabs (n, y, x), found {type(source).__name__}")
    return 0, source


def _checked(slabs: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """The slabs, seen to be of one dtype and size, in native byte order; bool as uint8."""
    first: NDArray[Any] | None = None
    for number, slab in enumerate(slabs):
        slab = np.asarray(slab)
        if slab.ndim != 3 or 0 in slab.shape:
            raise Invalid(f"slab {number}: an array (n, y, x) of one channel with voxels, not of shape {slab.shape}")
        slab = slab.astype(np.uint8 if slab.dtype.kind == "b" else slab.dtype.newbyteorder("="), copy=False)
        if slab.dtype.kind not in "uif" or slab.dtype.itemsize > 8:
            raise Invalid(f"slab {number}: expected integers or floats of at most 64 bits, found {slab.dtype}")
        first = slab if first is None else first
        if (slab.dtype, slab.shape[1:]) != (first.dtype, first.shape[1:]):
            expected = f"{first.dtype} slices of {first.shape[1:]}, as slab 0 has"
            raise Invalid(f"slab {number}: expected {expected}; found {slab.dtype} {slab.shape[1:]}")
        yield slab
    if first is None:
        raise Invalid("there are no slices to import")


def _rows(slabs: Iterable[NDArray[Any]], depth: int) -> Iterator[NDArray[Any]]:
    """The same slices, `depth` at a time; the last may be fewer."""
    parts: list[NDArray[Any]] = []
    missing = depth
    for slab in slabs:
        while len(slab):
            parts.append(slab[:missing])
            slab, missing = slab[missing:], missing - len(parts[-1])
            if not missing:
                yield np.concatenate(parts)
                parts, missing = [], depth
    if parts:
        yield np.concatenate(parts)


def _finest(group: Any, slabs: Iterable[NDArray[Any]], wanted: Triple | None, done: Callable[[int], None]) -> Any:
    """Write the slabs as array `0`, which grows with each row of chunks."""
    checked = iter(_checked(slabs))
    first = next(checked)
    depth = wanted[0] if wanted else max(1, min(CHUNKS[0], ROW_BYTES // first[0].nbytes))
    rows = _rows(itertools.chain([first], checked), depth)
    row = next(rows)
    chunks = wanted or _clipped((depth, *CHUNKS[1:]), (len(row), *row.shape[1:]))
    array = _array(group, "0", (0, *row.shape[1:]), row.dtype, chunks)
    for piece in itertools.chain([row], rows):
        start = array.shape[0]
        array.resize((start + len(piece), *row.shape[1:]))
        array[start:] = piece
        done(array.shape[0])
    return array


def _coarser(group: Any, name: str, below: Any, factors: Triple) -> Any:
    """Write the next scale, chunk by chunk, of the one below."""
    z, y, x = (-(-n // f) for n, f in zip(below.shape, factors, strict=True))
    grid = Grid((z, y, x), _clipped(below.chunks, (z, y, x)))
    array = _array(group, name, grid.shape, below.dtype, grid.chunks)
    for chunk in range(math.prod(grid.counts)):
        box = grid.box(chunk)
        finer = tuple(slice(a * f, b * f) for a, b, f in zip(*box, factors, strict=True))
        array[box.slices()] = halved(below[finer], factors)
    return array


def _clipped(chunks: Triple, shape: Triple) -> Triple:
    z, y, x = (min(c, n) for c, n in zip(chunks, shape, strict=True))
    return z, y, x


def _array(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Triple) -> Any:
    codecs = extra("zarr.codecs", "zarr")
    compressors = [codecs.BloscCodec(cname="zstd", clevel=3), codecs.Crc32cCodec()]
    return group.create_array(
        name, shape=shape, dtype=dtype, chunks=chunks, compressors=compressors, dimension_names=list("zyx")
    )
