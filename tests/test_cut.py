"""Boxes as runs: the same as the voxels, of every view and scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import labelog
from labelog.engine.cut import cut

SHAPE, CHUNKS = (9, 21, 40), (4, 8, 16)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> labelog.Volume:
    path: Path = tmp_path_factory.mktemp("cut") / "v.labelog"
    labels = np.random.default_rng(1).integers(0, 6, SHAPE).astype(np.uint64)
    labels[:, :, 5:30] = labels[:, :, 5:6]  # runs over the borders of chunks
    labels[3, 4, 5] = 2**64 - 1
    table = {1: {"cls": "cell"}, 2: {"parent": 1}}
    with labelog.load(path, labels, chunks=CHUNKS, classes="platelet", table=table) as volume:
        with volume.edit("ana") as edit:
            edit.merge(3, [4])
            edit[2, 3:9, 10:40] = 1
        yield volume


def boxes() -> list[labelog.Box]:
    rng = np.random.default_rng(2)
    found = [labelog.Box((0, 0, 0), SHAPE)]
    for thin in (None, 0, 1, 2):
        for _ in range(25):
            start = [int(rng.integers(n)) for n in SHAPE]
            stop = [a + 1 if axis == thin else int(rng.integers(a + 1, n + 1))
                    for axis, (a, n) in enumerate(zip(start, SHAPE, strict=True))]  # fmt: skip
            found.append(labelog.Box(tuple(start), tuple(stop)))
    return found


@pytest.mark.parametrize("many", [1, 64])
@pytest.mark.parametrize("view", ["instance", "fragment", "semantic", "cell"])
def test_a_box_of_runs_is_that_of_voxels(
    volume: labelog.Volume, view: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelog.engine.cut.MANY", many)
    for seen in (volume.view(view), volume.at(0).view(view), volume.view(view, unannotated=99)):
        for box in boxes():
            expected = seen.read(box)
            runs = cut(seen, box)
            assert (runs.dense() == expected).all(), box
            assert runs.palette.tolist() == np.unique(expected).tolist()


def test_runs_of_one_value_that_meet_are_one(volume: labelog.Volume) -> None:
    """Over the borders of chunks, and where two labels are one object."""
    runs = cut(volume.at(), labelog.Box((0, 0, 0), SHAPE))
    starts = runs.offsets[:-1]
    same = runs.index[1:] == runs.index[:-1]
    assert not same[np.setdiff1d(np.arange(len(same)), starts[1:] - 1)].any()


def test_coarser_scales(volume: labelog.Volume) -> None:
    seen = volume.at().scale(1)
    box = labelog.Box((0, 1, 0), seen.shape)
    assert (cut(seen, box).dense() == seen.read(box)).all()
