"""Label volumes in the formats of others: files in, `Stack` out, and back.

A `Stack` is shape, dtype and a way to stream slabs of slices; `read` makes one of a file, `write` a file of one.
Nothing here holds a whole volume, except for the runs of a JSON dictionary.

    stack = read("vendor.tif", colours="classes.toml")
    write(stack, "vendor.h5")
"""

from __future__ import annotations

import inspect
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelog.damage import damage
from labelog.errors import Corrupt, Invalid, NotFound, Unsupported
from labelog.formats import hdf5, json_rle, npy, png, tiff
from labelog.formats.colours import ColourSource
from labelog.formats.stack import Colour, Stack
from labelog.storage.disk import checked_path
from labelog.storage.layout import META

__all__ = ["FORMATS", "Colour", "Format", "Stack", "find", "names", "read", "read_image", "write"]


@dataclass(frozen=True)
class Format:
    """A format: its name, the suffixes of its files, how they begin, and its functions."""

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...]
    read: Callable[..., Stack]
    write: Callable[..., None]


FORMATS = (
    Format("png", (".png",), (b"\x89PNG",), png.read, png.write),
    Format("tiff", (".tif", ".tiff", ".btf", ".tf8"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), tiff.read, tiff.write),
    Format("json", (".json",), (b"{",), json_rle.read, json_rle.write),
    Format("hdf5", (".h5", ".hdf5", ".hdf"), (b"\x89HDF",), hdf5.read, hdf5.write),
    Format("npy", (".npy",), (b"\x93NUMPY",), npy.read, npy.write),
    Format("npz", (".npz",), (b"PK\x03\x04",), npy.read_npz, npy.write_npz),
)


def names() -> tuple[str, ...]:
    """The names of the formats, as `read` and `write` take them."""
    return tuple(known.name for known in FORMATS)


def find(path: str | os.PathLike[str], format: str | None = None) -> Format:
    """The format named, or the one whose suffix `path` has; a folder is a PNG stack.

    Raises Invalid for a name that is not known and for what is no path, Unsupported for a suffix that is not known,
    listing those that are.
    """
    checked_path(path)
    if format is not None:
        for known in FORMATS:
            if known.name == format:
                return known
        raise Invalid(f"expected a format among {', '.join(names())}; found {format!r}")
    text = os.fspath(path)
    for known in FORMATS:
        if text.lower().endswith(known.suffixes):
            return known
    if text.endswith(os.sep) or os.path.isdir(text):
        return FORMATS[0]
    listed = ", ".join(f"{known.name} ({' '.join(known.suffixes)})" for known in FORMATS)
    raise Unsupported(f"{text}: no format has this suffix; name one with format=: {listed}", path=text)


def read(
    path: str | os.PathLike[str], *, format: str | None = None, colours: ColourSource | None = None, **options: Any
) -> Stack:
    """A stack of the label volume at `path`: a file, a folder of PNGs, or a pattern such as "cells/*.png".

    Parameters
    ----------
    format : a name in `names()`; found from the suffix if not given.
    colours : for RGB(A) files, label -> colour or colour -> label, or the path of a JSON or TOML file of either, such
        as `1 = "#0101e0"`. Without it each distinct colour gets the next id, in the order of first appearance.
        Transparent pixels are background; see `labelog.formats.colours`.
    options : further arguments of the format's own `read`: `palette` and `snap` (png, tiff), `gaps` (png), `dataset`
        (hdf5), `name` (npz), `overlap` (json).

    Raises
    ------
    NotFound, Invalid, Unsupported, Corrupt. What is wrong with later slices is raised while slabs are read.
    """
    chosen = find(path, format)
    arguments = options if colours is None else options | {"colours": colours}
    _check_options(chosen.read, chosen.name, arguments)
    _check_file(Path(path), chosen)
    return chosen.read(Path(path), **arguments)


def read_image(path: str | os.PathLike[str], *, format: str | None = None, **options: Any) -> Stack:
    """A stack of the grey values at `path`, such as an EM image's: integers or floats, where `read` takes labels.

    `options` are those of `read`, save those for colours: `gaps` (png), `dataset` (hdf5), `name` (npz). Raises as
    `read`; also Unsupported for a format that has labels only, Invalid for colours.
    """
    chosen = find(path, format)
    if "image" not in inspect.signature(chosen.read).parameters:
        raise Unsupported(f"{path}: format {chosen.name} holds labels, no images", path=str(path))
    return read(path, format=chosen.name, image=True, **options)


def write(
    stack: Stack, path: str | os.PathLike[str], *, format: str | None = None, overwrite: bool = False, **options: Any
) -> None:
    """Write the stack to `path`, which is complete when this returns and untouched if it raises.

    Parameters
    ----------
    format : a name in `names()`; found from the suffix if not given. A path that ends in "/" is a PNG stack.
    overwrite : replace what is at `path`.
    options : further arguments of the format's own `write`: `colours` (png, tiff: True for pictures in the stack's
        colours, False for labels, None for pictures if it has colours), `dtype` (all but json), `dataset` (hdf5),
        `name` (npz).

    Raises
    ------
    Exists, NotFound for a missing folder, OutOfSpace, Unsupported, Invalid for labels that do not fit the format or
    have no colour; and whatever the stack's own slabs raise.
    """
    if not isinstance(stack, Stack):
        raise Invalid(f"expected a Stack, such as Stack.of makes of an array; found {type(stack).__name__}")
    chosen = find(path, format)
    _check_options(chosen.write, chosen.name, options)
    chosen.write(stack, Path(path), overwrite=overwrite, **options)


def _check_options(function: Callable[..., Any], name: str, options: dict[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name != "overwrite"]
    unknown = [option for option in options if option not in known]
    if unknown:
        listed = ", ".join(known) or "none"
        raise Invalid(f"format {name} has no option {', '.join(unknown)}; it has: {listed}")


def _check_file(path: Path, chosen: Format) -> None:
    """See that there is a file to read, and that it is not, by its first bytes, of another format."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if chosen.name == "png" and any(sign in str(path) for sign in "*?["):
            return
        raise NotFound(f"{path} does not exist", path=str(path)) from None
    except (OSError, ValueError) as error:
        raise Invalid(f"{str(path)!r} cannot be read: {error}") from error
    if (path / META).exists():
        raise Invalid(f"{path} is a labelog volume, and no file to be read: open it, or make a file of it first "
                      "(labelog export)", path=str(path))  # fmt: skip
    if stat.S_ISDIR(mode) and chosen.name == "png":
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise Invalid(f"{path}: expected a file of format {chosen.name}; it is {kind}", path=str(path))
    with damage(path), open(path, "rb") as file:
        head = file.read(8)
    if not head:
        raise Corrupt(f"{path} is empty", path=str(path))
    for other in FORMATS:
        if other is not chosen and head.startswith(other.magic):
            found = f'by its first bytes it is {other.name}, which format="{other.name}" reads'
            raise Invalid(f"{path}: expected {chosen.name}; {found}", path=str(path))
