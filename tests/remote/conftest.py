"""A volume on a real server, and the same volume on disk."""

from __future__ import annotations

import numpy as np
import pytest

import labelog
from server.conftest import make_cells, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server whose volumes a module's tests share."""
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def address(served):
    """Where a new volume is."""
    make_cells(served.folder)
    yield f"{served.address}/volumes/cells"
    with served.client() as client:
        client.delete("/volumes/cells", params={"confirm": "cells"})


@pytest.fixture
def far(address):
    with labelog.open(address) as volume:
        yield volume


@pytest.fixture
def near(address, served):
    """The same volume as `far`, on disk."""
    with labelog.open(served.folder / "cells.labelog") as volume:
        yield volume


def worked_on(volume):
    """Edits of voxels and of the table, an undo, regions."""
    with volume.edit("ana", "first", session="left") as edit:
        cell = edit.new(cls="cell", name="A", quality=[1, None])
        edit[2:9, 5:40, 5:50] = cell
        edit.assign(12, cls="mitochondrion", parent=cell)
        edit.merge(13, [23, 33])
    with volume.edit("bo/left", "second") as edit:
        edit.paint(2**64 - 1, np.ones((1, 4, 5), bool), at=(3, 30, 30))
        edit.set_region("looked at", "annotated", ((0, 0, 0), (5, 30, 30)))
        edit.set_region("a part", "ignore", ((0, 0, 0), (2, 3, 4)), np.arange(24).reshape(2, 3, 4) % 2)
    with volume.edit("ana") as edit:
        edit[0, 0, 0] = 5
    volume.undo("ana")
    return cell
