"""What the server is expected to answer: one Expected per message sent, in order.

Rules:
  1. Each message of the server belongs to the first Expected, but for notices, notifications and reported settings.
  2. A message that the first Expected neither takes nor ends with is a violation: the session ends.
  3. An error ends everything up to the next Sync, as the server skips to it.

https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from edge_agent.protocols.postgres.pipeline import Undo
from edge_agent.protocols.postgres.server_messages import read_data_row
from twokeys.errors import InvalidInput


@dataclass(slots=True)
class Answer:
    """What was seen of an answer: the command tags, the error's fields, DataRows of our own questions, types."""

    tags: list[bytes] = field(default_factory=list)
    error: dict[str, bytes] | None = None
    rows: bytearray = field(default_factory=bytearray)
    types: tuple[int, ...] = ()
    most: int = 0
    """Bytes of rows that are kept; of a longer answer the rest is dropped. 0: such an answer ends the session."""
    dropped: bool = False

    @property
    def sqlstate(self) -> str:
        """Of the error, or empty."""
        return self.error.get("C", b"").decode("ascii", "replace") if self.error else ""

    @property
    def row(self) -> tuple[str, ...] | None:
        """The one row of a question of our own, NULL as an empty string; None when there is none."""
        if self.error is not None or not self.rows:
            return None
        try:
            values = read_data_row(bytes(self.rows), 0, len(self.rows))
        except InvalidInput:
            return None
        return tuple((value or b"").decode("utf-8", "replace") for value in values)

    @property
    def reason(self) -> str:
        """The error's message, or empty."""
        return self.error.get("M", b"").decode("utf-8", "replace") if self.error else ""


class Mask(Protocol):
    """Rewrites what is hidden; see `masking`."""

    def take(self, kind: int, buffer: bytes, start: int, end: int) -> bytes:
        """Take a message, or several of one streamed type in parts; returns what is shown instead."""


class Expected:
    """One expectation.

    Args:
        takes: Types that belong to it and leave it first.
        ends: Types that end it.
        hidden: The client sees nothing of it.
        answer: Where to note what was seen. A hidden one without it shows its error.
        left: How many of `ends` it needs (for several commands in one flight).
        undo: Undoes what we believe, should the server skip it.
        done: Called when it ends well.
        keep: Its last CommandComplete is kept back, and its ReadyForQuery is not shown.
        hides: More types that are not shown.
        mask: Says what the client sees instead of what is hidden from it. Of a hidden one: it only watches.
    """

    __slots__ = ("answer", "done", "ends", "hidden", "hides", "keep", "left", "mask", "plain", "ready", "takes", "undo")

    def __init__(
        self, takes: bytes, ends: bytes, *, hidden: bool = False, answer: Answer | None = None, left: int = 1,
        undo: Undo | None = None, done: Callable[[], object] | None = None, keep: bool = False, hides: bytes = b"",
        mask: Mask | None = None,
    ) -> None:  # fmt: skip
        self.takes, self.ends, self.hidden, self.answer = takes, ends, hidden, answer
        self.left, self.undo, self.done, self.keep = left, undo, done, keep
        self.hides = b"CZ" + hides if keep else hides
        self.mask = mask
        self.ready = ends == b"Z"
        self.plain = mask is None and not hidden and answer is None and done is None and not keep and not self.ready
        """The client sees it all, and nothing need be noted: the hot path."""


EXECUTE_TAKES: Final = b"DHdc"
EXECUTE_ENDS: Final = b"CsI"
QUERY_TAKES: Final = b"TDCIHdc"

# Nothing to remember: shared by all.
QUERY: Final = Expected(QUERY_TAKES, b"Z")
EXECUTED: Final = Expected(QUERY_TAKES, b"Z")
"""A Query that is SQL's EXECUTE, judged by what it runs; see `sql_prepared`."""
SYNC: Final = Expected(b"", b"Z")
HIDDEN_SYNC: Final = Expected(b"", b"Z", hidden=True)
BIND: Final = Expected(b"", b"2")
HIDDEN_BIND: Final = Expected(b"", b"2", hidden=True)
EXECUTE: Final = Expected(EXECUTE_TAKES, EXECUTE_ENDS)
DESCRIBE_STATEMENT: Final = Expected(b"t", b"Tn")
DESCRIBE_PORTAL: Final = Expected(b"", b"Tn")
HIDDEN_CLOSE: Final = Expected(b"", b"3", hidden=True)
HIDDEN_PARSE: Final = Expected(b"", b"1", hidden=True)
HIDDEN_DESCRIBE: Final = Expected(b"", b"Tn", hidden=True)


def hidden_commands(count: int, answer: Answer | None) -> Expected:
    """The answers to `count` hidden commands (see `hidden.command`)."""
    return Expected(b"123DCTntI", b"C", hidden=True, answer=answer, left=count)


def is_read_query(one: Expected) -> bool:
    """Whether it is a Query that was judged to read, whose answer nobody but the client waits for."""
    return one.ready and (one is QUERY or one is EXECUTED or (one.mask is not None and one.answer is None))


def is_read(one: Expected) -> bool:
    """The same of a Query, or of an extended query's message."""
    return one.plain or is_read_query(one) or (one.mask is not None and one.answer is None and not one.hidden)
