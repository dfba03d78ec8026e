"""HDF5: a dataset [z, y, x] of integers, `stack` unless named otherwise, read and written slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog.damage import damage
from labelog.errors import Invalid, NotFound, Unsupported
from labelog.extras import extra
from labelog.formats.hdf5_sink import Sink
from labelog.formats.limits import (
    DEFLATE_RATIO,
    MAX_SLICE,
    SLAB_BYTES,
    check_labels,
    check_stored,
    slab_depth,
    volume_shape,
    voxel_dtype,
)
from labelog.formats.output import new_file
from labelog.formats.stack import Stack, VoxelSize, array_name, blocks, voxel_size, written_dtype

DATASET = "stack"
CHUNK = (16, 256, 256)
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


def read(path: Path, *, dataset: str | None = None, image: bool = False) -> Stack:
    """A stack of the dataset named, or `stack`, or the only one that is 3D and of integers (an image: or floats).

    The voxel size is taken from the dataset's attributes `voxel_size` and `unit`, or `element_size_um`.
    Raises NotFound for a dataset that is not there, Invalid if none was named and several could be meant, or it has
    other axes or floats, Unsupported for data kept in other files and a missing extra or filter, Corrupt.
    """
    h5py = extra("h5py", "hdf5")
    with damage(path), h5py.File(path, "r") as file:
        name = _name(file, dataset, path, h5py, image)
        where = f"{path}, dataset {name!r}"
        shape, dtype = volume_shape(file[name].shape, where), voxel_dtype(file[name].dtype, where, image)
        _check_storage(file[name], shape, where, h5py)
        layers = file[name].chunks[0] if file[name].chunks and file[name].ndim == 3 else 1
        size, unit = _voxel_size(file[name])
    depth = slab_depth(shape, dtype, most=max(layers, 16))
    if depth < layers and layers * shape[1] * shape[2] * dtype.itemsize <= 4 * SLAB_BYTES:
        depth = layers  # a chunk is decompressed once if a slab holds whole ones
    depth -= depth % layers if depth > layers else 0

    def slabs() -> Iterator[NDArray[Any]]:
        with damage(path):
            file = h5py.File(path, "r")
        with file:
            for z in range(0, shape[0], depth):
                with damage(path, z):
                    source = file[name]
                    block = source[z : z + depth] if source.ndim == 3 else source[()][np.newaxis]
                    slab = np.asarray(block).astype(dtype, copy=False)
                if not image:
                    check_labels(slab, f"{where}, slices from {z}")
                yield slab

    return Stack(shape, dtype, slabs, size, unit)


def write(
    stack: Stack, path: Path, *, overwrite: bool = False, dataset: str = DATASET, dtype: DTypeLike | None = None
) -> None:
    """Write one dataset, gzip-compressed in chunks, with attributes `voxel_size` and `unit` where they are known.

    `dtype` is the stack's unless given. Raises Exists, OutOfSpace, NotFound for a missing folder, Invalid for a label
    that does not fit.
    """
    h5py = extra("h5py", "hdf5")
    dataset = array_name(dataset)
    stored = written_dtype(stack, DTYPES, stack.dtype if dtype is None else dtype, "HDF5")
    depth = slab_depth(stack.shape, stored, most=CHUNK[0])
    chunks = (depth, min(CHUNK[1], stack.shape[1]), min(CHUNK[2], stack.shape[2]))
    with new_file(path, overwrite=overwrite) as temporary, closing(Sink(temporary)) as sink:
        with h5py.File(sink, "w", rdcc_nbytes=0) as file:  # without a cache, as chunks are written whole
            target = file.create_dataset(dataset, stack.shape, stored, chunks=chunks, compression="gzip", shuffle=True)
            for z, block in blocks(stack, depth, stored):
                target[z : z + len(block)] = block
                sink.check()
            if stack.voxel_size is not None:
                target.attrs["voxel_size"] = stack.voxel_size
            if stack.unit is not None:
                target.attrs["unit"] = np.bytes_(stack.unit.encode())
        sink.check()


def read_bodies(path: Path, dataset: str = "transforms") -> dict[int, int]:
    """The table fragment -> body of a dataset with two columns, as beside FIB-25's segmentations.

    Raises NotFound, Invalid for what is no such table or has a fragment in two bodies, Corrupt.
    """
    h5py = extra("h5py", "hdf5")
    with damage(path), h5py.File(path, "r") as file:
        if dataset not in file:
            raise NotFound(f"{path} has no dataset {dataset!r}; it has {', '.join(file)}")
        table = file[dataset]
        where = f"{path}, dataset {dataset!r}"
        if getattr(table, "ndim", 0) != 2 or table.shape[1] != 2 or table.dtype.kind not in "iu":
            raise Invalid(f"{where}: expected rows of fragment and body, whole numbers; found {table}")
        _check_storage(table, table.shape, where, h5py)
        rows = table[:]
    check_labels(rows, where)
    bodies = dict(rows.tolist())
    if len(bodies) < len(np.unique(rows, axis=0)):
        raise Invalid(f"{where}: a fragment is in two bodies")
    return bodies


def _name(file: Any, wanted: str | None, path: Path, h5py: Any, image: bool) -> str:
    """The name of the dataset to read, which is in this file."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)  # follows neither soft nor external links
    if wanted is not None:
        if wanted.strip("/") not in found:
            raise NotFound(f"{path} has no dataset {wanted!r}, but {', '.join(found) or 'none'}", path=str(path))
        return wanted.strip("/")
    kinds, values = ("uibf", "numbers") if image else ("uib", "integers")
    likely = [name for name, item in found.items() if item.ndim == 3 and item.dtype.kind in kinds]
    if DATASET in likely or len(likely) == 1:
        return DATASET if DATASET in likely else likely[0]
    listed = ", ".join(f"{name} {item.shape} {item.dtype}" for name, item in list(found.items())[:8])
    raise Invalid(
        f"{path}: expected one 3D dataset of {values}; found {len(likely)} among: {listed or 'no datasets'}; "
        "name one with dataset=",
        path=str(path),
    )


