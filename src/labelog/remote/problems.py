"""Problem details (RFC 9457) of a server as the errors that the engine would have raised."""

from __future__ import annotations

from typing import Any

import numpy as np

from labelog import errors
from labelog.engine.drawing import LabelRows
from labelog.errors import Denied, Invalid, LabelogError, Unreachable
from labelog.geometry import Box

KINDS: dict[str, type[LabelogError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, LabelogError)
}

OF_STATUS: dict[int, type[LabelogError]] = {401: Denied, 403: Denied, 413: Invalid, 422: Invalid}
"""The kinds of problems that have no title of ours."""


def error_of(problem: dict[str, Any], status: int) -> LabelogError:
    """What to raise for a problem."""
    known = problem.get("title")
    kind = KINDS.get(known) if isinstance(known, str) else None
    facts: dict[str, Any] = {"status": status}
    for name in ("box", "voxels", "revision", "label", "key", "chunk", "limit", "refused"):
        if problem.get(name) is not None:
            facts[name] = _fact(name, problem[name])
    detail = str(problem.get("detail") or f"the server answered {status}")
    return (kind or OF_STATUS.get(status, Unreachable))(detail, **facts)


def _fact(name: str, value: Any) -> Any:
    if name == "box":
        return box_of(value)
    if name == "label":
        return int(value)
    if name == "refused":
        return label_rows(value)
    return tuple(value) if isinstance(value, list) else value


def box_of(corners: Any) -> Box:
    """A box of two corners in JSON."""
    (z0, y0, x0), (z1, y1, x1) = corners
    return Box((z0, y0, x0), (z1, y1, x1))


def label_rows(rows: Any) -> LabelRows:
    """Rows of z, y, x0, x1 and a label in JSON."""
    bounds = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
    return LabelRows(bounds, np.array([int(row[4]) for row in rows], np.uint64))
