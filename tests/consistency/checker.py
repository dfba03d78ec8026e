"""Whether what clients were told can have happened: revision after revision, against the model.

    taken     each call took effect once if it was acknowledged or may have been, and otherwise not at all
    order     what began after an answer was there shows that answer's revision or a later one
    replayed  each revision is what its call asked for, as staged at a revision between the call's begin and the commit;
              each read shows the voxels of its revision; each refusal was right

A problem is a line of text; no problem, no line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from consistency.model import Edit, Model, Staged, State
from consistency.record import Call, digest
from labelog.storage.journal import Commit

MOST = 20  # problems that are told


Written = Callable[[int], Edit]
"""What a revision wrote, as the history has it."""


def problems(
    calls: Iterable[Call], commits: Iterable[Commit], written: Written, ground: np.ndarray, final: np.ndarray
) -> list[str]:
    """What is wrong with a run: its calls, all commits that came of it, the voxels before and after."""
    found: list[str] = []
    for problem in _problems(list(calls), sorted(commits, key=lambda commit: commit.revision), written, ground, final):
        found.append(problem)
        if len(found) == MOST:
            break
    return found


def _problems(
    calls: list[Call], commits: list[Commit], written: Written, ground: np.ndarray, final: np.ndarray
) -> Iterator[str]:
    lowest = bounds(calls)
    yield from order(calls, lowest)
    made = {commit.revision: commit for commit in commits if commit.revision}
    if list(made) != list(range(1, len(made) + 1)):
        yield f"the history has gaps: {sorted(set(range(1, max(made) + 1)) - set(made))}"
        return
    by_name: dict[str, list[int]] = defaultdict(list)
    for revision, commit in made.items():
        by_name[name_of(commit)].append(revision)
    yield from taken(calls, by_name)
    yield from Replay(calls, made, lowest, by_name, written, ground).problems(final)


def name_of(commit: Commit) -> str:
    """The call that a commit is of: its message says so, or, of what comes by Zarr, its author."""
    return commit.author.removeprefix("zarr/") if commit.author.startswith("zarr/") else commit.message


def bounds(calls: list[Call]) -> dict[str, int]:
    """For each call the revision that it must show at least: the highest of the answers that were there before."""
    events = sorted([(call.start, 1, call) for call in calls] + [(call.stop, 0, call) for call in calls],
                    key=lambda event: event[:2])  # fmt: skip
    lowest, highest = {}, 0
    for _, begins, call in events:
        if begins:
            lowest[call.name] = highest
        elif call.revision is not None and not call.asked.get("rev"):
            highest = max(highest, call.revision)
    return lowest


def highest(calls: list[Call]) -> dict[str, int]:
    """For each call that is told no revision the last that it can have come to: what began after it shows that one."""
    events = sorted([(call.start, 1, call) for call in calls] + [(call.stop, 0, call) for call in calls],
                    key=lambda event: event[:2], reverse=True)  # fmt: skip
    found, least = {}, None
    for _, begins, call in events:
        if not begins and call.revision is None:
            found[call.name] = least
        elif begins and call.revision is not None and not call.asked.get("rev"):
            least = call.revision if least is None else min(least, call.revision)
    last = max((call.revision or 0 for call in calls), default=0)
    return {name: last if revision is None else revision for name, revision in found.items()}


def order(calls: list[Call], lowest: dict[str, int]) -> Iterator[str]:
    for call in calls:
        if call.revision is None or call.asked.get("rev"):
            continue
        # A read may show what was known already; an edit makes a revision after that.
        least = lowest[call.name] + (call.kind in ("edit", "undo", "redo") and call.status == 200)
        if call.revision < least:
            yield (f"{call.name} ({call.kind}) is of revision {call.revision}, but began when {lowest[call.name]} had "
                   "been told already")  # fmt: skip


def taken(calls: list[Call], by_name: dict[str, list[int]]) -> Iterator[str]:
    """No update is lost, none is made twice, and none is there that was refused."""
    known = {call.name for call in calls}
    for name, revisions in by_name.items():
        if name not in known:
            yield f"revision {revisions} is of nobody: {name!r}"
    for call in calls:
        revisions = by_name.get(call.name, [])
        if len(revisions) > 1:
            yield f"{call.name} ({call.kind}) took effect {len(revisions)} times: revisions {revisions}"
        if call.kind == "put":
            if call.status == 412 and call.sent == 1 and revisions:
                yield f"{call.name} (put) was refused, and is revision {revisions}"
        elif call.kind in ("edit", "undo", "redo") and call.status == 200:
            if revisions != ([] if call.revision is None else [call.revision]):
                yield f"{call.name} ({call.kind}) was told revision {call.revision}; the history has {revisions}"
        elif revisions:
            yield f"{call.name} ({call.kind}) was answered {call.status}, and is revision {revisions}"
        if call.kind == "reuse" and call.status != 409:
            yield f"{call.name} used the key of another edit, and was answered {call.status}"


class Replay:
    """The history, one revision after the other."""

    def __init__(self, calls: list[Call], made: dict[int, Commit], lowest: dict[str, int],
                 by_name: dict[str, list[int]], written: Written, ground: np.ndarray) -> None:  # fmt: skip
        self._made, self._lowest, self._written = made, lowest, written
        self._model = Model(ground)
        self._done: dict[int, list[int]] = defaultdict(list)  # client -> its live edits
        self._undone: dict[int, list[int]] = defaultdict(list)
        self._calls = {by_name[call.name][0]: call for call in calls if by_name.get(call.name)}
        self._seen: dict[int, list[Call]] = defaultdict(list)  # what made none: reads, refusals, puts in vain
        self._nothing: dict[int, list[Call]] = defaultdict(list)  # client -> undos and redos that found nothing
        latest = highest(calls)
        for call in sorted(calls, key=lambda call: call.number):
            in_vain = call.kind == "put" and call.status == 204 and call.asked["changes"] and not by_name.get(call.name)
            if call.kind == "read" or (call.kind == "edit" and call.status == 409) or in_vain:
                self._seen[latest[call.name] if call.revision is None else call.revision].append(call)
            elif call.kind in ("undo", "redo") and call.status == 409 and not by_name.get(call.name):
                self._nothing[call.client].append(call)

    def problems(self, final: np.ndarray) -> Iterator[str]:
        yield from self._looked_at()
        for revision, commit in self._made.items():
            call = self._calls.get(revision)
            if call is None:
                return
            act = self._edited if call.kind in ("edit", "put") else self._taken_back
            problem = self._refusals(call.client, call.number) or act(call, commit)
            if problem:
                yield f"revision {revision}, {call.name} ({call.kind}): {problem}"
                return
            yield from self._looked_at()
        yield from filter(None, (self._refusals(client) for client in self._nothing))
        if not np.array_equal(final, self._model.head.instance().reshape(final.shape)):
            yield "the voxels at the end are not what the history says"

    def _refusals(self, client: int, before: float = np.inf) -> str | None:
        """A client's undos and redos that found nothing, up to one of its calls, though something was there."""
        found = self._nothing[client]
        while found and found[0].number < before:
            call = found.pop(0)
            there = self._done[client] if call.kind == "undo" else self._undone[client]
            if there:
                return f"{call.name} found nothing to {call.kind}, but there was {there}"
        return None

    def _edited(self, call: Call, commit: Commit) -> str | None:
        candidates = self._stagings(call)
        if candidates is None:
            return "the chunk that it replaced is not what the client had read: an update is lost"
        there = self._written(commit.revision)  # stagings at several states may be of as many voxels, or of the same
        for staged in candidates:
            made = self._model.kept(staged.written)
            if np.array_equal(made.voxels, there.voxels) and np.array_equal(made.labels, there.labels):
                break
        else:
            return f"{commit.written} voxels were written; no revision since {self._lowest[call.name]} explains that"
        written = staged.written
        if (call.asked.get("seen") is not None and len(written.voxels)
                and self._model.changed[written.voxels].max() > call.asked["seen"]):  # fmt: skip
            return f"voxels that it writes were changed after revision {call.asked['seen']}, which it had seen"
        changed = self._model.edit(written, staged.merges)
        if commit.author == author(call.client):
            self._done[call.client].append(commit.revision)
            self._undone[call.client].clear()
        if changed != commit.voxels or (call.kind == "edit" and call.told != [commit.voxels, commit.written]):
            return f"{changed} voxels change, not {commit.voxels}; it was told {call.told}"
        return None

    def _stagings(self, call: Call) -> Iterator[Staged] | None:
        """What the call can have staged, the newest state first; None if it replaced what it had not seen."""
        lowest = self._lowest[call.name]
        if call.kind == "edit":
            return (staging(self._model.shape, state, call.asked["operations"]) for state in self._model.back(lowest))
        changed = int(part(self._model.changed, self._model.shape, call.asked["box"]).max())
        for state in self._model.back(max(lowest, changed)):  # merges there may have been since it was read
            values = boxed(state, self._model.shape, call.asked["box"])
            if digest(values.tobytes()) == call.asked["read"]:
                return self._replacing(call, painted(values, call.asked), lowest)
        return None

    def _replacing(self, call: Call, values: np.ndarray, lowest: int) -> Iterator[Staged]:
        for state in self._model.back(lowest):
            staged = Staged(self._model.shape, state)
            staged.change(call.asked["box"], values.ravel())
            yield staged

    def _taken_back(self, call: Call, commit: Commit) -> str | None:
        source, other = self._done[call.client], self._undone[call.client]
        if call.kind == "redo":
            source, other = other, source
        if not source:
            return "there was nothing to take back"
        target = source.pop()
        changed, left = self._model.take_out(target, call.kind == "redo")
        other.append(target)
        told = call.told if call.status == 200 else [changed, left]
        if [changed, left] != [commit.voxels, commit.left_alone] or told != [changed, left]:
            return (f"takes revision {target} out or back: {changed} voxels, {left} left alone; the history has "
                    f"{commit.voxels} and {commit.left_alone}, it was told {call.told}")  # fmt: skip
        return None

    def _looked_at(self) -> Iterator[str]:
        """What is said of the revision that the model is at."""
        for call in self._seen.get(self._model.revision, []):
            if call.kind == "read":
                yield from self._read(call)
            elif call.kind == "put":
                if not any(self._shows(call, state) for state in self._model.back(self._lowest[call.name])):
                    yield f"{call.name} (put) was acknowledged, and is not in the history"
            elif not self._rightly_refused(call):
                yield f"{call.name} was refused at revision {self._model.revision}, and no voxel was in its way"

    def _read(self, call: Call) -> Iterator[str]:
        state = self._model.head
        if call.asked["view"] == "fragment":
            state = State(state.labels, np.arange(len(state.bodies), dtype=np.uint64))
        if digest(boxed(state, self._model.shape, call.asked["box"]).tobytes()) != call.told:
            yield f"{call.name} read {call.asked}, and was shown other voxels than those of revision {call.revision}"

    def _shows(self, call: Call, state: State) -> bool:
        """Whether a chunk is what the client had read, and what it painted there would show as the same."""
        before = boxed(state, self._model.shape, call.asked["box"])
        after = state.bodies[painted(before, call.asked)]
        return digest(before.tobytes()) == call.asked["read"] and np.array_equal(before, after)

    def _rightly_refused(self, call: Call) -> bool:
        seen = call.asked.get("seen")
        if call.revision is None and (call.sent == 1 or call.told != call.name):
            return False  # only what is asked again can have been refused before, under its own key
        stagings = (staging(self._model.shape, state, call.asked["operations"])
                    for state in self._model.back(self._lowest[call.name]))  # fmt: skip
        return seen is not None and any((self._model.changed[each.written.voxels] > seen).any() for each in stagings)


def author(client: int) -> str:
    return f"c{client:02}"


def staging(shape: tuple[int, ...], state: State, operations: list[dict]) -> Staged:
    staged = Staged(shape, state)
    for operation in operations:
        staged.apply(operation)
    return staged


def part(flat: np.ndarray, shape: tuple[int, ...], box: list[list[int]]) -> np.ndarray:
    return flat.reshape(shape)[tuple(slice(a, b) for a, b in zip(*box, strict=True))]


def boxed(state: State, shape: tuple[int, ...], box: list[list[int]]) -> np.ndarray:
    """The voxels of a box, as the instance view has them."""
    return state.bodies[part(state.labels, shape, box)]


def painted(values: np.ndarray, asked: dict) -> np.ndarray:
    """A chunk as a client sends it back."""
    found, (start, _) = values.copy(), asked["box"]
    found[tuple(slice(a - c, b - c) for a, b, c in zip(*asked["within"], start, strict=True))] = asked["label"]
    return found
