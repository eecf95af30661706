"""The hold as scripts: what the outside answers, what must have happened, in which order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edge_agent.gate import Gate, Pass
from edge_agent.hold import (
    CallerGone,
    Denied,
    Ending,
    Held,
    LeftOpen,
    Prepared,
    Result,
    Shown,
    Spent,
    Withdrawn,
    hold,
)
from tests.edge_agent.test_gate import CALLER, KEY, WRITE, standing_gate, world
from twokeys.approval import TYPE, Approval
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.digest import Json
from twokeys.errors import Conflict, TwokeysError, Unavailable
from twokeys.messages import RequestStatus, ResultReport
from twokeys.record import ChainHead, RecordType
from twokeys.signature import sign

REQUEST = "req_" + "a" * 26
HEAD = ChainHead(9, "c" * 64)


def pending(left: int = 300) -> RequestStatus:
    return RequestStatus(id=REQUEST, state="pending", seconds_left=left, asked=["reviewers"])


def moved(state: str, reason: str = "", by: tuple[str, ...] = ("rob",)) -> RequestStatus:
    return RequestStatus(id=REQUEST, state=state, reason=reason, decided_by=list(by))


@dataclass
class Script:
    """HoldPorts that answer from a script, and remember everything in order."""

    gate: Gate
    held: Held
    answer: RequestStatus | Exception = field(default_factory=lambda: moved("approved"))
    opened: RequestStatus | Exception = field(default_factory=pending)
    first_fingerprint: str = "f1"
    second_fingerprint: str = "f1"
    shown: Shown | Exception | None = None
    approved_preview: tuple[str, int | None] | None = None
    spend_error: Exception | None = None
    prepare_error: Exception | None = None
    record_error: RecordType | None = None
    result: Result = field(default_factory=lambda: Result("done", rows=3))
    signer: ec.EllipticCurvePrivateKey = KEY
    before_redeem: object = None
    steps: list[str] = field(default_factory=list)
    reports: list[ResultReport] = field(default_factory=list)
    records: list[dict[str, Json]] = field(default_factory=list)

    async def preview(self, held: Held) -> Shown | None:
        if isinstance(self.shown, Exception):
            raise self.shown
        return self.shown

    async def fingerprint(self) -> str:
        self.steps.append("fingerprint")
        return self.first_fingerprint

    async def record(self, kind: RecordType, fields: dict[str, Json], *, body: bool = False) -> None:
        if kind is self.record_error:
            raise Unavailable("The journal's disk is full.", not_done="Nothing was forwarded.")
        self.steps.append(f"record {kind.value}")
        self.records.append({"type": kind.value, **fields})

    async def open(self, held: Held, digest: str, fingerprint: str) -> RequestStatus:
        self.steps.append("open")
        if isinstance(self.opened, Exception):
            raise self.opened
        return self.opened

    async def tell(self, text: str) -> None:
        self.steps.append(f"tell {text.split(':')[0]}")

    async def moved(self, held: Held, seconds: int) -> RequestStatus:
        self.steps.append("wait")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def prepare(self) -> Prepared:
        self.steps.append("prepare")
        if self.prepare_error:
            raise self.prepare_error
        return Prepared("742", self.second_fingerprint)

    async def spend(self, held: Held, digest: str, xid: str) -> Spent:
        self.steps.append("spend")
        if self.spend_error:
            raise self.spend_error
        shown = (held.preview.digest, held.preview.rows) if held.preview else ("", None)
        paper = Approval(
            held.request_id, "edge-1", "0" * 32, digest, held.decision.requirement, ("rob",), HEAD.sequence, HEAD.hash,
            *(self.approved_preview or shown),
        )  # fmt: skip
        if callable(self.before_redeem):
            self.before_redeem()
        return Spent(paper, sign(TYPE, paper.to_json(), self.signer), "0" * 32, HEAD)

    async def forward(self, permission: Pass) -> Result:
        permission.spend()
        self.steps.append("FORWARD")
        return self.result

    async def abort(self) -> None:
        self.steps.append("abort")

    async def leave(self, held: Held) -> None:
        self.steps.append("leave")

    async def withdraw(self, held: Held, reason: str) -> None:
        self.steps.append("withdraw")

    async def report(self, held: Held, report: ResultReport) -> None:
        self.steps.append(f"report {report.outcome}")
        self.reports.append(report)


def script() -> Script:
    gate = standing_gate()
    held = Held(
        REQUEST,
        "ses-1",
        "db",
        "app",
        CALLER,
        "psql",
        PostgresCommand(QueryProtocol.SIMPLE, b"update t set a = 1"),
        WRITE,
        gate.decide(CALLER, "db", WRITE, "simple"),
        False,
        300,
    )
    return Script(gate, held)


def play(ports: Script) -> Ending:
    return asyncio.run(hold(ports.held, ports, ports.gate))


def test_an_approved_write_is_recorded_spent_and_forwarded_once_in_this_order() -> None:
    ports = script()
    assert play(ports) == Result("done", rows=3)
    assert ports.steps == [
        "fingerprint",
        "record hold",
        "open",
        "tell held for approval",
        "wait",
        "record decision",
        "tell approved",
        "prepare",
        "record spend_intent",
        "spend",
        "record forward",
        "FORWARD",
        "record result",
        "report done",
    ]
    assert ports.records[2]["xid"] == "742"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("denied", "denied by rob: not on a Friday"),
        ("expired", "nobody approved in time"),
        ("lapsed", "nobody approved in time"),
        ("withdrawn", "the request is withdrawn"),
        ("pending", "nobody approved in time"),
        ("nonsense", "the request is nonsense"),
    ],
)
def test_whatever_is_not_approved_is_denied(state: str, message: str) -> None:
    ports = script()
    ports.answer = moved(state, "not on a Friday")
    ending = play(ports)
    assert isinstance(ending, Denied)
    assert message in ending.message
    assert "FORWARD" not in ports.steps
    assert ("withdraw" in ports.steps) is (state == "pending")


@pytest.mark.parametrize(
    "error", [Unavailable("The control plane can't be reached."), Conflict("Moved."), TwokeysError("Other.")]
)
def test_a10_a_dead_control_plane_denies_at_once(error: Exception) -> None:
    ports = script()
    ports.opened = error
    ending = play(ports)
    assert isinstance(ending, Denied)
    assert "FORWARD" not in ports.steps
    assert "wait" not in ports.steps


def test_a_hang_up_while_waiting_withdraws() -> None:
    ports = script()
    ports.answer = CallerGone("the caller hung up")
    assert play(ports) == Withdrawn("the caller hung up")
    assert ports.steps[-2:] == ["withdraw", "record decision"]


def test_a_hang_up_after_the_approval_forwards_nothing() -> None:
    ports = script()
    ports.prepare_error = CallerGone("the caller hung up")
    assert isinstance(play(ports), Withdrawn)
    assert "FORWARD" not in ports.steps
    assert "withdraw" in ports.steps


def test_a_hang_up_between_spend_and_forward_is_reported_as_failed() -> None:
    ports = script()
    ports.spend_error = CallerGone("the caller hung up")
    assert isinstance(play(ports), Withdrawn)
    assert "FORWARD" not in ports.steps


def test_w6_a_session_that_changed_while_held_is_not_forwarded_and_not_spent() -> None:
    ports = script()
    ports.second_fingerprint = "f2"
    ending = play(ports)
    assert isinstance(ending, Denied)
    assert "session changed" in ending.message
    assert "spend" not in ports.steps
    assert ports.steps.index("abort") < ports.steps.index("withdraw")


@pytest.mark.parametrize("kind", [RecordType.HOLD, RecordType.DECISION, RecordType.SPEND_INTENT, RecordType.FORWARD])
def test_no_record_no_forward(kind: RecordType) -> None:
    ports = script()
    ports.record_error = kind
    assert isinstance(play(ports), Denied)
    assert "FORWARD" not in ports.steps
    if kind is RecordType.FORWARD:
        assert ports.reports[0].outcome == "failed"


def test_a5_a_refused_spend_forwards_nothing() -> None:
    ports = script()
    ports.spend_error = Conflict("The request is spending; it can't spend any more.")
    assert isinstance(play(ports), Denied)
    assert "FORWARD" not in ports.steps


def test_a5_a_forged_approval_forwards_nothing_and_is_reported() -> None:
    ports = script()
    ports.signer = ec.generate_private_key(ec.SECP256R1())
    assert isinstance(play(ports), Denied)
    assert "FORWARD" not in ports.steps
    assert ports.reports[0].outcome == "failed"


def test_policy_that_changed_between_approval_and_forward_forwards_nothing() -> None:
    ports = script()
    ports.before_redeem = lambda: ports.gate.enter(world("", revision=2))
    assert isinstance(play(ports), Denied)
    assert "FORWARD" not in ports.steps


@pytest.mark.parametrize(
    "result",
    [Result("failed", sqlstate="23505", reason="duplicate key"), Result("in_doubt", reason="the connection was lost")],
)
def test_the_outcome_is_reported_as_it_is_known(result: Result) -> None:
    ports = script()
    ports.result = result
    assert play(ports) == result
    assert ports.reports[0].outcome == result.outcome
    assert ports.steps.count("FORWARD") == 1


# retry grants


def retrying(wait: int = 5) -> Script:
    ports = script()
    ports.held = replace(ports.held, wait_seconds=wait)
    return ports


def test_a_caller_that_can_not_wait_is_told_the_request_and_nothing_is_withdrawn() -> None:
    ports = retrying()
    ports.answer = pending(0)
    ending = play(ports)
    assert isinstance(ending, LeftOpen) and REQUEST in ending.message and "the very same" in ending.hint
    assert ports.steps == [
        "fingerprint", "record hold", "open", "tell held for approval", "wait", "leave", "record decision",
    ]  # fmt: skip
    assert ports.records[-1]["outcome"] == "left_open"


def test_one_that_does_not_wait_at_all_is_answered_at_once() -> None:
    ports = retrying(0)
    assert isinstance(play(ports), LeftOpen)
    assert "wait" not in ports.steps


def test_the_same_command_again_joins_its_request_and_runs_once_approved() -> None:
    ports = retrying(0)
    earlier = "req_" + "b" * 26
    ports.opened = RequestStatus(id=earlier, state="approved", decided_by=["rob"])
    assert play(ports) == Result("done", rows=3)
    assert "wait" not in ports.steps and ports.steps.count("FORWARD") == 1


def test_a_hang_up_leaves_a_retry_grant_open() -> None:
    ports = retrying()
    ports.answer = CallerGone("the caller hung up")
    assert play(ports) == Withdrawn("the caller hung up")
    assert "withdraw" not in ports.steps and "leave" in ports.steps


@pytest.mark.parametrize("error", ["prepare_error", "spend_error"])
def test_a5_what_fails_before_the_spend_leaves_the_approval_to_the_next_try(error: str) -> None:
    ports = retrying(0)
    ports.opened = moved("approved")
    setattr(ports, error, Conflict("The request was spent by another call.", not_done="x"))
    assert isinstance(play(ports), Denied)
    assert "withdraw" not in ports.steps and "FORWARD" not in ports.steps


def test_a_denial_answers_the_same_command_again() -> None:
    ports = retrying(0)
    ports.opened = moved("denied", "not on a Friday")
    ending = play(ports)
    assert isinstance(ending, Denied) and "not on a Friday" in ending.message
    assert "FORWARD" not in ports.steps


SHOWN = Shown(b"{}", "b" * 64, 3)


def test_the_preview_is_made_first_and_its_digest_is_under_the_approval() -> None:
    ports = script()
    ports.shown = SHOWN
    assert play(ports) == Result("done", rows=3)


@pytest.mark.parametrize("approved", [("0" * 64, 3), ("b" * 64, 4), ("b" * 64, None), ("", None)])
def test_a5_an_approval_of_another_preview_forwards_nothing(approved: tuple[str, int | None]) -> None:
    ports = script()
    ports.shown, ports.approved_preview = SHOWN, approved
    ending = play(ports)
    assert isinstance(ending, Denied)
    assert "preview_digest" in ending.message or "most_rows" in ending.message
    assert "FORWARD" not in ports.steps


def test_a5_a_preview_that_nobody_was_shown_is_not_approved() -> None:
    ports = script()
    ports.approved_preview = ("b" * 64, None)
    assert isinstance(play(ports), Denied)
    assert "FORWARD" not in ports.steps


def test_a_caller_that_goes_while_its_preview_is_made_leaves_nothing_open() -> None:
    ports = script()
    ports.shown = CallerGone("the caller hung up")
    assert isinstance(play(ports), Withdrawn)
    assert "open" not in ports.steps
