"""The control of the fuzz tests: with one check taken out of the decoder, the sanitizer has something to say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = re.compile(r'    if i \+ n_kept \+ n_new > d\.n:\n        corrupt\("there are more runs than declared"\)\n')


@pytest.mark.skipif("libasan" not in os.environ.get("LD_PRELOAD", ""), reason="of `make sanitize`")
def test_a_missing_check_is_noticed(tmp_path):
    """A copy of the sources and of what is built, so that only the decoder is built again."""
    for part in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / part, tmp_path)
    for part in ("src", "server", "build/cython-release", "build/sanitize"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.egg-info"))
    codec = tmp_path / "src" / "labelog" / "kernels" / "codec.pyx"
    loosened, times = CHECK.subn("", codec.read_text())
    assert times == 1, "the check that this test takes out is not there: name another one"
    codec.write_text(loosened)
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    where = ["--build-base", "build/sanitize", "--build-lib", "build/sanitize/lib"]
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build", *where],
        cwd=tmp_path,
        env=plain | {"LABELOG_SANITIZE": "address,undefined"},
        check=True,
    )
    fuzz = [sys.executable, Path(__file__).with_name("decoders.py"), "20000"]
    found = {}
    for name, folder in (("whole", ROOT), ("loosened", tmp_path)):
        paths = f"{folder}/build/sanitize/lib:{folder}/server"
        found[name] = subprocess.run(fuzz, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert found["whole"].returncode == 0, found["whole"].stderr
    assert found["loosened"].returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in found["loosened"].stderr
