"""The hold: from a held Command to its outcome, read top to bottom.

    record the hold ─▶ open the Request ─▶ wait for people ─▶ prepare (rw transaction, xid, fingerprint)
        ─▶ record the intent, durably ─▶ spend ─▶ redeem at the gate ─▶ forward once ─▶ record and report the result

No socket, clock or randomness here: all that is asked of `HoldPorts`. Rules:
  1. Nothing is forwarded without a Pass from the gate, and the gate wants the signed Approval of this spend.
  2. A hang-up or cancel raises `CallerGone` out of any wait: the Request is withdrawn, nothing is forwarded.
  3. Any error before the forward is a denial. After the forward nothing is retried: the outcome is reported as it is
     known, or as in doubt.
  4. A retry grant is never withdrawn once it is open: a caller that could not wait sends the same Command again, which
     joins the Request that waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from edge_agent.gate import Gate, Pass
from twokeys.approval import Approval
from twokeys.caller import Caller
from twokeys.command import PostgresCommand, Setting, command_digest
from twokeys.decision import Decision
from twokeys.digest import Json
from twokeys.effect import Classification
from twokeys.errors import Refused, TwokeysError
from twokeys.messages import RequestStatus, ResultReport
from twokeys.record import ChainHead, RecordType
from twokeys.request import State
from twokeys.signature import Signature


class CallerGone(Exception):
    """The caller hung up or cancelled while its Command was held."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The Preview that people are shown: its canonical JSON, digest, and exact number of rows where it has one."""

    data: bytes
    digest: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """A Command that waits, and all that stays the same while it does."""

    request_id: str
    session_id: str
    target: str
    database: str
    caller: Caller
    client: str
    command: PostgresCommand
    classification: Classification
    decision: Decision
    in_transaction: bool
    hold_seconds: int
    types: tuple[str, ...] = ()
    """Names of the parameters' types as the server resolved them."""
    starts: tuple[int, ...] = ()
    """Where in the text each of several statements begins, in bytes; for people."""
    wait_seconds: int | None = None
    """For how long its connection waits until the Request goes on alone, as a retry grant. None: to the end."""
    preview: Shown | None = None
    """What people are shown of it; None until it is computed."""
    joined: bool = False
    """Its Request was opened earlier, with a Preview of its own."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The server stands ready in a read-write transaction: its xid (empty where it has none) and what it means."""

    xid: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Spent:
    """The control plane's answer to a spend, and what the Edge sent with it."""

    approval: Approval
    signature: Signature
    nonce: str
    head: ChainHead


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a forwarded Command: outcome is done, failed or in_doubt."""

    outcome: str
    rows: int | None = None
    sqlstate: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Denied:
    """The caller gets an error in its own protocol; session and transaction stay usable."""

    message: str
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """The caller gets an error as with `Denied`, and its Request, a retry grant, goes on without it."""

    message: str
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The caller is gone or has cancelled; nobody waits for an answer."""

    reason: str


Ending = Result | Denied | LeftOpen | Withdrawn


class HoldPorts(Protocol):
    """What the hold asks of the outside. Every wait may raise CallerGone until `forward` is called."""

    async def fingerprint(self) -> str:
        """The session's fingerprint, asked of the server now."""

    async def preview(self, held: Held) -> Shown | None:
        """What the Command would do, for whoever decides; None where nobody computes it."""

    async def record(self, kind: RecordType, fields: dict[str, Json], *, body: bool = False) -> None:
        """Append a Record and return when it is on disk. Raises Unavailable when it can't be."""

    async def open(self, held: Held, digest: str, fingerprint: str) -> RequestStatus:
        """Open the Request: the digest is of the Command and this fingerprint. Raises Unavailable or Refused.

        The answer to a retry grant may be about an earlier one: that is the Request from then on.
        """

    async def tell(self, text: str) -> None:
        """A notice to the caller, in its own protocol."""

    async def moved(self, held: Held, seconds: int) -> RequestStatus:
        """Wait until the Request has moved, at most these seconds and a grace; then say where it stands."""

    async def prepare(self) -> Prepared:
        """Bring the server to where the Command can be forwarded. Undone by `abort`."""

    async def spend(self, held: Held, digest: str, xid: str) -> Spent:
        """Ask for the Approval, once. Raises Refused, Conflict or Unavailable."""

    async def forward(self, permission: Pass) -> Result:
        """Forward the Command's bytes, once; wait for the outcome."""

    async def abort(self) -> None:
        """Undo `prepare`; harmless without one."""

    async def leave(self, held: Held) -> None:
        """This connection waits no more; the Request, a retry grant, goes on."""

    async def withdraw(self, held: Held, reason: str) -> None:
        """Tell the control plane that nobody waits any more; retried in the background until it is taken."""

    async def report(self, held: Held, report: ResultReport) -> None:
        """Tell the outcome; retried in the background until it is taken."""


