"""JSON run-length dictionaries: for each label other than 0, the voxels it covers.

    {".info": {"shape": [z, y, x], "dtype": "int64"}, "1": "1 3 10 3", "7": "5 1"}

A value is pairs of start and length, starts counted from 1 over the flattened volume, x fastest. So memory is
taken by the runs that are in the file, never by the shape it declares, save for the slab being read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, get_args

import numpy as np
from numpy.typing import NDArray

from labelog.damage import damage
from labelog.errors import Corrupt, Invalid
from labelog.formats.limits import label_dtype, slab_depth, volume_shape
from labelog.formats.output import new_file
from labelog.formats.overlap import Overlap, joined, laid_over
from labelog.formats.raster import run_lengths, run_starts
from labelog.formats.stack import Stack, VoxelSize, checked, fit, voxel_size

INFO = ".info"
TEXT_RUNS = 2**16  # runs turned to text at a time


def read(path: Path, *, overlap: Overlap | None = None) -> Stack:
    """A stack of the dictionary at `path`; its runs, 24 bytes each, stay in memory as long as the stack does.

    Parameters
    ----------
    overlap : whose a voxel is that several masks cover: "last", the mask that is last in the file; "smallest", the
        one of fewest voxels; "deepest", the one that lies wholly in the others, where two that overlap otherwise are
        Invalid. By default masks that overlap are. The stack's `changes` say how many voxels were given to whom.

    Raises Corrupt for what is not such a dictionary; Invalid for a dtype that is not of integers or does not hold a
    label, for runs outside the volume, and for masks that overlap, naming both labels and the voxel.
    """
    with damage(path), open(path, "rb") as file:
        masks = json.load(file, object_pairs_hook=_unique)
    if not isinstance(masks, dict):
        raise Corrupt(f"{path}: expected a dictionary of runs; found {type(masks).__name__}", path=str(path))
    shape, dtype, about = _info(masks.pop(INFO, None), path)
    if overlap not in (None, *get_args(Overlap)):
        raise Invalid(f"overlap: expected {', '.join(get_args(Overlap))}; found {overlap!r}")
    changes: dict[str, int] = {}
    starts, ends, labels = _runs(masks, shape, dtype, path, overlap, changes)
    plane, depth = shape[1] * shape[2], slab_depth(shape, dtype)

    def slabs() -> Iterator[NDArray[Any]]:
        for z in range(0, shape[0], depth):
            first, last = z * plane, min(z + depth, shape[0]) * plane
            here = slice(np.searchsorted(ends, first, "right"), np.searchsorted(starts, last, "left"))
            slab = _expand(starts[here].clip(first), ends[here].clip(None, last), labels[here], first, last)
            yield slab.reshape(-1, shape[1], shape[2])

    return Stack(shape, dtype, slabs, *about, changes=changes)


def write(stack: Stack, path: Path, *, overwrite: bool = False) -> None:
    """Write the dictionary, with the stack's dtype. Takes 24 bytes a run; raises Exists, OutOfSpace, NotFound."""
    info: dict[str, Any] = {"shape": list(stack.shape), "dtype": stack.dtype.name}
    if stack.voxel_size is not None:
        info |= {"voxel_size": list(stack.voxel_size), "unit": stack.unit}
    with new_file(path, overwrite=overwrite) as temporary:
        starts, lengths, labels = _collect(stack)
        with open(temporary, "x", encoding="ascii") as file:
            file.write(f'{{"{INFO}": {json.dumps(info)}')
            edges = run_starts(labels) if len(labels) else np.empty(0, np.intp)
            for first, count in zip(edges, run_lengths(edges, len(labels)), strict=True):
                file.write(f',\n"{labels[first]}": "')
                _write_pairs(file, starts[first : first + count] + 1, lengths[first : first + count])
                file.write('"')
            file.write("}\n")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for key, value in pairs:
        if key in entries:
            raise ValueError(f"key {key[:80]!r} is there twice")
        entries[key] = value
    return entries


def _info(info: Any, path: Path) -> tuple[tuple[int, int, int], np.dtype[Any], VoxelSize]:
    """Shape, dtype and (voxel size, unit), from the entry `.info`."""
    if not isinstance(info, dict) or not {"shape", "dtype"} <= info.keys():
        raise Corrupt(f'{path}: expected "{INFO}" with "shape" and "dtype"; found {str(info)[:80]}', path=str(path))
    sizes = info["shape"]
    if not isinstance(sizes, list) or not all(type(n) is int for n in sizes):
        raise Invalid(f"{path}: expected a shape of integers; found {str(sizes)[:80]}", path=str(path))
    shape = volume_shape(sizes, str(path))
    # "int64", "np.int", "numpy.uint64", "<class 'numpy.uint64'>": what str() made of a dtype over the years
    name = re.sub(r"^<class '(.*)'>$", r"\1", str(info["dtype"]).strip()).removeprefix("numpy.").removeprefix("np.")
    try:
        dtype = np.dtype({"uint": "uint64", "int": "int64", "int_": "int64"}.get(name, name))
    except (TypeError, ValueError) as error:
        raise Invalid(f"{path}: expected an integer dtype; found {name[:80]!r}", path=str(path)) from error
    return shape, label_dtype(dtype, str(path)), voxel_size(info.get("voxel_size"), info.get("unit"))


