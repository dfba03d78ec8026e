"""How labels, boxes and voxels travel.

Labels in JSON are decimal strings, as they go up to 2^64 - 1 and readers of JSON often count to 2^53 only. Boxes are
`z0:z1,y0:y1,x0:x1` in addresses and [[z0, y0, x0], [z1, y1, x1]] in JSON, half-open. Voxels are arrays (z, y, x) in
one of the media types of `FORMATS`; docs/http.md states their bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

import labelog
from labelog.formats.colours import colour, hexadecimal
from labelog.formats.picture import colour_slice, own_colours
from labelog.geometry import Box, Triple
from labelog.kernels.runs import Runs
from labelog.remote import media
from labelog.remote.media import HEADER, RUNS, head
from labelog_server.problems import Problem

Voxels = NDArray[Any]
Body = bytes | memoryview

# Labels


def label(value: object) -> int:
    """A label of a decimal string. Raises Invalid."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,20}", value) or int(value) >= 2**64:
        raise labelog.Invalid(f'a label is a decimal string such as "7", from 0 to 2^64 - 1, not {value!r}')
    return int(value)


Label = Annotated[
    int, BeforeValidator(label), PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,20}$", "examples": ["7"]}),
]  # fmt: skip
"""A label in JSON."""

# Boxes

Corners = tuple[tuple[int, int, int], tuple[int, int, int]]


def box_of(text: str | None, shape: Triple, axes: str = "zyx", fixed: Mapping[int, tuple[int, int]] = {}) -> Box:
    """The box of a text such as `0:1,:,100:200`, which speaks of `axes`; whole along those that it leaves open.

    `fixed` has the bounds along the other axes, by number. Raises OutOfBounds or Invalid.
    """
    parts = text.split(",") if text else [":"] * len(axes)
    found = [re.fullmatch(r"(\d{0,20}):(\d{0,20})", part.strip()) for part in parts]
    if len(parts) != len(axes) or not all(found):
        raise labelog.Invalid(f"a box is {','.join(f'{a}0:{a}1' for a in axes)}, half-open; found {text!r}")
    bounds = dict(fixed)
    for name, match in zip(axes, found, strict=True):
        axis = "zyx".index(name)
        assert match is not None
        bounds[axis] = int(match[1] or 0), int(match[2] or shape[axis])
    start, stop = zip(*(bounds[axis] for axis in range(3)), strict=True)
    box = Box(start, stop)
    if not all(0 <= a < b <= n for a, b, n in zip(start, stop, shape, strict=True)):
        raise labelog.OutOfBounds(f"the box {box} does not lie within {Box((0, 0, 0), shape)}, or is empty", box=box)
    return box


def spelled(box: Box) -> str:
    return ",".join(f"{a}:{b}" for a, b in zip(*box, strict=True))


# Voxels

RAW, NPY, PNG = "application/octet-stream", "application/x-npy", "image/png"
INDEXED = "application/vnd.labelog.indexed"


def encode(voxels: Voxels, media_type: str, colours: Mapping[int, str]) -> Body:
    """An array (z, y, x) in a media type of `FORMATS`; a picture is of an array (y, x)."""
    if media_type in OF_RUNS:
        return OF_RUNS[media_type](Runs.from_dense(voxels))
    return OF_VOXELS[media_type](voxels, colours)


def _raw(voxels: Voxels, _: Mapping[int, str]) -> Body:
    return np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data


def _npy(voxels: Voxels, _: Mapping[int, str]) -> bytes:
    out = io.BytesIO()
    np.save(out, voxels, allow_pickle=False)
    return out.getvalue()


