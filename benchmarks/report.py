"""docs/benchmarks.md, written from a run."""

from __future__ import annotations

from pathlib import Path

from benchmarks import machine, settings
from benchmarks.table import HEADER, Row, Table, markdown

PATH = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"

TERMS = """\
- All sides run in one process and take turns, a few items each (slices: 8, strokes: 10, chunks: 4, contingency
  tables: 3, else 1), in an order that rotates. Figures are medians, quartiles in parentheses; the first items warm up
  and do not count.
- One thread on both sides: `threads=1` for labelog; `data_copy_concurrency` and `file_io_concurrency` of 1 for
  tensorstore; one worker for zarr-python. Both sides allocate the arrays that they return.
- Both have the same cache size: `cache_bytes` for labelog, `cache_pool` for tensorstore. No side keeps whole slices.
- Peers store uint64 as Zarr v3 with Zstandard at level 1, tensorstore's default. Each row is against the peer at the
  best of several chunk shapes; the other shapes are in the second table.
- Durable means the same on both sides: the stroke is flushed to disk (fsync) when the call returns. Icechunk does not
  flush; it is shown because it has versions too.
- A ratio is how many times better labelog is than the peer. Where the bar is `≤`, it is how many times as much it
  costs as the reference that is named, and less is better.
- The operating system's page cache is warm for all, also in the cold rows: those measure opening and decoding."""


def write(table: Table, labels: str, minutes: float) -> Path:
    notes = [f"### {topic}\n\n{text}" for topic, text in table.notes.items()]
    parts = [
        "# Benchmarks",
        f"Made by `{command()}` in {minutes:.1f} minutes. Do not edit.",
        f"- Machine: {machine.machine()}\n- Labels: {labels}\n- Versions: {machine.versions()}",
        "## The table",
        markdown([HEADER, *(row.cells() for row in table.rows)]),
        "## Terms",
        TERMS,
        "## What exactly is measured",
        "\n\n".join(notes),
        "## Other variants, measured in the same run",
        markdown([HEADER[:5], *(row.cells()[:5] for row in table.more)]),
        "## What was noisy",
        noise(table),
    ]
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text("\n\n".join(parts) + "\n")
    return PATH


def command() -> str:
    flags = [f"{name}=1 " for name in ("QUICK", "FULL", "CHECK") if getattr(settings, name)]
    return "".join(flags) + "python -m benchmarks"


def noise(table: Table) -> str:
    """Which rows a little noise could turn."""
    close = [row for row in table.rows if near_bar(row)]
    if not close:
        return "No row is within a fifth of its bar. The quartiles beside each median show the spread."
    named = "\n".join(f"- {row.what}: {row.cells()[4]}, {row.cells()[5]}" for row in close)
    intro = "The quartiles show the spread. These rows are within a fifth of their bar; a busy machine may turn them:"
    return f"{intro}\n\n{named}"


def near_bar(row: Row) -> bool:
    bar = row.target.least if row.target else None
    return row.ratio is not None and bar is not None and 0.8 < row.ratio / bar < 1.25
