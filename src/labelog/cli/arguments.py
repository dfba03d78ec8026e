"""What is typed after a command: numbers, boxes, times, and the options that several commands have."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from labelog import indexing
from labelog.engine.snapshot import Revision
from labelog.engine.volume import Volume
from labelog.errors import Invalid
from labelog.geometry import Box, Triple
from labelog.storage.meta import UNITS

Commands = Any
"""What argparse's add_subparsers gives; its type has no public name."""

OpenBox = tuple[tuple[int | None, int | None], ...]
"""A box as typed, where an end left out is None: the volume's own."""


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int | None], summary: str, description: str,
    examples: str,
) -> argparse.ArgumentParser:  # fmt: skip
    """A subcommand with its help; `run` is given the parsed arguments and returns the exit code (None is 0)."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.\n\n{description}",
        epilog=f"examples:\n{examples}", formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)
    return parser


def add_volume(parser: argparse.ArgumentParser) -> None:
    where = "the volume's folder; or where a server has it, http://host:port/volumes/name"
    parser.add_argument("volume", metavar="VOLUME", help=where)


def add_json(parser: argparse.ArgumentParser, what: str = "print one JSON object, for scripts") -> None:
    parser.add_argument("--json", action="store_true", help=what)


def add_form(parser: argparse.ArgumentParser) -> None:
    """How a table is printed: for people by default."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", metavar="FILE", help="write the table to this file ('-' is the standard output)")
    form.add_argument("--json", action="store_true", help="print a JSON object on a line for each, for scripts")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")


def add_box(parser: argparse._ActionsContainer, what: str) -> None:
    parser.add_argument("--box", type=box, metavar="Z0:Z1,Y0:Y1,X0:X1",
                        help=f"{what}; the last voxel is not in it, an end left out is the volume's")  # fmt: skip


def add_revision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--revision", type=moment, metavar="WHEN",
                        help="as of this revision, or time such as 2025-01-31T09:30; by default now")  # fmt: skip


def add_author(parser: argparse.ArgumentParser, what: str = "who does it, for the history") -> None:
    parser.add_argument("--author", metavar="NAME", help=f"{what}; by default your user name")


def add_edit(parser: argparse.ArgumentParser) -> None:
    """The options of commands that edit."""
    add_author(parser)
    parser.add_argument("--message", metavar="TEXT", default="", help="why, for the history")
    add_json(parser)


def add_view(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--view", metavar="NAME",
                        help="instance (merged labels as one: the default), fragment (labels as stored), semantic "
                             "(classes), or the name of a class (objects of that class only)")  # fmt: skip


def add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", type=int, metavar="N", default=0,
                        help="with fewer and larger voxels, which boxes and slices then count: 0 is the finest, -1 the "
                             "coarsest; labelog info lists them")  # fmt: skip


def add_made(parser: argparse.ArgumentParser) -> None:
    """The options of commands that make a volume."""
    parser.add_argument("--voxel-size", type=lengths, metavar="Z,Y,X", help="lengths of a voxel, such as 40,10,10")
    parser.add_argument("--unit", choices=UNITS, help="their unit; by default nm")
    parser.add_argument("--chunks", type=numbers, metavar="Z,Y,X",
                        help="voxels that are stored and read together; by default 16,256,256")  # fmt: skip


def numbers(text: str) -> Triple:
    """Three whole numbers, "250,2000,2000" or "250x2000x2000"."""
    found = re.fullmatch(r"(\d+)[,x](\d+)[,x](\d+)", text.replace(" ", ""))
    if not found:
        raise argparse.ArgumentTypeError(f"expected three whole numbers Z,Y,X, such as 250,2000,2000; found {text!r}")
    z, y, x = (int(number) for number in found.groups())
    return z, y, x


def lengths(text: str) -> tuple[float, float, float]:
    """Three lengths, "40,10,10"."""
    try:
        z, y, x = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected three lengths Z,Y,X, such as 40,10,10; found {text!r}") from None
    return z, y, x


def box(text: str) -> OpenBox:
    """Half-open bounds, "0:10,100:200,:"; a number alone is one slice."""
    axes: list[tuple[int | None, int | None]] = []
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(r"(\d*):(\d*)|(\d+)", part)
        if not found:
            break
        start, stop, single = found.groups()
        if single:
            axes.append((int(single), int(single) + 1))
        else:
            axes.append((int(start) if start else None, int(stop) if stop else None))
    if len(axes) != 3 or text.count(",") != 2:
        raise argparse.ArgumentTypeError(f"expected Z0:Z1,Y0:Y1,X0:X1, such as 10:20,0:512,:; found {text!r}")
    return tuple(axes)


def moment(text: str) -> int | datetime:
    """A revision, or a time in ISO 8601; without a time zone it is local, without a time of day it is midnight."""
    if text.isdecimal():
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a revision, or a time such as 2025-01-31 or 2025-01-31T09:30; found {text!r}"
        ) from None


def label(text: str) -> int:
    """A label, 0 to 2^64 - 1."""
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"expected a label, 0 to {2**64 - 1}; found {text!r}")
    return int(text)


def object_label(text: str) -> int:
    """The label of an object: not 0."""
    if not label(text):
        raise argparse.ArgumentTypeError("label 0 is background, and no object")
    return label(text)


def natural(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on; found {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on; found {text!r}")
    return int(text)


def above_zero(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0; found {text!r}")
    return number


def within(volume: Volume | Revision, typed: OpenBox | None) -> Box:
    """The box typed, its open ends those of the volume; Invalid if it is empty, OutOfBounds if it reaches outside."""
    shape = volume.shape
    if typed is None:
        return Box((0, 0, 0), shape)
    z, y, x = ((start or 0, max(start or 0, n) if stop is None else stop)
               for (start, stop), n in zip(typed, shape, strict=True))  # fmt: skip
    chosen = Box((z[0], y[0], x[0]), (z[1], y[1], x[1]))
    if not indexing.within(chosen, shape).voxels:
        raise Invalid(f"the box {chosen} is empty")
    return chosen
