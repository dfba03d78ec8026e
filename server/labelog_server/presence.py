"""Who is looking at which volume, and where: told by their programs again and again, and forgotten when they cease."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import apsw

from labelog.errors import Invalid
from labelog_server.board import Board

MOST = 1000
"""Sessions in one volume."""

CHANGED = "INSERT INTO changes VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1"


class Presence:
    """Sessions by volume, on the board of all workers. Safe for several threads."""

    def __init__(self, board: Board, clock: Callable[[], float] = time.time) -> None:
        self._board, self._clock = board, clock

    def put(self, volume: str, author: str, session: str, facts: dict[str, Any], seconds: float) -> None:
        """Say where an author's session is, for so many seconds; 0 says that it has left. Raises Invalid."""
        who = volume, author, session
        with self._board.changing() as db:
            _forget(db, self._clock())
            before = db.execute("SELECT facts FROM present WHERE (volume, author, session) = (?, ?, ?)", who).get
            if seconds <= 0:
                told = None
                db.execute("DELETE FROM present WHERE (volume, author, session) = (?, ?, ?)", who)
            else:
                told = json.dumps({"author": author, "session": session} | facts)
                if (
                    before is None
                    and db.execute("SELECT count(*) FROM present WHERE volume = ?", (volume,)).get >= MOST
                ):
                    raise Invalid(f"{MOST} sessions are in {volume} already")
                db.execute("INSERT INTO present VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                           "SET facts = excluded.facts, until = excluded.until",
                           (*who, told, self._clock() + seconds))  # fmt: skip
            if told != before:
                db.execute(CHANGED, (volume,))

    def of(self, volume: str) -> list[dict[str, Any]]:
        """Who is there now, in the order in which they came."""
        rows = self._board.rows("SELECT facts FROM present WHERE volume = ? AND until > ? ORDER BY rowid",
                                volume, self._clock())  # fmt: skip
        return [json.loads(facts) for (facts,) in rows]

    def changes(self) -> dict[str, int]:
        """Volume -> how often who is there has changed. Those who have not said anything for too long are forgotten."""
        now = self._clock()
        if self._board.rows("SELECT 1 FROM present WHERE until <= ? LIMIT 1", now):
            with self._board.changing() as db:
                _forget(db, now)
        return dict(self._board.rows("SELECT volume, count FROM changes"))


def _forget(db: apsw.Connection, now: float) -> None:
    gone = list(db.execute("DELETE FROM present WHERE until <= ? RETURNING volume", (now,)))
    for volume in {volume for (volume,) in gone}:
        db.execute(CHANGED, (volume,))
