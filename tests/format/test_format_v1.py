"""What format 1 wrote is read as it was written, for ever. The files under v1/ are only read here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import labelog
from labelog.kernels import codec, spans
from labelog.kernels.runs import Runs

V1 = Path(__file__).parent / "v1"


@pytest.fixture
def states():
    with np.load(V1 / "states.npz") as file:
        return [file[str(revision)] for revision in range(len(file.files))]


@pytest.fixture
def path(tmp_path):
    return Path(shutil.copytree(V1 / "volume.labelog", tmp_path / "volume.labelog"))


def same_states(volume, states):
    for revision, expected in enumerate(states):
        assert (volume.at(revision)[...] == expected).all(), revision


def test_every_revision(path, states):
    with labelog.open(path, "r") as volume:
        assert volume.revision == len(states) - 1 == 6
        same_states(volume, states)
        assert volume.check().problems == []
        assert (volume.voxel_size, volume.unit) == ((40, 10, 10), "nm")
        assert volume.colours == {1: "#01abfeff", 2: "#f55e00ff"}


def test_labels_classes_and_regions(path):
    with labelog.open(path, "r") as volume:
        golden = json.loads((V1 / "labels.json").read_text("utf-8"))
        assert {str(r): volume.at(r).labels.table_rows() for r in range(volume.revision + 1)} == golden
        assert (volume.at(0).classes["cell"].id, volume.classes["platelet"].id) == (1, 1)
        assert volume.classes["dense granule core"].within == ("dense granule body",)
        assert {name: (region.kind, region.voxels) for name, region in volume.regions.items()} == {
            "first": ("gold", 1200),
            "hole": ("ignore", 2),
        }
        assert volume.labels[2**64 - 1].id == 7
        assert volume.labels.where(name="£")[0].attributes == {"seen": [1, None, "twice"]}


def test_history(path):
    with labelog.open(path, "r") as volume:
        golden = json.loads((V1 / "commits.json").read_text("utf-8"))
        for commit, expected in zip(volume.history(), golden, strict=True):
            found = {name: getattr(commit, name) for name in expected}
            assert found | {"time": commit.time.isoformat(), "targets": list(commit.targets)} == expected


def test_it_can_be_edited_on(path, states):
    with labelog.open(path) as volume:
        with pytest.raises(labelog.Conflict, match="another edit"), volume.edit("vendor-b/ana", key="k-1") as edit:
            edit[0] = 1
        volume.undo("lee")
        assert (volume[...] == states[5]).all()
        with volume.edit("kim") as edit:
            edit[0] = 5
        volume.compact()
        same_states(volume, states)
        assert volume.check().problems == []


def test_the_bytes_of_runs_and_deltas(states):
    """Reader and writer both: the same runs give the same bytes."""
    ground = states[0]
    runs, delta = (V1 / "runs.bin").read_bytes(), (V1 / "delta.bin").read_bytes()
    assert (codec.decode(runs, ground.shape).dense() == ground).all()
    patch = spans.array_spans(ground.shape, (1, 2, 3), ground[0:2, 0:9, 0:20])
    expected = spans.diff(Runs.from_dense(ground), patch)
    assert codec.decode_delta(delta, ground.shape) == expected
    assert codec.encode_delta(expected, ground.shape[2]) == delta
    assert codec.encode(Runs.from_dense(ground)) == runs
