"""A write, from its hold to its outcome.

    settle ─▶ Held | Allowed ─▶ orders: fingerprint, prepare, abort, deny, withdraw … ─▶ forward(Pass) ─▶ Outcome

Where it runs, `places` says.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from edge_agent.classify.settings import hides_builtins
from edge_agent.gate import Pass
from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres.allowed_step import is_quick, means_the_same, quick
from edge_agent.protocols.postgres.alone_step import is_alone, run_and_commit
from edge_agent.protocols.postgres.copy_in import is_copy_in, staged
from edge_agent.protocols.postgres.core import (
    HELD_AFTER_WRITE,
    Core,
    Flight,
    Step,
    Want,
    ask,
    refused,
    rolled_back,
    settled,
)
from edge_agent.protocols.postgres.events import (
    Abort,
    Allowed,
    AskFingerprint,
    AskPreview,
    Deny,
    Ending,
    Fingerprint,
    Forward,
    Held,
    NotPrepared,
    Order,
    Outcome,
    Prepare,
    Prepared,
    Previewed,
    Withdraw,
    Withdrawn,
)
from edge_agent.protocols.postgres.expect import Answer, Expected
from edge_agent.protocols.postgres.fingerprint import search_path_of
from edge_agent.protocols.postgres.link import FAILED, HIDDEN_BUILTINS, IDLE, IN_TRANSACTION, Broken
from edge_agent.protocols.postgres.locks import read_locks
from edge_agent.protocols.postgres.pipeline import ABSENT, Job
from edge_agent.protocols.postgres.places import Place, last_error, place_of, run
from edge_agent.protocols.postgres.preview_step import answered
from edge_agent.protocols.postgres.probation import on_probation
from edge_agent.protocols.postgres.steps import cannot_be_run, error_of
from edge_agent.protocols.postgres.transaction import Write
from edge_agent.protocols.postgres.type_names import read_types
from twokeys.decision import Outcome as Decided
from twokeys.digest import sha256
from twokeys.effect import Effect as Does

_MOVED: Final = b"The session's search_path was moved by what ran in it: names without a schema mean something else."


def write_step(core: Core, job: Job) -> Step:
    """Hold a Command, obey the shell, run it."""
    may_be_quick = is_quick(core, job)
    yield from settled(core, in_guard=may_be_quick)
    if core.link.failed:
        core.tail = None
        return
    refusal = _refusal(core, job)
    if refusal is not None:
        core.decline(job.judgement, job.command.text, refusal[0], refusal[1])
        yield from refused(core, *refusal)
        return
    if may_be_quick:
        if core.transaction is not None and means_the_same(core):
            yield from quick(core, job, core.transaction)
            return
        yield from settled(core)
    if is_copy_in(job):
        with_data = yield from staged(core, job)
        if with_data is None:
            return
        job = with_data
    place = place_of(core, job)
    held = job.judgement.decision.outcome is Decided.HOLD
    types = (yield from _types(core, job)) if held else ()
    if types is None:
        return
    in_transaction = core.link.status != IDLE
    names = (yield from _names(core, types)) if held and types else ()
    core.ticket += 1
    ticket = core.ticket
    core.orders.clear()
    core.waiting = True
    waits = (ticket, job.command, job.judgement, in_transaction)
    core.effects.append(Held(*waits, names) if held else Allowed(*waits))
    ready = yield from _obey(core, job, place, ticket, types)
    core.waiting = False
    if ready is None:
        return
    permission, xid = ready
    if place is Place.OWN and is_alone(core, job, permission):
        yield from run_and_commit(core, job, permission, Write(ticket, xid=xid))
    else:
        yield from run(core, job, place, permission, Write(ticket, xid=xid))
    if job.judgement.verdict.classification.effect is Does.PRIVILEGED:
        yield from _see_path(core)


def _see_path(core: Core) -> Step:
    """See that built-in names still are: what ran may have moved the search path, which only PostgreSQL 18 reports."""
    if core.link.failed or core.link.status == FAILED:
        # Undone with its transaction, or with what is left of it.
        return
    row = yield from _ask_read_only(core, core.hidden.fingerprint)
    if row is None:
        raise Broken("The session's search_path could not be asked for.")
    _meaning(core, row[0])


def _refusal(core: Core, job: Job) -> tuple[str, str, str, str] | None:
    if core.link.status == FAILED:
        message = "current transaction is aborted, commands ignored until end of transaction block"
        return sqlstate.FAILED_TRANSACTION, message, "", ""
    if not job.judgement.writes:
        if core.would_be_held(job.judgement.verdict):
            happened, advice = HELD_AFTER_WRITE
            return sqlstate.NOT_SUPPORTED, happened, "Nothing was run, and nobody was asked.", advice
        return None
    if job.portal is not None and job.portal.started:
        return cannot_be_run(job.portal)
    if core.transaction is not None and not core.transaction.writable:
        return (
            sqlstate.READ_ONLY_TRANSACTION,
            "The transaction is read-only, and this is no proven read.",
            "Nothing was run, and nobody was asked.",
            "Send it outside of the transaction, or begin one without READ ONLY.",
        )
    writes = core.own if core.own is not None else core.transaction.writes if core.transaction is not None else ()
    if len(writes) >= core.limits.writes:
        return sqlstate.LIMIT_EXCEEDED, "The transaction has too many writes.", "Nothing was run.", "Commit first."
    return None


def _types(core: Core, job: Job) -> Generator[Want, Order | None, tuple[int, ...] | None]:
    """The parameters' types as the server resolved them; None after an error."""
    given = job.command.parameter_types
    if job.portal is None or (0 not in given and len(given) >= len(job.command.parameter_values)):
        return given
    answer = Answer()
    guarded = core.link.status == IN_TRANSACTION and core.may_be_written
    if guarded:
        core.link.send_hidden(core.hidden.guard_open, 2, answer)
    if job.portal.statement.age == ABSENT:
        core.trust(job.portal.statement)
    describe = encode.describe(b"S", job.portal.statement.name)
    core.link.send(describe, Expected(b"t", b"Tn", hidden=True, answer=answer))
    if guarded:
        core.link.send_hidden(core.hidden.guard_close, 1, answer)
    core.link.sync()
    yield Want.QUIET
    if answer.error is not None:
        # The statement no longer holds at the server; its Execute would fail in the same way.
        core.tail = None
        core.link.say(error_of(answer))
        core.link.failed = True
        return None
    return answer.types


