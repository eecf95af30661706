"""What the server still owes: one entry per message sent, in order, visible to the client or hidden.

    sent to the server          owed by the server
    Query                       … ReadyForQuery
    Parse / Bind / Close        1 / 2 / 3
    Describe                    t? then T or n
    Execute                     … C, I or s
    Sync                        Z
    any of the extended ones    E, and then nothing until the next Sync's Z

Source: Message Flow, "Extended Query"; an error makes the server discard messages until Sync.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field


class Owed(enum.Enum):
    """Kinds of answer by the message that asks for it."""

    QUERY = "Q"
    PARSE = "P"
    BIND = "B"
    CLOSE = "C"
    DESCRIBE = "D"
    EXECUTE = "E"
    SYNC = "S"


def _nothing() -> None:
    return None


@dataclass(slots=True)
class Entry:
    """One answer owed.

    Args:
        owed: Which.
        visible: Whether the client sees it.
        exchange: The script's exchange that it belongs to, if any.
        done: Called when it was answered without error.
        failed: Called when it was skipped because of an error.
        keep_ready: The client's ReadyForQuery is written by the script, later.
        keep_complete: The last CommandComplete waits in the exchange until the script lets it go.
    """

    owed: Owed
    visible: bool
    exchange: Exchange | None = None
    done: Callable[[], object] = _nothing
    failed: Callable[[], object] = _nothing
    keep_ready: bool = False
    keep_complete: bool = False


@dataclass(slots=True)
class Exchange:
    """Some hidden or visible messages whose answers a script waits for."""

    left: int = 0
    error: dict[str, bytes] | None = None
    error_message: bytes = b""
    tags: list[bytes] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    kept: bytes = b""

    @property
    def failed(self) -> bool:
        """Whether anything in it ended in an error."""
        return self.error is not None

    @property
    def sqlstate(self) -> str:
        """The error's SQLSTATE."""
        return (self.error or {}).get("C", b"").decode("ascii", "replace")

    @property
    def reason(self) -> str:
        """The error's message."""
        return (self.error or {}).get("M", b"").decode("utf-8", "replace")
