"""Texts of which the database itself said that they write, though they were judged to be reads.

A server that runs a read in a read-only transaction answers SQLSTATE 25006 where something in it writes: a function
behind a view, an operator, a cast. From then on the same bytes are judged as a write, before they are run.

Rules:
  1. A note only ever makes a verdict worse. Whoever forges a 25006 has their own text held.
  2. Notes are of one target, bounded, and forgotten when the catalogue moves: then the text may be a read again.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from edge_agent.classify.sql import SqlVerdict
from twokeys.digest import sha256
from twokeys.effect import DATABASE, Access, Effect

MAX_NOTES: Final = 4096
"""Texts noted per target; the least recently used goes first."""

_SAID: Final = re.compile(r"cannot execute ([A-Za-z_ ]{1,40}(?:\(\))?) in a read-only transaction")
"""The server's message (PreventCommandIfReadOnly in utility.c). Code of users can raise any other under this SQLSTATE,
and other languages have other words: those are not repeated."""

_ROWS: Final = frozenset(
    ("INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE TABLE", "COPY FROM", "nextval()", "setval()",
     "SELECT FOR UPDATE", "SELECT FOR NO KEY UPDATE", "SELECT FOR SHARE", "SELECT FOR KEY SHARE",
     "lo_creat()", "lo_create()", "lo_from_bytea()", "lo_import()", "lo_put()", "lo_truncate()", "lo_truncate64()",
     "lo_unlink()", "lowrite()", "pg_notify()", "NOTIFY")
)  # fmt: skip


class Witnessed:
    """Notes of one target."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._notes)

    def note(self, text: bytes, message: str) -> None:
        """Note that the server said 25006 to this text, with this message."""
        found = _SAID.search(message)
        key = sha256(text)
        self._notes[key] = found[1] if found else ""
        self._notes.move_to_end(key)
        if len(self._notes) > MAX_NOTES:
            self._notes.popitem(last=False)

    def forget(self) -> None:
        """The catalogue has moved: what a text runs may be something else."""
        self._notes.clear()

    def judged(self, text: bytes, verdict: SqlVerdict) -> SqlVerdict:
        """The verdict, or a worse one where the server said that the text writes."""
        if not self._notes or not verdict.is_read:
            return verdict
        key = sha256(text)
        said = self._notes.get(key)
        if said is None:
            return verdict
        self._notes.move_to_end(key)
        return as_write(verdict, said)


def as_write(verdict: SqlVerdict, command: str) -> SqlVerdict:
    """The verdict of a read that writes.

    What it writes is not known, so the database is written besides each object that it names.

    Args:
        verdict: The classifier's: a read.
        command: What the server would not do: `INSERT`, `nextval()`; empty where it did not say.
    """
    effect = Effect.WRITE if command in _ROWS else Effect.DDL if command else Effect.PRIVILEGED
    before = verdict.classification
    objects = {*(access.object for access in before.accesses), DATABASE}
    accesses = tuple(sorted(Access(ref, effect) for ref in objects))
    what = f": it runs {command}" if command else ""
    reasons = (f"the database says that this writes{what}", *before.reasons)
    return replace(verdict, classification=replace(before, accesses=accesses, reasons=reasons))
