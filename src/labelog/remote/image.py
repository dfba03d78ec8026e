"""The image under the labels of a volume on a server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelog.errors import OutOfBounds, Unsupported
from labelog.geometry import Box, Lengths, Triple
from labelog.image import Image
from labelog.image.address import Address
from labelog.remote.labels import spelled

if TYPE_CHECKING:
    from labelog.remote.volume import RemoteVolume

MOST = 2**24  # voxels of one request


class RemoteImage(Image):
    """The image of a volume at a revision, read from the server. Get one from `Volume.image`."""

    def __init__(self, volume: RemoteVolume, revision: int, told: dict[str, Any], number: int = 0) -> None:
        self.address = f"{volume.address}/image"
        self.kind = told["kind"]
        self.number = number
        self._volume, self._revision, self._told = volume, revision, told
        self._here = told["scales"][number]

    @property
    def shape(self) -> Triple:  # type: ignore[override]
        z, y, x = self._here["shape"]
        return z, y, x

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        found: np.dtype[Any] = np.dtype(self._told["dtype"])
        return found

    @property
    def chunks(self) -> Triple:  # type: ignore[override]
        z, y, x = self._here["chunks"]
        return z, y, x

    @property
    def voxel_size(self) -> Lengths | None:
        return _lengths(self._here["voxel_size"])

    @property
    def unit(self) -> str | None:
        return self._here["unit"]  # type: ignore[no-any-return]

    @property
    def translation(self) -> Lengths:
        return _lengths(self._here["translation"]) or (0.0, 0.0, 0.0)

    @property
    def scales(self) -> tuple[Image, ...]:
        return tuple(self.scale(number) for number in range(len(self._told["scales"])))

    def scale(self, number: int) -> Image:
        last = len(self._told["scales"]) - 1
        try:
            at = range(last + 1)[number]
        except (IndexError, TypeError):
            raise OutOfBounds(f"{self.address} has scales 0 to {last}, not {number!r}") from None
        return RemoteImage(self._volume, self._revision, self._told, at)

    def reference(self, folder: Address) -> dict[str, str]:
        raise Unsupported(f"{self.address} is the server's; attach images where the volume lies")

    def _fill(self, box: Box, out: NDArray[Any]) -> None:
        from labelog.remote.snapshot import cut

        for part in cut(box, self.chunks):
            answer = self._volume.connection.get("/image/voxels", accept="application/x-npy", box=spelled(part),
                                                 scale=self.number, rev=self._revision)  # fmt: skip
            out[part.relative(box.start).slices()] = np.load(io.BytesIO(answer.content), allow_pickle=False)

    def __repr__(self) -> str:
        z, y, x = self.shape
        count = len(self._told["scales"])
        return f"<Image {self.address}, scale {self.number} of {count}, {self.dtype}, {z} x {y} x {x}>"

    def __reduce__(self) -> Any:
        from labelog.remote.volume import reopened_image

        return reopened_image, (self._volume.address, self._revision, self.number)


def _lengths(values: Any) -> Lengths | None:
    if values is None:
        return None
    z, y, x = values
    return float(z), float(y), float(x)
