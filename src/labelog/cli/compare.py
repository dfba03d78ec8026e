"""`compare`: which labels of two volumes or files are at the same voxels."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import labelog
from labelog import formats
from labelog.arrays.contingency import Contingency, Entries, summed
from labelog.cli.arguments import Commands, add_box, add_command, add_form, add_revision, add_view, within
from labelog.cli.files import viewed
from labelog.cli.printing import by, counted, print_json, table, write_csv
from labelog.cli.progress import progress
from labelog.engine.snapshot import Revision
from labelog.errors import Invalid
from labelog.formats.limits import slab_depth
from labelog.formats.stack import Stack, blocks
from labelog.storage.layout import META

COLUMNS = ("a", "b", "voxels", "a_voxels", "b_voxels", "iou")
HEADS = ("A ", "B ", "VOXELS ", "OF A ", "OF B ", "IOU ")
SHOWN = 20  # pairs that are printed

Side = Revision | Stack


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "compare", run_compare, "count the voxels that each pair of labels of two volumes or files has",
        "A and B are volumes, or files of any format that is read, of one shape. For each pair\n"
        "of labels at the same voxels: how many voxels, how many each has in all, and\n"
        "intersection over union. Then, over all voxels and labels, background too: the\n"
        "variation of information (bits; by how much B cuts up A, and A cuts up B) and the\n"
        f"adjusted Rand index (1 is equal). The {SHOWN} largest pairs are printed; --csv and --json\n"
        "have all.",
        "  labelog compare vendor.labelog expert.labelog --view cell\n"
        "  labelog compare cells.labelog delivery.tif --csv pairs.csv\n"
        "  labelog compare a.tif b.tif --json | head",
    )  # fmt: skip
    parser.add_argument("a", metavar="A", help="a volume or a file")
    parser.add_argument("b", metavar="B", help="another")
    add_view(parser)
    add_box(parser, "only this part of two volumes")
    add_revision(parser)
    add_form(parser)


def run_compare(arguments: argparse.Namespace) -> None:
    with ExitStack() as opened:
        a, b = (_side(path, arguments, opened) for path in (arguments.a, arguments.b))
        if a.shape != b.shape:
            raise Invalid(f"{arguments.a} has {by(a.shape)} voxels, {arguments.b} {by(b.shape)}; they must be alike")
        found = _counted(a, b, arguments)
    rows = _rows(found)
    if arguments.csv is not None:
        write_csv(rows, COLUMNS, arguments, "pair")
        return
    cut, uncut = found.variation_of_information()
    summary = {"voxels": int(found.voxels.sum()), "labels_a": len(np.unique(found.a[found.a != 0])),
               "labels_b": len(np.unique(found.b[found.b != 0])), "pairs": len(found.a),
               "vi_b_cuts_a": cut, "vi_a_cuts_b": uncut, "rand_index": found.rand_index()}  # fmt: skip
    if arguments.json:
        print_json(summary, indent=None)
        for row in rows:
            print_json(row | {"a": str(row["a"]), "b": str(row["b"])}, indent=None)
        return
    _print(rows, summary)


def _side(path: str, arguments: argparse.Namespace, opened: ExitStack) -> Side:
    """A volume as it is to be seen, or a file."""
    if (Path(path) / META).exists() or not (Path(path).exists() or "*" in path):
        return viewed(opened.enter_context(labelog.open(path, "r")), arguments)
    for option in ("view", "box", "revision"):
        if getattr(arguments, option) is not None:
            raise Invalid(f"--{option} is for volumes, and {path} is a file")
    return formats.read(path)


def _counted(a: Side, b: Side, arguments: argparse.Namespace) -> Contingency:
    if isinstance(a, Revision) and isinstance(b, Revision):
        box = None if arguments.box is None else within(a.volume, arguments.box)
        with progress("comparing", "chunks") as update:
            return labelog.contingency(a, b, within=box, progress=update)
    depth = slab_depth(a.shape, np.dtype(np.uint64))

    def parts(update: Callable[[int, int], None]) -> Iterator[Entries]:
        done = 0
        for left, right in zip(_slabs(a, depth), _slabs(b, depth), strict=True):
            found = labelog.contingency(left, right)
            yield found.a, found.b, found.voxels.astype(np.uint64)
            update(done := done + len(left), a.shape[0])

    with progress("comparing", "slices") as update:
        return summed(parts(update))


def _slabs(side: Side, depth: int) -> Iterator[NDArray[Any]]:
    """So many slices at a time."""
    if isinstance(side, Stack):
        yield from (slab for _, slab in blocks(side, depth, np.dtype(np.uint64)))
        return
    for z in range(0, side.shape[0], depth):
        yield side[z : z + depth].astype(np.uint64)


def _rows(found: Contingency) -> list[dict[str, Any]]:
    left, right = found.sizes()
    columns = (found.a, found.b, found.voxels, left, right, found.iou())
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _print(rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    largest = sorted(rows, key=lambda row: -row["voxels"])[:SHOWN]
    cells = ((f"{row['a']}", f"{row['b']}", f"{row['voxels']:,}", f"{row['a_voxels']:,}", f"{row['b_voxels']:,}",
              f"{row['iou']:.3f}") for row in largest)  # fmt: skip
    for line in table(HEADS, cells):
        print(line)
    if len(rows) > SHOWN:
        print(f"and {counted(len(rows) - SHOWN, 'smaller pair')}; --csv and --json have all")
    print(f"\n{counted(summary['voxels'], 'voxel')}; {counted(summary['labels_a'], 'label')} in A, "
          f"{counted(summary['labels_b'], 'label')} in B, without background")  # fmt: skip
    print(f"variation of information: B cuts up A by {summary['vi_b_cuts_a']:.4f} bits, A cuts up B by "
          f"{summary['vi_a_cuts_b']:.4f}")  # fmt: skip
    print(f"adjusted Rand index: {summary['rand_index']:.4f}")
