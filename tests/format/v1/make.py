"""Wrote the golden files of format 1 beside it, with labelog 0.1.0. Kept to show how; tests only read the files.

Whoever changes the bytes makes format 2, and leaves these as they are.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

import labelog
from labelog.kernels import codec, spans
from labelog.kernels.runs import Runs

HERE = Path(__file__).parent


def main() -> None:
    ground = (np.indices((5, 20, 30)).sum(axis=0) // 7 % 4).astype(np.uint64)
    ground[2] *= np.uint64(2**61)
    path = HERE / "volume.labelog"
    shutil.rmtree(path, ignore_errors=True)
    with labelog.load(path, ground, voxel_size=(40, 10, 10), chunks=(2, 16, 16), author="lab", message="golden",
                      colours={1: "#01abfeff", 2: "#f55e00ff"}, classes="platelet", merges=[(2, 8)],
                      table={1: {"cls": "cell", "name": "A"}, 2: {"cls": "mitochondrion", "parent": 1}},
                      ) as volume:  # fmt: skip
        with volume.edit("vendor-b/ana", "a box", session="left", key="k-1") as edit:
            edit[1:3, 4:12, 5:25] = 2**64 - 1
        volume.compact()
        with volume.edit("lee", "over a label, £") as edit:
            edit.paint(7, np.tri(10, dtype=bool), at=(2, 3, 8), over={2**64 - 1})
        with volume.edit("lee", "labels, classes, regions") as edit:
            core = edit.new("dense granule core", parent=7, name="£", seen=[1, None, "twice"])
            edit.paint(core, [(2, 5, 8, 9)])
            edit.merge(7, [2**64 - 1])
            edit.assign_class("cell", name="platelet")
            edit.set_region("first", "gold", ((0, 0, 0), (2, 20, 30)))
            edit.set_region("hole", "ignore", ((0, 0, 0), (1, 2, 3)), np.eye(2, 3, dtype=bool)[None])
        volume.undo("vendor-b/ana")
        volume.redo("vendor-b/ana")
        volume.revert(author="vendor-b", by="lee", message="not good enough")
        states = {str(revision): volume.at(revision)[...] for revision in range(volume.revision + 1)}
        tables = {str(revision): volume.at(revision).labels.table_rows() for revision in range(volume.revision + 1)}
        commits = [
            {"revision": c.revision, "kind": c.kind, "author": c.author, "session": c.session,
             "time": c.time.isoformat(), "message": c.message, "voxels": c.voxels, "written": c.written,
             "left_alone": c.left_alone, "targets": list(c.targets), "live": c.live}
            for c in volume.history()
        ]  # fmt: skip
    (path / "journal.sqlite-wal").unlink()
    (path / "journal.sqlite-shm").unlink()
    (path / "lock").unlink()
    shutil.rmtree(path / "pyramid")  # worked out anew when it is missed
    np.savez_compressed(HERE / "states.npz", **states)
    (HERE / "commits.json").write_text(json.dumps(commits, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (HERE / "labels.json").write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    runs = Runs.from_dense(ground)
    (HERE / "runs.bin").write_bytes(codec.encode(runs))
    patch = spans.array_spans(ground.shape, (1, 2, 3), ground[0:2, 0:9, 0:20])
    (HERE / "delta.bin").write_bytes(codec.encode_delta(spans.diff(runs, patch), 30))


if __name__ == "__main__":
    main()
