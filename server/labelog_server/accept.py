"""What a client would rather have, by its Accept."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress


def liked(header: str, formats: Iterable[str]) -> str | None:
    """The media type, of some, that an Accept likes best; of equals the first. None if it takes none of them."""
    weights: dict[str, float] = {}
    for item in header.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        with suppress(ValueError):
            weights[kind] = float(quality)
    known = {each: next((weights[kind] for kind in (each, each.split("/")[0] + "/*", "*/*") if kind in weights), 0.0)
             for each in formats}  # fmt: skip
    best = max(known, key=known.__getitem__, default=None)
    return best if best is not None and known[best] > 0 else None
