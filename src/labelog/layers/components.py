"""Connected components of a volume that comes slab by slab: labelled in each slab, joined where slabs meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.layers.joint import Slab, Tally, run_starts, tallies


def labelled(array: NDArray[np.int32]) -> tuple[NDArray[np.intp], int]:
    """Components (z, y, x), 1 to the count, of equal neighbours by face other than 0, which stays 0.

    Runs along x are joined with those they touch in the row and the plane before: each is given the lowest run that
    can be reached, over ways that double in length.
    """
    starts = run_starts([array.reshape(-1)], array.shape[2])
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=array.size)).reshape(array.shape)
    begins = np.zeros(array.shape, bool)
    begins.reshape(-1)[starts] = True
    touching = []
    for before, after in (np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:]):
        meet = begins[before] | begins[after]  # two runs touch first where one of them begins
        meet &= (array[before] == array[after]) & (array[after] != 0)
        touching.append(run[before][meet] * len(starts) + run[after][meet])
    low, high = np.divmod(np.unique(np.concatenate(touching)), len(starts))
    root = np.arange(len(starts))
    while len(low):
        np.minimum.at(root, high, low)
        while not np.array_equal(root, root[root]):
            root = root[root]
        low, high = root[low], root[high]
        low, high = np.minimum(low, high)[low != high], np.maximum(low, high)[low != high]
    own = array.reshape(-1)[starts] != 0
    found, place = np.unique(root[own], return_inverse=True)
    number = np.zeros(len(starts), np.intp)
    number[own] = place + 1
    return number[run], len(found)


class Components:
    """The components of an array of whole numbers that is shown slab by slab, from the first slice on.

    Each slab's components are numbered from `offset + 1` on; `root` says of such a number which one is the same
    component's first. Shown again with `replay`, a slab gets the same numbers.
    """

    def __init__(self) -> None:
        self.tallies: list[Tally] = []
        self.values: list[int] = []
        self._same: list[int] = []
        self._offsets: dict[int, int] = {}
        self._last: tuple[NDArray[np.int32], NDArray[np.intp]] | None = None

    def add(self, z: int, array: NDArray[np.int32]) -> NDArray[np.intp]:
        """The numbers (n, y, x) of the next slab's components, 0 where the array is 0."""
        self._offsets[z] = len(self.values)
        numbers = self.replay(z, array)
        for number, tally in _tallies(z, numbers):
            if number:
                self.tallies.append(tally)
                self.values.append(int(array[tally.first[0] - z, tally.first[1], tally.first[2]]))
        self._same.extend(range(len(self._same), len(self.values)))
        if self._last:
            plane, above = self._last
            meet = (plane == array[0]) & (plane != 0)
            pairs = above[meet] * (len(self.values) + 1) + numbers[0][meet]
            pairs = pairs[np.diff(pairs, prepend=-1) != 0]  # far fewer to sort
            for pair in np.unique(pairs).tolist():
                self._join(*divmod(pair, len(self.values) + 1))
        self._last = array[-1].copy(), numbers[-1].copy()
        return numbers

    def replay(self, z: int, array: NDArray[np.int32]) -> NDArray[np.intp]:
        """The numbers that `add` gave the slab."""
        found, _ = labelled(array)
        return np.where(found, found + np.intp(self._offsets[z]), 0)

    def root(self, number: int) -> int:
        """The lowest number of the component that this one belongs to."""
        at = number - 1
        while self._same[at] != at:
            self._same[at] = at = self._same[self._same[at]]
        return at + 1

    def whole(self) -> dict[int, Tally]:
        """The voxels of each component, by its root."""
        found: dict[int, Tally] = {}
        for number, tally in enumerate(self.tallies, 1):
            root = self.root(number)
            found[root] = found[root] + tally if root in found else tally
        return found

    def _join(self, a: int, b: int) -> None:
        a, b = self.root(a), self.root(b)
        self._same[max(a, b) - 1] = min(a, b) - 1


def _tallies(z: int, numbers: NDArray[np.intp]) -> Iterator[tuple[int, Tally]]:
    """The voxels of each number in a slab, in the order of the numbers."""
    flat: NDArray[Any] = numbers.reshape(-1)
    starts = run_starts([flat], numbers.shape[2])
    slab = Slab(z, numbers.shape, starts, np.diff(starts, append=flat.size), [])
    whole: dict[int, Tally] = {}
    for number, tally in tallies(flat[starts], slab):
        whole[number] = whole[number] + tally if number in whole else tally
    return iter(sorted(whole.items()))
