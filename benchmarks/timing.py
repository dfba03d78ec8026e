"""Measuring: several sides in turn, a few items each, so that a noisy moment hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Side = TypeVar("Side", bound=Hashable)


class Sample:
    """The times of one side, in seconds."""

    def __init__(self, seconds: Iterable[float]) -> None:
        self.seconds = np.array(list(seconds), dtype=float)

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    def quantile(self, share: float) -> float:
        return float(np.quantile(self.seconds, share))

    def ms(self) -> str:
        """The median and the quartiles, in milliseconds."""
        median, low, high = (number(self.quantile(share) * 1e3) for share in (0.5, 0.25, 0.75))
        return f"{median} ms ({low}–{high})"

    def spread(self) -> str:
        """The median and the range, in milliseconds: of figures of a few turns."""
        median, low, high = (number(self.quantile(share) * 1e3) for share in (0.5, 0, 1))
        return f"{median} ms ({low}–{high})"

    def rate(self, unit: str = "/s", scale: float = 1.0) -> str:
        """`scale` things per second, median and quartiles."""
        slow, fast = (number(scale / self.quantile(q)) for q in (0.75, 0.25))
        return f"{number(scale / self.median)}{unit} ({slow}–{fast})"


def number(value: float) -> str:
    """Three digits that count: 1234, 123, 12.3, 1.23, 0.123."""
    digits = max(0, 2 - int(np.floor(np.log10(abs(value))))) if value else 0
    return f"{value:,.{min(digits, 4)}f}"


def timed(function: Callable[..., object], *arguments: object) -> float:
    """Seconds of one call; what it returns is let go after the clock has stopped."""
    start = time.perf_counter()
    result = function(*arguments)
    seconds = time.perf_counter() - start
    del result
    return seconds


def interleaved(sides: Mapping[Side, Callable[[Item], object]], items: Sequence[Item], *,
                warm_up: int = 0, block: int = 1, ahead: bool = False) -> dict[Side, Sample]:  # fmt: skip
    """Give each item to each side, `block` items at a time, in an order that rotates.

    The first `warm_up` items do not count. `ahead`: before each block its first item is given once without counting, so
    that a side finds the memory that it left, not what the one before it left.
    """
    names = list(sides)
    seconds: dict[Side, list[float]] = {name: [] for name in names}
    for turn, first in enumerate(range(0, len(items), block)):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            if ahead:
                sides[name](items[first])
            seconds[name] += [timed(sides[name], item) for item in items[first : first + block]]
    return {name: Sample(spent[warm_up:]) for name, spent in seconds.items()}
