"""What programs do as they end, when no more threads may begin."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import labelog

WORK = {
    "read": "print(volume[...].sum())",
    "edit": "with volume.edit('ana') as edit: edit[:16, :, :192] = 2\nprint(volume[...].sum())",
    "large edit": "with volume.edit('ana') as edit: edit[...] = 2\nprint(volume[...].sum())",
    "array": "print(labelog.connected_components(np.ones((64, 512, 512), np.uint8)).sum())",
}
SHAPE = (64, 256, 256)
SUMS = {"read": np.prod(SHAPE), "edit": np.prod(SHAPE) + 16 * 256 * 192, "large edit": 2 * np.prod(SHAPE),
        "array": 64 * 512 * 512}  # fmt: skip


@pytest.mark.parametrize("what", WORK)
def test_at_exit(tmp_path, what):
    path = tmp_path / "v.labelog"
    labelog.load(path, np.ones(SHAPE, np.uint8), chunks=(16, 64, 64)).close()
    work = "\n    ".join(WORK[what].split("\n"))
    program = f"""\
import atexit
import numpy as np
import labelog
volume = labelog.open({str(path)!r}, threads=2)
@atexit.register
def at_exit():
    {work}
    volume.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == SUMS[what]
    with labelog.open(path, "r") as volume:
        assert volume.revision == ("edit" in what)
        assert volume.check().problems == []
