"""Single bits flip in every file of a volume: each is noticed, or changes nothing that a read returns."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import labelog
import oracles
from faults import strokes

FLIPS = strokes.count(1000)
COMMITS = 60


class Patient:
    """A volume of which a bit is flipped, and its files as they were."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = self.now()

    def now(self) -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in self.path.rglob("*") if file.is_file()}

    def flip(self, file: Path, bit: int) -> None:
        data = bytearray(self.files[file])
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)

    def heal(self) -> None:
        for file, data in self.now().items():
            if file not in self.files:
                file.unlink()
            elif data != self.files[file]:
                file.write_bytes(self.files[file])


@pytest.fixture
def patient(tmp_path: Path, request: pytest.FixtureRequest) -> Patient:
    """A volume with folded chunks, and with keepsakes in the journal; in use, it has a log with half of the commits."""
    folder = tmp_path
    strokes.create(folder / "whole.labelog")
    for last in (COMMITS // 2, COMMITS):
        with labelog.open(folder / "whole.labelog") as volume, pytest.MonkeyPatch.context() as patch:
            patch.setattr("labelog.engine.keeper.KEEP_AT", 20)
            for revision in range(volume.revision + 1, last + 1):
                strokes.commit(volume, revision)
                if revision == COMMITS // 3:
                    volume.compact()
            if last == COMMITS and request.param == "in use":
                shutil.copytree(folder / "whole.labelog", folder / "rot.labelog")
    if request.param == "at rest":
        shutil.copytree(folder / "whole.labelog", folder / "rot.labelog")
    patient = Patient(folder / "rot.labelog")
    assert (len(patient.files[patient.path / "journal.sqlite-wal"]) > 50_000) == (request.param == "in use")
    assert any(map(is_chunk, patient.files))
    return patient


def is_chunk(file: Path) -> bool:
    return file.parent.parent.parent.name == "c"


def flips(patient: Patient, chance: random.Random) -> list[tuple[Path, int]]:
    """Bits to flip in all files, in larger ones more. Left out are what is made anew, the log's index, and what says
    nothing: the mark in `lock`, of which any is as good as another, and the zeros that the log has room for."""
    sizes = {file: 8 * len(data.rstrip(b"\0") if file.name.endswith("-wal") else data)
             for file, data in patient.files.items() if data and not file.name.endswith(("-shm", "lock"))}  # fmt: skip
    files = chance.choices(list(sizes), [size**0.25 for size in sizes.values()], k=FLIPS // 2)
    return [(file, chance.randrange(sizes[file])) for file in files]


def symptoms(path: Path, mode: labelog.engine.volume.Mode) -> tuple[str, list[str]]:
    """Where damage was noticed (on opening, in reading, by the check; or nowhere) and what was said."""
    try:
        volume = labelog.open(path, mode)
    except labelog.LabelogError as error:
        return "open", [str(error)]
    with volume:
        said = []
        try:
            assert volume.revision == COMMITS, f"{COMMITS - volume.revision} revisions are silently missing"
            for revision in (COMMITS, COMMITS // 2, COMMITS // 4):
                assert np.array_equal(volume.at(revision)[:], strokes.expected(revision)), "wrong voxels"
                assert strokes.named(volume, revision), "wrong names"
            assert [commit.revision for commit in volume.history(strokes.AUTHOR)] == list(range(COMMITS, 0, -1))
        except labelog.LabelogError as error:
            said = [str(error)]
        problems = volume.check().problems
        for revision in (COMMITS, COMMITS // 2):  # damage of what is kept of coarser scales is made good
            with suppress(labelog.LabelogError):
                coarse = oracles.downsample(strokes.expected(revision), (2, 2, 2))
                assert np.array_equal(volume.at(revision).scale(1)[:], coarse), "wrong voxels of a coarser scale"
        if mode == "r+":
            with suppress(labelog.LabelogError):
                volume.revert(author=strokes.AUTHOR)  # reads all deltas, within the writer's turn
        assert problems or not said, f"a read fails, but the check finds nothing: {said}"
        return ("read" if said else "check" if problems else "nowhere"), said + problems


@pytest.mark.parametrize("patient", ["in use", "at rest"], indirect=True)
def test_flipped_bits_are_noticed(patient: Patient) -> None:
    in_use = bool(patient.files[patient.path / "journal.sqlite-wal"])
    noticed: Counter[tuple[str, str]] = Counter()
    for number, (file, bit) in enumerate(flips(patient, random.Random(strokes.seed()))):
        name = str(file.relative_to(patient.path))
        patient.flip(file, bit)
        try:
            where, said = symptoms(patient.path, "r" if number % 8 else "r+")
            if where == "open":
                changed = {path.name for path, data in patient.now().items() if data != patient.files[path]}
                assert changed <= {file.name, "journal.sqlite-shm"}, "opening it changed it"
        except Exception as error:
            raise AssertionError(f"bit {bit} of {name}: {error!r}") from error
        finally:
            patient.heal()
        noticed[name, where] += 1
        if is_chunk(file):
            index = tuple(int(part) for part in file.parts[-3:])
            assert any(f"chunk {index}" in sentence for sentence in said), f"bit {bit} of {name}: {said}"
    harmless = {name for name, where in noticed if where == "nowhere"}
    assert harmless == ({"journal.sqlite"} if in_use else set())  # of its pages the log has newer ones
    assert symptoms(patient.path, "r+") == ("nowhere", [])
