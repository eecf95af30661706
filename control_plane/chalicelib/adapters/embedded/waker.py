"""Waking by a condition variable over a durable table: hints survive a restart, and come again until acknowledged."""

from __future__ import annotations

import threading
import time
from typing import Final

from twokeys.errors import Unavailable

from ...ports.waker import MAX_WAITERS_PER_EDGE, MAX_WAKES_PER_EDGE
from .database import Database

MAX_HINTS: Final = 1000
"""Most hints in one answer; the rest comes with the next."""


class SqliteWaker:
    """Implements `ports.waker.Waker`."""

    def __init__(self, database: Database, most_waiters: int) -> None:
        """Args: database: where hints are; most_waiters: long polls at once, of all Edges."""
        self._database = database
        self._most = most_waiters
        self._condition = threading.Condition()
        self._waiters: dict[str, list[object]] = {}
        self._waiting = 0
        self._closed = False

    def wake(self, edge_id: str, request_id: str) -> None:
        with self._database.write() as connection:
            # Again, and last: a hint that was just acknowledged for an older move must not swallow this one.
            connection.execute("DELETE FROM wakes WHERE edge_id = ? AND request_id = ?", (edge_id, request_id))
            connection.execute("INSERT INTO wakes (edge_id, request_id) VALUES (?, ?)", (edge_id, request_id))
            connection.execute(
                "DELETE FROM wakes WHERE edge_id = ?1 AND number <= (SELECT number FROM wakes WHERE edge_id = ?1"
                " ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                (edge_id, MAX_WAKES_PER_EDGE),
            )
        with self._condition:
            self._condition.notify_all()

    def wait(self, edge_id: str, seconds: float, acknowledge: list[str]) -> list[str]:
        if acknowledge:
            with self._database.write() as connection:
                connection.executemany(
                    "DELETE FROM wakes WHERE edge_id = ? AND request_id = ?", [(edge_id, one) for one in acknowledge]
                )
        hints = self._hints(edge_id)
        if hints or seconds <= 0:
            return hints
        return self._wait(edge_id, time.monotonic() + seconds)

    def close(self) -> None:
        """End all waits, and those to come, at once."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _wait(self, edge_id: str, until: float) -> list[str]:
        me = object()
        with self._condition:
            mine = self._waiters.setdefault(edge_id, [])
            while len(mine) >= MAX_WAITERS_PER_EDGE:
                # The oldest is most likely a connection that is gone; its thread returns at once.
                mine.pop(0)
                self._condition.notify_all()
            if self._waiting >= self._most:
                self._forget(edge_id, me)
                raise Unavailable("Too many edges wait here.", not_done="Nothing was waited for.",
                                  advice="Ask again shortly.", code="too_many")  # fmt: skip
            mine.append(me)
            self._waiting += 1
            try:
                while True:
                    # Looked at under the condition's lock, so that no hint falls between look and wait.
                    hints = self._hints(edge_id)
                    left = until - time.monotonic()
                    if hints or left <= 0 or self._closed or me not in mine:
                        return hints
                    self._condition.wait(left)
            finally:
                self._waiting -= 1
                self._forget(edge_id, me)

    def _forget(self, edge_id: str, waiter: object) -> None:
        mine = self._waiters.get(edge_id, [])
        if waiter in mine:
            mine.remove(waiter)
        if not mine:
            self._waiters.pop(edge_id, None)

    def _hints(self, edge_id: str) -> list[str]:
        rows = self._database.read().execute(
            "SELECT request_id FROM wakes WHERE edge_id = ? ORDER BY number LIMIT ?", (edge_id, MAX_HINTS)
        )
        return [request_id for (request_id,) in rows]
