"""The picture of a report: a slice in grey, what layers disagree about in strong colours, and names beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from labelog.errors import Invalid, OutOfBounds
from labelog.formats.output import new_file
from labelog.formats.stack import Stack
from labelog.layers.report import KINDS, Disagreement, Report

SHADES = ((230, 0, 60), (255, 140, 0), (0, 110, 255), (200, 0, 220), (0, 150, 90))
"""Of the kinds, in the order of KINDS."""

EDGE, INK, PAPER = 128, (20, 20, 20), (255, 255, 255)
SIZE = 1200
"""A picture is enlarged until it has about this many pixels across, so that a voxel can be seen."""

Where = tuple[float, float, float, float]


def write_picture(
    report: Report, path: str | os.PathLike[str], z: int | None, image: Stack | None, overwrite: bool
) -> int:
    """See `Report.picture`."""
    if z is None:
        z = max(report.slices, key=lambda at: (report.slices[at], -at), default=0)
    if not 0 <= z < report.shape[0]:
        raise OutOfBounds(f"slice {z} is not one of the volume's, 0 to {report.shape[0] - 1}")
    marks = report.marks(z)
    ground = _labels(marks) if image is None else _grey(image, z, report.shape)
    scale = max(1, round(SIZE / max(marks.shape)))
    kinds = np.kron(marks & (EDGE - 1), np.ones((scale, scale), np.uint8))
    pixels = np.repeat(np.kron(ground, np.ones((scale, scale), np.uint8))[..., None], 3, axis=2)
    for kind, shade in enumerate(SHADES, 1):
        pixels[_wider(kinds == kind, 1 if scale > 1 else 0)] = shade
    here = [one for one in report.disagreements if one.box.start[0] <= z < one.box.stop[0]]
    picture = Image.fromarray(pixels)
    _name(picture, here, scale, kinds != 0)
    with new_file(Path(path), overwrite=overwrite) as temporary:
        _with_legend(picture, here, report, z).save(temporary, "PNG")
    return z


def _labels(marks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A pale ground with the edges of the labels."""
    return np.where(marks & EDGE, np.uint8(150), np.uint8(235))


def _grey(image: Stack, z: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Slice `z` of the image, paler than it is, so that marks stand out; its darkest and brightest 1 % are cut."""
    if image.shape != shape:
        raise Invalid(f"the image has shape {image.shape}; expected {shape}, as the layers have")
    at = 0
    for slab in image.slabs():
        if at <= z < at + len(slab):
            page = slab[z - at].astype(float)
            low, high = np.percentile(page, (1, 99))
            shade: NDArray[np.uint8] = (90 + 165 * np.clip((page - low) / max(high - low, 1), 0, 1)).astype(np.uint8)
            return shade
        at += len(slab)
    raise Invalid(f"the image has {at} slices; expected {shape[0]}")


def _wider(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask and its neighbours, `by` pixels on: a line one pixel wide is easily overlooked."""
    for _ in range(by):
        wide = mask.copy()
        wide[1:] |= mask[:-1]
        wide[:-1] |= mask[1:]
        wide[:, 1:] |= mask[:, :-1]
        wide[:, :-1] |= mask[:, 1:]
        mask = wide
    return mask


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _name(picture: Image.Image, here: Sequence[Disagreement], scale: int, marked: NDArray[np.bool_]) -> None:
    """A box around each object's disagreements, and its name beside it where there is room."""
    draw, font = ImageDraw.Draw(picture), _font(16)
    taken: list[Where] = []
    for name, shade, (y0, x0, y1, x1) in _boxes(here, scale):
        frame = (x0 - 4, y0 - 4, x1 + 3, y1 + 3)
        whole = frame[0] <= 0 and frame[1] <= 0 and frame[2] >= picture.width - 1 and frame[3] >= picture.height - 1
        if not whole:
            draw.rectangle(frame, outline=shade, width=2)
        _, _, width, height = (round(side) for side in draw.textbbox((0, 0), name, font=font))
        place = _free((frame, width + 8, height + 6), picture.size, taken, marked)
        taken.append(place)
        draw.rectangle(place, fill=PAPER, outline=shade)
        draw.text((place[0] + 4, place[1] + 2), name, fill=INK, font=font)


def _boxes(here: Sequence[Disagreement], scale: int) -> Iterator[tuple[str, tuple[int, int, int], tuple[int, ...]]]:
    """Name with voxels, colour and box (y0, x0, y1, x1) in pixels of each object, the largest first."""
    grouped: dict[str, list[Disagreement]] = {}
    for one in here:
        key = one.name if one.object is not None or one.label is not None else f"{one.found} at {one.example[1:]}"
        grouped.setdefault(key, []).append(one)
    for name, found in grouped.items():
        box = found[0].box
        for one in found[1:]:
            box = box.union(one.box)
        (_, y0, x0), (_, y1, x1) = box
        name = f"{name}: {sum(one.voxels for one in found):,}"
        shade = SHADES[list(KINDS).index(found[0].kind)]
        yield name, shade, tuple(scale * n for n in (y0, x0, y1, x1))


def _free(
    wanted: tuple[Where, int, int], size: tuple[int, int], taken: Sequence[Where], marked: NDArray[np.bool_]
) -> Where:
    """Where a name goes: at the first corner of its box at which it hides no mark and no other name."""
    (x0, y0, x1, y1), width, height = wanted
    corners = [(x0, y0 - height), (x0, y1), (x1, y0), (x0 - width, y0), (x0 + 8, y0 + 8), (x0 + 8, y0 + 8 + height)]
    places = []
    for x, y in corners:
        left, top = min(max(x, 6), size[0] - width - 6), min(max(y, 6), size[1] - height - 6)
        place = (left, top, left + width, top + height)
        places.append(place)
        apart = all(place[2] < a or c < place[0] or place[3] < b or d < place[1] for a, b, c, d in taken)
        if (
            apart
            and not marked[int(max(top, 0)) : int(top + height) + 1, int(max(left, 0)) : int(left + width) + 1].any()
        ):
            return place
    return places[0]


def _with_legend(picture: Image.Image, here: Sequence[Disagreement], report: Report, z: int) -> Image.Image:
    """The picture with what its colours mean below."""
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in here)]
    lines = [f"slice {z}: layers disagree at {report.slices.get(z, 0):,} voxels; trust {report.trust}"]
    lines += [f"{kind}: {KINDS[kind]}" for kind in kinds]
    font, height = _font(18), 28
    width = max(picture.width, *(24 + 26 + round(font.getlength(line)) for line in lines))
    whole = Image.new("RGB", (width, picture.height + height * len(lines) + 16), PAPER)
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        y = picture.height + 8 + number * height
        if number:
            shade = SHADES[list(KINDS).index(kinds[number - 1])]
            draw.rectangle((12, y + 4, 28, y + 20), fill=shade)
        draw.text((38 if number else 12, y), line, fill=INK, font=font)
    return whole