async def hold(held: Held, ports: HoldPorts, gate: Gate) -> Ending:
    """Carry one held Command to its Ending. Raises nothing but cancellation."""
    try:
        held = replace(held, preview=await ports.preview(held))
        held, digest, denial = await _wait_for_people(held, ports)
        if denial is not None:
            return denial
    except CallerGone as gone:
        return await _withdrawn(held, ports, str(gone))
    except TwokeysError as error:
        return await _denied_by_error(held, ports, error)
    return await _use_approval(held, ports, gate, digest)


async def _wait_for_people(held: Held, ports: HoldPorts) -> tuple[Held, str, Denied | LeftOpen | None]:
    fingerprint = await ports.fingerprint()
    digest = command_digest(held.command, _setting(held, fingerprint))
    await ports.record(RecordType.HOLD, {"command_digest": digest, "outcome": "hold"}, body=True)
    status = await ports.open(held, digest, fingerprint)
    if held.wait_seconds is not None:
        held = replace(held, request_id=status.id, joined=status.id != held.request_id)
    asked = ", ".join(status.asked) or "the reviewers"
    if status.state == State.PENDING:
        await ports.tell(
            f"held for approval: request {held.request_id}, asked: {asked}, "
            f"{status.seconds_left} s left before it is denied"
        )
        opened, seconds = status, status.seconds_left
        if held.wait_seconds is not None:
            seconds = min(held.wait_seconds, seconds)
        if seconds:
            status = await ports.moved(held, seconds)
        if held.wait_seconds is not None and status.state == State.PENDING:
            await ports.leave(held)
            await ports.record(RecordType.DECISION, {"outcome": "left_open", "command_digest": digest})
            return held, digest, _left_open(held, opened, seconds)
    decided_by: list[Json] = list(status.decided_by)
    fields: dict[str, Json] = {"outcome": status.state, "command_digest": digest, "approvers": decided_by}
    if status.reason:
        fields["reason"] = status.reason
    await ports.record(RecordType.DECISION, fields)
    if status.state == State.APPROVED:
        return held, digest, None
    if status.state == State.PENDING:
        await ports.withdraw(held, "no answer reached the edge in time")
    return held, digest, _denial(held, status)


async def _use_approval(held: Held, ports: HoldPorts, gate: Gate, digest: str) -> Ending:
    spent: Spent | None = None
    xid = ""
    try:
        await ports.tell(f"approved: request {held.request_id}")
        prepared = await ports.prepare()
        xid = prepared.xid
        if command_digest(held.command, _setting(held, prepared.fingerprint)) != digest:
            raise Refused(
                "The session changed while the command was held (role, settings or temporary tables).",
                not_done="The command was not run.",
                advice="Send it again.",
                code="session_changed",
            )
        intent: dict[str, Json] = {"command_digest": digest}
        if xid:
            intent["xid"] = xid
        await ports.record(RecordType.SPEND_INTENT, intent)
        spent = await ports.spend(held, digest, xid)
        permission = _redeem(held, gate, digest, spent)
        approvers: list[Json] = list(spent.approval.approvers)
        forward: dict[str, Json] = {"command_digest": digest, "approvers": approvers}
        for name, value in (("xid", xid), ("reason", _by_grant(spent))):
            if value:
                forward[name] = value
        await ports.record(RecordType.FORWARD, forward)
    except CallerGone as gone:
        await ports.abort()
        return await _unused(held, ports, spent, Withdrawn(str(gone)), str(gone))
    except TwokeysError as error:
        await ports.abort()
        denial = Denied(f"twokeys: {error.happened}", _request_detail(held), f"{error.not_done} {error.advice}".strip())
        return await _unused(held, ports, spent, denial, error.happened)
    result = await ports.forward(permission)
    await _conclude(held, ports, spent, result, xid)
    return result


def _by_grant(spent: Spent) -> str:
    return f"by grant {spent.approval.grant}" if spent.approval.grant else ""


