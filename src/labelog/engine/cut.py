"""A box of a revision as runs: cut out of the chunks' runs, so that no voxel is ever dense."""

from __future__ import annotations

from itertools import groupby

from labelog.engine.snapshot import Revision
from labelog.geometry import Box
from labelog.kernels.join import join
from labelog.kernels.runs import Runs
from labelog.kernels.solid import cropped

MANY = 64  # chunks of a layer beyond which only the wanted slices of each are held


def cut(seen: Revision, box: Box) -> Runs:
    """The values in a box, as labels. The palette has those that are there, ascending."""
    grid = seen.grid
    touched = groupby(grid.touching(box), lambda item: grid.index(item[0])[0])
    layers = [_layer(seen, dict(layer)) for _, layer in touched]
    return layers[0] if len(layers) == 1 else Runs.stacked(layers)


def _layer(seen: Revision, touched: dict[int, Box]) -> Runs:
    """The chunks of one layer along z: what is wanted of them, put together."""
    grid = seen.grid
    (first, here), (last, there) = next(iter(touched.items())), next(reversed(touched.items()))
    counts = [b - a + 1 for a, b in zip(grid.index(first), grid.index(last), strict=True)]
    wanted = Box(here.start, there.stop).relative(grid.origin(first))
    parts, values = [], []
    thin = len(touched) > MANY
    for chunk in touched:
        runs, labels = seen.valued(chunk)
        parts.append(cropped(runs, (wanted.start[0], 0, 0), (wanted.shape[0], *grid.chunks[1:])) if thin else runs)
        values.append(labels)
    start = (0, *wanted.start[1:]) if thin else wanted.start
    return join(parts, counts, values, (start, wanted.shape))
