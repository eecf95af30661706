"""A caller that waits: one statement in a thread, with its notices and what became of it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import psycopg
import pytest


def break_line(connection: psycopg.Connection[Any]) -> None:
    """Hang up while a thread waits for an answer. Not `finish`: that would free what the thread still reads."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


class WaitingCaller:
    """Runs one statement on its own connection in a thread."""

    everybody: ClassVar[list[WaitingCaller]] = []

    def __init__(self, dsn: str, sql: str, parameters: tuple[object, ...] | None = None) -> None:
        self.notices: list[str] = []
        self.error: psycopg.Error | None = None
        self.rows: int | None = None
        self.told = threading.Event()
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.connection.add_notice_handler(self._notice)
        self._sql, self._parameters = sql, parameters
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.everybody.append(self)
        self._thread.start()

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self.notices.append(diagnostic.message_primary or "")
        self.told.set()

    def _run(self) -> None:
        try:
            self.rows = self.connection.execute(self._sql, self._parameters).rowcount
        except psycopg.Error as error:
            self.error = error

    def hang_up(self) -> None:
        """Break its line."""
        break_line(self.connection)

    def done(self, seconds: float = 20) -> WaitingCaller:
        """Wait for its end."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the caller still waits"
        return self


@pytest.fixture(autouse=True)
def callers_go_home() -> Iterator[None]:
    """Close the connections of a test's callers after it."""
    yield
    while WaitingCaller.everybody:
        WaitingCaller.everybody.pop().connection.close()
