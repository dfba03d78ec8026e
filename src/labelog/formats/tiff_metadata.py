"""What ImageJ, OME and tifffile say about a TIFF in the description of its first page: slices and voxel size."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from labelog.errors import Invalid

UNITS = {"micron": "um", "microns": "um", "\\u00b5m": "um", "\N{MICRO SIGN}m": "um", "\N{GREEK SMALL LETTER MU}m": "um"}


@dataclass(frozen=True)
class Described:
    """Slices declared (None: as many as pages), and (z, y, x) voxel size with its unit, where they are given."""

    slices: int | None = None
    voxel_size: tuple[float, float, float] | None = None
    unit: str | None = None


def described(page: Any, where: str) -> Described:
    """Read the description of tifffile's first page; Invalid if it tells of more axes than z, y, x and colour."""
    text = str(page.description or "")
    if text.startswith("ImageJ="):
        return _imagej(text, page, where)
    if "<OME" in text:
        return _ome(text, page, where)
    if text.startswith('{"shape": '):
        return _shaped(text, page, where)
    return Described()


def imagej_description(slices: int, voxel_size: tuple[float, float, float], unit: str | None) -> str:
    """The description that tells ImageJ, and this reader, slices, spacing and unit; x and y are in the resolution."""
    return f"ImageJ=1.54f\nimages={slices}\nslices={slices}\nunit={unit or 'pixel'}\nspacing={voxel_size[0]!r}\n"


def _imagej(text: str, page: Any, where: str) -> Described:
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    axes = {name: int(fields.get(name, 1)) for name in ("channels", "slices", "frames")}
    _check_axes(axes, where)
    slices = int(fields["images"]) if "images" in fields else None
    unit = fields.get("unit", "").strip()
    scales = [tag.value for tag in page.tags if tag.name in ("XResolution", "YResolution")]  # pixels a unit; rational
    if unit in ("", "pixel") or len(scales) != 2 or 0 in (*scales[0], *scales[1]):
        return Described(slices)
    x, y = (below / above for above, below in scales)
    return Described(slices, (float(fields.get("spacing", 1)), y, x), UNITS.get(unit.lower(), unit))


def _ome(text: str, page: Any, where: str) -> Described:
    found = dict(re.findall(r'\b((?:Size|PhysicalSize)[XYZCT](?:Unit)?)="([^"]*)"', text))
    samples = int(page.samplesperpixel)
    channels = int(found.get("SizeC", 1))
    axes = {"channels": 1 if channels == samples else channels}
    axes |= {"slices": int(found.get("SizeZ", 1)), "frames": int(found.get("SizeT", 1))}
    _check_axes(axes, where)
    slices = math.prod(axes.values())
    sizes = [float(found.get(f"PhysicalSize{axis}", 0)) for axis in "ZYX"]
    unit = found.get("PhysicalSizeXUnit", "um")
    if min(sizes) <= 0 or any(found.get(f"PhysicalSize{axis}Unit", "um") != unit for axis in "YZ"):
        return Described(slices)
    return Described(slices, (sizes[0], sizes[1], sizes[2]), UNITS.get(unit, unit))


def _shaped(text: str, page: Any, where: str) -> Described:
    shape, plane = [int(n) for n in json.loads(text)["shape"]], list(page.shape)
    stacked = shape[: -len(plane)]
    if shape != stacked + plane or math.prod(stacked) == 1:  # slices written one by one: each describes itself only
        return Described()
    _check_axes({f"axis {axis}": n for axis, n in enumerate(stacked)}, where)
    return Described(math.prod(stacked))


def _check_axes(axes: dict[str, int], where: str) -> None:
    stacked = {name: n for name, n in axes.items() if n != 1}
    if len(stacked) > 1:  # one is z, by whatever name: tifffile calls the slices of a 3D array ImageJ's channels
        told = ", ".join(f"{name}: {n}" for name, n in stacked.items())
        raise Invalid(f"{where}: expected a stack [z, y, x]; it has {told}; save each [z, y, x] on its own")
