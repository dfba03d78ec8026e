"""The power fails at any moment: every acknowledged edit is there when the volume is opened again."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from pathlib import Path

import pytest

from faults import power, strokes

CUTS = strokes.count(200)
COMMITS = 90


@pytest.fixture
def notes(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, dict[str, bytes], list[power.Note]]:
    """A volume's path, its files before, and the notes of what a process that edits it did to them."""
    path = tmp_path / "cut.labelog"
    strokes.create(path)
    start = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*")
             if file.is_file() and not file.name.endswith("-shm")}  # fmt: skip
    child = multiprocessing.get_context("spawn").Process(
        target=power.record, args=(str(path), str(tmp_path / "notes"), COMMITS, request.param)
    )
    child.start()
    child.join()
    assert child.exitcode == 0
    assert strokes.faults(path, COMMITS) == []
    return path, start, pickle.loads((tmp_path / "notes").read_bytes())


def problems(path: Path, start: dict[str, bytes], notes: list[power.Note]) -> dict[int, list[str]]:
    """What is wrong after power losses at random moments: the number of notes before the cut -> the problems."""
    chance = random.Random(strokes.seed())
    disk = power.Disk(start)
    found = {}
    done = 0
    for number, cut in enumerate(sorted(chance.choices(range(len(notes) + 1), k=CUTS))):
        for note in notes[done:cut]:
            disk.do(note)
        done = cut
        image = path.with_name(f"{number}.labelog")
        for name, data in disk.after_power_loss(chance).items():
            file = image / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        if wrong := strokes.faults(image, disk.acknowledged):
            found[cut] = wrong
    return found


@pytest.mark.parametrize("notes", ["FULL"], indirect=True)
def test_acknowledged_edits_survive_power_loss(notes: tuple[Path, dict[str, bytes], list[power.Note]]) -> None:
    assert problems(*notes) == {}, f"seed {strokes.seed()}"


@pytest.mark.parametrize("notes", ["OFF"], indirect=True)
def test_power_test_notices_missing_flushes(notes: tuple[Path, dict[str, bytes], list[power.Note]]) -> None:
    assert any("was acknowledged" in problem for wrong in problems(*notes).values() for problem in wrong)
