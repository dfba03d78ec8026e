"""Housekeeping in the background goes on, whatever goes wrong with some of it."""

from __future__ import annotations

import time

import numpy as np
import pytest

import labelog
from labelog.engine import keeper


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Of three chunks, in the base."""
    monkeypatch.setattr(keeper, "FOLD_AT", 3)
    labelog.load(tmp_path / "v.labelog", np.ones((3, 8, 8), np.uint8), chunks=(1, 8, 8)).close()
    return tmp_path / "v.labelog"


def paint(volume, chunk):
    for y in range(3):
        with volume.edit("ana") as edit:
            edit[chunk, y] = 7


def comes(what):
    """Whether something is so, soon."""
    until = time.monotonic() + 20
    while not what() and time.monotonic() < until:
        time.sleep(0.01)
    return what()


def is_folded(volume, chunk):
    """Whether a chunk comes to be folded up to its last edit."""
    return comes(lambda: volume.store.stored(chunk).revision == volume.store.state(chunk, volume.revision))


@pytest.mark.parametrize("error", [MemoryError("no memory for a chunk"), labelog.OutOfSpace("the disk is full")])
def test_after_an_error(path, monkeypatch, caplog, error):
    fold, tried = keeper.fold, []

    def failing(store, chunks):
        tried.append(list(chunks))
        if len(tried) == 1:
            raise error
        return fold(store, chunks)

    monkeypatch.setattr(keeper, "fold", failing)
    with labelog.open(path) as volume:
        paint(volume, 0)
        assert comes(lambda: tried == [[0]])
        paint(volume, 1)
        assert is_folded(volume, 1)
        paint(volume, 0)
        assert is_folded(volume, 0)
        assert volume.check().problems == []
    assert f"housekeeping put off: {error}" in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(error, MemoryError), "what nobody expects is told in full"


def test_beside_a_damaged_chunk(path, caplog):
    with labelog.open(path) as volume:
        for y in range(2):
            with volume.edit("ana") as edit:
                edit[:, y] = 7
        place = volume.store.base.path(0)
    place.write_bytes(place.read_bytes()[:-1] + b"\x99")
    with labelog.open(path) as volume:
        volume.store.keeper.wish(0, 1, 2)
        assert is_folded(volume, 1)
        assert is_folded(volume, 2)
        with pytest.raises(labelog.Corrupt):
            volume[0]
    assert "housekeeping put off" in caplog.text and "chunk (0, 0, 0)" in caplog.text
