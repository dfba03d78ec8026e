"""A slow twin of `labelog.layers.combine` for semantic, cell and organelle layers: whole arrays, voxel by voxel.

What a voxel lies in is told in three levels, the cell, the organelle and the core: each None, an object of a file,
or a set of voxels, all those of one component.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

NAMES = ["background", "cell", "mitochondrion", "alpha granule", "canalicular vessel", "dense granule body",
         "dense granule core", "organelle"]  # fmt: skip
KINDS = {"mitochondrion", "alpha granule", "canalicular vessel", "dense granule body", "organelle"}


def organelle_class(name):
    """Of an organelle that has a voxel of this class."""
    return "dense granule body" if name == "dense granule core" else name if name in KINDS else None


def elect(semantic, mask, trust):
    """The class of the organelle whose voxels these are."""
    if semantic is None:
        return "organelle"
    votes = Counter()
    for number in semantic[mask].tolist():
        own = organelle_class(NAMES[number])
        if own or trust == "instance":
            votes[own or NAMES[number]] += 1
    if not votes:
        return "organelle"
    best = max(votes, key=lambda name: (votes[name], name in KINDS, -NAMES.index(name)))
    return best if best in KINDS else "organelle"


def levels_of(said, cell, organelle, cls, trust, has):
    """The three levels of a voxel, pieces as tuples that name what they are part of."""
    objects = ("cell", cell) if cell else None, ("organelle", organelle) if organelle else None
    if said is None or (said == "background" and trust == "instance"):
        return [*objects, None]
    if said == "background":
        return [None, None, None]
    wanted = organelle_class(said)
    if trust == "instance":
        first = objects[0] or (None if has["cell"] else ("piece", "cell", None))
        second = objects[1]
        if not has["organelle"] and wanted and first:
            second = ("piece", wanted, first)
        second_cls = cls.get(organelle) if objects[1] else wanted if second else None
        fits = said == "dense granule core" and second and second_cls == "dense granule body"
        return [first, second, ("piece", said, second) if fits else None]
    confirmed = objects[1] if objects[1] and cls[organelle] == wanted else None
    first = objects[0] or (None if has["cell"] and confirmed else ("piece", "cell", None))
    second = confirmed or (("piece", wanted, first) if wanted else None)
    return [first, second, ("piece", said, second) if said == "dense granule core" else None]


def components(mask):
    """The components by face of a boolean array, each a frozenset of voxels."""
    left, found = set(zip(*map(list, np.nonzero(mask)), strict=True)), []
    left = {tuple(map(int, voxel)) for voxel in left}
    while left:
        edge = [left.pop()]
        whole = set(edge)
        while edge:
            z, y, x = edge.pop()
            for near in ((z - 1, y, x), (z + 1, y, x), (z, y - 1, x), (z, y + 1, x), (z, y, x - 1), (z, y, x + 1)):
                if near in left:
                    left.remove(near)
                    whole.add(near)
                    edge.append(near)
        found.append(frozenset(whole))
    return found


def combined(semantic, cell, organelle, trust):
    """voxel -> what it belongs to, and of each such thing its class and parent.

    A thing is ("cell", id), ("organelle", id), or (class, the voxels of the component).
    """
    shape = next(array.shape for array in (semantic, cell, organelle) if array is not None)
    has = {"cell": cell is not None, "organelle": organelle is not None}
    cell = np.zeros(shape, int) if cell is None else cell
    organelle = np.zeros(shape, int) if organelle is None else organelle
    ids = [i for i in np.unique(organelle).tolist() if i]
    cls = {i: elect(semantic, organelle == i, trust) for i in ids}
    levels = {}
    for voxel in np.ndindex(shape):
        said = None if semantic is None else NAMES[semantic[voxel]]
        levels[voxel] = levels_of(said, int(cell[voxel]), int(organelle[voxel]), cls, trust, has)
    for level in range(3):
        for key in {entry[level] for entry in levels.values() if entry[level] and entry[level][0] == "piece"}:
            mask = np.zeros(shape, bool)
            for voxel, entry in levels.items():
                mask[voxel] = entry[level] == key
            for part in components(mask):
                for voxel in part:
                    levels[voxel][level] = (key[1], part)
    return _named(levels, cls)


def _named(levels, cls):
    leaf = {voxel: next((stop for stop in reversed(entry) if stop), None) for voxel, entry in levels.items()}
    real = set(leaf.values())
    parents, classes = {}, {}
    for entry in levels.values():
        for level, stop in enumerate(entry):
            if stop is None or stop in parents:
                continue
            made = isinstance(stop[1], frozenset)
            classes[stop] = stop[0] if made or stop[0] == "cell" else cls[stop[1]]
            around = Counter()
            for other in levels.values():
                if other[level] == stop:
                    over = [s for s in other[:level] if s and (s in real or not isinstance(s[1], frozenset))]
                    if over:
                        around[over[-1]] += 1
            order = sorted(
                around,
                key=lambda s: (
                    -around[s],
                    isinstance(s[1], frozenset),
                    min(s[1]) if isinstance(s[1], frozenset) else s[1],
                ),
            )
            parents[stop] = order[0] if order else None
    return leaf, classes, parents