def _runs(
    masks: dict[str, Any],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    path: Path,
    overlap: Overlap | None,
    changes: dict[str, int],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Start, end and label of every run, from 0, in the order of their voxels. Empties `masks` as it goes."""
    parts = []
    while masks:
        key, value = masks.popitem()
        if not re.fullmatch(r"[0-9]{1,20}", key) or int(key) > np.iinfo(dtype).max:
            raise Invalid(f"{path}: expected labels of {dtype} as keys; found {key[:80]!r}", path=str(path))
        pairs = _pairs(value, key, path)
        starts, lengths = pairs[:, 0] - 1, pairs[:, 1]
        total = shape[0] * shape[1] * shape[2]
        bad = np.flatnonzero((starts < 0) | (lengths > total) | (starts > total - lengths))
        if len(bad):
            found = f"{starts[bad[0]] + 1} {lengths[bad[0]]}"
            raise Invalid(f"{path}: run {found!r} of label {key} is outside the volume of {total} voxels, {shape}")
        parts.append((starts, starts + lengths, np.full(len(pairs), int(key), dtype)))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, dtype)
    if overlap is not None:
        parts = [laid_over(parts[::-1], overlap, changes, str(path))]  # they were taken from the end
    starts, ends, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(starts, kind="stable")
    order = order[(ends > starts)[order]]
    starts, ends, labels = starts[order], ends[order], labels[order]
    over = np.flatnonzero(starts[1:] < ends[:-1])
    if len(over):
        before, after = labels[over[0]], labels[over[0] + 1]
        voxel = tuple(int(i) for i in np.unravel_index(int(starts[over[0] + 1]), shape))
        message = f"{path}: the masks of labels {before} and {after} overlap, first at voxel (z, y, x) = {voxel}"
        message += f"; overlap= says whose they are: {', '.join(get_args(Overlap))}"
        raise Invalid(message, path=str(path), labels=(int(before), int(after)), voxel=voxel)
    return starts, ends, labels


def _pairs(value: Any, key: str, path: Path) -> NDArray[np.int64]:
    """The (start, length) pairs of one mask, as written."""
    if not isinstance(value, str):
        raise Corrupt(f"{path}: expected runs of label {key} as text; found {type(value).__name__}", path=str(path))
    odd = re.search(r"[^0-9 \t\r\n]|[0-9]{19}", value)  # 18 digits fit an int64
    if odd:
        raise Corrupt(
            f"{path}: expected pairs of start and length for label {key}; found {odd.group()!r} at character "
            f"{odd.start()} of its runs",
            path=str(path),
        )
    numbers = np.fromstring(value, np.int64, sep=" ") if value.strip() else np.empty(0, np.int64)
    if len(numbers) % 2:
        raise Corrupt(f"{path}: the last run of label {key} has no length", path=str(path))
    return numbers.reshape(-1, 2)


def _expand(
    starts: NDArray[np.int64], ends: NDArray[np.int64], labels: NDArray[Any], first: int, last: int
) -> NDArray[Any]:
    """The flat voxels `first` to `last`: the runs, and 0 between them."""
    edges = np.empty(2 * len(starts) + 2, np.int64)
    edges[0], edges[-1] = first, last
    edges[1:-1:2], edges[2:-1:2] = starts, ends
    values = np.zeros(2 * len(starts) + 1, labels.dtype)
    values[1::2] = labels
    return np.repeat(values, np.diff(edges))


def _collect(stack: Stack) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Start, length and label of every run of the stack, by label, each label's runs in the order of its voxels."""
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]] = []
    for z, slab in checked(stack):
        flat = fit(slab, stack.dtype, z).reshape(-1)
        starts = run_starts(flat)
        labels, lengths = flat[starts], run_lengths(starts, flat.size)
        full = labels != 0
        offset = z * stack.shape[1] * stack.shape[2]
        parts.append((starts[full] + offset, starts[full] + offset + lengths[full], labels[full]))
    starts, ends, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(starts):  # a run may go on in the next slab
        starts, ends, labels = joined(starts, ends, labels)
    order = np.argsort(labels, kind="stable")
    return starts[order], (ends - starts)[order], labels[order]


def _write_pairs(file: IO[str], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
    pairs = np.stack((starts, lengths), axis=1).reshape(-1)
    for first in range(0, len(pairs), TEXT_RUNS):
        file.write(" " * (first > 0) + " ".join(map(str, pairs[first : first + TEXT_RUNS].tolist())))
