"""The state of one session after sign-in, and what every step does with it.

Rules:
  1. One Sync group or Query is in flight at a time. The next one starts when the server has answered: so `link.status`
     is exact when anything is decided, and a report (ParameterStatus) is seen before the next transaction begins.
  2. In a transaction that may write, whatever is not an approved or allowed write runs under the guard: a savepoint
     with `SET LOCAL transaction_read_only = on`, open from before the first read (or Parse or Bind: planning can run
     functions) until something has to leave it. What may leave anything in the transaction, a cursor or a setting,
     has a guard of its own: a read that turns out to write is rolled back to the guard (`rewind`), and with it goes
     all that ran under it.
  3. Nobody but steps leaves the guard, and only for transaction control or with the Pass of a write.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from edge_agent.classify.sql import SqlVerdict
from edge_agent.gate import Pass
from edge_agent.mask.owed import Masks
from edge_agent.protocols.postgres import encode, expect
from edge_agent.protocols.postgres.copy_intake import Intake
from edge_agent.protocols.postgres.door import Door, Judgement
from edge_agent.protocols.postgres.events import (
    Declined,
    Effect,
    Ending,
    Forwarded,
    KeepRecords,
    Order,
    Outcome,
    Written,
)
from edge_agent.protocols.postgres.expect import Answer, Expected
from edge_agent.protocols.postgres.hidden import Hidden
from edge_agent.protocols.postgres.link import IDLE, IN_TRANSACTION, Broken, Link
from edge_agent.protocols.postgres.masking import HIDES, query_answer, watch
from edge_agent.protocols.postgres.pipeline import ABSENT, Job, Portal, SessionLimits, Sized, Statement, Tail
from edge_agent.protocols.postgres.transaction import Transaction, Write
from twokeys.effect import Effect as Does


class Want(enum.Enum):
    """What a step waits for."""

    QUIET = "every answer of the server"
    ORDER = "the shell's word"
    DISK = "that all records are on disk"
    COPY = "the data of a COPY, as far as `Core.until` says"


_IN_PARTS: Final = frozenset({"SELECT", "UNKNOWN"})
"""Kinds that the server runs row by row, as they are fetched; anything else runs to its end at the first Execute, and
drivers set limits on it that mean nothing (JDBC's executeUpdate: 1)."""

HELD_AFTER_WRITE: Final = (
    "A cursor WITH HOLD can't follow a write in the same pipeline here.",
    "Send Sync first, or begin a transaction.",
)
"""What happened, and what to try."""

Step: TypeAlias = Generator[Want, Order | None, None]
"""A rare thing, read top to bottom. While one is under way the client's messages wait."""


@dataclass(slots=True)
class Flight:
    """A Command that was forwarded and has not ended: what a lost connection would mean for it."""

    write: Write
    lost: Ending


@dataclass(slots=True)
class Core:
    """State of one session. `own` is the transaction of ours around approved writes: the writes done in it."""

    link: Link
    door: Door
    limits: SessionLimits
    hidden: Hidden
    masks: Masks
    effects: list[Effect] = field(default_factory=list)
    records: list[Forwarded | Written] = field(default_factory=list)
    orders: deque[Order] = field(default_factory=deque)
    statements: Sized[Statement] = field(default_factory=Sized)
    portals: Sized[Portal] = field(default_factory=Sized)
    by_sql: Sized[Statement] = field(default_factory=Sized)
    """What SQL's PREPARE made of a text that reads; see `sql_prepared`."""
    transaction: Transaction | None = None
    own: list[Write] | None = None
    grouped: bool = False
    """The client has an extended-query group open: it owes us a Sync."""
    unsynced: bool = False
    """The server has messages of the group, and no Sync after them."""
    guarded: bool = False
    """The guard is open: the server's transaction is read-only."""
    leaves: bool = False
    """Something that ran under this guard may have left something in the transaction."""
    tail: Tail | None = None
    ticket: int = 0
    waiting: bool = False
    """The Command of `ticket` waits for the shell's word."""
    flight: Flight | None = None
    committing: bool = False
    intake: Intake | None = None
    """Takes the client's messages while it copies in."""
    until: Callable[[], bool] = bool
    """What a step that wants COPY waits for."""
    sending: int = 0
    """The ticket whose staged data the shell gives back now; 0 for none."""
    dropping: bool = False
    """What the client still sends of a COPY that failed, or was refused, is dropped as it comes, up to CopyDone or
    CopyFail, or its next command: as the server does."""
    out_of_turn: bool = False
    """A step ends the open group for a message that was not handled yet."""
    mixed: bool = False
    """A part of a Query runs: its ReadyForQuery is not the client's; see `mixed_step`."""
    sync_next: bool = False
    """The client's Sync comes right after the Execute that is handled."""
    path_reported: bool = False
    """The server reports a search_path that moved."""
    on_disk: bool = False
    """The shell's word, for a step that wants DISK."""
    age: int = 0
    """Goes up with each text that may have run code of users: it can DEALLOCATE and PREPARE, which nobody tells us."""

    @property
    def may_be_written(self) -> bool:
        """Whether the server's transaction may write, so that everything not approved needs the guard."""
        if self.own is not None:
            return True
        return self.transaction is not None and self.transaction.writable

    @property
    def needs_guard(self) -> bool:
        """Whether a read may not run now without the guard."""
        return self.may_be_written and self.link.status == IN_TRANSACTION

    def guard(self) -> None:
        """Open the guard inside a Sync group, where it is needed and not open."""
        self.unsynced = True
        if not self.guarded and self.needs_guard:
            self.link.send_hidden(self.hidden.guard_open, 2, None)
            self.guarded, self.leaves = True, False

    def unguard(self) -> None:
        """Close the guard, before Sync."""
        if self.guarded:
            self.guarded = False
            if not self.link.failed and self.link.status == IN_TRANSACTION:
                self.link.send_hidden(self.hidden.guard_close, 1, None)

    def renew_guard(self) -> None:
        """Before the client's Sync: a guard stays open unless something was left under it, or has failed with it."""
        begun = any(not portal.started for portal in self.portals.held.values())
        if self.leaves or begun or self.link.failed:
            self.unguard()

    def leave_guard(self) -> None:
        """Close the guard between Sync groups, in the flight of what follows."""
        if self.guarded:
            self.unguard()
            self.link.sync()

    def read_simple(self, permission: Pass, raw: bytes, expected: Expected, *, leaves: bool = True) -> None:
        """Forward a Query that only reads, under the guard where it is needed.

        Args:
            permission: Its Pass.
            raw: The message.
            expected: Its answer.
            leaves: It may leave something in the transaction.
        """
        needed = self.needs_guard
        if needed and not self.guarded:
            self.link.send_hidden(self.hidden.guard_open, 2, Answer())
            self.link.sync()
            self.guarded = True
        self.link.forward(permission, raw, expected)
        if needed and leaves:
            # After an error of the client's this one fails too, which nobody need see.
            self.guarded = False
            self.link.send_hidden(self.hidden.guard_close, 1, Answer())
            self.link.sync()

    def trust(self, statement: Statement) -> None:
        """See that the server has this text under its name: parsed anew where something else may be there (W3)."""
        if statement.age == self.age or (not statement.name and statement.age != ABSENT):
            return
        age, statement.age = statement.age, self.age

        def undo() -> None:
            statement.age = age

        if statement.name:
            self.link.send(encode.close(b"S", statement.name), expect.HIDDEN_CLOSE)
        parse = encode.parse(statement.name, statement.text, statement.types)
        self.link.send(parse, Expected(b"", b"1", hidden=True, undo=undo))

    def forget_names(self, verdict: SqlVerdict) -> None:
        """What this text makes or drops by name is not what Parse or Bind made, whether or not it succeeds."""
        if verdict.resets_session:
            self.statements.clear()
            self.by_sql.clear()
        for name in verdict.prepared:
            self.statements.put(name.encode(), None)
            self.by_sql.put(name.encode(), None)
        if verdict.closes_cursors:
            self.portals.clear()

    def note_read(self, verdict: SqlVerdict) -> None:
        """A text that passes as a read, before it is sent: what it makes, drops and leaves for the COMMIT.

        Raises:
            Broken: It leaves something that the COMMIT of a transaction of ours would run (attack G2).
        """
        self.forget_names(verdict)
        if self.would_be_held(verdict):
            raise Broken(HELD_AFTER_WRITE[0], alarm=True)
        if verdict.holds and self.transaction is not None:
            self.transaction.holds = True

    def would_be_held(self, verdict: SqlVerdict) -> bool:
        """Whether a read declares a cursor WITH HOLD in a transaction of ours, whose COMMIT may write."""
        return verdict.holds and self.own is not None

    def bind(self, portal: Portal) -> None:
        """See that the server has the portal; its BindComplete was shown before."""
        if not portal.sent:
            self.trust(portal.statement)
            self.link.send(portal.raw, expect.HIDDEN_BIND)
            portal.sent = True

    def flush_tail(self) -> None:
        """Send the Bind and Describes that waited for an Execute."""
        tail, self.tail = self.tail, None
        if tail is not None:
            self.guard()
            self.send_tail(tail)

    def send_tail(self, tail: Tail) -> None:
        """Send a tail as it is."""
        self.trust(tail.portal.statement)
        self.link.send(tail.portal.raw, Expected(b"", b"2", undo=tail.undo, hidden=tail.answered))
        tail.portal.sent = True
        for describe in tail.describes:
            self.link.send(describe, expect.HIDDEN_DESCRIBE if tail.answered else expect.DESCRIBE_PORTAL)

    def forget_portals(self) -> None:
        """The server has none any more. Those of an open group can be bound again unless an Execute began them."""
        for portal in self.portals.values():
            if self.grouped and not portal.started:
                portal.sent = False
            else:
                self.portals.put(portal.name, None)

    def decline(self, judgement: Judgement | None, text: bytes, sqlstate: str, reason: str) -> None:
        """Note that something was refused, for the record."""
        self.effects.append(Declined(judgement, text, sqlstate, reason))

    def end_writes(self, writes: list[Write], ending: Ending, sqlstate: str = "", reason: str = "") -> None:
        """Tell how writes ended; deferred triggers of theirs may have run."""
        self.age += bool(writes)
        if writes and ending is not Ending.COMMITTED:
            # What was learned of tables meanwhile may be undone with them.
            self.masks.forget()
        for write in writes:
            self.effects.append(Outcome(write.ticket, ending, write.rows, sqlstate, reason, write.xid))

    def ended(self, answer: Answer) -> None:
        """The client's transaction may have ended: tell its writes' outcomes when it has."""
        transaction = self.transaction
        if transaction is None or self.link.status != IDLE:
            return
        self.transaction = None
        error = self.link.last_error
        if answer.tags == [b"COMMIT"]:
            self.end_writes(transaction.writes, Ending.COMMITTED)
        elif error:
            state = error.get("C", b"").decode("ascii", "replace")
            self.end_writes(transaction.writes, Ending.FAILED, state, error.get("M", b"").decode("utf-8", "replace"))
        else:
            self.end_writes(transaction.writes, Ending.ROLLED_BACK)

    def settle(self) -> None:
        """See that the server's state is what we believe, when all is answered. Raises Broken."""
        status = self.link.status
        ours = self.own is not None or self.transaction is not None
        if ours is (status == IDLE):
            self.committing = ours
            raise Broken("The server's transaction is not what it should be.", alarm=True)
        if not self.link.read_only_default:
            raise Broken("The server reports that new transactions may write.", alarm=True)
        if self.link.search_path is not None:
            self.door.confirm(self.link.search_path.decode("utf-8", "replace"))
        if status != IN_TRANSACTION:
            # Over, or failed: what a ROLLBACK TO leaves of it has no guard.
            self.guarded = False
        if status == IDLE and not self.grouped:
            self.portals.clear()


def settled(core: Core, *, in_guard: bool = False) -> Step:
    """Bring an open group to where everything sent is answered; `link.failed` says whether it failed on the way.

    Args:
        core: The session.
        in_guard: The guard stays open, for now; else it is closed.
    """
    if core.unsynced or (core.guarded and not in_guard):
        if not in_guard or core.link.failed:
            core.unguard()
        core.link.sync()
        core.unsynced = False
    yield Want.QUIET
    if core.grouped and core.link.status == IDLE:
        core.forget_portals()


def kept(core: Core, transaction: Transaction) -> Step:
    """Wait until all that was recorded so far is on disk, where writes of the transaction were not waited for."""
    if transaction.unkept:
        transaction.unkept = core.on_disk = False
        core.effects.append(KeepRecords())
        yield Want.DISK


def ask(core: Core, commands: bytes, count: int) -> Generator[Want, Order | None, Answer]:
    """Run commands of our own and wait for their answer."""
    answer = Answer()
    core.link.send_hidden(commands, count, answer)
    core.link.sync()
    yield Want.QUIET
    return answer


def send_job(core: Core, permission: Pass, job: Job, *, keep: bool = False, anew: bool = True, answer: Answer) -> None:
    """Forward a Command as it stands, with a Sync of ours after an Execute. Outside the guard, unless it is open.

    Args:
        permission: Its Pass.
        keep: Keep a simple Query's last CommandComplete back, and its ReadyForQuery.
        anew: Its statement is parsed anew, whatever the server has: time has passed since it was looked at.
        answer: Where its tags and error are noted.
    """
    link = core.link
    link.last_error = {}
    portal = job.portal
    owed = core.masks.of(job.judgement.verdict, job.command.text)
    copy_in = job.judgement.verdict.is_copy_in
    # Data held were answered for by our own CopyInResponse.
    hides = b"G" if copy_in and job.command.copy is not None else b""
    core.age += job.judgement.writes
    core.forget_names(job.judgement.verdict)
    if job.judgement.verdict.classification.effect >= Does.DDL:
        core.masks.forget()
    if portal is None:
        hides += b"Z" * core.mixed
        takes = expect.QUERY_TAKES + b"G" * copy_in
        link.forward(permission, job.raw, query_answer(owed, answer, keep=keep, takes=takes, hides=hides))
        return
    if not portal.started:
        # Another text can have come under the name meanwhile: parsed anew, it is the one that was judged.
        statement = portal.statement
        if anew or statement.age != core.age:
            link.send(encode.close(b"S", statement.name), expect.HIDDEN_CLOSE)
            link.send(encode.parse(statement.name, statement.text, statement.types), expect.HIDDEN_PARSE)
            statement.age = core.age
        if job.tail is not None:
            core.send_tail(job.tail)
        else:
            # Bound under the guard, or before our transaction began: bound anew, so that nothing of that is left.
            link.send(encode.close(b"P", portal.name), expect.HIDDEN_CLOSE)
            link.send(portal.raw, expect.HIDDEN_BIND)
    core.tail = None
    portal.sent = portal.started = True
    takes = expect.EXECUTE_TAKES + b"G" * copy_in
    mask = None if owed is None else watch(core, portal.name, owed)
    hides += HIDES * (mask is not None)
    raw, in_parts = job.raw, runs_in_parts(job)
    if job.max_rows and job.judgement.writes and not in_parts:
        # A portal that is suspended does not say how many rows were changed (attack W4).
        raw = encode.execute(portal.name)
    link.forward(permission, raw, Expected(takes, expect.EXECUTE_ENDS, answer=answer, hides=hides, mask=mask))
    if in_parts:
        close_rest(core, portal)
    if copy_in:
        # The server would ignore a Sync before CopyDone.
        return
    core.unguard()
    link.sync()
    core.unsynced = False


def runs_in_parts(job: Job) -> bool:
    """Whether a write runs row by row, as far as it is fetched. Then its row limit is part of what it does."""
    return bool(job.max_rows) and job.judgement.writes and job.judgement.verdict.classification.kind in _IN_PARTS


def close_rest(core: Core, portal: Portal) -> None:
    """Close a portal that wrote in part: another Execute, or a FETCH, would run more that nobody approved (W4)."""
    core.link.send(encode.close(b"P", portal.name), expect.HIDDEN_CLOSE)


def refused(core: Core, sqlstate: str, message: str, detail: str = "", hint: str = "") -> Step:
    """Answer a Command with an error of ours; session and transaction are then as after an error of the server's."""
    yield from settled(core)
    core.tail = None
    if core.link.failed:
        return
    if core.own is not None:
        yield from rolled_back(core)
    elif core.link.status == IN_TRANSACTION:
        yield from ask(core, core.hidden.fail, 1)
        if core.link.status == IN_TRANSACTION:
            raise Broken("The server's transaction could not be made to fail.")
    error = encode.error_response(sqlstate, message, detail=detail, hint=hint)
    tell_failure(core, error, {"C": sqlstate.encode(), "M": message.encode()})


def tell_failure(core: Core, error: bytes, fields: dict[str, bytes]) -> None:
    """Answer a Command with an error: the rest of its group is skipped, its Query is over.

    Args:
        core: The session.
        error: The ErrorResponse.
        fields: SQLSTATE and message at least, for the text that it is a part of.
    """
    core.link.say(error)
    if core.grouped:
        core.link.failed = True
    elif core.mixed:
        core.link.last_error = fields
    else:
        core.link.say(encode.ready_for_query(core.link.status))


def rolled_back(core: Core, sqlstate: str = "", reason: str = "") -> Step:
    """Roll our own transaction back; the writes in it end."""
    writes, core.own = core.own or [], None
    yield from ask(core, core.hidden.rollback, 1)
    if core.link.status != IDLE:
        raise Broken("The server would not roll back.")
    core.end_writes(writes, Ending.ROLLED_BACK, sqlstate, reason)
