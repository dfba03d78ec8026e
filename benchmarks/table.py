"""The table: one row for each line of the targets, and the other variants that were measured beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from benchmarks.timing import Sample, number


@dataclass(frozen=True)
class Target:
    """What a ratio must reach ("at least") and should reach ("aim").

    A ratio says how many times better labelog is than the peer; if `ceiling`, how many times as much as the
    reference something costs, and must not be more.
    """

    least: float | None
    aim: float | None = None
    ceiling: bool = False

    def met(self, ratio: float, bar: float | None) -> bool:
        return bar is not None and (ratio <= bar if self.ceiling else ratio >= bar)

    def verdict(self, ratio: float) -> str:
        if self.met(ratio, self.aim):
            return "aim"
        return "" if self.least is None else "pass" if self.met(ratio, self.least) else "BELOW"

    def text(self, bar: float | None) -> str:
        return "" if bar is None else f"{'≤' if self.ceiling else '≥'} {bar:g}x"


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio` is None where there is nothing to compare with."""

    topic: str
    what: str
    ours: str
    peer: str = ""
    theirs: str = ""
    ratio: float | None = None
    target: Target | None = None

    @property
    def verdict(self) -> str:
        return "" if self.ratio is None or self.target is None else self.target.verdict(self.ratio)

    def cells(self) -> list[str]:
        target = self.target or Target(None)
        bars = target.text(target.least), target.text(target.aim)
        ratio = "" if self.ratio is None else f"{number(self.ratio)}x"
        return [self.what, self.ours, self.peer, self.theirs, ratio, *bars, self.verdict]


HEADER = ["what", "labelog", "peer", "its figure", "ratio", "at least", "aim", ""]


@dataclass
class Table:
    """The rows as they come in; `more` holds the variants that decide nothing, `notes` what a topic says of itself."""

    rows: list[Row] = field(default_factory=list)
    more: list[Row] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    tell: Callable[[str], object] = field(default_factory=lambda: partial(print, flush=True))

    def add(self, row: Row, *, more: bool = False) -> None:
        """A row that is known; it is told at once, since the whole takes a while."""
        (self.more if more else self.rows).append(row)
        self.tell("  ".join(filter(None, row.cells())))

    def compare(self, topic: str, what: str, ours: Sample, peers: Mapping[str, Sample | None], target: Target | None, *,
                also: Mapping[str, Sample | None] = {}, show: Callable[[Sample], str] = Sample.ms) -> None:  # fmt: skip
        """A row against the fastest of `peers`; the others, and those of `also`, are variants. None: not installed."""
        found = {name: sample for name, sample in peers.items() if sample is not None}
        best = min(found, key=lambda name: found[name].median, default=next(iter(peers), None))
        for name, sample in {**peers, **also}.items():
            decides = name == best
            ratio = None if sample is None else sample.median / ours.median
            theirs = "not installed" if sample is None else show(sample)
            row = Row(topic, what, show(ours), name, theirs, ratio, target if decides else None)
            self.add(row, more=not decides)

    @property
    def below(self) -> list[Row]:
        return [row for row in self.rows if row.verdict == "BELOW"]

    def text(self) -> str:
        """For a terminal."""
        return plain([HEADER, *(row.cells() for row in self.rows)])


def plain(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(line).rstrip() for line in padded)


def markdown(lines: list[list[str]]) -> str:
    rule = ["---"] * len(lines[0])
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