def _png(voxels: Voxels, colours: Mapping[int, str]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    shades = {value: colour(shade) for value, shade in colours.items()}
    Image.fromarray(colour_slice(voxels, shades)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def shades(values: Iterable[int], given: Mapping[int, str]) -> dict[int, str]:
    """The colour of each value, as pictures show it: "#rrggbbaa"."""
    found = np.array(sorted(values), np.uint64)
    shown = {0: "#00000000"} | dict(given)
    own = zip(found.tolist(), own_colours(found), strict=True)
    return {value: hexadecimal(colour(shown.get(value, shade))) for value, shade in own}


def _indexed(runs: Runs) -> Body:
    count = len(runs.palette)
    width = np.min_scalar_type(max(count - 1, 0))
    before = HEADER.size + 8 * count
    out = np.empty(before + width.itemsize * math.prod(runs.shape), np.uint8)
    HEADER.pack_into(out.data, 0, b"LIX1", *runs.shape, count, width.itemsize, 0, 0)
    out[HEADER.size : before].view(np.uint64)[:] = runs.palette
    runs.fill(out[before:].view(width).reshape(runs.shape), (0, 0, 0), np.arange(count, dtype=width))
    return out.data


OF_VOXELS: dict[str, Callable[[Voxels, Mapping[int, str]], Body]] = {NPY: _npy, RAW: _raw, PNG: _png}
OF_RUNS: dict[str, Callable[[Runs], Body]] = {INDEXED: _indexed, RUNS: media.encode}

FORMATS = (*OF_VOXELS, *OF_RUNS)
"""What voxels can be sent as; the first where a client takes anything."""

SHORT = {"npy": NPY, "raw": RAW, "png": PNG, "indexed": INDEXED, "runs": RUNS}


def decode(data: bytes, media_type: str, shape: Triple, dtype: str) -> Voxels:
    """Labels of a request's body, as an array of this shape. Raises Invalid, or Problem 415 for another media type.

    Nothing is allocated by what the body says of itself before that was compared with its length and the shape.
    """
    readers: dict[str, Callable[[bytes, Triple, str], Voxels]] = {
        NPY: _read_npy, RAW: _read_raw, INDEXED: _read_indexed, RUNS: _read_runs
    }  # fmt: skip
    kind = media_type.split(";")[0].strip().lower()
    if kind not in readers:
        raise Problem(415, f"expected voxels as one of {', '.join(readers)}; found {kind or 'no Content-Type'}")
    found = readers[kind](data, shape, dtype)
    if found.shape != shape:
        raise labelog.Invalid(f"expected voxels of shape {shape}, found {found.shape}")
    return found


def decode_rows(data: bytes, media_type: str, dtype: str) -> NDArray[np.int64]:
    """Spans of a part of a request: integers (n, 4), raw or npy. Raises Invalid, or Problem 415."""
    if media_type == NPY:
        rows = _read_npy(data, (0, 4), "")
    elif media_type == RAW:
        numbers = _read_raw(data, (len(data) // max(_integer(dtype).itemsize, 1),), dtype)
        rows = numbers.reshape(-1, 4) if numbers.size % 4 == 0 else numbers
    else:
        raise Problem(415, f"expected spans as {NPY} or {RAW}; found {media_type}")
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise labelog.Invalid(f"expected spans of shape (n, 4); found {rows.shape}")
    if rows.dtype.kind == "u" and rows.size and int(rows.max()) >= 2**63:
        raise labelog.OutOfBounds(f"spans reach to {rows.max()}, and no volume beyond 2^31")
    return rows.astype(np.int64)


def _integer(dtype: str) -> np.dtype[Any]:
    """A dtype by its name, little-endian. Raises Invalid."""
    try:
        kind = np.dtype(dtype).newbyteorder("<")
    except (TypeError, ValueError, SyntaxError):  # NumPy parses some texts as Python
        raise labelog.Invalid(f"expected an integer dtype such as uint64, found {dtype!r}") from None
    if kind.kind not in "iu":
        raise labelog.Invalid(f"expected an integer dtype such as uint64, found {dtype!r}")
    return kind


def _read_raw(data: bytes, shape: tuple[int, ...], dtype: str) -> Voxels:
    kind = _integer(dtype)
    if len(data) != math.prod(shape) * kind.itemsize:
        raise labelog.Invalid(f"expected {math.prod(shape)} integers of {kind}; found {len(data)} bytes")
    return np.frombuffer(data, kind).reshape(shape)


def _read_npy(data: bytes, shape: tuple[int, ...], _: str) -> Voxels:
    source = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(source)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        found, fortran, dtype = read(source)
    except Exception as error:  # whatever NumPy's reader stumbles over, which parses the header as Python
        raise labelog.Invalid(f"the body is no npy file: {error}") from None
    rest = data[source.tell() :]
    if dtype.kind not in "biu" or math.prod(found) * dtype.itemsize != len(rest):
        raise labelog.Invalid(f"expected integers of shape {shape}; found {dtype} of {found} in {len(rest)} bytes")
    array = np.frombuffer(rest, dtype).reshape(found, order="F" if fortran else "C")
    return array if array.shape == shape or array.size != math.prod(shape) else array.reshape(shape)


def _read_indexed(data: bytes, shape: Triple, _: str) -> Voxels:
    labels, width = head(data, b"LIX1", shape)
    expected = HEADER.size + 8 * labels + width * math.prod(shape)
    if width not in (1, 2, 4) or len(data) != expected:
        raise labelog.Invalid(f"expected {expected} bytes with indices of 1, 2 or 4; found {len(data)}, {width}")
    palette = np.frombuffer(data, "<u8", labels, HEADER.size)
    index = np.frombuffer(data, f"<u{width}", offset=HEADER.size + 8 * labels)
    if not labels or int(index.max()) >= labels:
        raise labelog.Invalid(f"an index is beyond the {labels} labels of the palette")
    labels_of: Voxels = palette[index]
    return labels_of.reshape(shape)


def _read_runs(data: bytes, shape: Triple, _: str) -> Voxels:
    return media.decode(data, shape).dense()
