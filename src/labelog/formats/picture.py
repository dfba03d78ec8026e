"""Labels as pictures: a colour for every label, and a picture in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Invalid
from labelog.formats.colours import colour
from labelog.formats.raster import distinct, run_lengths, run_starts
from labelog.formats.stack import Colour

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio: multiples of it, modulo 2**64, keep the farthest from one another."""


def colour_slice(
    labels: NDArray[Any], colours: Mapping[int, Colour] | None = None, background: Colour = (0, 0, 0, 0)
) -> NDArray[np.uint8]:
    """The picture (y, x, 4), RGBA, of labels (y, x).

    A label has its colour in `colours`, or one of its own that depends on nothing but the label: the hue goes round
    by the golden ratio, so that labels given one after another differ most, and lightness and saturation vary.
    Label 0 is `background` unless `colours` has it. Labels of another shape or dtype are Invalid.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "uib" or labels.size == 0:
        raise Invalid(f"expected integer labels (y, x); found shape {labels.shape} of {labels.dtype}")
    flat = labels.reshape(-1)
    starts = run_starts(flat)
    found, _, which = distinct(flat[starts])
    shades = own_colours(found)
    given = {0: background} | dict(colours or {})
    for index, label in enumerate(found.tolist()):
        if label in given:
            shades[index] = colour(given[label])
    packed = shades.view(np.uint32).reshape(-1)
    return np.repeat(packed[which], run_lengths(starts, flat.size)).view(np.uint8).reshape(*labels.shape, 4)


def own_colours(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """The colours (n, 4) of n labels that are given none; opaque."""
    turned = labels.astype(np.uint64) * GOLDEN
    mixed = (turned ^ (turned >> np.uint64(29))) * GOLDEN >> np.uint64(40)
    hue = (turned >> np.uint64(11)).astype(float) / 2**53
    lightness = 0.42 + 0.26 * (mixed & np.uint64(7)).astype(float) / 7
    saturation = 0.65 + 0.35 * (mixed >> np.uint64(3) & np.uint64(7)).astype(float) / 7
    reach = saturation * np.minimum(lightness, 1 - lightness)
    shades = np.full((len(labels), 4), 255, np.uint8)
    for channel, turn in enumerate((0, 8, 4)):  # HSL to RGB
        k = (turn + 12 * hue) % 12
        value = lightness - reach * np.clip(np.minimum(k - 3, 9 - k), -1, 1)
        shades[:, channel] = np.rint(255 * value)
    return shades


def to_terminal(picture: NDArray[np.uint8], columns: int = 80) -> str:
    """A picture (y, x, 4) as lines of text, two pixels to a character, in 24-bit ANSI colours.

    It is shrunk to `columns` pixels across, by taking the pixel in the middle of each cell, as a mean of labels'
    colours is no label's; it is never enlarged. Pixels more transparent than not show the terminal's background.
    """
    if picture.ndim != 3 or picture.shape[2] != 4 or picture.dtype != np.uint8 or picture.size == 0 or columns < 1:
        raise Invalid(f"expected RGBA (y, x, 4) of uint8 and columns of at least 1; found {picture.shape}, {columns}")
    height, width = picture.shape[:2]
    across = min(columns, width)
    down = max(1, round(height * across / width))
    rows, places = ((2 * np.arange(n) + 1) * size // (2 * n) for n, size in ((down, height), (across, width)))
    small = picture[rows[:, None], places]
    if down % 2:
        small = np.concatenate((small, np.zeros((1, across, 4), np.uint8)))
    return "\n".join(_line(upper, lower) for upper, lower in zip(small[::2], small[1::2], strict=True))


def _line(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> str:
    """One line of text from two rows of pixels (x, 4); a colour is set only where it changes."""
    cells = np.concatenate((upper, lower), axis=1)
    starts = np.concatenate(([0], np.flatnonzero((cells[1:] != cells[:-1]).any(axis=1)) + 1))
    text = []
    for start, length in zip(starts, np.diff(starts, append=len(cells)), strict=True):
        r, g, b, a, r2, g2, b2, a2 = cells[start].tolist()
        if a < 128 and a2 < 128:
            text.append("\x1b[0m" + " " * length)
        elif a2 < 128:
            text.append(f"\x1b[0;38;2;{r};{g};{b}m" + "\N{UPPER HALF BLOCK}" * length)
        elif a < 128:
            text.append(f"\x1b[0;38;2;{r2};{g2};{b2}m" + "\N{LOWER HALF BLOCK}" * length)
        else:
            text.append(f"\x1b[38;2;{r};{g};{b};48;2;{r2};{g2};{b2}m" + "\N{UPPER HALF BLOCK}" * length)
    return "".join(text) + "\x1b[0m"
