"""labelog.json: what a volume is. Written once, replaced by rename."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import google_crc32c

from labelog.errors import Corrupt, Invalid, NotFound, Unsupported
from labelog.geometry import Grid, Triple
from labelog.storage.disk import explained, write_file
from labelog.storage.layout import FORMAT, META

LIMIT = 64 * 2**20  # bytes; colours of a million labels take about 25 MiB


@dataclass(frozen=True)
class Meta:
    """The fixed facts of a volume.

    Attributes
    ----------
    id : a UUID's 32 hex digits.
    shape, chunks : voxels, z y x.
    voxel_size : z y x, in `unit`.
    colours : label -> "#rrggbbaa", as an import found them.
    """

    id: str
    shape: Triple
    chunks: Triple
    voxel_size: tuple[float, float, float]
    unit: str
    colours: dict[int, str] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        return Grid(self.shape, self.chunks)

    @property
    def key(self) -> bytes:
        """The volume's id as chunks carry it."""
        return UUID(self.id).bytes

    def to_bytes(self) -> bytes:
        facts = {"labelog": FORMAT, **asdict(self)}
        facts["colours"] = {str(label): colour for label, colour in sorted(self.colours.items())}
        body = json.dumps(facts, indent=2)[:-2]
        return f'{body},\n  "crc32c": "{google_crc32c.value(body.encode()):08x}"\n}}\n'.encode()

    @classmethod
    def from_bytes(cls, data: bytes, path: Path) -> Meta:
        """Raises Corrupt for any byte that differs from what `to_bytes` wrote, Unsupported for another version."""
        try:
            facts: dict[str, Any] = json.loads(data)
            version = facts.pop("labelog")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Corrupt(f"{path} is damaged: {error}", path=str(path)) from error
        if isinstance(version, int) and version > FORMAT and facts.get("crc32c"):
            raise Unsupported(f"{path} has format {version}; this version of labelog reads format {FORMAT}")
        try:
            facts.pop("crc32c")
            facts["colours"] = {int(label): str(colour) for label, colour in facts["colours"].items()}
            grid = Grid.of(facts.pop("shape"), facts.pop("chunks"))
            z, y, x = facts.pop("voxel_size")
            meta = cls(shape=grid.shape, chunks=grid.chunks, voxel_size=(z, y, x), **facts)
            same = meta.to_bytes() == data and len(meta.key) == 16
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Corrupt(f"{path} is damaged: {error}", path=str(path)) from error
        if not same:
            raise Corrupt(f"{path} is damaged: its checksum does not hold", path=str(path))
        return meta

    def write(self, folder: Path) -> None:
        data = self.to_bytes()
        if len(data) > LIMIT:
            raise Invalid(f"{len(self.colours)} colours take {len(data)} bytes; {META} may have {LIMIT}")
        write_file(folder / META, data)

    @classmethod
    def read(cls, folder: Path) -> Meta:
        """The facts of the volume in this folder; NotFound if there is none."""
        path = folder / META
        with explained(path):
            if not path.exists():
                what = "is not a labelog volume (it has no labelog.json)" if folder.exists() else "does not exist"
                raise NotFound(f"{folder} {what}", path=str(folder))
            if path.stat().st_size > LIMIT:
                raise Corrupt(f"{path} has over {LIMIT} bytes", path=str(path))
            return cls.from_bytes(path.read_bytes(), path)


UNITS = {
    "nm": "nanometer", "um": "micrometer", "mm": "millimeter", "m": "meter", "angstrom": "angstrom",
}  # fmt: skip
"""Units of voxel sizes, and their OME-NGFF names."""


def checked_size(voxel_size: object, unit: str) -> tuple[float, float, float]:
    """Three positive lengths in a known unit, or Invalid."""
    if not isinstance(unit, str) or unit not in UNITS:
        raise Invalid(f"unit must be one of {', '.join(UNITS)}, not {unit!r}")
    try:
        z, y, x = (float(n) for n in voxel_size)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise Invalid(f"voxel_size must be three lengths (z, y, x), not {voxel_size!r}") from None
    if not all(0 < n < float("inf") for n in (z, y, x)):
        raise Invalid(f"voxel_size must be three positive lengths, not {voxel_size!r}")
    return z, y, x
