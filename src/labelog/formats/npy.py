"""NumPy's .npy, memory-mapped, and arrays in .npz, streamed. Never pickles: an array of objects is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike, NDArray

from labelog.damage import damage
from labelog.errors import Corrupt, Invalid, NotFound, Unsupported
from labelog.formats.limits import check_labels, slab_depth, volume_shape, voxel_dtype
from labelog.formats.output import new_file
from labelog.formats.stack import Stack, array_name, blocks, written_dtype

DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


def read(path: Path, *, image: bool = False) -> Stack:
    """A stack of the array [z, y, x] (or [y, x]) in a .npy file, in C or Fortran order.

    Raises Corrupt for a damaged or shortened file, Invalid for other axes, objects and, save in an image, floats.
    """
    with damage(path), open(path, "rb") as file:
        declared, fortran, found = _header(file)
        shape, dtype = volume_shape(declared, str(path)), voxel_dtype(found, str(path), image)
        volume = np.memmap(path, found, "r", file.tell(), shape, "F" if fortran else "C")
    depth = slab_depth(shape, dtype)

    def slabs() -> Iterator[NDArray[Any]]:
        for z in range(0, shape[0], depth):
            slab = np.array(volume[z : z + depth], dtype, order="C")
            if not image:
                check_labels(slab, f"{path}, slices from {z}")
            yield slab

    return Stack(shape, dtype, slabs)


def write(stack: Stack, path: Path, *, overwrite: bool = False, dtype: DTypeLike | None = None) -> None:
    """Write a .npy in C order; `dtype` is the stack's unless given. Raises Exists, OutOfSpace, NotFound, Invalid."""
    stored = written_dtype(stack, DTYPES, stack.dtype if dtype is None else dtype, "npy")
    with new_file(path, overwrite=overwrite) as temporary, open(temporary, "xb") as file:
        _write(file, stack, stored)


def read_npz(path: Path, *, name: str | None = None, image: bool = False) -> Stack:
    """A stack of the array `name` in a .npz file, or of the only one that is 3D and of integers (an image: or floats).

    Raises NotFound for a name that is not there, Invalid if none was given and several could be meant, Corrupt,
    Unsupported for Fortran order.
    """
    headers: dict[str, tuple[tuple[int, ...], bool, np.dtype[Any]]] = {}
    with damage(path), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    headers[member.removesuffix(".npy")] = _header(file)
        chosen = _choose(headers, name, path, image)
        declared, fortran, found = headers[chosen]
        where = f"{path}, array {chosen!r}"
        shape, dtype = volume_shape(declared, where), voxel_dtype(found, where, image)
        if fortran:
            raise Unsupported(f"{where} is in Fortran order; save it with numpy.ascontiguousarray, or as .npy")
    depth = slab_depth(shape, dtype)

    def slabs() -> Iterator[NDArray[Any]]:
        with damage(path):
            archive = zipfile.ZipFile(path)
            file = archive.open(f"{chosen}.npy")
        with archive, file:
            with damage(path):
                _header(file)
            for z in range(0, shape[0], depth):
                with damage(path, z):
                    slab = _read_exactly(file, (min(depth, shape[0] - z), *shape[1:]), found).astype(dtype, copy=False)
                if not image:
                    check_labels(slab, f"{where}, slices from {z}")
                yield slab
            with damage(path):
                if file.read(1):  # also makes zipfile compare the checksum
                    raise Corrupt(f"{where}: bytes follow the array of shape {shape}", path=str(path))

    return Stack(shape, dtype, slabs)


def write_npz(
    stack: Stack, path: Path, *, overwrite: bool = False, name: str = "labels", dtype: DTypeLike | None = None
) -> None:
    """Write a compressed .npz of one array, `name`. Raises as `write`."""
    name = array_name(name)
    stored = written_dtype(stack, DTYPES, stack.dtype if dtype is None else dtype, "npz")
    with (
        new_file(path, overwrite=overwrite) as temporary,
        zipfile.ZipFile(temporary, "x", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as file,
    ):
        _write(file, stack, stored)


def _write(file: IO[bytes], stack: Stack, dtype: np.dtype[Any]) -> None:
    header = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": stack.shape}
    npy_format.write_array_header_1_0(file, header)
    for _, block in blocks(stack, slab_depth(stack.shape, dtype), dtype):
        file.write(np.ascontiguousarray(block).data)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy_format.read_magic(file)
    if version != (1, 0):  # later ones are for records, and their headers may declare 4 GB of themselves
        raise ValueError(f"expected version (1, 0) of .npy; found {version}")
    return npy_format.read_array_header_1_0(file)


def _choose(headers: dict[str, tuple[tuple[int, ...], bool, np.dtype[Any]]], name: str | None, path: Path,
            image: bool) -> str:  # fmt: skip
    if name is not None:
        if name not in headers:
            raise NotFound(f"{path} has no array {name!r}, but {', '.join(headers) or 'none'}", path=str(path))
        return name
    kinds, values = ("uibf", "numbers") if image else ("uib", "integers")
    likely = [key for key, (shape, _, dtype) in headers.items() if len(shape) == 3 and dtype.kind in kinds]
    if len(likely) != 1:
        listed = ", ".join(f"{key} {shape} {dtype}" for key, (shape, _, dtype) in list(headers.items())[:8])
        raise Invalid(f"{path}: expected one 3D array of {values}; found {listed or 'none'}; name one with name=")
    return likely[0]


def _read_exactly(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The next slices, grown as bytes arrive, so that what is missing is never allocated."""
    wanted = int(np.prod(shape)) * dtype.itemsize
    data = bytearray()
    while len(data) < wanted:
        piece = file.read(min(wanted - len(data), 2**24))
        if not piece:
            raise ValueError(f"it ends {wanted - len(data)} bytes before the array does")
        data += piece
    return np.frombuffer(data, dtype).reshape(shape)
