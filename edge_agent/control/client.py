"""Signed calls to the control plane: one method per row of the table in `twokeys.messages`.

Every call has a deadline, carries the journal's durable head, and is signed over method, path, body hash, a fresh
nonce and the estimated time. A call refused for its time alone is made once more with the time that the refusal told:
such a refusal comes before anything was done.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from edge_agent.control.clock import ControlClock
from edge_agent.control.exchange import MAX_ANSWER_BYTES, HttpAnswer, HttpCall, Transport, raise_for
from edge_agent.control.identity import Identity
from twokeys.bundle import MAX_BUNDLE_BYTES
from twokeys.digest import sha256, to_base64
from twokeys.edge_call import CALL_HEADER, SIGNATURE_HEADER, TIME_HEADER, TYPE, EdgeCall
from twokeys.errors import Refused, TwokeysError, Unavailable
from twokeys.messages import (
    Message,
    OpenItem,
    OpenList,
    OpenRequest,
    PollReply,
    PollRequest,
    RequestStatus,
    ResultReport,
    SealReply,
    SealRequest,
    SessionKey,
    SignedBundle,
    SpendReply,
    SpendRequest,
    UploadRequest,
    UploadTicket,
    WakeAccess,
    WithdrawRequest,
    decode,
    encode,
)
from twokeys.record import ChainHead
from twokeys.signature import sign

MAX_BUNDLE_ANSWER_BYTES: Final = MAX_BUNDLE_BYTES * 4 // 3 + 4096
"""A Bundle travels in base64, with its signature."""

MAX_ORPHAN_PAGES: Final = 1000
"""How often the Edge asks for more of its unfinished Requests at start."""

POLL_GRACE_SECONDS: Final = 8.0
"""How long past the end of a long poll its answer may take."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that calls may take."""

    call: float = 15.0
    bundle: float = 60.0


