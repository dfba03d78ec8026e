"""What a client would rather have, by its Accept."""

from __future__ import annotations

from collections.abc import Iterable


def liked(header: str, formats: Iterable[str]) -> str | None:
    """The media type, of some, that an Accept likes best; of equals the first. None if it takes none of them."""
    weights: list[tuple[float, int, str]] = []
    for item in header.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        fits = [known for known in formats if kind in (known, "*/*", known.split("/")[0] + "/*")]
        try:
            weights += [(float(quality), -place, known) for place, known in enumerate(fits[:1])]
        except ValueError:
            continue
    best = max(weights, default=(0.0, 0, ""))
    return best[2] if best[0] > 0 else None
