"""A hold's word to the control plane: what must arrive does, once it can; what is refused is not tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_agent.attend import Control
from edge_agent.control.liaison import MAX_WITHDRAWALS, Liaison, settle_orphans
from edge_agent.control.waker import Waker
from tests.edge_agent.control.edges import TestEdge, edge_with
from twokeys.digest import sha256
from twokeys.errors import Refused, TwokeysError, Unavailable
from twokeys.messages import OpenItem, OpenRequest, RequestStatus, ResultReport

ONE, TWO, THREE = ("req_" + letter * 26 for letter in "abc")


def asked(request_id: str = ONE) -> OpenRequest:
    return OpenRequest(
        id=request_id,
        target="db",
        database="d",
        session="ses-1",
        caller="agent-7",
        caller_kind="machine",
        command_digest="a" * 64,
        fingerprint="e" * 64,
        command_sha256="b" * 64,
        command_bytes=1,
        excerpt="x",
        statement="x",
        kind="UPDATE",
        protocol="simple",
        certain=True,
        statements=1,
        accesses=["write:table:public.t"],
        requirement="c" * 64,
        bundle=5,
        hold_seconds=60,
    )


@asynccontextmanager
async def liaised(folder: Path) -> AsyncIterator[tuple[Liaison, TestEdge]]:
    async with edge_with(folder) as edge:
        waker = Waker(edge.client, 0.5)
        liaison: Liaison = Liaison(edge.client, waker, edge.http, 5.0)
        control: Control = liaison
        assert control is liaison
        tasks = [asyncio.create_task(waker.run()), asyncio.create_task(liaison.run())]
        try:
            yield liaison, edge
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def test_a_decision_wakes_its_hold(tmp_path: Path) -> None:
    async def play() -> None:
        async with liaised(tmp_path) as (liaison, edge):
            assert (await liaison.open(asked())).state == "pending"
            await liaison.until_moved(ONE, 2)
            edge.fake.status[ONE] = RequestStatus(id=ONE, state="approved")
            began = asyncio.get_running_loop().time()
            edge.fake.wake(ONE)
            assert await liaison.until_moved(ONE, 10)
            assert asyncio.get_running_loop().time() - began < 0.5
            assert (await liaison.look(ONE)).state == "approved"

    asyncio.run(play())


@pytest.mark.parametrize("faults", [["lose_call"], ["lose_answer"], ["500", "lose_answer", "500"]])
def test_reports_and_withdrawals_arrive_in_spite_of_losses(tmp_path: Path, faults: list[str]) -> None:
    async def play() -> None:
        async with liaised(tmp_path) as (liaison, edge):
            edge.fake.fail("/v1/requests", *faults)
            liaison.later_withdraw(ONE, "the caller hung up")
            liaison.later_report(TWO, ResultReport(outcome="done", rows=3, nonce="0" * 32))
            await asyncio.wait_for(liaison.told(), 10)
            assert edge.fake.status[ONE].state == "withdrawn" and edge.fake.status[TWO].state == "done"

    asyncio.run(play())


def test_a_refused_withdrawal_is_not_tried_again(tmp_path: Path) -> None:
    async def play() -> None:
        async with liaised(tmp_path) as (liaison, edge):
            edge.fake.fail("/v1/requests", "404", "409")
            liaison.later_withdraw(ONE, "x" * 9000)
            liaison.later_withdraw(TWO, "x")
            await asyncio.wait_for(liaison.told(), 10)
            assert len([one for one in edge.fake.calls if "withdraw" in one]) == 2
            assert edge.fake.bodies == {}

    asyncio.run(play())


def test_what_waits_to_be_told_in_an_outage_is_bounded_and_reports_are_kept(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            liaison = Liaison(edge.client, Waker(edge.client, 1.0), edge.http, 5.0)
            liaison.later_report(ONE, ResultReport(outcome="done", nonce="0" * 32))
            for number in range(MAX_WITHDRAWALS + 50):
                liaison.later_withdraw(f"req_{number}", "outage")
            assert len(liaison._withdrawals) == MAX_WITHDRAWALS and len(liaison._reports) == 1

    asyncio.run(play())


def test_an_open_that_fails_is_not_watched(tmp_path: Path) -> None:
    async def play() -> None:
        async with liaised(tmp_path) as (liaison, edge):
            for fault, kind in (("500", Unavailable), ("403", Refused)):
                edge.fake.fail("/v1/requests", fault)
                with pytest.raises(kind):
                    await liaison.open(asked())
            polls = [one for one in edge.fake.calls if "poll" in one]
            assert len(polls) <= 2
            assert await liaison.until_moved(ONE, 5), "not watched"

    asyncio.run(play())


def test_a_long_command_is_stored_once_by_its_hash(tmp_path: Path) -> None:
    async def play() -> None:
        async with liaised(tmp_path) as (liaison, edge):
            data = b"update" * 100_000
            await liaison.upload_command(data)
            await liaison.upload_command(data)
            assert edge.fake.stored == {f"/put/command/{sha256(data)}": data}
            edge.fake.stored[f"/put/command/{sha256(b'y')}"] = b"something else"
            with pytest.raises(TwokeysError):
                await liaison.upload_command(b"y")

    asyncio.run(play())


def test_orphans_are_withdrawn_or_settled_at_start(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            for request_id, state in ((ONE, "pending"), (TWO, "approved"), (THREE, "spending")):
                edge.fake.status[request_id] = RequestStatus(id=request_id, state=state)
            asked_about: list[OpenItem] = []

            async def outcome(item: OpenItem) -> str:
                asked_about.append(item)
                return "done"

            assert await settle_orphans(edge.client, outcome) == 3
            assert {one.id: one.state for one in edge.fake.status.values()} == {
                ONE: "withdrawn",
                TWO: "withdrawn",
                THREE: "done",
            }
            assert [(one.id, one.xid) for one in asked_about] == [(THREE, "7")]
            assert edge.fake.bodies[f"result {THREE}"][0]["nonce"] == "0" * 32

    asyncio.run(play())


def test_retry_grants_and_the_requests_of_this_process_are_no_orphans(tmp_path: Path) -> None:
    async def play() -> None:
        async with liaised(tmp_path) as (liaison, edge):
            await liaison.open(asked(ONE))
            for request_id in (TWO, THREE):
                edge.fake.status[request_id] = RequestStatus(id=request_id, state="pending")
            edge.fake.retry.add(TWO)

            async def outcome(item: OpenItem) -> str:
                raise AssertionError(item)

            assert await settle_orphans(edge.client, outcome, liaison.opened) == 1
            states = {one.id: one.state for one in edge.fake.status.values()}
            assert states == {ONE: "pending", TWO: "pending", THREE: "withdrawn"}

    asyncio.run(play())


def test_a_request_that_is_joined_is_watched_until_each_has_left(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            waker = Waker(edge.client, 60.0)
            waker.watch(ONE)
            waker.watch(ONE)
            waker.unwatch(ONE)
            assert await waker.until_moved(ONE, 5), "who stays looks"
            waker.works = True
            assert not await waker.until_moved(ONE, 0.01)
            waker.unwatch(ONE)
            waker.unwatch(ONE)
            assert await waker.until_moved(ONE, 5), "not watched"

    asyncio.run(play())
