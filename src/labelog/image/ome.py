"""What OME-Zarr says of an image: its scales, and how large their voxels are. Read 0.4 and 0.5, written 0.5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from labelog.errors import Corrupt, Invalid, Unsupported
from labelog.geometry import Lengths
from labelog.storage.meta import UNITS

SHORT = {long: short for short, long in UNITS.items()}
VERSIONS = ("0.4", "0.5")
SPACE = ("z", "y", "x")


class Dataset(NamedTuple):
    """One scale: the path of its array in the group, the names of its axes, and where its voxels are."""

    path: str
    axes: tuple[str, ...]
    voxel_size: Lengths
    unit: str | None
    translation: Lengths


def datasets(attributes: Any, where: str) -> list[Dataset]:
    """The scales of a group's first multiscale image, finest first.

    Raises Invalid for a group without one, Unsupported for other versions and transformations, Corrupt where the
    metadata is not as OME-Zarr has it.
    """
    ome = attributes.get("ome", attributes)
    if "multiscales" not in ome:
        raise Invalid(f"{where}: expected a Zarr array or an OME-Zarr image, found a group without `multiscales`")
    image = _get(_get(ome, "multiscales", list, where), 0, dict, f"{where}, multiscales")
    where = f"{where}, multiscales[0]"
    version = str(ome.get("version") or image.get("version") or "0.4")
    if not version.startswith(VERSIONS):
        raise Unsupported(f"{where}: OME-Zarr {version}; read are {' and '.join(VERSIONS)}")
    axes = _get(image, "axes", list, where)
    names = tuple(_get(axis, "name", str, f"{where}, axes").lower() for axis in axes)
    if not {"y", "x"} <= set(names):
        raise Invalid(f"{where}: expected axes z, y, x; found {', '.join(names)}")
    unit = _unit([axis.get("unit") for axis, name in zip(axes, names, strict=True) if name in SPACE], where)
    found = _get(image, "datasets", list, where)
    if not found:
        raise Corrupt(f"{where}: expected at least one of `datasets`, found none")
    overall = image.get("coordinateTransformations", [])
    return [_dataset(found[n], names, unit, overall, f"{where}.datasets[{n}]") for n in range(len(found))]


def _dataset(document: Any, names: tuple[str, ...], unit: str | None, overall: Any, where: str) -> Dataset:
    path = _get(document, "path", str, where)
    steps = _get(document, "coordinateTransformations", list, where)
    if not isinstance(overall, list):
        raise Corrupt(f"{where}: expected `coordinateTransformations` to be a list, found {overall!r}")
    scale, translation = [1.0] * len(names), [0.0] * len(names)
    for step in [*steps, *overall]:
        kind = _get(step, "type", str, where)
        if kind == "scale":
            factors = _numbers(step, "scale", len(names), where)
            scale = [a * b for a, b in zip(scale, factors, strict=True)]
            translation = [a * b for a, b in zip(translation, factors, strict=True)]
        elif kind == "translation":
            shift = _numbers(step, "translation", len(names), where)
            translation = [a + b for a, b in zip(translation, shift, strict=True)]
        elif kind != "identity":
            raise Unsupported(f"{where}: expected a scale or a translation, found the transformation {kind!r}")
    size = _spatial(scale, names, 1.0)
    if not all(0 < n < math.inf for n in size):
        raise Corrupt(f"{where}: expected positive voxel sizes, found {size}")
    return Dataset(path, names, size, unit, _spatial(translation, names, 0.0))


def _spatial(values: Sequence[float], names: tuple[str, ...], otherwise: float) -> Lengths:
    z, y, x = (values[names.index(name)] if name in names else otherwise for name in SPACE)
    return z, y, x


def _unit(units: Sequence[object], where: str) -> str | None:
    """The one unit of the axes that have one, by labelog's name if it has a name for it."""
    found = sorted({str(unit) for unit in units if unit is not None})
    if len(found) > 1:
        raise Unsupported(f"{where}: expected one unit for z, y and x; found {', '.join(found)}")
    return SHORT.get(found[0], found[0]) if found else None


def _get(document: Any, key: str | int, kind: type, where: str) -> Any:
    """An entry of a JSON object or list that has to be there, and of this type; Corrupt otherwise."""
    try:
        value = document[key]
    except (KeyError, IndexError, TypeError):
        raise Corrupt(f"{where}: expected `{key}`, found none") from None
    if not isinstance(value, kind):
        raise Corrupt(f"{where}: expected `{key}` to be a {kind.__name__}, found {value!r}")
    return value


def _numbers(step: Any, key: str, length: int, where: str) -> list[float]:
    values = _get(step, key, list, where)
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != length or not all(map(math.isfinite, numbers)):
        raise Corrupt(f"{where}: expected `{key}` to be {length} numbers, one for each axis; found {values!r}")
    return numbers


def group_attributes(scales: Sequence[tuple[Lengths, Lengths]], unit: str | None, name: str,
                     prefix: str = "") -> dict[str, Any]:  # fmt: skip
    """The attributes of an OME-Zarr 0.5 group whose arrays `0`, `1`, ... have these voxel sizes and translations.

    A prefix comes before the number of each.
    """
    axes = [{"name": axis, "type": "space"} | ({"unit": UNITS.get(unit, unit)} if unit else {}) for axis in SPACE]
    listed = [
        {
            "path": f"{prefix}{number}",
            "coordinateTransformations": [
                {"type": "scale", "scale": list(size)},
                {"type": "translation", "translation": list(translation)},
            ],
        }
        for number, (size, translation) in enumerate(scales)
    ]
    return {"ome": {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": listed}]}}
