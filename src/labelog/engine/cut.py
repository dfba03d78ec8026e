"""A box of a revision as runs: cut out of the chunks' runs, so that no voxel is ever dense."""

from __future__ import annotations

from itertools import groupby

from labelog.engine.snapshot import Revision
from labelog.engine.views import seen_runs
from labelog.geometry import Box
from labelog.kernels.join import join
from labelog.kernels.runs import Runs
from labelog.kernels.solid import cropped


def cut(seen: Revision, box: Box) -> Runs:
    """The values in a box, as labels. The palette has those that are there, ascending."""
    grid = seen.grid
    touched = groupby(grid.touching(box), lambda item: grid.index(item[0])[0])
    layers = [_layer(seen, dict(layer)) for _, layer in touched]
    return (layers[0] if len(layers) == 1 else Runs.stacked(layers)).compacted()


def _layer(seen: Revision, touched: dict[int, Box]) -> Runs:
    """The chunks of one layer along z: what is wanted of them, put together.

    `join` takes boxes of one shape. So where several chunks lie beside one another along y or x, it is given all of
    them along that axis, and what is too much is cut off then.
    """
    grid = seen.grid
    (first, here), (last, there) = next(iter(touched.items())), next(reversed(touched.items()))
    counts = [b - a + 1 for a, b in zip(grid.index(first), grid.index(last), strict=True)]
    wanted = Box(here.start, there.stop).relative(grid.origin(first))
    start = [a if count == 1 else 0 for a, count in zip(wanted.start, counts, strict=True)]
    size = [n if count == 1 else most for n, most, count in zip(wanted.shape, grid.chunks, counts, strict=True)]
    parts = []
    for chunk in touched:
        runs, values = seen.valued(chunk)
        parts.append(seen_runs(cropped(runs, start, size), values))
    return cropped(join(parts, counts), [a - b for a, b in zip(wanted.start, start, strict=True)], wanted.shape)
