"""What a hold asks of the control plane (`edge_agent.attend.Control`): the client, the waker, and word that must
arrive sooner or later.

Withdrawals and reports are sent in the background, one after the other, until each is taken or refused. They are kept
in memory only: after a crash the control plane's list of unfinished Requests says the same (`settle_orphans`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from edge_agent.control.client import MAX_ORPHAN_PAGES, ControlClient
from edge_agent.control.waker import Waker
from twokeys.digest import sha256
from twokeys.errors import TwokeysError, Unavailable
from twokeys.messages import (
    OpenItem,
    OpenRequest,
    RequestStatus,
    ResultReport,
    SpendReply,
    SpendRequest,
    UploadRequest,
    UploadTicket,
    WithdrawRequest,
)
from twokeys.record import ChainHead
from twokeys.request import State

MAX_WITHDRAWALS: Final = 10_000
"""Withdrawals that wait to be told. Beyond, the oldest is dropped: its Request ends by its own deadline."""

MAX_OPENED: Final = 20_000
"""Own Requests remembered: more than an Edge can have unfinished."""

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 30.0


class PutsBytes(Protocol):
    """Uploads; see `edge_agent.net.http`."""

    async def put_bytes(self, url: str, headers: dict[str, str], data: bytes, seconds: float) -> bool:
        """Upload once; False when something is there already."""


OTHER_RULES: Final = frozenset(("stale_bundle", "policy_denied", "unknown_caller", "no_sponsor"))
"""Refusals of a Request that our own Bundle would have made itself, were it the one in force."""


class Liaison:
    """Implements `edge_agent.attend.Control`. `run` is one task for the Edge's life."""

    def __init__(
        self,
        client: ControlClient,
        waker: Waker,
        uploads: PutsBytes,
        upload_seconds: float,
        doubted: Callable[[], None] = lambda: None,
    ) -> None:
        """Build.

        Args:
            client: Of the control plane.
            waker: Wakes who waits.
            uploads: Stores long Commands.
            upload_seconds: Longest time for one.
            doubted: Told when a Request was refused as if our Bundle were an older one.
        """
        self._doubted = doubted
        self._client, self._waker, self._uploads, self._upload_seconds = client, waker, uploads, upload_seconds
        self._reports: dict[str, ResultReport] = {}
        self._withdrawals: dict[str, WithdrawRequest] = {}
        self._opened: dict[str, None] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def open(self, request: OpenRequest) -> RequestStatus:
        """Open a Request, and watch it."""
        self._waker.watch(request.id)
        self._opened[request.id] = None
        if len(self._opened) > MAX_OPENED:
            del self._opened[next(iter(self._opened))]
        try:
            status = await self._client.open(request)
            if status.id != request.id:
                self._waker.unwatch(request.id)
                self._waker.watch(status.id)
            return self._heard(status)
        except BaseException as error:
            self._waker.unwatch(request.id)
            if isinstance(error, TwokeysError) and error.code in OTHER_RULES:
                self._doubted()
            raise

    def opened(self, request_id: str) -> bool:
        """Whether this process opened it: then a session of ours waits for it, or has seen to it."""
        return request_id in self._opened

    def leave(self, request_id: str) -> None:
        """A connection waits for this Request no more, and the Request goes on."""
        self._waker.unwatch(request_id)

    async def look(self, request_id: str) -> RequestStatus:
        """Where a Request stands."""
        return self._heard(await self._client.look(request_id))

    async def until_moved(self, request_id: str, seconds: float) -> bool:
        """True when this Request may have moved, False after these seconds without word."""
        return await self._waker.until_moved(request_id, seconds)

    async def spend(self, request_id: str, request: SpendRequest) -> tuple[SpendReply, ChainHead]:
        """Spend, once; the head is the one that the call carried."""
        return await self._client.spend(request_id, request)

    async def upload_command(self, data: bytes) -> None:
        """Store a Command too long to travel inline; it is named by its hash, so twice is once."""
        name = sha256(data)
        ask = UploadRequest(kind="command", name=name, sha256=name, length=len(data))
        ticket: UploadTicket = await self._client.upload(ask)
        if ticket.exists or await self._uploads.put_bytes(ticket.url, dict(ticket.headers), data, self._upload_seconds):
            return
        if not (await self._client.upload(ask)).exists:
            raise Unavailable(
                "The command's upload was refused as existing, and does not exist.",
                not_done="The request was not opened.",
                code="upload_failed",
            )

    def later_withdraw(self, request_id: str, reason: str) -> None:
        """Withdraw in the background."""
        self._waker.unwatch(request_id)
        self._withdrawals[request_id] = WithdrawRequest(reason=reason[:8192])
        while len(self._withdrawals) > MAX_WITHDRAWALS:
            self._withdrawals.pop(next(iter(self._withdrawals)))
        self._wake()

    def later_report(self, request_id: str, report: ResultReport) -> None:
        """Report in the background."""
        self._waker.unwatch(request_id)
        self._reports[request_id] = report
        self._wake()

    async def told(self) -> None:
        """Return when nothing waits to be told: for an orderly end."""
        await self._idle.wait()

    async def run(self) -> None:
        """Tell what waits, reports first; for ever."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            await self._work.wait()
            try:
                await self._tell_next()
                pause = FIRST_PAUSE_SECONDS
            except TwokeysError:
                await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter, no secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _tell_next(self) -> None:
        if self._reports:
            request_id, report = next(iter(self._reports.items()))
            await _unless_refused(self._client.result(request_id, report))
            if self._reports.get(request_id) is report:
                del self._reports[request_id]
        elif self._withdrawals:
            request_id, withdrawal = next(iter(self._withdrawals.items()))
            await _unless_refused(self._client.withdraw(request_id, withdrawal))
            self._withdrawals.pop(request_id, None)
        if not self._reports and not self._withdrawals:
            self._work.clear()
            self._idle.set()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()

    def _heard(self, status: RequestStatus) -> RequestStatus:
        if status.state != State.PENDING:
            self._waker.unwatch(status.id)
        return status


async def _unless_refused(call: Awaitable[RequestStatus]) -> None:
    """Only what can't be reached is tried again; a refusal is an answer."""
    try:
        await call
    except Unavailable:
        raise
    except TwokeysError:
        return


