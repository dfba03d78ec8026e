"""A volume at a revision, and a snapshot seen through a label map: read only, array-like."""

from __future__ import annotations

import weakref
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog import indexing
from labelog.errors import Invalid
from labelog.geometry import Box, Triple
from labelog.kernels.runs import Runs

if TYPE_CHECKING:
    from labelog.engine.volume import Volume

VIEWS = ("instance", "fragment")


class Snapshot:
    """A volume at a revision: an array of labels (z, y, x), uint64, that never changes.

    What dask, xarray and napari are given. Pickles as address and revision, and opens the volume again where it is
    unpickled (another process, a worker), for reading.

    Get one from `Volume.at`.
    """

    dtype = np.dtype(np.uint64)
    ndim = 3

    def __init__(self, volume: Volume, revision: int) -> None:
        self.volume = volume
        self.revision = revision

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        return self.volume.shape

    @property
    def chunks(self) -> Triple:
        """Voxels of a chunk along z, y, x."""
        return self.volume.chunks

    @property
    def size(self) -> int:
        """Voxels."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Along z, y, x, in `unit`."""
        return self.volume.voxel_size

    @property
    def unit(self) -> str:
        """The unit of voxel sizes, such as `nm`."""
        return self.volume.unit

    @property
    def time(self) -> datetime:
        """When the revision was made, UTC."""
        return self.volume.commit(self.revision).time

    def view(self, name: str = "instance") -> View:
        """This snapshot seen through a label map: `instance` (merges applied) or `fragment` (as stored)."""
        return View(self, name)

    def _runs(self, chunk: int) -> Runs:
        return self.volume.store.runs(chunk, self.revision)

    def read(self, box: Box | tuple[Triple, Triple] | None = None,
             out: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:  # fmt: skip
        """The labels of a box.

        Parameters
        ----------
        box : half-open bounds, start and stop (z, y, x); the whole volume if None.
        out : a writable uint64 array of the box's shape to fill, of any strides; a new one if None.

        Raises OutOfBounds for a box outside the volume, Invalid for an `out` that does not fit, Corrupt (naming the
        chunk) for damaged bytes.
        """
        bounds = Box((0, 0, 0), self.shape) if box is None else indexing.within(box, self.shape)
        if out is None:
            out = np.empty(bounds.shape, np.uint64)
        elif not (isinstance(out, np.ndarray) and out.dtype == np.uint64 and out.shape == bounds.shape):
            found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
            raise Invalid(f"out must be a uint64 array of shape {bounds.shape}, not {found}")
        elif not out.flags.writeable:
            raise Invalid("out must be writable")
        self._fill(bounds, out)
        return out

    def _fill(self, box: Box, out: NDArray[np.uint64]) -> None:
        self.volume.store.read(box, out, self._runs)

    def _lookup(self, points: NDArray[np.int64]) -> NDArray[np.uint64]:
        return self.volume.store.lookup(points, self._runs)

    def __getitem__(self, index: Any) -> Any:
        return indexing.read(index, self.shape, self._fill, self._lookup)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("labels are decoded: an array of them is always a copy")
        labels = self.read()
        return labels if dtype is None else labels.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        z, y, x = self.shape
        return f"<Snapshot of {self.volume.address} at revision {self.revision}, {z} x {y} x {x}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.__dask_tokenize__() == other.__dask_tokenize__()

    def __hash__(self) -> int:
        return hash(self.__dask_tokenize__())

    def __dask_tokenize__(self) -> tuple[str, int, str]:
        return self.volume.id, self.revision, "fragment"

    def __reduce__(self) -> Any:
        return _reopened, (self.volume.address, self.revision)


class View:
    """A snapshot seen through a label map: array-like, read only. Get one from `Volume.view` or `Snapshot.view`.

    `instance` is what `Volume[...]` gives, `fragment` what is stored; until labels are merged they are the same.
    """

    dtype = np.dtype(np.uint64)
    ndim = 3

    def __init__(self, snapshot: Snapshot, name: str) -> None:
        if name not in VIEWS:
            raise Invalid(f"there is no view {name!r}; there are {', '.join(VIEWS)}")
        self.snapshot = snapshot
        self.name = name

    @property
    def shape(self) -> Triple:
        """Voxels along z, y, x."""
        return self.snapshot.shape

    @property
    def chunks(self) -> Triple:
        """Voxels of a chunk along z, y, x."""
        return self.snapshot.chunks

    @property
    def size(self) -> int:
        """Voxels."""
        return self.snapshot.size

    @property
    def revision(self) -> int:
        """The revision seen."""
        return self.snapshot.revision

    def read(self, box: Box | tuple[Triple, Triple] | None = None,
             out: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:  # fmt: skip
        """The labels of a box, as `Snapshot.read`."""
        return self.snapshot.read(box, out)

    def __getitem__(self, index: Any) -> Any:
        return self.snapshot[index]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self.snapshot.__array__(dtype, copy)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<View {self.name} of {self.snapshot!r}>"

    def __dask_tokenize__(self) -> tuple[str, int, str]:
        return self.snapshot.volume.id, self.revision, self.name

    def __reduce__(self) -> Any:
        return View, (self.snapshot, self.name)


_opened: weakref.WeakValueDictionary[str, Volume] = weakref.WeakValueDictionary()


def _reopened(address: str, revision: int) -> Snapshot:
    """A snapshot in the process that unpickles it; all of one volume share one opening."""
    from labelog.engine.volume import open as open_volume

    volume = _opened.get(address)
    if volume is None or volume.closed:
        volume = _opened[address] = open_volume(address, "r")
    return volume.at(revision)
