"""The coarser scales of a store: their chunks at any revision, made of finer ones when somebody asks for them.

A chunk of a scale covers up to 2 x 2 x 2 chunks of the next finer one. The revision that last changed any of them is
its state: what is cached, or kept in the pyramid, of that state is right, and of another it is not used. So an edit
costs the coarser scales nothing; who reads above it next redoes the few chunks that lie over it, one a scale.

Labels are those stored, so a view of a coarser scale is a map over its palettes, as at the finest.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from labelog.errors import Corrupt, LabelogError, OutOfBounds
from labelog.geometry import Scale, scales, whole
from labelog.kernels.downsample import downsample
from labelog.kernels.join import join
from labelog.kernels.runs import Runs
from labelog.storage.pyramid import Mark, Pyramid

if TYPE_CHECKING:
    from labelog.engine.store import Store

log = logging.getLogger("labelog.scales")


class Scales:
    """All scales of a store. A chunk is named by the number of its scale and its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.all = scales(store.grid, store.meta.voxel_size)
        self.pyramid = Pyramid(store.folder, self.all)
        sizes = [z * y * x for z, y, x in (scale.grid.counts for scale in self.all)]
        self._first = [0, *itertools.accumulate(sizes)]  # in the cache the chunks of all scales are counted on
        self._last: list[dict[int, int]] = [{} for _ in self.all]  # chunk -> its state at present, where asked for

    def __getitem__(self, number: int) -> Scale:
        try:
            return self.all[whole(number)]
        except (IndexError, TypeError):
            last = len(self.all) - 1
            raise OutOfBounds(f"{self._store.folder} has scales 0 to {last}, not {number!r}") from None

    # Which revision

    def state(self, number: int, chunk: int, revision: int) -> int:
        """The revision that last changed a chunk, as of `revision`; 0 if none has."""
        if number == 0:
            return self._store.state(chunk, revision)
        known = self._store.known  # before `_last`, as in `Store.state`
        last = self._last[number].get(chunk)
        if last is None:
            last = self._newest(number, chunk, known)
            self._store.remember(self._last[number], chunk, last, known)
        return last if last <= revision <= known else self._newest(number, chunk, revision)

    def _newest(self, number: int, chunk: int, revision: int) -> int:
        return max(self.state(number - 1, each, revision) for each in self._beneath(number, chunk) if each is not None)

    def learn(self, changed: Mapping[int, int] | None) -> None:
        """The store has learnt which chunks changed; None if that was too much to follow. Its lock is held."""
        for scale, last in zip(self.all, self._last, strict=True):
            if changed is None:
                last.clear()
            elif last:
                for chunk, revision in changed.items():
                    above = self._above(scale, chunk)
                    if above in last:
                        last[above] = max(last[above], revision)

    # Which chunks

    def _above(self, scale: Scale, chunk: int) -> int:
        """The chunk of a scale that lies over one of the finest."""
        (z, y, x), (fz, fy, fx) = self._store.grid.index(chunk), scale.factors
        return scale.grid.number((z // fz, y // fy, x // fx))

    def _beneath(self, number: int, chunk: int) -> list[int | None]:
        """The chunks of the next finer scale that a chunk covers, in C order; None for those beyond its faces."""
        scale, grid = self.all[number], self.all[number - 1].grid
        axes = [range(i * f, i * f + f) for i, f in zip(scale.grid.index(chunk), scale.steps, strict=True)]
        inside = [range(n) for n in grid.counts]
        return [grid.number((z, y, x)) if z in inside[0] and y in inside[1] and x in inside[2] else None
                for z, y, x in itertools.product(*axes)]  # fmt: skip

    # Their labels

    def runs(self, number: int, chunk: int, revision: int) -> Runs:
        """A chunk's labels at a revision."""
        if number == 0:
            return self._store.runs(chunk, revision)
        state = self.state(number, chunk, revision)
        place = self._first[number] + chunk
        runs = self._store.cache.get(place, state)
        if runs is None:
            runs = self._kept(number, chunk, state)
            if runs is None:
                runs = self.made(number, chunk, revision)
                if runs is not self._store.zeros and state == self.state(number, chunk, self._store.known):
                    self._store.keeper.keep(number, chunk)
            self._store.cache.put(place, state, runs)
        return runs

    def at_hand(self, number: int, chunk: int, revision: int) -> Runs | None:
        """As `Store.at_hand`, of any scale."""
        if number == 0:
            return self._store.at_hand(chunk, revision)
        known = self._store.known  # before `_last`, as in `Store.state`
        last = self._last[number].get(chunk, known + 1)
        return self._store.cache.get(self._first[number] + chunk, last) if last <= revision <= known else None

    def made(self, number: int, chunk: int, revision: int) -> Runs:
        """A chunk's labels at a revision, from the next finer scale."""
        scale, finer = self.all[number], self.all[number - 1].grid
        zeros = self._store.zeros
        parts = [zeros if each is None else self.runs(number - 1, each, revision)
                 for each in self._beneath(number, chunk)]  # fmt: skip
        if all(part is zeros for part in parts):
            return zeros
        start = [n * f for n, f in zip(scale.grid.origin(chunk), scale.steps, strict=True)]
        whole = join(parts, scale.steps)
        extent = [min(n, end - a) for n, end, a in zip(whole.shape, finer.shape, start, strict=True)]
        made = downsample(whole, scale.steps, extent).compacted()
        return zeros if made.palette.tolist() == [0] else made

    def _kept(self, number: int, chunk: int, state: int) -> Runs | None:
        """A chunk of this state as the pyramid has it, if it does. Damage is as good as loss."""
        try:
            found = self.pyramid.read(self.all[number], chunk, self.mark(state))
        except LabelogError as error:
            log.warning("made anew: %s", error)
            return None
        return None if found is None else found[1]

    def mark(self, state: int) -> Mark:
        with self._store.journal.reading() as journal:
            chain = journal.chain(state)
        if chain is None:
            raise Corrupt(f"{self._store.journal.path} does not have revision {state}")
        return Mark(state, chain)

    # Keeping them

    def keep(self, wanted: Iterable[tuple[int, int]], head: int, each: Callable[..., Iterable[Any]] = map) -> None:
        """Write chunks as of the head into the pyramid, those that it has not got; chunks of zeros have no file.

        `each` is `map`, or that of a pool.
        """
        ready = [found for found in each(lambda one: self._packed(one, head), wanted) if found]
        for scale, chunk, data in ready:
            with self._store.journal.turn():  # whose is last does not matter: each file says what it is of
                self.pyramid.write(scale, chunk, data)

    def _packed(self, one: tuple[int, int], head: int) -> tuple[Scale, int, bytes] | None:
        number, chunk = one
        scale, mark = self.all[number], self.mark(self.state(number, chunk, head))
        try:
            if self.pyramid.mark(scale, chunk) == mark:
                return None
        except LabelogError:  # damaged: written anew
            pass
        runs = self.runs(number, chunk, head)
        return None if runs is self._store.zeros else (scale, chunk, self.pyramid.pack(scale, chunk, mark, runs))

    def over(self, chunks: Iterable[int]) -> list[tuple[int, int]]:
        """What lies over these chunks of the finest scale, finer scales first."""
        below = list(chunks)
        return [(scale.number, chunk) for scale in self.all[1:]
                for chunk in sorted({self._above(scale, chunk) for chunk in below})]  # fmt: skip
