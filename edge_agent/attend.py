"""One held Command's ports: the hold of `hold.py` joined to a live session, the journal and the control plane."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

import msgspec

from edge_agent.gate import Pass
from edge_agent.hold import CallerGone, Held, Prepared, Result, Shown, Spent
from edge_agent.preview.compute import Computing
from edge_agent.preview.masking import MaskRows, ShowAll
from edge_agent.preview.question import Answered, Question
from twokeys.approval import Approval
from twokeys.digest import Json, canonical, from_base64, sha256, to_base64
from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.messages import (
    MAX_EXCERPT_BYTES,
    MAX_INLINE_COMMAND_BYTES,
    MAX_STARTS,
    OpenRequest,
    RequestStatus,
    ResultReport,
    SpendReply,
    SpendRequest,
)
from twokeys.preview import Preview, preview_digest, read_preview, to_bytes
from twokeys.record import ChainHead, RecordType
from twokeys.signature import Signature

T = TypeVar("T")

LOOK_SECONDS = 60.0
"""How often the Edge looks by itself, should a wake-up be lost, and tells the caller how much time is left."""

GRACE_SECONDS = 5
"""How long past the deadline the Edge waits for the control plane's word before it denies by itself."""


class Control(Protocol):
    """What a hold needs of the control plane."""

    async def open(self, request: OpenRequest) -> RequestStatus:
        """Open a Request."""

    async def look(self, request_id: str) -> RequestStatus:
        """Where a Request stands."""

    async def spend(self, request_id: str, request: SpendRequest) -> tuple[SpendReply, ChainHead]:
        """Spend, once; the head is the one that the call carried."""

    async def upload_command(self, data: bytes) -> None:
        """Store a Command too long to travel inline."""

    async def until_moved(self, request_id: str, seconds: float) -> bool:
        """Return True when this Request may have moved, False after these seconds without word."""

    def leave(self, request_id: str) -> None:
        """This connection waits no more; the Request goes on."""

    def later_withdraw(self, request_id: str, reason: str) -> None:
        """Withdraw in the background, until it is taken."""

    def later_report(self, request_id: str, report: ResultReport) -> None:
        """Report in the background, until it is taken."""


class LiveSession(Protocol):
    """What a hold needs of the session it happened in. Waits raise CallerGone."""

    @property
    def locks(self) -> tuple[str, ...]:
        """What its open transaction keeps locked, as of the last `fingerprint`."""

    async def fingerprint(self) -> str:
        """Ask the server what the session means now."""

    async def ask(self, question: Question) -> Answered:
        """Ask a question of a preview, which leaves nothing behind."""

    async def prepare(self) -> Prepared:
        """Bring the server to where the Command can be forwarded."""

    async def forward(self, permission: Pass) -> Result:
        """Forward, once, and wait for the outcome."""

    async def abort(self) -> None:
        """Undo `prepare`."""

    def notice(self, text: str) -> None:
        """Tell the caller something."""

    def heartbeat(self) -> None:
        """Send the caller something it does not see, against idle timeouts."""

    async def gone(self) -> str:
        """Return when the caller has hung up or cancelled, saying which."""

    async def record(self, kind: RecordType, fields: dict[str, Json], body: bytes | None) -> None:
        """Append a Record of this session and return when it is on disk."""


