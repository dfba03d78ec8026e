"""PNG: one file is one slice; a folder, or a pattern such as "cells/slice_*.png", is a stack of one slice per file.

Read are grey pictures of 1 to 16 bits (a label per grey value), palettes (a label per index, or per colour), and
8-bit RGB, RGBA and grey with alpha (a label per colour). Written are 8 or 16-bit grey, or RGBA.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from glob import glob
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from labelog.damage import damage
from labelog.errors import Invalid, NotFound, Unsupported
from labelog.formats.colours import ColourMap, ColourSource, colour_table, paint
from labelog.formats.limits import volume_shape
from labelog.formats.output import new_file, new_folder
from labelog.formats.png_chunks import GREY, PALETTE, RGB, Header, check_chunks, read_header
from labelog.formats.stack import Colour, Stack, blocks, written_dtype

DTYPES = ("uint8", "uint16")

PaletteAs = Literal["index", "colours"]


def read(
    path: Path, *, colours: ColourSource | None = None, palette: PaletteAs | None = None, gaps: bool = False,
    image: bool = False,
    snap: int = 0,
) -> Stack:  # fmt: skip
    """A stack of the PNG, or PNGs, at `path`; slices of a stack in the natural order of their names.

    Parameters
    ----------
    path : a file, a folder or a pattern.
    colours : table of the colours' labels; without it each distinct colour gets the next id. See `colours.py`.
    palette : what is a label in pictures with a palette: the "index" (the default, unless `colours` is given), or
        the colour, as in an RGB picture ("colours").
    gaps : accept numbers missing from the names of a stack, the slices on both sides as neighbours. Without it the
        numbers go up by 1.
    image : read grey values, and no colours.
    snap : how far a colour's red, green and blue may be from one of the table to be taken for it.

    Raises NotFound, Invalid for files that do not make one stack or have colours that are not in the table,
    Unsupported for 16-bit colours and animations; the slabs also raise Corrupt.
    """
    paths = _series(path, gaps)
    if palette not in (None, "index", "colours"):
        raise Invalid(f'palette: expected "index" or "colours"; found {palette!r}')
    table = None if colours is None else colour_table(colours)
    by_colour = (palette or ("index" if table is None else "colours")) == "colours"
    headers = [_header(file) for file in paths]
    first = headers[0]
    for page, (file, header) in enumerate(zip(paths, headers, strict=True)):
        _check_kind(header, first, file, page, paths[0], by_colour)
    if image and first.kind != GREY:
        raise Invalid(f"{paths[0]}: expected a grey picture, one value a voxel; found {first}")
    shape = volume_shape((len(paths), first.height, first.width), str(path))
    found: dict[int, Colour] = {}
    changes: dict[str, int] = {}
    if not _coloured(first, by_colour):
        if table is not None:
            found_instead = "so it has no colours to look up; its grey values are the labels"
            raise Invalid(f"{paths[0]} is grey, {found_instead}", grey=True)
        dtype = np.dtype(np.uint16 if first.depth == 16 else np.uint8)
    else:
        dtype = ColourMap(table, found).dtype

    def slabs() -> Iterator[NDArray[Any]]:
        ids, entries = ColourMap(table, found, snap, changes), b""
        for page, file in enumerate(paths):
            header, pixels, own = _decode(file, page, by_colour)
            _check_kind(header, first, file, page, paths[0], by_colour)
            if _coloured(header, by_colour):
                pixels = ids.labels(pixels, f"{file} (slice {page})")
            else:
                entries = _check_palette(entries, own, file, page)
            yield pixels[np.newaxis]

    return Stack(shape, dtype, slabs, colours=found, changes=changes)


def write(
    stack: Stack, path: Path, *, overwrite: bool = False, colours: bool | None = None, dtype: DTypeLike | None = None
) -> None:
    """Write one slice to `path` if it ends in .png, otherwise a folder of 0000.png, 0001.png, ...

    Parameters
    ----------
    colours : RGBA pictures of the stack's colours (True), grey ones whose values are the labels (False), or
        pictures if the stack has colours (None).
    dtype : uint8 or uint16, for labels; without it the smallest that holds them all, found in a pass of its own.

    Raises Exists, OutOfSpace, NotFound for a missing folder, Invalid for a label without colour, one above 65,535
    or `dtype`'s limit, and for several slices in one file.
    """
    single = path.suffix.lower() == ".png" and not path.is_dir()
    if single and stack.shape[0] > 1:
        raise Invalid(f'{path}: a PNG holds one slice, the stack has {stack.shape[0]}; name a folder, and format="png"')
    if colours and not stack.colours:
        raise Invalid("colours=True, but the stack has no colours")
    pictures = bool(stack.colours) if colours is None else colours
    with new_file(path, overwrite=overwrite) if single else new_folder(path, suffix=".png", overwrite=overwrite) as out:
        stored = stack.dtype if pictures else written_dtype(stack, DTYPES, dtype, "PNG")
        digits = max(4, len(str(stack.shape[0] - 1)))
        for z, slab in blocks(stack, 1, stored):
            pixels = paint(slab[0], stack.colours, f"slice {z}") if pictures else np.ascontiguousarray(slab[0])
            with open(out if single else out / f"{z:0{digits}d}.png", "xb") as file:
                Image.fromarray(pixels).save(file, "PNG")


def _series(path: Path, gaps: bool) -> list[Path]:
    """The files of the stack, in natural order, whose names differ in one number only."""
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() == ".png"]
    else:
        files = [Path(name) for name in glob(str(path))]
    files = [file for file in files if file.is_file() and not file.name.startswith(".")]
    if not files:
        raise NotFound(f"{path}: expected PNG files, one for each slice, with numbered names such as z0001.png; "
                       f"found {_found(path)}", path=str(path))  # fmt: skip
    files.sort(key=lambda file: [(int(part) if part.isdigit() else 0, part) for part in _parts(file)])
    _check_names(files, path, gaps)
    return files


def _found(path: Path) -> str:
    """What a folder has instead of PNGs, the first few names."""
    names = sorted(file.name for file in path.iterdir()) if path.is_dir() else []
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more or "none"


def _parts(file: Path) -> list[str]:
    """The path in pieces: text, digits, text, ...; so that slice_10 is after slice_9."""
    return re.split(r"([0-9]+)", str(file))


def _check_names(files: Sequence[Path], path: Path, gaps: bool) -> None:
    """Invalid if the names are of several series, or a number is missing: slices would be silently misplaced."""
    series = {"#".join(_parts(file)[::2]): file.name for file in files}
    if len(series) > 1:
        found = ", ".join(list(series.values())[:4])
        raise Invalid(f"{path}: expected names that differ in one number; found {found}; name one series by a pattern")
    numbers = [[int(part) for part in _parts(file)[1::2]] for file in files]
    varying = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    if len(varying) != 1 or len(set(varying[0])) < len(files):
        if len(files) > 1:
            raise Invalid(f"{path}: expected names that differ in one number; found {files[0].name}, {files[1].name}")
        return
    for (file, following), (a, b) in zip(pairwise(files), pairwise(varying[0]), strict=True):
        if b != a + 1 and not gaps:
            missing = f"slice {a + 1} is" if b == a + 2 else f"slices {a + 1} to {b - 1} are"
            between = f"between {file.name} and {following.name}"
            raise Invalid(f"{path}: {missing} missing, {between}; gaps=True takes those two as neighbours")


def _header(file: Path) -> Header:
    with damage(file), open(file, "rb") as handle:
        header = read_header(handle, file)
    if header.depth == 16 and header.kind != GREY:
        raise Unsupported(f"{file}: {header}; colours of 16 bits are not read", path=str(file))
    return header


def _coloured(header: Header, by_colour: bool) -> bool:
    return header.kind != GREY and (header.kind != PALETTE or by_colour)


def _check_kind(header: Header, first: Header, file: Path, page: int, reference: Path, by_colour: bool) -> None:
    """Invalid unless the slice has the size of the first, and labels of the same kind and dtype."""
    same = (header.height, header.width) == (first.height, first.width)
    same &= _coloured(header, by_colour) == _coloured(first, by_colour)
    same &= _coloured(first, by_colour) or ((header.depth == 16) == (first.depth == 16) and header.kind == first.kind)
    if not same:
        raise Invalid(f"{file} (slice {page}) has {header}; expected {first}, as {reference} has", page=page)


def _check_palette(known: bytes, own: bytes, file: Path, page: int) -> bytes:
    """The longer of two palettes that agree; where they do not, an index means another thing in each slice."""
    if not known.startswith(own) and not own.startswith(known):
        raise Invalid(
            f"{file} (slice {page}) has another palette than the slices before it, so that its indices are not the "
            'same labels; read it with palette="colours"',
            page=page,
        )
    return max(known, own, key=len)


def _decode(file: Path, page: int, by_colour: bool) -> tuple[Header, NDArray[Any], bytes]:
    """Header, pixels (labels y, x; or colours y, x, 3 or 4) and palette of one file, every byte of it checked."""
    with damage(file, page), open(file, "rb") as handle:
        header, entries = check_chunks(handle, file)
        handle.seek(0)
        # Not Image.open: its bomb check stops at 179 megapixels, and ours has been made.
        with PngImageFile(handle) as image:
            return header, _pixels(image, header, by_colour), entries


def _pixels(image: PngImageFile, header: Header, by_colour: bool) -> NDArray[Any]:
    if _coloured(header, by_colour):
        plain = header.kind == RGB and "transparency" not in image.info
        return np.asarray(image if plain else image.convert("RGBA"))
    values: NDArray[Any] = np.asarray(image).astype(np.uint16 if header.depth == 16 else np.uint8)
    if header.kind == GREY and header.depth in (2, 4):
        return values // np.uint8(255 // (2**header.depth - 1))  # Pillow stretches these to 0..255, but not 1-bit ones
    return values