class ControlClient:
    """Speaks for one enrolled Edge. Every method raises Unavailable, Refused, Conflict or InvalidInput."""

    def __init__(
        self,
        identity: Identity,
        transport: Transport,
        clock: ControlClock,
        head: Callable[[], ChainHead],
        deadlines: Deadlines | None = None,
        worker: int = 0,
    ) -> None:
        """Build.

        Args:
            identity: Whose calls these are.
            transport: The socket's side.
            clock: Learns from every answer.
            head: The journal's durable head: what is told can't be taken back by a power cut.
            deadlines: Seconds that calls may take.
            worker: Which worker process of the Edge this is, 0 for none: whose chain the head is of.
        """
        self._worker = worker
        self.edge_id = identity.edge_id
        self._identity, self._transport, self._clock, self._head = identity, transport, clock, head
        self._deadlines = deadlines or Deadlines()

    async def bundle(self, have: int) -> SignedBundle | None:
        """The newest Bundle; None when it is the revision we have. With 0 it always comes."""
        answer, _ = await self._signed(
            "GET", f"/v1/bundle?have={have}", b"", self._deadlines.bundle, MAX_BUNDLE_ANSWER_BYTES
        )
        return None if answer.status == 304 else _read(SignedBundle, answer, MAX_BUNDLE_ANSWER_BYTES)

    async def open(self, request: OpenRequest) -> RequestStatus:
        """Open a Request; idempotent by its id. A retry grant may join an earlier one: the answer is about that."""
        status = await self._call("POST", "/v1/requests", request, RequestStatus)
        return status if request.retry else _about(request.id, status)

    async def poll(self, request: PollRequest) -> PollReply:
        """Wait for wake-ups."""
        return await self._call("POST", "/v1/poll", request, PollReply, request.wait_seconds + POLL_GRACE_SECONDS)

    async def wake_access(self) -> WakeAccess:
        """Where to wait for wake-ups instead, if anywhere."""
        return await self._call("POST", "/v1/wake-access", None, WakeAccess)

    async def look(self, request_id: str) -> RequestStatus:
        """Where a Request stands."""
        return _about(request_id, await self._call("GET", f"/v1/requests/{request_id}/status", None, RequestStatus))

    async def spend(self, request_id: str, request: SpendRequest) -> tuple[SpendReply, ChainHead]:
        """Ask for the Approval, once; the head is the one that this call carried."""
        answer, head = await self._signed(
            "POST", f"/v1/requests/{request_id}/spend", encode(request), self._deadlines.call
        )
        return _read(SpendReply, answer), head

    async def withdraw(self, request_id: str, request: WithdrawRequest) -> RequestStatus:
        """Nobody waits any more; idempotent."""
        return await self._call("POST", f"/v1/requests/{request_id}/withdraw", request, RequestStatus)

    async def result(self, request_id: str, report: ResultReport) -> RequestStatus:
        """What became of a spent Request; idempotent."""
        return await self._call("POST", f"/v1/requests/{request_id}/result", report, RequestStatus)

    async def orphans(self) -> list[OpenItem]:
        """One page of this Edge's unfinished Requests; withdrawn and settled ones leave it, so ask until empty."""
        return (await self._call("GET", "/v1/requests/open", None, OpenList)).requests

    async def upload(self, request: UploadRequest) -> UploadTicket:
        """Ask where to store an object."""
        return await self._call("POST", "/v1/uploads", request, UploadTicket)

    async def session_key(self, session: str, key: SessionKey) -> None:
        """Hand over a session's wrapped data key; idempotent."""
        await self._signed("POST", f"/v1/sessions/{session}/key", encode(key), self._deadlines.call)

    async def seal(self, segment: str, request: SealRequest) -> SealReply:
        """Ask for a Segment's Seal; idempotent."""
        return await self._call("POST", f"/v1/segments/{segment}/seal", request, SealReply, self._deadlines.bundle)

    async def _call(
        self, method: str, path: str, body: Message | None, kind: type[M], seconds: float | None = None
    ) -> M:
        answer, _ = await self._signed(
            method, path, encode(body) if body is not None else b"", seconds or self._deadlines.call
        )
        return _read(kind, answer)

    async def _signed(
        self, method: str, path: str, body: bytes, seconds: float, limit: int = MAX_ANSWER_BYTES
    ) -> tuple[HttpAnswer, ChainHead]:
        for last in (False, True):
            head = self._head()
            answer = await self._transport.exchange(
                HttpCall(method, path, self._headers(method, path, body, head), body, seconds, limit)
            )
            told = self._hear(answer)
            try:
                raise_for(answer)
            except Refused as refusal:
                if last or refusal.code != "clock_skew" or not told:
                    raise
                continue
            if answer.status == 304 and not path.startswith("/v1/bundle"):
                raise Unavailable("The control plane's answer makes no sense (304).", not_done="It was not used.")
            return answer, head
        raise AssertionError("unreachable")

    def _headers(self, method: str, path: str, body: bytes, head: ChainHead) -> Mapping[str, str]:
        nonce, now = secrets.token_hex(16), self._clock.now()
        call = EdgeCall(self.edge_id, method, path, sha256(body), nonce, now, head, self._worker)
        signature = sign(TYPE, call.to_json(), self._identity.key)
        headers = {CALL_HEADER: call.header(), SIGNATURE_HEADER: to_base64(signature.value)}
        if body:
            headers["Content-Type"] = "application/json"
        return headers

    def _hear(self, answer: HttpAnswer) -> bool:
        text = answer.headers.get(TIME_HEADER.lower(), "")
        if not (text.isascii() and text.isdecimal() and len(text) < 17):
            return False
        self._clock.heard(int(text))
        return True


def _read(kind: type[M], answer: HttpAnswer, limit: int = MAX_ANSWER_BYTES) -> M:
    """Read an answer; one that can't be read is as good as none."""
    try:
        return decode(kind, answer.body, limit)
    except TwokeysError as error:
        raise Unavailable(
            f"The control plane's answer can't be read: {error.happened}",
            not_done="It was not used.",
            code="bad_answer",
        ) from error


def _about(request_id: str, status: RequestStatus) -> RequestStatus:
    if status.id != request_id:
        raise Unavailable(
            "The control plane answered about another request.", not_done="It was not used.", code="bad_answer"
        )
    return status
