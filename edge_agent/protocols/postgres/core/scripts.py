"""The slow paths of a session, each one generator that reads top to bottom; the client's input waits meanwhile.

    query, execute ─▶ deny | control (BEGIN …) | read | write
    write ─▶ Waiting ─▶ fingerprint ─▶ prepare: BEGIN, read-write, xid ─▶ Ready ─▶ forward ─▶ COMMIT ─▶ Outcome

A script yields what it waits for: an `Exchange` of messages, `DRAIN` (the server owes nothing), `ANSWER` (the shell).
Hidden commands travel by the sub-protocol that the client uses just now: a simple Query would destroy the client's
unnamed statement, and un-synced extended messages before a Query break PostgreSQL 18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edge_agent.classify.transaction import PREPARED, TxnAction, TxnKind
from edge_agent.gate import Pass
from edge_agent.protocols.postgres import encode, server_messages, sqlstate
from edge_agent.protocols.postgres.core.events import (
    Abort,
    AskFingerprint,
    Cancelled,
    Deny,
    Fingerprint,
    Forward,
    Judged,
    Outcome,
    Prepare,
    Ready,
    Seen,
    Stopped,
    Waiting,
)
from edge_agent.protocols.postgres.core.expect import Entry, Exchange, Owed
from edge_agent.protocols.postgres.core.fingerprint import FINGERPRINT, XID_AND_FINGERPRINT
from edge_agent.protocols.postgres.core.transaction import Transaction, Write
from edge_agent.protocols.postgres.messages import Execute
from twokeys.command import PostgresCommand
from twokeys.decision import Outcome as Decided
from twokeys.effect import Effect as Severity

if TYPE_CHECKING:
    from edge_agent.protocols.postgres.core.session import Portal, PostgresSession, Script

RENAMING: Final = frozenset({"PREPARE", "DEALLOCATE", "DISCARD"})
"""Statements after which the names of prepared statements may mean something else."""

PLAIN_WRITES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
"""Writes that leave the session as it is."""

DRAIN: Final = "drain"
ANSWER: Final = "answer"
IDLE, IN_TRANSACTION, FAILED = b"ITE"


class SimpleRun:
    """A simple Query."""

    extended = False

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def hidden(self, s: PostgresSession, *statements: str) -> Exchange:
        """Run statements of ours, unseen."""
        exchange = Exchange()
        s.send(encode.query("; ".join(statements).encode()))
        s.owe(Entry(Owed.QUERY, False, exchange))
        return exchange

    def forward(self, s: PostgresSession, permission: Pass, *, keep_complete: bool = False) -> Exchange:
        """Forward the client's message; the script writes ReadyForQuery."""
        exchange = Exchange()
        s.forget_unnamed()
        s.forward(permission, self._raw)
        s.owe(Entry(Owed.QUERY, True, exchange, keep_ready=True, keep_complete=keep_complete))
        return exchange

    def finish(self, s: PostgresSession) -> None:
        """The client may go on."""
        s.show(encode.ready_for_query(s.status))


class ExtendedRun:
    """An Execute, with the Bind that made its portal: hidden Syncs end portals, so it is bound once more."""

    extended = True

    def __init__(self, portal: Portal, raw: bytes) -> None:
        self._portal, self._raw = portal, raw

    def hidden(self, s: PostgresSession, *statements: str) -> Exchange:
        """Run statements of ours, unseen; ends with a Sync."""
        exchange = Exchange()
        hidden_messages(s, statements, exchange)
        s.send(encode.SYNC_MESSAGE)
        s.owe(Entry(Owed.SYNC, False, exchange))
        return exchange

    def forward(self, s: PostgresSession, permission: Pass, *, keep_complete: bool = False) -> Exchange:
        """Bind again and forward the client's Execute."""
        exchange = Exchange()
        s.send(encode.close(b"P", self._portal.bind.portal) + self._portal.raw)
        s.owe(Entry(Owed.CLOSE, False, exchange))
        s.owe(Entry(Owed.BIND, False, exchange))
        s.forward(permission, self._raw)
        s.owe(Entry(Owed.EXECUTE, True, exchange, keep_complete=keep_complete))
        s.send(encode.FLUSH_MESSAGE)
        return exchange

    def finish(self, s: PostgresSession) -> None:
        """The client's Sync brings its ReadyForQuery."""


Run = SimpleRun | ExtendedRun


