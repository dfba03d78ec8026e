"""Commits as they are made, by whatever process, and who is there: one look-out for all streams of events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Self

from starlette.concurrency import run_in_threadpool

import labelog
from labelog_server.catalog import Catalog
from labelog_server.presence import Presence

log = logging.getLogger("labelog.http")

LOOK = 0.05  # seconds between looks for new commits, while somebody listens
MOST_LABELS = 1000  # labels and boxes that an event lists


class News:
    """Tells waiting tasks of new revisions, and of who comes or goes. Lives as long as the application does."""

    def __init__(self, catalog: Catalog, presence: Presence) -> None:
        self._catalog, self._presence = catalog, presence
        self._listeners = 0
        self._changed = asyncio.Event()
        self._heads: tuple[dict[str, int], dict[str, int]] = {}, {}
        self._failing: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self.closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_out())
        return self

    def end(self) -> None:
        """End all streams, as soon as they have told what they are at."""
        self.closing.set()
        self._tell()

    async def __aexit__(self, *_: object) -> None:
        self.end()
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _look_out(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if not self._listeners:
                continue
            heads = await run_in_threadpool(self._look)
            if heads != self._heads:
                self._heads = heads
                self._tell()

    def _look(self) -> tuple[dict[str, int], dict[str, int]]:
        heads, failing = {}, {}
        for name, volume in self._catalog.opened().items():
            try:
                heads[name] = volume.revision
            except labelog.LabelogError as error:  # others go on
                if not volume.closed:
                    failing[name] = str(error)
        for _, why in failing.items() - self._failing.items():  # once, not at each look
            log.warning("%s", why)
        self._failing = failing
        return heads, self._presence.changes()

    def _head(self, name: str) -> int:
        return self._catalog[name].revision

    async def all(self, since: dict[str, int], quiet: float) -> AsyncIterator[tuple[str, int | None] | None]:
        """What happens in volumes: volume and revision of each commit after those in `since`, in order; volume and None
        when who is there has changed; None after each `quiet` seconds."""
        known, present = dict(since), dict.fromkeys(since, 0)
        self._listeners += 1
        try:
            while not self.closing.is_set():
                changed = self._changed
                for name in known:
                    head = await run_in_threadpool(self._head, name)
                    while known[name] < head and not self.closing.is_set():
                        known[name] += 1
                        yield name, known[name]
                    if present[name] != (count := self._heads[1].get(name, 0)):
                        present[name] = count
                        yield name, None
                try:
                    await asyncio.wait_for(changed.wait(), quiet)
                except TimeoutError:
                    yield None
        finally:
            self._listeners -= 1


def event(name: str, volume: labelog.Volume, revision: int) -> dict[str, Any]:
    """What is told of a commit."""
    commit, changes = volume.commit(revision), volume.changes(revision)
    labels = changes.labels
    return {
        "volume": name,
        "revision": revision,
        "kind": commit.kind.value,
        "author": commit.author,
        "session": commit.session,
        "message": commit.message,
        "time": commit.time.isoformat(),
        "voxels": commit.voxels,
        "boxes": [[list(box.start), list(box.stop)] for box in changes.boxes],
        "labels": None if labels is None or len(labels) > MOST_LABELS else [str(label) for label in labels],
        "said": changes.said,
    }
