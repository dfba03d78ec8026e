"""Forks: SQLite's connections do not survive one.

In the child its locks are held only in memory, by connections that nobody uses, and a mutex that another thread held
stays locked. So a fork waits until no thread is at work with a journal, and the child closes all that it inherited
before it does anything else; journals are then opened anew.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol


class Inherited(Protocol):
    """What must not be used in a forked process."""

    def abandon(self) -> None:
        """Give up all connections, in the child, at once."""


class _Working:
    """`with working:` around all use of SQLite. May be nested."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._threads = 0  # at work
        self._forks = 0  # that wait for them
        self._mine = threading.local()
        self._journals: weakref.WeakSet[Inherited] = weakref.WeakSet()

    def enlist(self, journal: Inherited) -> None:
        """Let it be abandoned in each process that is forked from now on."""
        with self._condition:
            self._journals.add(journal)

    def enlisted(self) -> list[Inherited]:
        with self._condition:
            return list(self._journals)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other thread is at work."""
        self.before_fork()
        try:
            yield
        finally:
            self.after_in_parent()

    def __enter__(self) -> None:
        depth = getattr(self._mine, "depth", 0)
        if depth == 0:
            with self._condition:
                while self._forks:
                    self._condition.wait()
                self._threads += 1
        self._mine.depth = depth + 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._mine.depth -= 1
        if self._mine.depth == 0:
            with self._condition:
                self._threads -= 1
                if self._forks:
                    self._condition.notify_all()

    def before_fork(self) -> None:
        """Wait for the other threads, and hold the condition, so that none begins, until the fork is done."""
        self._condition.acquire()
        self._forks += 1
        while self._threads > self._own():
            self._condition.wait()

    def after_in_parent(self) -> None:
        self._forks -= 1
        self._condition.notify_all()
        self._condition.release()

    def after_in_child(self) -> None:
        self._condition = threading.Condition()
        self._forks, self._threads = 0, self._own()
        for journal in list(self._journals):
            journal.abandon()
        self._journals.clear()

    def _own(self) -> int:
        return int(getattr(self._mine, "depth", 0) > 0)


working = _Working()

os.register_at_fork(before=working.before_fork, after_in_parent=working.after_in_parent,
                    after_in_child=working.after_in_child)  # fmt: skip