def hidden_messages(s: PostgresSession, statements: tuple[str, ...], exchange: Exchange | None) -> None:
    """Send statements of ours by the extended protocol, without a Sync; names are closed again."""
    name = s.guard.encode()
    for statement in statements:
        s.send(
            encode.parse(name, statement.encode())
            + encode.bind(name, name)
            + encode.execute(name)
            + encode.close(b"P", name)
            + encode.close(b"S", name)
        )
        for owed in (Owed.PARSE, Owed.BIND, Owed.EXECUTE, Owed.CLOSE, Owed.CLOSE):
            s.owe(Entry(owed, False, exchange))


def open_guard(s: PostgresSession, txn: Transaction) -> None:
    """Before extended messages in a lifted transaction: a read-only savepoint, in the same flight."""
    hidden_messages(s, (f"SAVEPOINT {s.guard}", "SET LOCAL transaction_read_only = on"), None)
    txn.guarded = True


def close_guard(s: PostgresSession, txn: Transaction) -> None:
    """Release it again, in the same flight; after an error there is nothing to release."""
    if not s.skipping and s.status != FAILED:
        hidden_messages(s, (f"RELEASE SAVEPOINT {s.guard}",), None)
    txn.guarded = False


def query(s: PostgresSession, command: PostgresCommand, raw: bytes, judged: Judged) -> Script:
    """A simple Query that is no plain read, or comes at a special time."""
    yield from _settle(s)
    if s.skipping:
        return
    if s.group_open and s.status == IDLE:
        exchange = Exchange()
        s.send(encode.SYNC_MESSAGE)
        s.owe(Entry(Owed.SYNC, False, exchange))
        yield exchange
    s.group_open = False
    yield from _dispatch(s, SimpleRun(raw), command, judged)


def execute(
    s: PostgresSession, command: PostgresCommand, portal: Portal, message: Execute, raw: bytes, judged: Judged
) -> Script:
    """An Execute that is no plain read."""
    yield from _settle(s)
    if s.skipping:
        return
    run = ExtendedRun(portal, raw)
    if message.max_rows and judged.verdict.classification.effect is not Severity.READ:
        yield from _deny(
            s,
            run,
            Deny(
                "twokeys: a write can't be executed with a row limit",
                hint="Fetch all rows of it at once.",
                sqlstate=sqlstate.NOT_SUPPORTED,
            ),
            command,
            judged,
        )
        return
    yield from _dispatch(s, run, command, judged)


def _settle(s: PostgresSession) -> Script:
    """Wait until the server owes nothing, so that its state is known."""
    if s.owed:
        if s.group_open:
            s.send(encode.FLUSH_MESSAGE)
        yield DRAIN
    if s.txn is not None and s.txn.guarded and not s.skipping:
        close_guard(s, s.txn)
        s.send(encode.FLUSH_MESSAGE)
        yield DRAIN


def _dispatch(s: PostgresSession, run: Run, command: PostgresCommand, judged: Judged) -> Script:
    verdict, permission = judged.verdict, judged.permission
    if verdict.refusal:
        yield from _deny(
            s,
            run,
            Deny(
                f"twokeys: refused: {verdict.refusal}",
                hint="Nothing was run.",
                sqlstate=verdict.sqlstate or sqlstate.INSUFFICIENT_PRIVILEGE,
            ),
            command,
            judged,
        )
    elif judged.decision.outcome is Decided.DENY:
        yield from _deny(s, run, _by_policy(judged), command, judged)
    elif verdict.actions:
        yield from _control(s, run, command, judged, verdict.actions)
    elif s.status == FAILED:
        yield from _deny(
            s,
            run,
            Deny("current transaction is aborted, commands ignored until end of transaction block", sqlstate="25P02"),
            command,
            judged,
        )
    elif permission is not None and verdict.classification.effect is Severity.READ:
        yield from _read(s, run, command, judged, permission)
    else:
        yield from _write(s, run, command, judged)


def _by_policy(judged: Judged) -> Deny:
    ids = ", ".join(judged.decision.policies) or "no policy matches"
    return Deny(f"twokeys: denied by policy ({ids})", hint=" ".join(judged.decision.advice) or "Nothing was run.")