async def settle_orphans(
    client: ControlClient,
    outcome: Callable[[OpenItem], Awaitable[str]],
    ours: Callable[[str], bool] = lambda request_id: False,
) -> int:
    """At start: withdraw what nobody waits for any more, and settle what may have been forwarded.

    Retry grants stay: their caller comes again.

    Args:
        client: Whose Requests.
        outcome: Asked for each Request that was spent: ``done`` or ``failed`` where the server knows the transaction,
            else ``in_doubt``.
        ours: Whether a Request is this process's own, and no orphan.

    Returns:
        How many orphans were found.

    Raises:
        Unavailable: when the control plane can't be reached.
    """
    seen: set[str] = set()
    orphans = 0
    for _ in range(MAX_ORPHAN_PAGES):
        fresh = [item for item in await client.orphans() if item.id not in seen]
        if not fresh:
            break
        for item in fresh:
            seen.add(item.id)
            if ours(item.id) or (item.retry and item.state in (State.PENDING, State.APPROVED)):
                continue
            orphans += 1
            await _unless_refused(_settle(client, item, outcome))
    return orphans


async def _settle(
    client: ControlClient, item: OpenItem, outcome: Callable[[OpenItem], Awaitable[str]]
) -> RequestStatus:
    if item.state in (State.PENDING, State.APPROVED):
        return await client.withdraw(item.id, WithdrawRequest(reason="the edge was restarted"))
    word = await outcome(item)
    return await client.result(
        item.id,
        ResultReport(outcome=word, reason="settled after a restart of the edge", xid=item.xid, nonce=item.nonce),
    )
