"""Masks that overlap, given as runs: laid over one another, so that each voxel is of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Invalid

Overlap = Literal["deepest", "smallest", "last"]

Runs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]
"""Start, end and label of runs of flat voxels."""


def laid_over(masks: Sequence[Runs], rule: Overlap, changes: dict[str, int], where: str) -> Runs:
    """The runs of all masks (each of one label), none over another: see `json_rle.read` for the rules.

    Between two neighbouring edges of runs nothing changes, so masks are laid over those stretches one by one, and
    those that win come later. `changes` is filled with the voxels that one mask has and another lost to it.
    """
    masks = [mask for mask in masks if len(mask[0])]
    edges = np.unique(np.concatenate([part for mask in masks for part in mask[:2]] or [np.empty(0, np.int64)]))
    lengths, covered = np.diff(edges), [_stretches(edges, mask) for mask in masks]
    owner = np.full(len(lengths), -1, np.int64)
    names = [int(mask[2][0]) for mask in masks]
    order = list(range(len(masks)))
    if rule != "last":
        order.sort(key=lambda number: -int(lengths[covered[number]].sum()))
    lost: Counter[str] = Counter()
    for number in order:
        found, place = np.unique(owner[covered[number]], return_inverse=True)
        if rule == "deepest" and len(found) > 1:
            pair = names[found[-1]], names[number]
            message = f"{where}: the masks of labels {pair[0]} and {pair[1]} overlap, and neither lies within the other"
            raise Invalid(f'{message}; overlap="smallest" and overlap="last" need no order', labels=pair)
        voxels = np.bincount(place, lengths[covered[number]], len(found)).astype(int)
        for loser, count in zip(found.tolist(), voxels.tolist(), strict=True):
            if loser >= 0 and count:
                lost[f"label {names[number]} over label {names[loser]}"] += count
        owner[covered[number]] = number
    changes.update(lost)
    full = owner >= 0
    return joined(edges[:-1][full], edges[1:][full], np.array(names, masks[0][2].dtype if masks else None)[owner[full]])


def _stretches(edges: NDArray[np.int64], mask: Runs) -> NDArray[np.intp]:
    """Which stretches between edges a mask's runs cover, each once."""
    first, last = np.searchsorted(edges, mask[0]), np.searchsorted(edges, mask[1])
    counts = last - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.unique(np.repeat(first, counts) + within)


def joined(starts: NDArray[np.int64], ends: NDArray[np.int64], labels: NDArray[Any]) -> Runs:
    """Runs in the order of their voxels; those that touch and have one label as one."""
    if not len(starts):
        return starts, ends, labels
    new = np.concatenate(([True], (starts[1:] != ends[:-1]) | (labels[1:] != labels[:-1])))
    return starts[new], ends[np.append(np.flatnonzero(new)[1:] - 1, len(ends) - 1)], labels[new]
