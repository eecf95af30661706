"""What passes between the session core and its shell: effects out, orders in. Rare things only.

    Held | Allowed ─▶ shell ─▶ fingerprint ─▶ Fingerprint ─▶ prepare ─▶ Prepared ─▶ forward(Pass) ─▶ Outcome
                            └▶ deny | abort                                  cancel, hang-up ─▶ Withdrawn

A ticket names one Command that waits; it is never used twice in a session.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from edge_agent.gate import Pass
from edge_agent.preview.question import Answered, Question
from edge_agent.protocols.postgres.door import Judgement
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.copy_data import CopyData


class Forwarded(NamedTuple):
    """A read or transaction control that is about to be forwarded: to be recorded before `take_to_server` is written.

    `bind` is the whole Bind message of an extended Execute, None for a simple Query.
    """

    judgement: Judgement
    protocol: QueryProtocol
    text: bytes
    bind: bytes | None
    xid: str = ""
    """Of a COMMIT: the transaction in which policy let writes pass."""


class Written(NamedTuple):
    """A write that policy allows, recorded as a Forwarded is: its Outcome follows, and `KeepRecords` before COMMIT."""

    ticket: int
    judgement: Judgement
    command: PostgresCommand


@dataclass(frozen=True, slots=True)
class Held:
    """A Command waits for people. Nothing of it was run.

    Args:
        ticket: Names it towards the session.
        command: As it would be digested.
        judgement: Why it is held.
        in_transaction: It waits inside an open transaction, whose locks it keeps.
        types: The names of the parameters' types as the server resolved them, for people; see `type_names`.
    """

    ticket: int
    command: PostgresCommand
    judgement: Judgement
    in_transaction: bool
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowed:
    """Policy allows a write, or a read that must be on disk first: record it durably, then `forward`. See Held."""

    ticket: int
    command: PostgresCommand
    judgement: Judgement
    in_transaction: bool


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The answer to `fingerprint`: SHA-256 of what the session means, 64 hexadecimal digits.

    `locks` are the relations that the caller's own transaction keeps locked meanwhile, and how; see `locks`.
    """

    ticket: int
    fingerprint: str
    locks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Previewed:
    """The answer to `preview`: what one question of a preview was answered."""

    ticket: int
    answered: Answered


@dataclass(frozen=True, slots=True)
class Prepared:
    """The answer to `prepare`: the server stands ready. `xid` is empty where the Command can't have one."""

    ticket: int
    xid: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class NotPrepared:
    """The server refused `fingerprint` or `prepare`, or (no SQLSTATE) we do; nothing was run."""

    ticket: int
    sqlstate: str
    reason: str


class Ending(enum.Enum):
    """How a forwarded Command ended."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a forwarded Command.

    Args:
        ticket: Of its Held or Allowed.
        ending: Committed, rolled back, failed by an error of its own or of its COMMIT, or not known.
        rows: Rows affected, by the server's command tags; None where none counts.
        sqlstate: Of the error, or empty.
        reason: The error's message, or empty.
        xid: Its transaction, or empty.
    """

    ticket: int
    ending: Ending
    rows: int | None = None
    sqlstate: str = ""
    reason: str = ""
    xid: str = ""


@dataclass(frozen=True, slots=True)
class StageBegun:
    """Data of a COPY come, to be staged until its Command is run or is no more. Any staged before are not needed."""


@dataclass(frozen=True, slots=True)
class Staged:
    """The next bytes of the data, in order."""

    parts: list[bytes]


@dataclass(frozen=True, slots=True)
class StageDropped:
    """The staged data are not needed: nothing is held."""


@dataclass(frozen=True, slots=True)
class SendStaged:
    """The server takes the data staged for this ticket: give them back by `send_data`, then `end_data`."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Copied:
    """What passed through, or as far as it did, for a COPY that policy allows; its Outcome follows."""

    ticket: int
    copy: CopyData


@dataclass(frozen=True, slots=True)
class Tried:
    """What was forwarded with a Pass that counts rows has run.

    Args:
        ticket: Of its Held.
        rows: How many it changed; None when that is not known.
        stays: It is within: its Outcome follows. Else nothing of it is left, and its Command waits again.
    """

    ticket: int
    rows: int | None
    stays: bool


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A Command that waited will not be run: its caller cancelled or hung up, or the session ended."""

    ticket: int
    reason: str


@dataclass(frozen=True, slots=True)
class Declined:
    """A Command was refused or denied without asking anybody: a record of it is owed.

    `judgement` is None where there was no text to judge.
    """

    judgement: Judgement | None
    text: bytes
    sqlstate: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rewound:
    """The server said that what passed as a read writes: undone, and judged anew as it is told here. See `rewind`."""

    judgement: Judgement
    protocol: QueryProtocol
    text: bytes
    sqlstate: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeepRecords:
    """A COMMIT waits until all that was recorded is on disk: say so by `Session.on_disk`."""


@dataclass(frozen=True, slots=True)
class ForwardCancel:
    """Send a CancelRequest to the server: the client cancelled what runs there."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """The session is over: write what is left to both sides, then close. `alarm`: a guard was found broken."""

    reason: str
    alarm: bool = False


Effect = (
    Held | Allowed | Fingerprint | Previewed | Prepared | NotPrepared | Tried | Outcome | Withdrawn | Declined | Rewound
    | KeepRecords | ForwardCancel | Terminate
    | StageBegun | Staged | StageDropped | SendStaged | Copied
)  # fmt: skip


# orders: what the shell says about a ticket


@dataclass(frozen=True, slots=True)
class AskFingerprint:
    """Tell the fingerprint."""


@dataclass(frozen=True, slots=True)
class AskPreview:
    """Ask a question of a preview."""

    question: Question


@dataclass(frozen=True, slots=True)
class Prepare:
    """Bring the server to where the Command can be forwarded."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Undo Prepare; the Command goes on waiting."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Run it."""

    permission: Pass


@dataclass(frozen=True, slots=True)
class Deny:
    """Answer it with an error."""

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The caller cancelled it."""

    reason: str


Order = AskFingerprint | AskPreview | Prepare | Abort | Forward | Deny | Withdraw