def _redeem(held: Held, gate: Gate, digest: str, spent: Spent) -> Pass:
    again = gate.decide(held.caller, held.target, held.classification, held.command.protocol.value)
    # What people were shown of a Request that was joined is known from its Approval alone.
    shown = (spent.approval.preview_digest, spent.approval.most_rows)
    if not held.joined:
        shown = (held.preview.digest, held.preview.rows) if held.preview else ("", None)
    expected = Approval(
        held.request_id,
        spent.approval.edge_id,
        spent.nonce,
        digest,
        held.decision.requirement,
        spent.approval.approvers,
        spent.head.sequence,
        spent.head.hash,
        *shown,
    )
    return gate.redeem(expected, spent.approval, spent.signature, again)


async def _unused(held: Held, ports: HoldPorts, spent: Spent | None, ending: Ending, reason: str) -> Ending:
    """An approval that was not used: reported as failed when it was spent already, else withdrawn; see rule 4."""
    if spent is None and held.wait_seconds is not None:
        await _record_quietly(ports, RecordType.DECISION, {"outcome": "unused", "reason": reason})
    elif spent is None:
        await ports.withdraw(held, reason)
        await _record_quietly(ports, RecordType.DECISION, {"outcome": State.WITHDRAWN.value, "reason": reason})
    else:
        await _conclude(held, ports, spent, Result("failed", reason=f"not forwarded: {reason}"), "")
    return ending


async def _conclude(held: Held, ports: HoldPorts, spent: Spent, result: Result, xid: str) -> None:
    fields: dict[str, Json] = {"outcome": result.outcome, "approvers": list(spent.approval.approvers)}
    if result.rows is not None:
        fields["rows"] = result.rows
    for name, value in (("sqlstate", result.sqlstate), ("reason", result.reason), ("xid", xid)):
        if value:
            fields[name] = value
    await _record_quietly(ports, RecordType.RESULT, fields)
    await ports.report(
        held,
        ResultReport(
            outcome=result.outcome,
            rows=result.rows,
            sqlstate=result.sqlstate,
            reason=result.reason,
            xid=xid,
            nonce=spent.nonce,
        ),
    )


async def _withdrawn(held: Held, ports: HoldPorts, reason: str) -> Withdrawn:
    if held.wait_seconds is not None:
        await ports.leave(held)
        await _record_quietly(ports, RecordType.DECISION, {"outcome": "left_open", "reason": reason})
        return Withdrawn(reason)
    await ports.withdraw(held, reason)
    await _record_quietly(ports, RecordType.DECISION, {"outcome": State.WITHDRAWN.value, "reason": reason})
    return Withdrawn(reason)


async def _denied_by_error(held: Held, ports: HoldPorts, error: TwokeysError) -> Denied:
    # `held` names what this hold would have opened: an earlier Request that it joined stays.
    await ports.withdraw(held, error.happened)
    await _record_quietly(ports, RecordType.DECISION, {"outcome": "denied", "reason": error.happened})
    return Denied(
        f"twokeys: denied: {error.happened}",
        _request_detail(held),
        f"{error.not_done} {error.advice}".strip() or "Try again later; nothing was run.",
    )


async def _record_quietly(ports: HoldPorts, kind: RecordType, fields: dict[str, Json]) -> None:
    """Record where nothing is left to prevent: a failed journal ends sessions by itself."""
    try:
        await ports.record(kind, fields)
    except TwokeysError:
        return


def _left_open(held: Held, opened: RequestStatus, waited: int) -> LeftOpen:
    asked = ", ".join(opened.asked) or "the reviewers"
    return LeftOpen(
        f"twokeys: held: request {held.request_id} waits for {asked}, {opened.seconds_left - waited} s left",
        _request_detail(held),
        "Nothing was run. Send the very same statement again once it is approved: it then runs, once. "
        f"An approval can be used for {opened.grant_seconds} s.",
    )


def _denial(held: Held, status: RequestStatus) -> Denied:
    who = f" by {', '.join(status.decided_by)}" if status.decided_by else ""
    why = f": {status.reason}" if status.reason else ""
    match status.state:
        case State.DENIED:
            return Denied(f"twokeys: denied{who}{why}", _request_detail(held), "Nothing was run. The session goes on.")
        case State.EXPIRED | State.PENDING | State.LAPSED:
            return Denied(
                "twokeys: denied: nobody approved in time",
                _request_detail(held),
                "Nothing was run. Send the statement again when a reviewer is at hand.",
            )
        case _:
            return Denied(
                f"twokeys: denied: the request is {status.state}{why}", _request_detail(held), "Nothing was run."
            )


def _request_detail(held: Held) -> str:
    return f"request {held.request_id}"


def _setting(held: Held, fingerprint: str) -> Setting:
    return Setting(held.target, held.database, held.caller.id, fingerprint)
