"""TIFF: one file is one volume, a page to a slice.

Read are pages of 8 to 64-bit integers (a label per value), with palette (a label per index, or per colour), and of
8-bit RGB and RGBA (a label per colour); in strips or tiles, in any lossless compression, BigTIFF or not; also
ImageJ's files whose later slices follow the first page without pages of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog.damage import damage
from labelog.errors import Corrupt, Invalid, Unsupported
from labelog.extras import extra
from labelog.formats.colours import ColourMap, ColourSource, colour_table, paint
from labelog.formats.limits import check_labels, volume_shape, voxel_dtype
from labelog.formats.output import new_file
from labelog.formats.stack import Colour, Stack, blocks, written_dtype
from labelog.formats.tiff_metadata import described, imagej_description
from labelog.formats.tiff_pages import check_page, page_offsets

DTYPES = ("uint8", "uint16", "uint32", "uint64")
BIG = 2**32 - 2**26  # classic TIFF counts its bytes in 32 bits; room for the pages' headers

PHOTOMETRIC_RGB, PHOTOMETRIC_PALETTE = 2, 3


def read(
    path: Path,
    *,
    colours: ColourSource | None = None,
    palette: Literal["index", "colours"] | None = None,
    image: bool = False,
    snap: int = 0,
) -> Stack:
    """A stack of the pages of the TIFF at `path`.

    Parameters
    ----------
    colours : table of the colours' labels; without it each distinct colour gets the next id. See `colours.py`.
    palette : what is a label in pages with a palette: the "index" (the default, unless `colours` is given), or the
        colour, as in an RGB page ("colours").
    image : read grey values, floats and negative ones too, and no colours.
    snap : how far a colour's red, green and blue may be from one of the table to be taken for it.

    Raises Corrupt, also if the number of pages is not the one the file declares; Invalid for what is not [z, y, x],
    for floats, and for pages that differ, naming page, expected and found; Unsupported for lossy compression,
    16-bit colours and a missing extra. What is wrong with later pages is raised by the slabs.
    """
    tifffile = _library()
    if palette not in (None, "index", "colours"):
        raise Invalid(f'palette: expected "index" or "colours"; found {palette!r}')
    table = None if colours is None else colour_table(colours)
    by_colour = (palette or ("index" if table is None else "colours")) == "colours"
    with damage(path):
        with open(path, "rb") as handle:
            pages = len(page_offsets(handle, str(path)))
        with tifffile.TiffFile(path) as tif:
            first = _Layout(tif.pages.first, f"{path}, page 0", by_colour, image)
            check_page(tif.pages.first, os.path.getsize(path), f"{path}, page 0")
            about = described(tif.pages.first, str(path))
            hidden = pages == 1 and (about.slices or 1) > 1
            if hidden:
                _hidden(tif, path, about.slices or 1)
    if not hidden and about.slices not in (None, pages):
        raise Corrupt(f"{path} declares {about.slices} slices, but has {pages} pages", path=str(path), page=pages)
    shape = volume_shape((about.slices or pages, *first.size), str(path))
    found: dict[int, Colour] = {}
    if image and (first.coloured or first.palette is not None):
        raise Invalid(f"{path}: expected grey pages, one value a voxel; found colours")
    changes: dict[str, int] = {}
    if table is not None and not first.coloured:
        raise Invalid(f"{path} has no colours to look up; its values are the labels", grey=True)
    dtype = ColourMap(table, found).dtype if first.coloured else first.dtype

    def slabs() -> Iterator[NDArray[Any]]:
        ids = ColourMap(table, found, snap, changes)
        for page, pixels in enumerate(_slices(path, shape[0], first, hidden)):
            where = f"{path}, page {page}"
            if first.coloured:
                pixels = ids.labels(pixels, where)
            elif not image:
                check_labels(pixels[np.newaxis], where)
            yield pixels[np.newaxis]

    return Stack(shape, dtype, slabs, about.voxel_size, about.unit, colours=found, changes=changes)


def write(
    stack: Stack, path: Path, *, overwrite: bool = False, colours: bool | None = None, dtype: DTypeLike | None = None
) -> None:
    """Write one multipage file, Deflate-compressed; BigTIFF where it might exceed 4 GB.

    Parameters
    ----------
    colours : RGBA pictures of the stack's colours (True), pages of labels (False), or pictures if the stack has
        colours (None).
    dtype : uint8, uint16, uint32 or uint64, for labels; without it the smallest that holds them all, found in a
        pass of its own.

    The voxel size is written as ImageJ does. Raises Exists, OutOfSpace, NotFound for a missing folder, Invalid for a
    label without colour or beyond `dtype`.
    """
    tifffile = _library()
    if colours and not stack.colours:
        raise Invalid("colours=True, but the stack has no colours")
    pictures = bool(stack.colours) if colours is None else colours
    with new_file(path, overwrite=overwrite) as temporary:
        stored = stack.dtype if pictures else written_dtype(stack, DTYPES, dtype, "TIFF")
        size = stack.shape[0] * (stack.shape[1] * stack.shape[2] * (4 if pictures else stored.itemsize) + 1024)
        layout = _layout(stack, pictures)
        with tifffile.TiffWriter(temporary, bigtiff=size > BIG) as tif:
            for z, slab in blocks(stack, 1, stored):
                tif.write(paint(slab[0], stack.colours, f"slice {z}") if pictures else slab[0], **layout)
                layout.pop("description", None)


def _layout(stack: Stack, pictures: bool) -> dict[str, Any]:
    """What tifffile is told of the first page; of the others the same, but for the description."""
    layout: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib", "metadata": None}
    if pictures:
        layout |= {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    if stack.voxel_size is not None:
        layout["resolution"] = (1 / stack.voxel_size[2], 1 / stack.voxel_size[1])
        layout["resolutionunit"] = "none"
        layout["description"] = imagej_description(stack.shape[0], stack.voxel_size, stack.unit).encode()
    return layout


class _Layout:
    """What the pages of one stack have in common: size, dtype and what their values mean."""

    def __init__(self, page: Any, where: str, by_colour: bool, image: bool = False) -> None:
        self.size = (int(page.imagelength), int(page.imagewidth))
        self.samples = int(page.samplesperpixel)
        if page.dtype is None:
            raise Unsupported(f"{where}: {page.bitspersample}-bit samples of format {page.sampleformat} are not read")
        self.image = image
        self.dtype = voxel_dtype(np.dtype(page.dtype), where, image)
        self.palette: NDArray[Any] | None = None
        if page.photometric == PHOTOMETRIC_PALETTE and page.colormap is not None:
            self.palette = (np.asarray(page.colormap) >> 8).astype(np.uint8).T
        self.coloured = self.samples > 1 or (self.palette is not None and by_colour)
        if self.samples > 1 and not (
            self.samples in (3, 4) and page.photometric == PHOTOMETRIC_RGB and self.dtype == np.uint8
        ):
            raise Unsupported(
                f"{where}: {self.samples} samples a pixel of {self.dtype}, photometric {page.photometric!r}; "
                "read are one integer, or 8-bit RGB or RGBA"
            )

    def __str__(self) -> str:
        return f"{self.size[0]} x {self.size[1]} pixels of {self.dtype}" + f" x {self.samples}" * (self.samples > 1)

    def check(self, first: _Layout, page: int, where: str) -> None:
        """Invalid if this page cannot be a slice of the stack that page 0 begins."""
        if str(self) != str(first) or self.coloured != first.coloured:
            raise Invalid(f"{where} has {self}; expected {first}, as page 0 has", page=page)
        if not self.coloured and not np.array_equal(self.palette, first.palette):  # type: ignore[arg-type]
            raise Invalid(
                f"{where} has another palette than page 0, so that its indices are not the same labels; "
                'read it with palette="colours"',
                page=page,
            )


def _slices(path: Path, slices: int, first: _Layout, hidden: bool) -> Iterator[NDArray[Any]]:
    """Each slice: labels (y, x), or colours (y, x, 3 or 4)."""
    tifffile, size = _library(), os.path.getsize(path)
    with damage(path):
        tif = tifffile.TiffFile(path)
    with tif:
        if hidden:
            pages = _hidden(tif, path, slices)
            for z in range(slices):
                yield _looked_up(np.array(pages[z], first.dtype), first)
            return
        for z in range(slices):
            where = f"{path}, page {z}"
            with damage(path, z):
                page = tif.pages[z]
                layout = _Layout(page, where, first.coloured, first.image)
                layout.check(first, z, where)
                check_page(page, size, where)
                # (planes, 1, y, x, samples): samples are side by side, or a plane each
                pixels = page.asarray(squeeze=False)[:, 0]
                pixels = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels[..., 0], 0, -1)
                pixels = pixels.astype(first.dtype, copy=False)
            yield _looked_up(pixels if first.samples > 1 else pixels[..., 0], layout)


def _looked_up(values: NDArray[Any], layout: _Layout) -> NDArray[Any]:
    """The pixels in the colours of their palette, where those are what is wanted."""
    if layout.coloured and layout.palette is not None:
        return np.asarray(layout.palette[values])
    return values


def _hidden(tif: Any, path: Path, slices: int) -> NDArray[Any]:
    """The slices, mapped, that follow the first page's without pages of their own: ImageJ's way past 4 GB."""
    page, size = tif.pages.first, os.path.getsize(path)
    end = page.dataoffsets[0] + slices * page.nbytes
    if not page.is_final or page.planarconfig != 1 or end > size:
        raise Corrupt(f"{path} declares {slices} slices, but has 1 page and {size} bytes", path=str(path), page=1)
    samples = (page.samplesperpixel,) if page.samplesperpixel > 1 else ()
    shape = (slices, page.imagelength, page.imagewidth, *samples)
    return np.memmap(path, tif.byteorder + page.dtype.char, "r", page.dataoffsets[0], shape)


def _library() -> Any:
    extra("imagecodecs", "tiff")
    return extra("tifffile", "tiff")