def _read(s: PostgresSession, run: Run, command: PostgresCommand, judged: Judged, permission: Pass) -> Script:
    s.note(Seen(command, judged))
    txn = s.txn
    if judged.verdict.resets_session or judged.verdict.classification.kind in RENAMING:
        s.forget_names()
    if txn is None or not txn.lifted:
        yield run.forward(s, permission)
    elif run.extended:
        open_guard(s, txn)
        yield run.forward(s, permission)
    else:
        run.hidden(s, f"SAVEPOINT {s.guard}", "SET LOCAL transaction_read_only = on")
        run.forward(s, permission)
        # After an error the release fails as well, which changes nothing: the transaction is aborted.
        yield run.hidden(s, f"RELEASE SAVEPOINT {s.guard}")
    run.finish(s)


def _control(
    s: PostgresSession, run: Run, command: PostgresCommand, judged: Judged, actions: tuple[TxnAction, ...]
) -> Script:
    """One statement of transaction control."""
    action, permission = actions[0], judged.permission
    refusal = _control_refusal(s, judged, action)
    if refusal or permission is None:
        yield from _deny(
            s,
            run,
            Deny(
                f"twokeys: refused: {refusal or 'it needs an approval, which it can not have'}",
                hint="Nothing was run.",
                sqlstate=sqlstate.NOT_SUPPORTED,
            ),
            command,
            judged,
        )
        return
    s.note(Seen(command, judged))
    txn = s.txn
    match action.kind:
        case TxnKind.BEGIN:
            yield from _begin(s, run, permission, action)
        case TxnKind.COMMIT | TxnKind.ROLLBACK:
            if txn is not None and txn.lifted and not txn.writes and s.status == IN_TRANSACTION:
                # What runs at commit (deferred triggers, cursors WITH HOLD) runs read-only when nothing was approved.
                yield run.hidden(s, "SET transaction_read_only = on")
            if txn is not None:
                txn.ending = action.kind is TxnKind.COMMIT
            exchange = run.forward(s, permission)
            yield exchange
            _end_transaction(s, exchange)
        case _:
            exchange = run.forward(s, permission)
            yield exchange
            if txn is not None and not exchange.failed:
                _follow(s, txn, action)
    if not s.ended:
        run.finish(s)


def _control_refusal(s: PostgresSession, judged: Judged, action: TxnAction) -> str:
    if judged.verdict.classification.statements != 1:
        return "a text with transaction control must be that one statement alone"
    if action.chain:
        return "AND CHAIN is not supported; end the transaction, then begin the next"
    if action.kind in PREPARED:
        return "two-phase commit is not supported"
    if s.txn is not None and s.txn.hidden:
        return "transaction control after a write in the same pipeline is not supported; send Sync between them"
    if action.kind is TxnKind.SET_TRANSACTION and action.asks_for_writing and (s.txn is None or not s.txn.lifted):
        return "a transaction can't be made read-write here; writes are held one by one, in any transaction"
    if action.name.casefold().startswith("_tk"):
        return "savepoint names that begin with _tk are reserved"
    return ""


def _begin(s: PostgresSession, run: Run, permission: Pass, action: TxnAction) -> Script:
    if s.txn is None and run.extended:
        # The implicit transaction may have taken a snapshot already (Parse); a new one can still be lifted.
        yield run.hidden(s)
    lifted = action.read_only is not True and (s.door.may_write or action.asks_for_writing)
    exchange = run.forward(s, permission)
    yield exchange
    if exchange.failed or s.txn is not None:
        return
    if lifted:
        lift = run.hidden(s, "SET transaction_read_only = off")
        yield lift
        if lift.failed:
            s.terminate(f"the transaction could not be prepared: {lift.reason}", alarm=True)
            return
    s.txn = Transaction(lifted)


def _follow(s: PostgresSession, txn: Transaction, action: TxnAction) -> None:
    match action.kind:
        case TxnKind.SAVEPOINT:
            txn.save(action.name)
        case TxnKind.RELEASE:
            txn.release(action.name)
        case TxnKind.ROLLBACK_TO:
            for outcome in txn.roll_back_to(action.name):
                s.tell(outcome)
        case TxnKind.SET_TRANSACTION:
            if action.read_only:
                txn.lifted = False


def _end_transaction(s: PostgresSession, exchange: Exchange) -> None:
    txn = s.txn
    if txn is None or (not exchange.failed and not exchange.tags):
        return
    s.txn = None
    if exchange.failed:
        outcomes = txn.rolled_back(exchange.reason, exchange.sqlstate)
    elif exchange.tags[-1] == b"COMMIT":
        outcomes = txn.committed()
    else:
        outcomes = txn.rolled_back("the transaction was rolled back")
    for outcome in outcomes:
        s.tell(outcome)


