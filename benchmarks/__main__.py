"""The command: see the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

if __name__ == "__main__":
    chosen = sys.argv[1:]
    options = ["-q", "-s", "--no-header", f"--ignore={HERE / 'bench_engine.py'}"]
    sys.exit(pytest.main([str(HERE), *options, *(chosen or ["--write-report"])]))
