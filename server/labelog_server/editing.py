"""One edit of operations, carried out or tried, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import labelog
from labelog.engine.drawing import LabelRows
from labelog_server import names, operations
from labelog_server.news import event
from labelog_server.problems import Problem, plain, told
from labelog_server.trials import Trials

MOST_RUNS = 100_000  # that an answer lists beside others
MOST_ROWS = 2**21  # that one lists that is about nothing else


def carried_out(name: str, request: operations.Request, volume: labelog.Volume, author: str,
                called: names.Names, key: str | None, trials: Trials) -> dict[str, Any]:  # fmt: skip
    """Do all operations as one edit, or none; or tell what they would do. Raises what they raise, saying which did."""
    if request.dry_run:
        return _foretold(request, tried(request, volume, author, called, key, trials), called)
    if request.returns == "results" or request.keep or request.trial is not None:
        raise labelog.Invalid("return results, keep and trial are of a dry run")
    edit, results = _committed(request, volume, author, called, key)
    changed = {"boxes": [], "labels": []} if edit.revision is None else event(name, volume, edit.revision)
    answer = {"revision": edit.revision, "voxels": edit.voxels, "written": edit.written, "labels": called.told(),
              "made": list(map(str, edit.made)), "results": results, "boxes": changed["boxes"],
              "changed": changed["labels"]}  # fmt: skip
    if request.returns == "runs":
        answer["runs"] = [] if edit.revision is None else runs(volume.written(edit.revision))
    return answer


def _committed(request: operations.Request, volume: labelog.Volume, author: str, called: names.Names,
               key: str | None) -> tuple[labelog.Edit, list[Any]]:  # fmt: skip
    """The edit, and what its operations gave; begun again if another request with its key was the first to commit."""
    while True:
        try:
            with _refused(request), _begun(request, volume, author, key) as edit:
                results = _apply(request, edit, called)
            return edit, results
        except labelog.Conflict as error:
            if not hasattr(error, "again"):
                raise
            called.forget()


def _begun(request: operations.Request, volume: labelog.Volume, author: str, key: str | None) -> labelog.Edit:
    return volume.edit(author, request.message, session=request.session, key=key, seen=request.seen, at=request.at,
                       labels=request.labels)  # fmt: skip


def _apply(request: operations.Request, edit: labelog.Edit, called: names.Names) -> list[Any]:
    """Stage all operations; what each gives."""
    results, steps = [], len(request.operations)
    called.progress(0, steps)
    for number, operation in enumerate(request.operations):
        try:
            results.append(operation.apply(edit, called))
        except labelog.LabelogError as error:
            error.args = (f"operation {number} ({operation.op}): {error}",)
            raise
        called.progress(number + 1, steps)
    return results


class Tried(NamedTuple):
    """An edit with operations staged, which is not committed.

    Attributes
    ----------
    results : what each operation of this request gave.
    made : the labels of the objects that they made.
    trial : by which another request goes on with it, if it is kept.
    """

    edit: labelog.Edit
    results: list[Any]
    made: list[str]
    trial: str | None

    def told(self, called: names.Names) -> dict[str, Any]:
        return {"at": self.edit.at, "labels": called.told(), "made": self.made, "results": self.results,
                "trial": self.trial}  # fmt: skip


def tried(request: operations.Request, volume: labelog.Volume, author: str, called: names.Names,
          key: str | None, trials: Trials) -> Tried:  # fmt: skip
    """Stage all operations, after those of an earlier trial if one is named, and go no further.

    No key is used up, and voxels that `seen` would refuse are no error. Raises what the operations raise; then an
    earlier trial is over too.
    """
    of = volume, author, key
    if request.trial is None:
        edit = _begun(request, volume, author, key)
        edit.__enter__()  # and never left: what is staged is in memory only
    else:
        trial = trials.take(request.trial, of)
        edit, called.made = trial.edit, trial.made
    before = len(edit.made)
    results = _apply(request, edit, called)
    made = list(map(str, edit.made[before:]))
    return Tried(edit, results, made, trials.keep(edit, called.made, of) if request.keep else None)


def _foretold(request: operations.Request, trial: Tried, called: names.Names) -> dict[str, Any]:
    """What the edit would do."""
    told = trial.told(called)
    if request.returns == "results":
        return told
    preview = trial.edit.preview()
    told |= {"revision": None, "voxels": preview.voxels, "written": preview.written,
             "boxes": [plain(box) for box in preview.boxes], "changed": None}  # fmt: skip
    if request.returns == "runs":
        told |= {"runs": runs(preview.runs), "refused": runs(preview.refused)}
    return told


@contextmanager
def _refused(request: operations.Request) -> Iterator[None]:
    """Let a refusal by `seen` say which voxels stood in the way, and what they are now, if runs were asked for."""
    try:
        yield
    except labelog.Conflict as error:
        if request.returns != "runs" or not hasattr(error, "refused"):
            raise
        raise Problem(409, str(error), **told(error), refused=runs(error.refused)) from None


def runs(written: LabelRows) -> list[list[Any]] | None:
    """Rows of z, y, x0, x1 and a label, in JSON; None if there are too many to list."""
    return None if len(written.rows) > MOST_RUNS else listed(written, MOST_RUNS)


def listed(written: LabelRows, most: int) -> list[list[Any]]:
    """The same, of as many as are asked for. Raises Problem 413."""
    if len(written.rows) > most:
        raise Problem(413, f"an answer lists {most} runs; these are {len(written.rows)}")
    labels = map(str, written.labels.tolist())
    return [[*row, label] for row, label in zip(written.rows.tolist(), labels, strict=True)]
