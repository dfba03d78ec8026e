"""How much memory large jobs take: in processes of their own; and volumes of more than 2^31 voxels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labelog
from conftest import SOAK

MIB = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured on Linux")
soak = pytest.mark.skipif(not SOAK, reason="takes long: make soak")


def memory_of(*job):
    """The most memory that a job had, in bytes."""
    command = [sys.executable, Path(__file__).with_name("memory.py"), *map(str, job)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


@linux
def test_a_fill_of_a_gigavoxel_of_background(tmp_path):
    assert memory_of("fill", tmp_path / "v") < 300 * MIB


@linux
def test_components_of_a_gigavoxel(tmp_path):
    assert memory_of("components", tmp_path / "v") < 300 * MIB


@linux
@soak
def test_a_load_takes_as_much_memory_for_16_gigavoxels_as_for_1(tmp_path):
    """Of slices of 4000 x 4000 voxels, 64 or 1000 of them."""
    small = memory_of("load", tmp_path / "small", 64)
    large = memory_of("load", tmp_path / "large", 1000)
    assert large < 2048 * MIB and large < 1.25 * small, f"1: {small / MIB:.0f} MiB, 16: {large / MIB:.0f} MiB"


@soak
def test_components_and_edits_of_more_than_2_to_31_voxels(tmp_path):
    """One component that has more, in a volume of little content; and what is cut off from it."""
    shape = (16, 12_000, 12_000)
    with labelog.create(tmp_path / "v", shape) as volume:
        with volume.edit("ana") as edit:
            edit[:] = 7
            edit[8, 11_000, :] = 0
            edit[:, 5, :] = 0
            edit[15, 11_999, 11_999] = 2**64 - 1
        found = volume.components()
        below, above = 16 * 5 * 12_000, 16 * 11_994 * 12_000 - 12_000 - 1
        assert above > 2**31
        assert found.voxels.tolist() == [0, below, above, 1]
        assert found.label.tolist() == [0, 7, 7, 2**64 - 1]
        assert found.first.tolist() == [[0, 0, 0], [0, 0, 0], [0, 6, 0], [15, 11_999, 11_999]]
        assert found.stop[1:].tolist() == [[16, 5, 12_000], [*shape], [*shape]]
        assert found[15, 11_999, 11_996:].tolist() == [2, 2, 2, 3] and found[8, 11_000, 0] == 0
        with volume.edit("ana") as edit:
            done = edit.separate(7)
        assert done.labels == (8,) and volume[0, 0, 0] == 8 and volume[15, 11_999, 0] == 7
        assert volume.extents().voxels.tolist() == [above, below, 1]
        outside = 12_000 + 16 * 12_000
        assert labelog.contingency(volume, volume).voxels.tolist() == [outside, above, below, 1]
        assert volume.scale(1).extents().label.tolist() == [7, 8], "a voxel alone is not what most of its window have"
        for change, voxels in (
            (lambda edit: edit.fill((0, 6, 0), 9), above),
            (lambda edit: edit.dilate(7, 1), outside),
            (lambda edit: edit.erode(7, 1), 4 * 12_000 + 16 * 12_000 + 3),
            (lambda edit: edit.remove_islands(7, below=10), 0),
            (lambda edit: edit.fill_holes(7), 0),
        ):
            with volume.edit("ana") as edit:
                assert change(edit).voxels == voxels
            if voxels:
                assert edit.revision is not None
                volume.undo("ana")
        assert volume.extents().voxels.tolist() == [above, below, 1]


@soak
def test_components_of_an_array_of_more_than_2_to_31_voxels():
    plane = np.zeros((1000, 1000), np.uint8)
    plane[10:20, 30:990], plane[500:999, 1:999], plane[5, 5] = 1, 2, 1
    array = np.broadcast_to(plane, (2200, 1000, 1000))
    found, count = labelog.connected_components(array, return_N=True)
    assert count == 3 and found.dtype == np.uint8
    wanted = np.zeros_like(plane)
    wanted[5, 5], wanted[10:20, 30:990], wanted[500:999, 1:999] = 1, 2, 3
    assert all((found[z] == wanted).all() for z in (0, 1100, 2147, 2199))
