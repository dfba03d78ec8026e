"""Whom long work tells how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labelog.errors import Invalid

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is; 0 if nobody knows."""


def checked_progress(progress: Any) -> None:
    """Raise Invalid for what is neither None nor can be called."""
    if not (progress is None or callable(progress)):
        raise Invalid(f"progress is a function of how much is done and how much there is, not {progress!r}")
