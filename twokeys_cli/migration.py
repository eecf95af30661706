"""A file of statements, read with the server's own grammar: what it holds, and how it can be run.

Nothing is decided here: the Edge reads the same bytes again, holds them, and people approve them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.classify.parser import Unparsable, parse
from edge_agent.classify.sql import classify_sql
from twokeys.digest import sha256
from twokeys.errors import InvalidInput

MAX_FILE_BYTES: Final = 700 * 1024
"""Longest file: a reviewer's page shows a Command of at most 1 MB, in base64."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement.

    Args:
        number: From 1.
        start: Where its text begins in the file, in bytes.
        text: Its bytes, without the semicolon.
        transactional: Whether it can run in a transaction block.
    """

    number: int
    start: int
    text: bytes
    transactional: bool

    @property
    def brief(self) -> str:
        """Its first line, cut."""
        return self.text.decode("utf-8", "replace").lstrip().splitlines()[0][:72]


@dataclass(frozen=True, slots=True)
class Migration:
    """A file: its exact bytes, their SHA-256, and its statements in order."""

    text: bytes
    steps: tuple[Step, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.text)

    @property
    def alone(self) -> tuple[Step, ...]:
        """Statements that can't run in a transaction, such as CREATE INDEX CONCURRENTLY."""
        return tuple(step for step in self.steps if not step.transactional)

    def step_at(self, position: int) -> Step:
        """The statement in which the server found an error; `position` in characters from 1, as it tells it."""
        at = len(self.text.decode("utf-8", "replace")[: position - 1].encode())
        return next((step for step in reversed(self.steps) if step.start <= at), self.steps[0])


def read_migration(path: Path) -> Migration:
    """Read a file.

    Raises:
        InvalidInput: when it can't be read or parsed, is empty or too long, or has what no file can run by itself:
            transaction control, COPY FROM STDIN, commands of psql.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _bad(path, f"can't be read ({error.strerror})") from error
    if len(text) > MAX_FILE_BYTES:
        raise _bad(path, f"is over {MAX_FILE_BYTES} bytes", "Split it: nobody reads a longer one.")
    try:
        text.decode("utf-8")
        trees = parse(text)
    except UnicodeDecodeError as error:
        raise _bad(path, "is not UTF-8") from error
    except Unparsable as error:
        line = text.count(b"\n", 0, max(0, error.position - 1)) + 1
        advice = "Commands of psql (\\i, \\set) have no place in it."
        raise _bad(path, f"has a syntax error near line {line}", advice) from error
    if not trees:
        raise _bad(path, "has no statement")
    steps: list[Step] = []
    for number, tree in enumerate(trees, 1):
        start = tree.get("stmt_location", 0)
        length = tree.get("stmt_len", 0) or len(text) - start
        steps.append(_step(path, number, start, text[start : start + length]))
    return Migration(text, tuple(steps))


def _step(path: Path, number: int, start: int, text: bytes) -> Step:
    verdict = classify_sql(text, ())
    if verdict.actions:
        advice = "Leave it out: the file runs in one transaction, or with --each statement by statement."
        raise _bad(path, f"has transaction control (statement {number})", advice)
    if verdict.is_copy_in:
        raise _bad(path, f"copies from standard input (statement {number})", "Use INSERT, or a client for COPY.")
    if verdict.refusal:
        raise _bad(path, f"has a statement that is refused (statement {number}): {verdict.refusal}")
    return Step(number, start, text, verdict.can_run_in_transaction)


def _bad(path: Path, why: str, advice: str = "Mend it and run it again.") -> InvalidInput:
    return InvalidInput(f"{path.name} {why}.", not_done="Nothing was sent.", advice=advice, code="bad_migration")
