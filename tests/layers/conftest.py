from __future__ import annotations

import numpy as np
import pytest

from labelog.engine.classes import read_classes
from labelog.formats import Stack
from labelog.layers import combine


@pytest.fixture(scope="session")
def classes():
    return read_classes("platelet")


@pytest.fixture(scope="session")
def together(classes):
    """Layers given as arrays (None for one that is not there), or as one row of numbers each."""

    def run(semantic=None, trust="instance", depth=None, **objects):
        layers = {name: stack(array) for name, array in {"semantic": semantic, **objects}.items() if array is not None}
        return combine(layers.pop("semantic", None), layers, classes, trust=trust, depth=depth)

    return run


def stack(array):
    return Stack.of(np.asarray(array).reshape(np.shape(array) if np.ndim(array) == 3 else (1, 1, -1)))


@pytest.fixture(scope="session")
def views():
    """The labels of a combination, and its views by class: what each voxel is, seen through the table."""

    def of(combined):
        labels = np.concatenate(list(combined.slabs()))
        by_name = {entry.name: entry for entry in combined.classes}

        def ancestors(label):
            while label is not None:
                yield label
                label = combined.table[label].get("parent")

        def kinds(name):
            while name is not None:
                yield name
                name = by_name[name].kind_of

        found = {"instance": labels}
        semantic = {label: by_name[combined.table[label]["cls"]].id for label in combined.table}
        maps = {"semantic": semantic}
        for layer in ("cell", "organelle"):
            maps[layer] = {
                label: next((a for a in ancestors(label) if layer in kinds(combined.table[a]["cls"])), 0)
                for label in combined.table
            }
        for name, table in maps.items():
            known = np.unique(labels)
            values = np.array([table[label] if label else 0 for label in known.tolist()], np.uint64)
            found[name] = values[np.searchsorted(known, labels)]
        return found

    return of