@dataclass(slots=True)
class Attendant:
    """Implements `edge_agent.hold.HoldPorts` for one held Command."""

    held: Held
    session: LiveSession
    control: Control
    heartbeat_seconds: float
    mask: MaskRows = field(default_factory=ShowAll)

    async def preview(self, held: Held) -> Shown:
        """See HoldPorts. Whatever fails says so in it: a Command is not denied for what nobody could show."""
        action = held.classification.kind
        try:
            data = to_bytes(await Computing(self.session, self.mask).preview(held.command, action))
        except TwokeysError:
            data = to_bytes(Preview(action=action[:256], why=["It could not be made."]))
        return Shown(data, preview_digest(data), read_preview(data).rows)

    async def fingerprint(self) -> str:
        """See HoldPorts."""
        return await self.session.fingerprint()

    async def record(self, kind: RecordType, fields: dict[str, Json], *, body: bool = False) -> None:
        """See HoldPorts."""
        held = self.held
        whole: dict[str, Json] = {
            "request": held.request_id,
            "kind": held.classification.kind,
            "effect": held.classification.effect.word,
            "statement": held.classification.normalised,
            "text_digest": held.command.text_digest,
            "objects": list(accesses(held)),
            "policies": list(held.decision.policies),
            "bundle": held.decision.revision,
            "in_transaction": held.in_transaction,
            **fields,
        }
        await self.session.record(kind, whole, canonical(held.command.to_json()) if body else None)

    async def open(self, held: Held, digest: str, fingerprint: str) -> RequestStatus:
        """See HoldPorts."""
        command = canonical(held.command.to_json())
        inline = len(command) <= MAX_INLINE_COMMAND_BYTES
        if not inline:
            await self._unless_gone(self.control.upload_command(command))
        request = _open_request(held, digest, fingerprint, command, inline=inline)
        if locks := self.session.locks:
            request = msgspec.structs.replace(request, locks=list(locks))
            self.session.notice(f"twokeys: while it is held, your transaction keeps locks: {', '.join(locks)}")
        status = await self._unless_gone(self.control.open(request))
        if status.id != held.request_id:
            fields: dict[str, Json] = {"outcome": "joined", "reason": f"goes on as {status.id}"}
            await self.record(RecordType.DECISION, fields)
            self.held = replace(held, request_id=status.id)
        return status

    async def tell(self, text: str) -> None:
        """See HoldPorts."""
        self.session.notice(f"twokeys: {text}")

    async def moved(self, held: Held, seconds: int) -> RequestStatus:
        """See HoldPorts. Deadlines here are monotonic; the control plane's own clock decides."""
        clock = asyncio.get_running_loop().time
        # A retry grant's connection only stops waiting: nothing ends then that the control plane should have ended.
        grace = GRACE_SECONDS if held.wait_seconds is None else 0
        end, next_look = clock() + seconds + grace, clock() + LOOK_SECONDS
        while True:
            left = end - clock()
            if left <= 0:
                return RequestStatus(id=held.request_id, state="pending")
            wait = min(left, self.heartbeat_seconds)
            woken = await self._unless_gone(self.control.until_moved(held.request_id, wait))
            self.session.heartbeat()
            if not woken and clock() < min(next_look, end - grace):
                continue
            try:
                status = await self._unless_gone(self.control.look(held.request_id))
            except Unavailable:
                # The control plane may come back before the deadline; silence until then is a denial.
                await self._unless_gone(asyncio.sleep(min(1.0, max(0.0, end - clock()))))
                continue
            if status.state != "pending":
                return status
            if clock() >= next_look:
                next_look = clock() + LOOK_SECONDS
                self.session.notice(f"twokeys: still held: request {held.request_id}, {status.seconds_left} s left")

    async def prepare(self) -> Prepared:
        """See HoldPorts."""
        return await self.session.prepare()

    async def spend(self, held: Held, digest: str, xid: str) -> Spent:
        """See HoldPorts. Not retried: without a reply nothing is forwarded."""
        nonce = secrets.token_hex(16)
        reply, head = await self.control.spend(
            held.request_id, SpendRequest(nonce=nonce, command_digest=digest, xid=xid)
        )
        return Spent(_approval(reply), Signature(reply.key_id, from_base64(reply.signature)), nonce, head)

    async def forward(self, permission: Pass) -> Result:
        """See HoldPorts."""
        return await self.session.forward(permission)

    async def abort(self) -> None:
        """See HoldPorts."""
        await self.session.abort()

    async def leave(self, held: Held) -> None:
        """See HoldPorts. `self.held` names the Request that was joined."""
        self.control.leave(self.held.request_id)

    async def withdraw(self, held: Held, reason: str) -> None:
        """See HoldPorts."""
        self.control.later_withdraw(held.request_id, reason)

    async def report(self, held: Held, report: ResultReport) -> None:
        """See HoldPorts."""
        self.control.later_report(held.request_id, report)

    async def _unless_gone(self, work: Coroutine[object, object, T]) -> T:
        """Wait for the work, unless the caller goes first: a hang-up overtakes everything."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.session.gone())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise CallerGone(gone.result())
            return task.result()
        finally:
            gone.cancel()
            task.cancel()


def accesses(held: Held) -> list[str]:
    """The objects touched, as the wire and the audit table spell them."""
    return [access.spelled for access in held.classification.accesses]


def _open_request(held: Held, digest: str, fingerprint: str, command: bytes, *, inline: bool) -> OpenRequest:
    return OpenRequest(
        id=held.request_id,
        target=held.target,
        database=held.database,
        session=held.session_id,
        caller=held.caller.id,
        caller_kind=held.caller.kind.value,
        sponsor=held.caller.sponsor,
        groups=list(held.caller.groups),
        client=held.client[:256],
        command_digest=digest,
        fingerprint=fingerprint,
        command_sha256=sha256(command),
        command_bytes=len(command),
        command=to_base64(command) if inline else None,
        types=list(held.types),
        starts=list(held.starts[:MAX_STARTS]),
        excerpt=_excerpt(held.command.text),
        statement=held.classification.normalised,
        kind=held.classification.kind,
        protocol=held.command.protocol.value,
        certain=held.classification.certain,
        statements=held.classification.statements,
        accesses=accesses(held),
        reasons=list(held.classification.reasons),
        policies=list(held.decision.policies),
        requirement=held.decision.requirement,
        bundle=held.decision.revision,
        hold_seconds=held.hold_seconds,
        in_transaction=held.in_transaction,
        retry=held.wait_seconds is not None,
        preview=to_base64(held.preview.data) if held.preview else "",
        preview_digest=held.preview.digest if held.preview else "",
        most_rows=held.preview.rows if held.preview else None,
    )


def _excerpt(text: bytes) -> str:
    # The wire limits characters; a cut inside a character is dropped, never replaced.
    return text[:MAX_EXCERPT_BYTES].decode("utf-8", "ignore")


_APPROVAL_FIELDS: Final = frozenset(
    (
        "request_id",
        "edge_id",
        "nonce",
        "command_digest",
        "requirement",
        "approvers",
        "chain_sequence",
        "chain_hash",
    )
)


def _approval(reply: SpendReply) -> Approval:
    fields = reply.approval
    try:
        if not _APPROVAL_FIELDS <= fields.keys() <= _APPROVAL_FIELDS | {"preview_digest", "most_rows", "grant"}:
            raise InvalidInput("An approval has other fields than it should.", not_done="It was not used.")
        return Approval(**{**fields, "approvers": tuple(fields["approvers"])})
    except (KeyError, TypeError) as error:
        raise Refused(
            "An approval is malformed.", not_done="The command was not forwarded.", code="malformed_approval"
        ) from error
