"""Colours to labels and back: tables of colours, ids made from distinct colours, pictures painted from labels.

A pixel with alpha 0 is background, label 0, whatever its red, green and blue; and painted labels have
(0, 0, 0, 0) for background unless the colours name one for 0. So a picture whose transparent pixels are all
(0, 0, 0, 0), as drawing programs write them, comes back exactly; the hidden colour of others is not kept.
In a picture without alpha, black is background where ids are made; a table has to name it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.engine.values import is_colour
from labelog.errors import Invalid, NotFound
from labelog.formats.raster import distinct, run_lengths, run_starts
from labelog.formats.stack import Colour
from labelog.storage.disk import checked_path

ColourSource = Mapping[Any, Any] | str | PathLike[str]
"""label -> colour or colour -> label, or the path of a JSON or TOML file of either; see `colour` for a colour."""

MAX_COLOURS = 2**24
NEAR = 16  # how far off a colour may be so that an error says what it might have been meant to be
BLACK = np.uint32(0xFF000000)  # opaque; packed as below


def colour(value: object) -> Colour:
    """A colour from "#rrggbb" or "#rrggbbaa", or 3 or 4 integers of 0 to 255; opaque if alpha is not given."""
    if is_colour(value):
        parts = list(bytes.fromhex(str(value)[1:]))
    elif isinstance(value, (tuple, list, np.ndarray)) and len(value) in (3, 4):
        parts = [int(part) if isinstance(part, (int, np.integer)) else -1 for part in value]
    else:
        parts = [-1]
    if min(parts) < 0 or max(parts) > 255:
        raise Invalid(f'a colour is "#rrggbb", "#rrggbbaa", or 3 or 4 integers of 0 to 255; found {value!r}')
    red, green, blue, alpha = [*parts, 255][:4]
    return red, green, blue, alpha


def hexadecimal(value: Colour) -> str:
    """The colour as "#rrggbbaa"."""
    return "#" + bytes(value).hex()


def colour_table(source: ColourSource) -> dict[Colour, int]:
    """colour -> label from a mapping or a file; several colours may have one label, not the other way round.

    Raises NotFound if the file is not there, Invalid for what is not a table, naming file and entry: a colour or label
    that cannot be read, a colour with two labels, a transparent colour for a label other than 0.
    """
    name = "colours" if isinstance(source, Mapping) else str(source)
    table: dict[Colour, int] = {}
    for key, value in _entries(source):
        try:
            shade, label = _entry(key, value)
        except Invalid as error:
            raise Invalid(f"{name}: entry {key!r}: {error}") from None
        if table.setdefault(shade, label) != label:
            raise Invalid(f"{name}: {hexadecimal(shade)} is both label {table[shade]} and label {label}")
    if not table:
        raise Invalid(f"{name}: no colours in it")
    return table


def _entry(key: Any, value: Any) -> tuple[Colour, int]:
    """The colour and the label of an entry, whichever is the key."""
    by_colour = isinstance(key, (tuple, list)) or (isinstance(key, str) and key.startswith("#"))
    shade, label = (colour(key), value) if by_colour else (colour(value), key)
    if isinstance(label, str) and label.isascii() and label.isdigit():
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or not 0 <= label < 2**64:
        raise Invalid(f"a label is an integer of 0 to 2**64 - 1; found {label!r}")
    if shade[3] == 0 and label:
        raise Invalid(f"{hexadecimal(shade)} is transparent, so background, but is given label {label}")
    return shade, int(label)


def _entries(source: ColourSource) -> list[tuple[Any, Any]]:
    if isinstance(source, Mapping):
        return list(source.items())
    path = checked_path(source)
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except FileNotFoundError as error:
        raise NotFound(f"{path} does not exist", path=str(path)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise Invalid(f"{path} is not a table of colours in JSON or TOML: {error}", path=str(path)) from error
    if not isinstance(table, dict):
        raise Invalid(f"{path}: expected label -> colour; found {type(table).__name__}", path=str(path))
    return list(table.items())


class ColourMap:
    """Labels for the pictures of one pass over a stack: from a table, or made in order of first appearance.

    Parameters
    ----------
    table : colour -> label, or None to give each distinct colour the next id, from 1.
    colours : label -> colour, filled as labels are given; of a table's several colours for a label, the first.
    snap : how far red, green or blue of a colour that is not in the table may be from one that is, to be taken for it
        (for the nearest); alpha does not count then. With 0 none is.
    changes : filled with what was taken for what, and its pixels.
    """

    def __init__(
        self, table: Mapping[Colour, int] | None, colours: dict[int, Colour], snap: int = 0,
        changes: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.table = table
        self.colours = colours
        self.snap = snap
        self.changes = {} if changes is None else changes
        self.changes.clear()
        self._snapped: dict[int, str] = {}
        entries = {0: 0} | {_pack(shade): label for shade, label in (table or {}).items()}
        self.dtype = np.dtype(np.uint32) if table is None else np.min_scalar_type(max(entries.values()))
        self._keys = np.array(sorted(entries), np.uint32)
        self._labels = np.array([entries[key] for key in sorted(entries)], self.dtype)
        for shade, label in (table or {}).items():
            colours.setdefault(label, shade)

    def labels(self, pixels: NDArray[np.uint8], where: str) -> NDArray[Any]:
        """Labels (y, x) of a picture (y, x, 3 or 4), red, green, blue and perhaps alpha.

        Raises Invalid, naming colour, first pixel and number of pixels, for a colour that is not in the table, and
        for a picture of more than 2**24 colours.
        """
        shape, alpha = pixels.shape[:2], pixels.shape[2] == 4
        keys = _packed(pixels)
        starts = run_starts(keys)
        runs = keys[starts]
        runs[runs >> np.uint32(24) == 0] = 0
        if self.table is None and not alpha:
            runs[runs == BLACK] = 0
        found, first, which = distinct(runs)
        at = np.searchsorted(self._keys, found)
        new = self._keys[np.minimum(at, len(self._keys) - 1)] != found
        if new.any():
            if self.table is None:
                self._add(found[new][np.argsort(first[new])], where)
            else:
                new[new] = ~self._snap(found[new])
            if new.any() and self.table is not None:
                pixels_of = np.bincount(which, run_lengths(starts, keys.size), len(found)).astype(int)
                k = int(np.flatnonzero(new)[np.argmin(first[new])])
                y, x = divmod(int(starts[first[k]]), shape[1])
                raise _unknown(found[k], int(pixels_of[k]), (y, x), int(new.sum()) - 1, where, self._nearest(found[k]))
            at = np.searchsorted(self._keys, found)
        if self._snapped:
            self._count(found, np.bincount(which, run_lengths(starts, keys.size), len(found)))
        labels = self._labels[at][which]
        return np.repeat(labels, run_lengths(starts, keys.size)).reshape(shape)

    def _add(self, keys: NDArray[np.uint32], where: str) -> None:
        """Give the next ids to the colours `keys`, in their order."""
        first = len(self._keys)  # with background, which is 0
        if first + len(keys) > MAX_COLOURS:
            raise Invalid(f"{where}: more than {MAX_COLOURS} colours; this is a photograph, not labels")
        self.colours.update(zip(range(first, first + len(keys)), _unpack(keys), strict=True))
        self._learn(keys, np.arange(first, first + len(keys), dtype=self.dtype))

    def _learn(self, keys: NDArray[np.uint32], labels: NDArray[Any]) -> None:
        every, known = np.concatenate((self._keys, keys)), np.concatenate((self._labels, labels))
        order = np.argsort(every)
        self._keys, self._labels = every[order], known[order]

    def _snap(self, keys: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Take those of the unknown colours that are near enough to a known one for it; which those are."""
        near = np.zeros(len(keys), bool)
        for index, key in enumerate(keys if self.snap else ()):
            shade, distance = self._nearest(key)
            if shade is not None and distance <= self.snap:
                near[index] = True
                [stray] = _unpack(keys[index : index + 1])
                self._snapped[int(key)] = f"{hexadecimal(stray)} taken for {hexadecimal(shade)}"
                self._learn(keys[index : index + 1], np.array([(self.table or {})[shade]], self.dtype))
        return near

    def _nearest(self, key: np.uint32) -> tuple[Colour | None, int]:
        """The colour of the table that is nearest in red, green and blue, and the largest difference in one of them."""
        [stray] = _unpack(np.array([key], np.uint32))
        known = [shade for shade in self.table or {} if shade[3]]
        if not known:
            return None, 256
        distances = np.abs(np.array(known)[:, :3] - np.array(stray[:3])).max(axis=1)
        best = int(distances.argmin())
        return known[best], int(distances[best])

    def _count(self, found: NDArray[np.uint32], pixels: NDArray[Any]) -> None:
        for key, count in zip(found.tolist(), pixels.astype(int).tolist(), strict=True):
            if key in self._snapped:
                self.changes[self._snapped[key]] = self.changes.get(self._snapped[key], 0) + count