# writes


def _write(s: PostgresSession, run: Run, command: PostgresCommand, judged: Judged) -> Script:
    refused = _write_refusal(s, run, judged)
    if refused is not None:
        yield from _deny(s, run, refused, command, judged)
        return
    outside = s.txn is None
    if outside and run.extended:
        # Ends the implicit transaction, which has a snapshot and is read-only for good.
        yield run.hidden(s)
    hold_id = s.begin_hold()
    s.tell(Waiting(hold_id, command, judged, not outside))
    prepared = False
    while True:
        match (yield ANSWER):
            case AskFingerprint():
                exchange = run.hidden(s, FINGERPRINT)
                yield exchange
                s.tell(Fingerprint(hold_id, _cells(exchange)[-1] if not exchange.failed else ""))
            case Prepare():
                exchange = run.hidden(s, *_preparation(judged, outside=outside))
                yield exchange
                prepared = outside and judged.verdict.can_run_in_transaction
                s.tell(_ready(hold_id, exchange, judged))
            case Abort():
                if prepared:
                    yield run.hidden(s, "ROLLBACK")
                    prepared = False
            case Forward(permission):
                s.end_hold()
                if judged.verdict.classification.kind not in PLAIN_WRITES:
                    s.forget_names()
                yield from _forward(s, run, hold_id, permission, judged)
                return
            case Deny() | Cancelled() as answer:
                if prepared:
                    yield run.hidden(s, "ROLLBACK")
                s.end_hold()
                cancelled = Deny(
                    "canceling statement due to user request",
                    "The request was withdrawn.",
                    sqlstate=sqlstate.QUERY_CANCELED,
                )
                yield from _deny(s, run, answer if isinstance(answer, Deny) else cancelled, None, judged)
                return


def _write_refusal(s: PostgresSession, run: Run, judged: Judged) -> Deny | None:
    verdict = judged.verdict
    if verdict.is_copy_in:
        return Deny(
            "twokeys: COPY FROM STDIN is not supported through this edge yet",
            hint="Send the rows as INSERT statements.",
            sqlstate=sqlstate.NOT_SUPPORTED,
        )
    if s.txn is not None and not s.txn.lifted:
        return Deny(
            "cannot execute a write in a read-only transaction",
            hint="End it, then send the statement alone.",
            sqlstate=sqlstate.READ_ONLY_TRANSACTION,
        )
    if not verdict.can_run_in_transaction and s.txn is not None:
        return Deny(f"{verdict.classification.kind} cannot run inside a transaction block", sqlstate="25001")
    if not verdict.can_run_in_transaction and run.extended:
        return Deny(
            f"twokeys: {verdict.classification.kind} can be held as a simple query only",
            hint="Send it without parameters, by the simple protocol.",
            sqlstate=sqlstate.NOT_SUPPORTED,
        )
    return None


def _preparation(judged: Judged, *, outside: bool) -> tuple[str, ...]:
    if not judged.verdict.can_run_in_transaction:
        return (FINGERPRINT,)
    if outside:
        return ("BEGIN", "SET transaction_read_only = off", XID_AND_FINGERPRINT)
    return (XID_AND_FINGERPRINT,)


def _ready(hold_id: int, exchange: Exchange, judged: Judged) -> Ready:
    if exchange.failed:
        return Ready(hold_id, "", "", exchange.reason)
    cells = _cells(exchange)
    return Ready(hold_id, cells[0] if judged.verdict.can_run_in_transaction else "", cells[-1])


def _cells(exchange: Exchange) -> list[str]:
    row = exchange.rows[-1] if exchange.rows else b""
    values = server_messages.read_data_row(row, 0, len(row)) if row else ()
    return [(value or b"").decode("utf-8", "replace") for value in values] or [""]


def _forward(s: PostgresSession, run: Run, hold_id: int, permission: Pass, judged: Judged) -> Script:
    if not judged.verdict.can_run_in_transaction:
        yield from _forward_in_brackets(s, run, hold_id, permission)
        return
    outside = s.txn is None
    txn = s.txn = s.txn or Transaction(lifted=True, hidden=True)
    write = Write(hold_id, None)
    txn.writes.append(write)
    exchange = run.forward(s, permission, keep_complete=outside and not run.extended)
    yield exchange
    if exchange.failed:
        txn.writes.remove(write)
        s.tell(Outcome(hold_id, "failed", sqlstate=exchange.sqlstate, reason=exchange.reason))
    else:
        write.rows = server_messages.rows_of_tag(exchange.tags[-1]) if exchange.tags else None
    if outside and not run.extended:
        yield from _commit(s, run, txn, exchange)
    if not s.ended:
        run.finish(s)