def _check_storage(source: Any, shape: tuple[int, int, int], where: str, h5py: Any) -> None:
    """Refuse data outside this file, filters that are not installed, and sizes its bytes cannot fill."""
    if source.external or source.is_virtual:
        raise Unsupported(f"{where}: its voxels are in other files; copy them into one")
    plist = source.id.get_create_plist()
    for index in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(index)
        if not h5py.h5z.filter_avail(code):
            raise Unsupported(f"{where}: filter {name.decode(errors='replace') or code} is not installed")
    if source.chunks and int(np.prod(source.chunks, dtype=float)) > MAX_SLICE:
        raise Invalid(f"{where}: chunks of {source.chunks} voxels; at most {MAX_SLICE} in a chunk are read")
    if not source.chunks:
        stored, declared = source.id.get_storage_size(), source.size * source.dtype.itemsize
        if stored:  # none is stored where all voxels have the fill value
            check_stored(declared, stored, 1, where)
    elif source.compression == "gzip" and source.id.get_num_chunks() > 0:
        chunk = int(np.prod(source.chunks)) * source.dtype.itemsize
        check_stored(source.id.get_num_chunks() * chunk, source.id.get_storage_size(), DEFLATE_RATIO, where)


def _voxel_size(source: Any) -> VoxelSize:
    """From the dataset's attributes, if they are of fixed length.

    Others lie in HDF5's global heap, and HDF5 2.0 loops for ever on one whose length is damaged.
    """
    found = {}
    for name in ("voxel_size", "unit", "element_size_um"):
        if name in source.attrs:
            attribute = source.attrs.get_id(name)
            if attribute.dtype.kind in "iufS" and len(attribute.shape) <= 1 and attribute.get_storage_size() <= 1024:
                found[name] = source.attrs[name]
    if "element_size_um" in found and "voxel_size" not in found:
        return voxel_size(found["element_size_um"], "um")
    unit = found.get("unit")
    return voxel_size(found.get("voxel_size"), unit.decode(errors="replace") if isinstance(unit, bytes) else None)