def paint(labels: NDArray[Any], colours: Mapping[int, Colour], where: str) -> NDArray[np.uint8]:
    """The picture (y, x, 4) of labels (y, x) in the given colours; a label without one is Invalid, naming it."""
    flat = labels.reshape(-1)
    starts = run_starts(flat)
    found, _, which = distinct(flat[starts])
    missing = [int(label) for label in found if label and int(label) not in colours]
    if missing:
        more = f" (nor have {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise Invalid(f"{where}: label {missing[0]} has no colour{more}", label=missing[0])
    keys = np.array([_pack(colour(colours.get(int(label), (0, 0, 0, 0)))) for label in found], "<u4")
    return np.repeat(keys[which], run_lengths(starts, flat.size)).view(np.uint8).reshape(*labels.shape, 4)


def _packed(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Pixels (y, x, 3 or 4) as flat uint32, red in the lowest byte."""
    if pixels.shape[2] == 3:
        opaque = np.full((*pixels.shape[:2], 4), 255, np.uint8)
        opaque[..., :3] = pixels
        pixels = opaque
    return np.ascontiguousarray(pixels).view("<u4").reshape(-1).astype(np.uint32, copy=False)


def _pack(shade: Colour) -> int:
    return int.from_bytes(bytes(shade), "little")


def _unpack(keys: NDArray[np.uint32]) -> list[Colour]:
    return [tuple(int(key).to_bytes(4, "little")) for key in keys]  # type: ignore[misc]


def _unknown(
    key: np.uint32, pixels: int, at: tuple[int, int], more: int, where: str, nearest: tuple[Colour | None, int]
) -> Invalid:
    [shade] = _unpack(np.array([key], np.uint32))
    message = f"{where}: colour {hexadecimal(shade)} is not in the table; {pixels} pixels have it, the first at {at}"
    message += f", and {more} more colours are not in it" if more else ""
    message += "; if it is background, name it for label 0" if shade[:3] == (0, 0, 0) else ""
    known, distance = nearest
    message += f"; snap={distance or 1} would take it for {hexadecimal(known)}" if known and distance <= NEAR else ""
    return Invalid(message, colour=shade, pixels=pixels)
