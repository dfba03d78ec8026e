"""The part of `Edit` that fills: what hangs together with a voxel gets a label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from labelog.engine.change import Patches
from labelog.engine.fills import Filled, Limits, Rule, Source, filled, needless
from labelog.engine.naming import Naming
from labelog.engine.values import checked_label
from labelog.engine.views import LabelMap
from labelog.geometry import Box, Triple
from labelog.image import Image
from labelog.kernels.runs import Runs
from labelog.progress import Progress, checked_progress


class Filling(Naming):
    """Stages fills. `Edit` is one."""

    def _runs(self, chunk: int) -> Runs:
        raise NotImplementedError

    def _view(self, name: str) -> LabelMap:
        raise NotImplementedError

    def _image(self) -> Image:
        raise NotImplementedError

    def _stage(self, patches: Patches) -> None:
        raise NotImplementedError

    def fill(self, seed: Iterable[int], label: int, *, view: str = "instance", connectivity: int | None = None,
             within: Box | tuple[Triple, Triple] | None = None, axis: int | None = None, limit: int | None = None,
             over: Iterable[int] | int | None = None, tolerance: float | None = None,
             between: tuple[float, float] | None = None, progress: Progress | None = None) -> Filled:  # fmt: skip
        """Give a label to all voxels that look like one and hang together with it: a flood fill.

        By default these are the voxels of the same object, in 3D. With `tolerance` or `between` they must also be
        alike in the image that is attached to the volume, so a fill never leaves what `over` allows.

        Parameters
        ----------
        seed : where to begin, a voxel (z, y, x).
        label : 0 to 2^64 - 1. Where the seed has it already, nothing is filled.
        view : what has to be the same: `instance`, `fragment`, `semantic`, or the name of a class, as for
            `Snapshot.view`.
        connectivity : how many neighbours a voxel has: 6 (at its faces: the default), 18 (and edges) or 26 (and
            corners); in a slice 4 (the default) or 8.
        within : a box that is not left.
        axis : fill in 2D, in the slice of the seed across this axis: 0, 1 or 2 for z, y or x.
        limit : how many voxels may be filled.
        over : the values in the view that may be filled, the seed's among them; by default the seed's alone.
        tolerance : by how much the image may differ from what it is at the seed.
        between : the least and the greatest value that the image may have. Beside an image of floats these, and the
            seed's with the tolerance, are rounded to its dtype.
        progress : called now and then with the number of voxels found, and 0, as nobody knows how many there will be.
            What it raises ends the fill.

        Returns
        -------
        `Filled`: voxels, box and spans of what gets the label. `fill_mask` tells them beforehand.

        Raises Invalid for more voxels than `limit` (its `voxels` and `box` say how far it got), and for arguments that
        say nothing; OutOfBounds for a seed outside the volume or `within`; NotFound for a view that is none, or if
        there is no image. Then nothing is staged.
        """
        self._mine()
        checked_progress(progress)
        label = checked_label(label)
        rule = Rule.of(self._store.grid.shape, seed, connectivity=connectivity, within=within, axis=axis, limit=limit,
                       over=over, tolerance=tolerance, between=between)  # fmt: skip
        source = self._source(view)
        found = source.nothing() if needless(source, rule, label) else filled(source, rule, label, progress)
        allowed = None if rule.over is None else sorted(map(self._called, rule.over))
        self._asked("fill", self._called(label), view, allowed, rule._replace(over=None))
        self._stage(found.patches)
        return found

    def fill_mask(self, seed: Iterable[int], *, view: str = "instance", progress: Progress | None = None,
                  **limits: Unpack[Limits]) -> Filled:  # fmt: skip
        """What `fill` would take, with what is staged so far. Nothing changes; other parameters are those of `fill`."""
        self._mine()
        checked_progress(progress)
        return filled(self._source(view), Rule.of(self._store.grid.shape, seed, **limits), progress=progress)

    def _source(self, view: str) -> Source:
        return Source(self._store, self._runs, self._view(view), self._image)