def _names(core: Core, types: tuple[int, ...]) -> Generator[Want, Order | None, tuple[str, ...]]:
    """The types in words; none when the server does not say them: people are told that they are not known."""
    row = yield from _ask_read_only(core, core.hidden.type_names(types))
    return () if row is None else read_types(types, row[0])


def _obey(
    core: Core, job: Job, place: Place, ticket: int, types: tuple[int, ...]
) -> Generator[Want, Order | None, tuple[Pass, str] | None]:
    """Obey orders until one ends the wait. Returns the Pass and the xid; None when it is not to run."""
    prepared: tuple[str, str] | None = None
    began = core.own is None
    while True:
        order = yield Want.ORDER
        match order:
            case AskFingerprint():
                yield from _tell_fingerprint(core, ticket)
            case AskPreview() as asked:
                core.effects.append(Previewed(ticket, (yield from answered(core, job, types, asked.question))))
            case Prepare():
                judged = job.judgement
                brief, copies = judged.decision.outcome is Decided.ALLOW, judged.verdict.is_copy_in
                prepared = yield from _prepare(core, place, brief=brief, copies=copies)
                if prepared is None:
                    core.effects.append(NotPrepared(ticket, *last_error(core)))
                else:
                    core.effects.append(Prepared(ticket, *prepared))
            case Abort():
                prepared = None
                yield from _unprepare(core, began=began)
            case Deny() as denial:
                core.waiting = False
                yield from _unprepare(core, began=began)
                yield from refused(core, denial.sqlstate, denial.message, denial.detail, denial.hint)
                return None
            case Withdraw() as withdrawal:
                core.waiting = False
                yield from _unprepare(core, began=began)
                core.effects.append(Withdrawn(ticket, withdrawal.reason))
                yield from refused(core, sqlstate.QUERY_CANCELED, "canceling statement due to user request")
                return None
            case Forward() as forward:
                # From here on the shell is owed an Outcome, whatever happens.
                core.waiting = False
                core.flight = Flight(Write(ticket), Ending.ROLLED_BACK)
                if prepared is None:
                    prepared = yield from _prepare(core, place, ask_xid=False)
                if prepared is None:
                    state, reason = last_error(core)
                    core.flight = None
                    core.effects.append(Outcome(ticket, Ending.FAILED, None, state, reason))
                    yield from refused(core, state or sqlstate.INTERNAL_ERROR, reason or "The server refused.")
                    return None
                if forward.permission.within is None:
                    return forward.permission, prepared[0]
                write = Write(ticket, xid=prepared[0])
                undone = yield from on_probation(core, job, place, forward.permission, write)
                if undone is None:
                    return None
                yield from _unprepare(core, began=began)
                core.flight, prepared, core.waiting = None, None, True
                core.effects.append(undone)
            case None:
                raise Broken("A step was resumed without an order.")


