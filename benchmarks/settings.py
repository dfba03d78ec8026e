"""How much is measured."""

from __future__ import annotations

import os

QUICK = os.environ.get("QUICK", "") not in ("", "0")
FULL = os.environ.get("FULL", "") not in ("", "0")
CHECK = os.environ.get("CHECK", "") not in ("", "0")

PLATELETS = (32, 1000, 1000) if QUICK else (250, 2000, 2000)
"""Voxels of the synthetic platelets."""

MB = 2**20
CACHE = 64 * MB


def times(usual: int, quick: int | None = None) -> int:
    """How often to do something: `usual`, or less if QUICK."""
    return usual if not QUICK else quick if quick is not None else max(usual // 4, 2)
