"""The command `labelog`, from before the first import on: imports take a moment, and Ctrl-C may come in it.

It is a package of its own because Python imports `labelog` before anything within it.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> int:
    """Run the command line; the exit code."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where it is ignored, as in the background
        signal.signal(signal.SIGINT, _leave)
    from labelog.cli import main as run

    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, usual)
    return run()


def _leave(number: int, frame: FrameType | None) -> None:
    """Leave at once: nothing was begun, and some libraries take an interrupted import for one that failed."""
    os.write(2, b"labelog: interrupted\n")
    os._exit(130)
