"""What a preview asks of the caller's own session, and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Question:
    """One statement that only reads.

    Args:
        sql: Its text.
        of_caller: It holds words of the caller's: asked only when it is a proven read, with the Command's values bound.
        most_bytes: Longest answer that is kept.
        statement_milliseconds: For how long the server works at it.
        lock_milliseconds: For how long it waits for another session's lock.
    """

    sql: bytes
    of_caller: bool
    most_bytes: int
    statement_milliseconds: int
    lock_milliseconds: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The rows, as text; None is NULL. With a `reason` there are none: it failed, or was not asked."""

    rows: tuple[tuple[str | None, ...], ...] = ()
    reason: str = ""


class Asking(Protocol):
    """The session. Raises CallerGone when its caller goes."""

    async def ask(self, question: Question) -> Answered:
        """Ask it where the server itself refuses to write; nothing of it is left behind."""