def _commit(s: PostgresSession, run: Run, txn: Transaction, exchange: Exchange | None) -> Script:
    """End our own transaction around an approved statement, as the server says it went."""
    if s.status == IN_TRANSACTION:
        txn.ending = True
        commit = run.hidden(s, "COMMIT")
        yield commit
        if commit.failed:
            s.show(commit.error_message)
        elif exchange is not None:
            s.show(exchange.kept)
        _end_transaction(s, commit)
    else:
        yield run.hidden(s, "ROLLBACK")
        s.txn = None
        for outcome in txn.rolled_back("another statement of the same pipeline failed"):
            s.tell(outcome)


def _forward_in_brackets(s: PostgresSession, run: Run, hold_id: int, permission: Pass) -> Script:
    s.bracketing = True
    opened = run.hidden(s, "SET default_transaction_read_only = off")
    yield opened
    if opened.failed:
        s.terminate(f"the session could not be prepared: {opened.reason}", alarm=True)
        return
    s.txn = Transaction(lifted=True, hidden=True, ending=True, writes=[Write(hold_id, None)])
    exchange = run.forward(s, permission)
    yield exchange
    s.txn = None
    if exchange.failed:
        s.tell(Outcome(hold_id, "failed", sqlstate=exchange.sqlstate, reason=exchange.reason))
    else:
        rows = server_messages.rows_of_tag(exchange.tags[-1]) if exchange.tags else None
        s.tell(Outcome(hold_id, "done", rows))
    closed = run.hidden(s, "SET default_transaction_read_only = on")
    yield closed
    s.bracketing = False
    if closed.failed or s.status != IDLE:
        s.terminate("the session could not be made read-only again", alarm=True)
        return
    run.finish(s)


def sync_hidden(s: PostgresSession, txn: Transaction) -> Script:
    """The client's Sync after an approved Execute in autocommit: our transaction ends with its Sync group."""
    if txn.guarded:
        close_guard(s, txn)
    exchange = Exchange()
    s.send(encode.SYNC_MESSAGE)
    s.owe(Entry(Owed.SYNC, False, exchange))
    yield exchange
    run = ExtendedRun.__new__(ExtendedRun)
    yield from _commit(s, run, txn, None)
    s.skipping = False
    if not s.ended:
        s.show(encode.ready_for_query(s.status))


# denials


def _deny(s: PostgresSession, run: Run, answer: Deny, command: PostgresCommand | None, judged: Judged) -> Script:
    """Tell the client, and leave session and transaction as after an error of the server."""
    if command is not None:
        s.note(Stopped(command, judged, answer.message))
    if s.status == IN_TRANSACTION:
        # The server doesn't know: a savepoint that can't exist makes its transaction fail as well.
        yield run.hidden(s, f"ROLLBACK TO SAVEPOINT {s.guard}_none")
    s.show(encode.error_response(answer.sqlstate, answer.message, detail=answer.detail, hint=answer.hint))
    if run.extended:
        s.skipping = True
    run.finish(s)


def deny_in_group(s: PostgresSession, state: str, message: str, hint: str) -> Script:
    """A Parse, Bind or Execute that is refused before anything of it is forwarded."""
    yield from _settle(s)
    if s.skipping:
        return
    if s.status == IN_TRANSACTION:
        yield ExtendedRun.__new__(ExtendedRun).hidden(s, f"ROLLBACK TO SAVEPOINT {s.guard}_none")
    s.show(encode.error_response(state, f"twokeys: {message}", hint=hint))
    s.skipping = True


def refuse_function_call(s: PostgresSession) -> Script:
    """A FunctionCall runs any function by its number: refused."""
    yield from _settle(s)
    if s.skipping:
        return
    if s.status == IN_TRANSACTION:
        yield SimpleRun(b"").hidden(s, f"ROLLBACK TO SAVEPOINT {s.guard}_none")
    s.show(
        encode.error_response(
            sqlstate.NOT_SUPPORTED,
            "twokeys: the function-call message is not supported",
            hint="Call the function in a SELECT.",
        )
        + encode.ready_for_query(s.status)
    )
