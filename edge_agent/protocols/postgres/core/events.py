"""What the session core and its shell say to each other: rare things only, the hot path says nothing."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.classify.sql import SqlVerdict
from edge_agent.gate import Pass
from twokeys.command import PostgresCommand
from twokeys.decision import Decision


@dataclass(frozen=True, slots=True)
class Judged:
    """The door's word about one text: what it is, what policy says, and the Pass when it may go on.

    Args:
        verdict: The classifier's.
        decision: The gate's.
        permission: Set when the Decision allows; good for one forward.
    """

    verdict: SqlVerdict
    decision: Decision
    permission: Pass | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A Command that goes on without a hold; appended to the journal before its bytes are written."""

    command: PostgresCommand
    judged: Judged


@dataclass(frozen=True, slots=True)
class Stopped:
    """A Command that was denied or refused here; recorded."""

    command: PostgresCommand
    judged: Judged
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A Command that must not go on by itself. `judged.permission` is set when policy allows the write outright.

    The shell answers with `fingerprint`, `prepare`, `forward`, `abort` or `deny`, by this hold id.
    """

    hold_id: int
    command: PostgresCommand
    judged: Judged
    in_transaction: bool


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The answer to `ask_fingerprint`: the text to digest; empty when the server refused."""

    hold_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The server stands in a read-write transaction; `forward` or `abort` must follow.

    Args:
        hold_id: Which hold.
        xid: The transaction's id; empty for a statement that can't run in a transaction block.
        fingerprint: What the session means now; empty when the server refused.
        error: Why the server could not be brought there; empty when it could.
    """

    hold_id: int
    xid: str
    fingerprint: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a forwarded Command: done, failed or in_doubt."""

    hold_id: int
    outcome: str
    rows: int | None = None
    sqlstate: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The caller hung up or cancelled while its Command waited."""

    hold_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class CancelUpstream:
    """The caller wants what runs at the server cancelled."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """The session is over: write what is left to the caller, then close both sides. `alarm` wants a record."""

    reason: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class AskFingerprint:
    """Answer: ask the server what the session means now."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Answer: bring the server into a read-write transaction."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Answer: forward the Command, spending this Pass."""

    permission: Pass


@dataclass(frozen=True, slots=True)
class Abort:
    """Answer: undo what `Prepare` did."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Answer: the Command is not run; the caller is told why, and goes on."""

    message: str
    detail: str = ""
    hint: str = ""
    sqlstate: str = "42501"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Answer that the core gives itself: the caller cancelled."""


Answer = AskFingerprint | Prepare | Forward | Abort | Deny | Cancelled
Effect = Waiting | Fingerprint | Ready | Outcome | Withdrawn | CancelUpstream | Terminate
Note = Seen | Stopped