def _ask_read_only(core: Core, question: bytes) -> Generator[Want, Order | None, tuple[str, ...] | None]:
    """The row that a question of our own has as its answer: under the guard where the transaction may write."""
    core.link.last_error = {}
    if core.may_be_written and core.link.status == IN_TRANSACTION:
        answer = yield from ask(core, core.hidden.guard_open + question + core.hidden.guard_close, 4)
    else:
        answer = yield from ask(core, question, 1)
    return answer.row


def _ask_fingerprint(core: Core) -> Generator[Want, Order | None, str | None]:
    row = yield from _ask_read_only(core, core.hidden.fingerprint)
    return None if row is None else _meaning(core, row[0])


def _ask_fingerprint_and_locks(core: Core) -> Generator[Want, Order | None, tuple[str, tuple[str, ...]] | None]:
    """The fingerprint, and what an open transaction of the caller keeps locked while people think (attack W7)."""
    if core.link.status != IN_TRANSACTION:
        fingerprint = yield from _ask_fingerprint(core)
        return None if fingerprint is None else (fingerprint, ())
    row = yield from _ask_read_only(core, core.hidden.fingerprint_and_locks)
    meaning = None if row is None else _meaning(core, row[0])
    return None if row is None or meaning is None else (meaning, read_locks(row[1]))


def _meaning(core: Core, answer: str) -> str | None:
    """The fingerprint; None when names no longer mean what the Command was judged by (attack W6)."""
    return sha256(answer.encode()) if _still_means(core, search_path_of(answer)) else None


def _still_means(core: Core, path: str) -> bool:
    if hides_builtins(path):
        raise Broken(HIDDEN_BUILTINS, alarm=True)
    if core.door.confirm(path):
        return True
    core.link.last_error = {"C": b"", "M": _MOVED}
    return False


def _tell_fingerprint(core: Core, ticket: int) -> Step:
    found = yield from _ask_fingerprint_and_locks(core)
    core.effects.append(NotPrepared(ticket, *last_error(core)) if found is None else Fingerprint(ticket, *found))


def _prepare(
    core: Core, place: Place, *, ask_xid: bool = True, brief: bool = False, copies: bool = False
) -> Generator[Want, Order | None, tuple[str, str] | None]:
    """Bring the server to where the Command can run. Returns xid and fingerprint; None when the server refused.

    `brief`: nobody compares the fingerprint. It is left out, but for the search_path. `copies`: the Command takes data.
    """
    core.link.last_error = {}
    if place in (Place.BRACKET, Place.READ):
        if not ask_xid:
            return "", ""
        fingerprint = yield from _ask_fingerprint(core)
        return None if fingerprint is None else ("", fingerprint)
    question = core.hidden.xid_and_path if brief else core.hidden.xid
    commands, count = question if ask_xid else b"", int(ask_xid)
    if ask_xid and copies:
        # The lift once more, last: a portal that answered rows stays open, and COPY's FREEZE wants none.
        commands, count = commands + core.hidden.lift, count + 1
    if place is Place.OWN and core.own is None:
        commands, count = core.hidden.begin + core.hidden.lift + commands, count + 2
        core.own = []
    if not count:
        return "", ""
    answer = yield from ask(core, commands, count)
    row = ("", "") if answer.error is None and not ask_xid else answer.row
    if row is None or (place is Place.OWN and core.link.status != IN_TRANSACTION):
        if core.own == [] and core.link.status == IDLE:
            core.own = None
        return None
    if not ask_xid:
        return "", ""
    if brief:
        return (row[0], "") if _still_means(core, row[1]) else None
    meaning = _meaning(core, row[1])
    return None if meaning is None else (row[0], meaning)


def _unprepare(core: Core, *, began: bool) -> Step:
    """Undo `_prepare`; a transaction that an earlier write of the group began stays."""
    if began and core.own is not None:
        yield from rolled_back(core)
