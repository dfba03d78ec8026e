"""Volumes that are served by a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import labelog
from labelog_server.tokens import Tokens
from serving import Server, serving


def labels() -> np.ndarray:
    """20 x 60 x 70 labels: blocks, the highest label there is, and background."""
    z, y, x = np.indices((20, 60, 70))
    array = (1 + z // 7 + 10 * (y // 13) + 100 * (x // 17)).astype(np.uint64)
    array[(y + x) % 31 < 5] = 0
    array[5:8, 10:20, 30:40] = 2**64 - 1
    return array


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Server]:
    """A server that a module's tests only read from."""
    folder = tmp_path_factory.mktemp("served")
    labelog.load(folder / "cells.labelog", labels(), chunks=(8, 16, 32), voxel_size=(40, 10, 10),
                 colours={1: "#ff0000"}, author="lab").close()  # fmt: skip
    with serving(folder) as server:
        yield server


def make_cells(folder: Path) -> None:
    """cells.labelog, with classes."""
    labelog.load(folder / "cells.labelog", labels(), chunks=(8, 16, 32), classes="platelet", author="lab").close()


@contextmanager
def guarding(tmp_path_factory, give: Callable[[Tokens], Any], *options: str) -> Iterator[Server]:
    """A server of the volumes cells and other that asks for tokens, and those that it was given."""
    folder = tmp_path_factory.mktemp("served")
    make_cells(folder)
    labelog.create(folder / "other.labelog", (2, 3, 4)).close()
    tokens = Tokens(tmp_path_factory.mktemp("secrets") / "tokens.json")
    given = give(tokens)
    with serving(folder, "--tokens", str(tokens.path), *options) as server:
        server.tokens, server.given = tokens, given
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Server]:
    """A server that a module's tests share."""
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def server(running) -> Iterator[Server]:
    """The module's server, with a new cells.labelog and nothing else."""
    make_cells(running.folder)
    yield running
    with running.client() as client:
        for volume in client.get("/volumes").json()["volumes"]:
            client.delete(f"/volumes/{volume['name']}", params={"confirm": volume["name"]}).raise_for_status()


@pytest.fixture
def own(tmp_path) -> Iterator[Server]:
    """A server of a test's own, which may end it; with cells.labelog."""
    make_cells(tmp_path)
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def client(server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def edit(client):
    """Posts an edit of some operations and gives the answer."""

    def post(*operations: dict, headers: dict | None = None, **fields) -> httpx.Response:
        return client.post("/volumes/cells/edits", json={"operations": operations, **fields}, headers=headers)

    return post
