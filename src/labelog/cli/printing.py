"""What commands print: facts, tables, sizes, JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from labelog.engine.objects import as_csv
from labelog.formats.output import new_file
from labelog.geometry import Box
from labelog.remote.connection import is_address

SAMPLE = 200  # rows from which a table's columns get their widths, so that the rest can be printed as it comes


def print_json(value: Any, indent: int | None = 2) -> None:
    print(json.dumps(value, indent=indent, ensure_ascii=True))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Names and values in two columns."""
    rows = [(name, printable(value)) for name, value in facts]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; a head that ends in a blank is of a column of numbers, set to the right."""
    rows = iter(rows)
    first = [tuple(map(printable, row)) for row in islice(rows, SAMPLE)]
    widths = [max(map(len, column)) for column in zip(map(str.strip, heads), *first, strict=True)]
    right = [head.endswith(" ") for head in heads]
    for row in chain([tuple(map(str.strip, heads))], first, rows):
        cells = (printable(cell) for cell in row)
        yield "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(cells, widths, right, strict=True)
        ).rstrip()


def write_csv(rows: list[dict[str, Any]], columns: Sequence[str], arguments: argparse.Namespace, noun: str) -> None:
    """Write a table where --csv says, and how many rows it has."""
    if arguments.csv == "-":
        print(as_csv(rows, columns), end="")
        return
    target = Path(arguments.csv)
    with new_file(target, overwrite=arguments.overwrite) as temporary:
        temporary.write_text(as_csv(rows, columns), encoding="utf-8")
    print(f"{target}: {counted(len(rows), noun)}")


def printable(text: str) -> str:
    """The text with control characters written out: others chose it, and a terminal would obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def counted(count: int, noun: str, many: str | None = None) -> str:
    """As in "1 chunk" and "2,000 chunks"."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def listed(numbers: Sequence[int], most: int = 5) -> str:
    """Numbers, the first few of many."""
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more


def sized(count: float) -> str:
    """A number of bytes for people, in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def bytes_on_disk(folder: str | os.PathLike[str]) -> int:
    """The bytes of all files in a folder, as they are now."""
    total = 0
    for path in Path(folder).rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # folded meanwhile
            continue
    return total


def volume_bytes(volume: str) -> int | None:
    """The bytes of a volume's files; None where it is an address, since they are the server's."""
    return None if is_address(volume) else bytes_on_disk(volume)


def typed(box: Box | None) -> str:
    """A box as --box takes it; nothing if there is none."""
    return str(box).replace(" ", "") if box else ""


def by(sizes: Iterable[float]) -> str:
    """Sizes along the axes: "250 x 2000 x 2000"."""
    return " x ".join(f"{size:g}" if isinstance(size, float) else str(size) for size in sizes)
