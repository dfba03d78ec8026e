"""`Image`: a picture under the labels, an array to read from at any of its scales."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Corrupt, OutOfBounds
from labelog.geometry import Box, Lengths, Triple
from labelog.image import ome
from labelog.image.address import Address, is_remote, open_blosc2, open_member, open_zarr, resolve
from labelog.image.level import Level
from labelog.indexing import Voxels


class Image(Voxels):
    """A grey picture (z, y, x), read only: an array-like of the source's own dtype, uint8, uint16, float32 or other.

    What dask, xarray and napari are given. It is one scale of the picture, the finest unless taken from `scales`.
    Pickles by address, and is opened again where it is unpickled. Any thread may read it.

    Get one from `open_image`.

    Attributes
    ----------
    address : an absolute path, or a URL.
    kind : what lies there: "ome-zarr", "zarr" or "blosc2".
    number : which scale this is; 0 is the finest.
    """

    def __init__(self, address: str, kind: str, levels: tuple[Level, ...], number: int = 0) -> None:
        self.address = address
        self.kind = kind
        self.number = number
        self._levels = levels
        self._level = levels[number]

    @property
    def shape(self) -> Triple:  # type: ignore[override]
        """Voxels along z, y, x."""
        return self._level.shape

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """Of the voxels, in native byte order."""
        return self._level.dtype

    @property
    def chunks(self) -> Triple:  # type: ignore[override]
        """Voxels of a stored chunk along z, y, x."""
        return self._level.chunks

    @property
    def voxel_size(self) -> Lengths | None:
        """Along z, y, x, in `unit`; None where the source does not say (plain Zarr, Blosc2)."""
        return self._level.voxel_size

    @property
    def unit(self) -> str | None:
        """Of voxel size and translation, such as `nm`; None where the source does not say."""
        return self._level.unit

    @property
    def translation(self) -> Lengths:
        """Where the centre of the first voxel is, along z, y, x, in `unit`: that of a coarse voxel is further in."""
        return self._level.translation

    @property
    def scales(self) -> tuple[Image, ...]:
        """The picture at each of its scales, finest first."""
        return tuple(Image(self.address, self.kind, self._levels, number) for number in range(len(self._levels)))

    def scale(self, number: int) -> Image:
        """The picture at one of its scales: 0 is the finest, -1 the coarsest. Raises OutOfBounds."""
        try:
            return self.scales[number]
        except (IndexError, TypeError):
            what = f"{self.address} has scales 0 to {len(self._levels) - 1}, not {number!r}"
            raise OutOfBounds(what, path=self.address) from None

    def reference(self, folder: Address) -> dict[str, str]:
        """What a volume in `folder` remembers of its image, as JSON: the address, relative if it is inside, and kind.

        `open_image(reference["address"], folder)` opens it again, also after the folder has moved.
        """
        home, address = os.path.abspath(folder), self.address
        if not is_remote(address) and os.path.commonpath([home, address]) == home:
            address = os.path.relpath(address, home)
        return {"address": address, "kind": self.kind}

    def _fill(self, box: Box, out: NDArray[Any]) -> None:
        if box.voxels:
            self._level.fill(box, out)

    def __repr__(self) -> str:
        z, y, x = self.shape
        return f"<Image {self.address}, scale {self.number} of {len(self._levels)}, {self.dtype}, {z} x {y} x {x}>"

    def __dask_tokenize__(self) -> tuple[str, str, int, Triple, str]:
        return "labelog.image", self.address, self.number, self.shape, self.dtype.str

    def __reduce__(self) -> Any:
        return _reopened, (self.address, self.number)


def open_image(address: Address, relative_to: Address | None = None) -> Image:
    """Open an image where it lies, for reading; nothing is copied.

    Parameters
    ----------
    address : a path, relative to the folder `relative_to` (or the current one) unless absolute, or a URL: file://, and
        with fsspec also http://, https:// and s3://. There lies an OME-Zarr image (0.4 or 0.5, Zarr 2 or 3), a Zarr
        array (z, y, x) or (y, x), or a Blosc2 array (.b2nd, local). Further axes must have length 1.

    Raises
    ------
    NotFound, Unsupported (another format, version or scheme, or a library that is missing), Invalid (several channels
    or times, no numbers), Corrupt (metadata that is damaged, naming file and entry), LabelogError for a URL that
    cannot be reached.
    """
    place = resolve(address, relative_to)
    if place.endswith(".b2nd"):
        return Image(place, "blosc2", (Level.of(open_blosc2(place), None, place),))
    node = open_zarr(place)
    if hasattr(node, "shape"):
        return Image(place, "zarr", (Level.of(node, _named(node), place),))
    return Image(place, "ome-zarr", _multiscale(node, place))


def _named(array: Any) -> list[str] | None:
    """The names of a plain array's axes, if it has some that are known."""
    names = [str(name).lower() for name in getattr(array.metadata, "dimension_names", None) or ()]
    return names if names and set(names) <= set("tczyx") else None


def _multiscale(group: Any, place: str) -> tuple[Level, ...]:
    levels: list[Level] = []
    for path, names, size, unit, translation in ome.datasets(dict(group.attrs), place):
        array = open_member(group, path, place)
        where = f"{place}/{path}"
        if not hasattr(array, "shape"):
            raise Corrupt(f"{where}: expected an array, as `datasets` lists it; found a group", path=where)
        level = Level.of(array, names, where, voxel_size=size, unit=unit, translation=translation)
        finer = levels[-1] if levels else level
        if level.dtype != finer.dtype or any(n > m for n, m in zip(level.shape, finer.shape, strict=True)):
            expected = f"a coarser scale of {finer.where}, {finer.dtype} {finer.shape}"
            raise Corrupt(f"{where}: expected {expected}; found {level.dtype} {level.shape}", path=where)
        levels.append(level)
    return tuple(levels)


def _reopened(address: str, number: int) -> Image:
    return open_image(address).scale(number)
