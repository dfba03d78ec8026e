"""The demo: on a terminal it ends by serving what it made, and elsewhere it just ends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from serving import get

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def read_until(terminal, pattern):
    """What a terminal shows up to a match, and the match."""
    shown = ""
    while not (found := re.search(pattern, shown)):
        shown += os.read(terminal, 4096).decode()
    return found


def test_on_a_terminal_it_serves(tmp_path):
    terminal, end = pty.openpty()
    process = subprocess.Popen([sys.executable, DEMO], cwd=tmp_path, stdout=end, stderr=end)
    os.close(end)
    try:
        (address,) = read_until(terminal, r"serving neurons, platelet at (http://\S+) \(").groups()
        volumes = get(f"{address}/api/v1/volumes").json()["volumes"]
        assert [volume["name"] for volume in volumes] == ["neurons", "platelet"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_elsewhere_it_ends(tmp_path):
    done = subprocess.run([sys.executable, DEMO], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Try next" in done.stdout and "serving" not in done.stdout
