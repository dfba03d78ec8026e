"""What the fault tests write, and how they know that all of it is there.

Commit n is revision n. It writes label n along row n % ROWS, through every chunk of the volume, and gives it a name;
each seventh undoes the one before instead. So the voxels and names of any revision follow from its number alone, and a
commit that is there in part shows as a row of two labels, or as one without a name.
"""

from __future__ import annotations

import functools
import os
import signal
import struct
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import labelog
from labelog.engine import keeper, store
from labelog.storage import sqlite

SHAPE = (4, 16, 32)
CHUNKS = (2, 16, 16)
ROWS = SHAPE[1]
AUTHOR = "ana"
ACK = struct.Struct("<Q")


def count(usual: int) -> int:
    """How often to do something: 20 times as often with LABELOG_SOAK=1."""
    return usual * 20 if os.environ.get("LABELOG_SOAK") == "1" else usual


@functools.cache
def seed() -> int:
    """The seed of what is random: LABELOG_SEED, so that a failure can be repeated; fixed unless this is a soak."""
    if given := os.environ.get("LABELOG_SEED"):
        return int(given)
    return int.from_bytes(os.urandom(4), "little") if os.environ.get("LABELOG_SOAK") == "1" else 1


def create(path: Path) -> None:
    labelog.create(path, SHAPE, chunks=CHUNKS).close()


def is_undo(revision: int) -> bool:
    return revision % 7 == 0


def commit(volume: labelog.Volume, revision: int) -> None:
    """Make the revision that comes next."""
    if is_undo(revision):
        volume.undo(AUTHOR)
    else:
        with volume.edit(AUTHOR) as edit:
            edit[:, revision % ROWS, :] = revision
            edit.assign(revision, name=f"stroke {revision}")


def standing(revision: int) -> list[int]:
    """The edits that are live at a revision."""
    return [made for made in range(1, revision + 1) if not (is_undo(made) or (is_undo(made + 1) and made < revision))]


def expected(revision: int) -> np.ndarray:
    """The voxels of a revision."""
    labels = np.zeros(SHAPE, np.uint64)
    for made in standing(revision):
        labels[:, made % ROWS] = made
    return labels


def named(volume: labelog.Volume, revision: int) -> bool:
    """Whether the labels that were said last, as of a revision, have their names, and those undone have none."""
    labels, live = volume.at(revision).labels, standing(revision)[-10:]
    return all([label.name for label in labels.where(name=f"stroke {made}")] == [f"stroke {made}"] * (made in live)
               for made in range(live[0] if live else 1, revision + 1))  # fmt: skip


def hurry() -> None:
    """Fold, keep and checkpoint all the time, in this process."""
    keeper.FOLD_AT, keeper.KEEP_AT, store.FOLD_AT = 3, 5, 5
    keeper.CHECKPOINT_AT, sqlite.CHECKPOINT_NOW = 40, 120


def write(path: str, pipe: Connection, early: bool = False) -> None:
    """Commit as fast as possible until killed; acknowledge each on a pipe when it has returned (or, wrongly, early)."""
    acknowledge_on = pipe.fileno()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hurry()
    volume = labelog.open(path)
    revision = volume.revision
    while True:
        revision += 1
        if early:
            os.write(acknowledge_on, ACK.pack(revision))
        commit(volume, revision)
        if not early:
            os.write(acknowledge_on, ACK.pack(revision))
        if revision % 29 == 0:
            volume.compact()


def faults(path: Path, acknowledged: int, mode: labelog.engine.volume.Mode = "r+") -> list[str]:
    """What is wrong with a volume of which these commits were acknowledged: nothing, one hopes."""
    try:
        with labelog.open(path, mode) as volume:
            head = volume.revision
            if head < acknowledged:
                return [f"revision {acknowledged} was acknowledged, but the volume ends at {head}"]
            looked_at = {head, acknowledged, head // 2, max(head - 5, 0)}
            found = [f"revision {revision} has voxels that were not written" for revision in looked_at
                     if not np.array_equal(volume.at(revision)[:], expected(revision))]  # fmt: skip
            found += [f"revision {revision} has other names" for revision in looked_at if not named(volume, revision)]
            return found + volume.check().problems
    except labelog.LabelogError as error:
        return [f"{type(error).__name__}: {error}"]
