"""The command `labelog`: one subcommand for each thing that is done with a volume.

A command is a module-level function `run_...(arguments)` that prints its result and returns an exit code, and an
entry in its file's `add`, which describes it to argparse. What can go wrong ends here, as one line on stderr.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from labelog import __version__
from labelog.cli import (
    care,
    classes,
    compare,
    components,
    correct,
    files,
    fill,
    layers,
    look,
    mesh,
    serve,
    shape,
    split,
    table,
    token,
)
from labelog.errors import LabelogError

FINE, PROBLEM, USAGE, INTERRUPTED, PIPE = 0, 1, 2, 130, 141

DESCRIPTION = """\
Keeps 3D label volumes while people and programs edit them. Every edit is a small
durable record: it can be read at any time, and undone under later work of others.
"""

EPILOG = """\
where to begin:
  labelog import cells.tif cells.labelog     make a volume of what you have
  labelog show cells.labelog -z 10           look at a slice
  labelog history cells.labelog              see who did what
  labelog labels cells.labelog               list the objects
  labelog COMMAND --help                     every command has examples

A volume is a folder; by custom its name ends in .labelog. Axes are z, y, x.
Objects are merged, split, shaped and named here; voxels are painted in Python:
labelog.open, Volume.edit.

exit codes:
  0  fine          1  a problem was found, or an error; one line on stderr says which
  2  wrong usage   130  interrupted by Ctrl-C; nothing is left half made

With --debug, or LABELOG_DEBUG=1 in the environment, errors come with a traceback.
"""

OPTIONS = (
    (r"\bpalette=\"colours\"", "--colours distinct"),
    (r"\b(overwrite|gaps|colours)=True\b", r"--\1"),
    (r"\b(snap|overlap)=\"?(\w+)\"?", r"--\1 \2"),
    (r"\boverlap=", "--overlap"),
    (r"\bformat=\"(\w+)\"", r"--format \1"),
    (r"\b(name|dataset)=", "--dataset"),
    (r"\bformat=", "--format"),
)
"""What error messages call an argument of the Python interface, and what it is called here."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. `argv` is sys.argv without the program's name if not given."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    debug = arguments.debug or os.environ.get("LABELOG_DEBUG", "") not in ("", "0")
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    else:
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it says of damaged files, the error says
    _tidy_when_terminated()
    return _run(arguments, debug)


def _run(arguments: argparse.Namespace, debug: bool) -> int:
    """Run a parsed command; whatever it raises becomes a line and an exit code."""
    try:
        code = int(arguments.run(arguments) or FINE)
        sys.stdout.flush()
        return code
    except argparse.ArgumentError as error:
        print(f"labelog {arguments.command}: {error.message}; see labelog {arguments.command} --help", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("labelog: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"labelog: {_line(error)}", file=sys.stderr)
        return PROBLEM


def _line(error: Exception) -> str:
    """An error as one line, its arguments named as options."""
    text = " ".join(str(error).split())
    if isinstance(error, LabelogError):
        for python, option in OPTIONS:
            text = re.sub(python, option, text)
        return text
    if isinstance(error, MemoryError):
        return "there is not enough memory for this"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"internal error: {type(error).__name__}: {text}; please report it, with what --debug shows"


def _tidy_when_terminated() -> None:
    """Let SIGTERM and SIGHUP unwind, as Ctrl-C does, so that what is half made is removed."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, leave)
    except ValueError:  # not the main thread, so not a process of our own
        pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="labelog", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter, usage="labelog [--version] COMMAND ...",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"labelog {__version__}")
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", prog="labelog")
    layers.extend(files.add_in(commands))  # in the order of a working day
    look.add(commands)
    table.add(commands)
    components.add(commands)
    compare.add(commands)
    mesh.add(commands)
    split.add(commands)
    fill.add(commands)
    shape.add(commands)
    classes.add(commands)
    correct.add(commands)
    files.add_out(commands)
    care.add(commands)
    serve.add(commands)
    token.add(commands)
    return parser
