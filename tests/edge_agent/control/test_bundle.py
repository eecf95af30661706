"""The Bundle: only signed ones, only forward, and what its age permits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from edge_agent.control.bundle import BUNDLE_FILE, BundleKeeper, Known
from edge_agent.control.clock import ControlClock
from edge_agent.control.identity import EdgeState
from tests.edge_agent.control.edges import TestEdge, edge_with
from tests.edge_agent.control.fake_control import bundle, key_list, signed
from tests.edge_agent.recorder.journals import NOW
from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.messages import SignedBundle

SECOND = NOW // 1000
STALE = 100


def keeper(edge: TestEdge) -> BundleKeeper:
    return BundleKeeper(edge.folder, edge.clock, STALE)


def test_a_pulled_bundle_is_kept_over_a_restart(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            seen: list[Known] = []
            first = BundleKeeper(edge.folder, edge.clock, STALE, seen.append)
            assert first.standing().reads_denied
            assert await first.pull(edge.client)
            assert not await first.pull(edge.client), "304"
            assert [one.bundle.revision for one in seen] == [5]
            assert first.standing() == type(first.standing())()
            again = keeper(edge)
            again.load()
            assert again.known is not None and again.known.sha256 == seen[0].sha256

    asyncio.run(play())


BAD: list[tuple[str, SignedBundle]] = [
    ("another edge's", signed(bundle(edge_id="edge-2", revision=9))),
    ("older", signed(bundle(revision=4))),
    ("same revision, issued before", signed(bundle(issued_at=SECOND - 9))),
    ("unknown key", signed(bundle(revision=9), "approval-other")),
    ("seal key", signed(bundle(revision=9), "seal")),
    ("changed", msgspec.structs.replace(signed(bundle(revision=9)), bundle=signed(bundle(revision=8)).bundle)),
    ("policy that does not validate", signed(bundle(revision=9, policies="permit(principal"))),
    ("no approval key", signed(bundle(revision=9, keys=key_list("seal")))),
    ("ends before it begins", signed(bundle(revision=9, not_after=SECOND - 1))),
    ("wrapping key", signed(bundle(revision=9, wrapping_key="AAAA"))),
    ("no base64", SignedBundle(bundle="!", key_id="x", signature="AAAA")),
]


@pytest.mark.parametrize(("why", "bad"), BAD, ids=[why for why, _ in BAD])
def test_a_bad_bundle_is_refused_and_the_good_one_stays(tmp_path: Path, why: str, bad: SignedBundle) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            first = keeper(edge)
            await first.pull(edge.client)
            good, disk = first.known, (tmp_path / BUNDLE_FILE).read_bytes()
            edge.fake.bundle = bad
            edge.clocks.pass_seconds(400)  # past its half: asked for whatever its revision
            edge.fake.time += 400_000
            with pytest.raises((Refused, InvalidInput)):
                await first.pull(edge.client)
            assert first.known is good and (tmp_path / BUNDLE_FILE).read_bytes() == disk

    asyncio.run(play())


def test_a11_a_rollback_is_refused_after_a_restart_too_even_without_the_saved_bundle(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            await keeper(edge).pull(edge.client)
            (tmp_path / BUNDLE_FILE).unlink()
            edge.fake.bundle = signed(bundle(revision=4))
            with pytest.raises(Refused, match="older"):
                await keeper(edge).pull(edge.client)

    asyncio.run(play())


def test_a_saved_bundle_that_was_changed_or_exchanged_counts_as_none(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            old = msgspec.json.encode(signed(bundle(revision=4)))
            await keeper(edge).pull(edge.client)
            for wrong in (old, b"{", b"", msgspec.json.encode(signed(bundle(), "approval-other"))):
                (tmp_path / BUNDLE_FILE).write_bytes(wrong)
                again = keeper(edge)
                again.load()
                assert again.known is None and "not used" in again.trouble
                assert again.standing().reads_denied

    asyncio.run(play())


def test_new_keys_come_only_from_a_bundle_that_a_pinned_key_signed(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            first = keeper(edge)
            edge.fake.bundle = signed(bundle(revision=6, keys=key_list("approval-new")), "approval-new")
            with pytest.raises(Refused):
                await first.pull(edge.client)
            edge.fake.bundle = signed(bundle(revision=6, keys=key_list("approval", "approval-new", "seal")))
            await first.pull(edge.client)
            edge.fake.bundle = signed(bundle(revision=7, keys=key_list("approval-new", "seal")), "approval-new")
            await first.pull(edge.client)
            edge.fake.bundle = signed(bundle(revision=8), "approval")
            with pytest.raises(Refused):
                await first.pull(edge.client)
            again = keeper(edge)
            again.load()
            assert again.known is not None and again.known.bundle.revision == 7

    asyncio.run(play())


def test_past_not_after_writes_are_denied_at_once_and_reads_when_stale(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            first = keeper(edge)
            await first.pull(edge.client)
            edge.clocks.elapsed += 599_000
            assert not first.standing().writes_denied
            edge.clocks.elapsed += 1_000
            assert first.standing().writes_denied and not first.standing().reads_denied
            edge.clocks.wall = 0
            edge.clocks.elapsed += STALE * 1000
            assert first.standing().writes_denied and first.standing().reads_denied
            edge.fake.time += 700_002
            edge.fake.bundle = signed(bundle(issued_at=SECOND + 700, not_after=SECOND + 1300))
            await first.pull(edge.client)
            assert first.standing() == type(first.standing())(), "the same revision, issued anew"

    asyncio.run(play())


def test_after_a_restart_without_the_control_plane_a_wall_clock_does_not_extend_it(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            await keeper(edge).pull(edge.client)
            state = edge.folder.state()
            assert isinstance(state, EdgeState) and state.time.control >= NOW
            for elapsed, wall, reads in (
                (10, 0, True),
                (500, 0, True),
                (710, 0, False),
                (710, -(10**6), False),
                (10, 720, False),
            ):
                clocks = type(edge.clocks)(elapsed=state.time.elapsed + elapsed * 1000, wall=NOW + wall * 1000)
                again = BundleKeeper(edge.folder, ControlClock(clocks.machine(), state.time), STALE)
                again.load()
                assert again.standing().writes_denied, "nobody vouches for the age yet"
                assert (not again.standing().reads_denied) is reads, (elapsed, wall)

    asyncio.run(play())


def test_the_loop_pulls_again_when_told_and_survives_outages(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            got: asyncio.Queue[int] = asyncio.Queue()
            first = BundleKeeper(edge.folder, edge.clock, STALE, lambda known: got.put_nowait(known.bundle.revision))
            edge.fake.fail("/v1/bundle", "500", "garbage")
            task = asyncio.create_task(first.run(edge.client, 0.05))
            assert await asyncio.wait_for(got.get(), 5) == 5
            task.cancel()
            task = asyncio.create_task(first.run(edge.client, 3600))
            await asyncio.sleep(0)
            edge.fake.bundle = signed(bundle(revision=6))
            first.soon(5)
            first.soon(6)
            assert await asyncio.wait_for(got.get(), 5) == 6
            task.cancel()

    asyncio.run(play())


@pytest.mark.parametrize(
    ("refresh", "life", "expected"), [(0, 600, 15.0), (900, 1800, 900.0), (900, 600, 300.0), (1, 1, 1.0), (7, 600, 7.0)]
)
def test_it_looks_as_often_as_the_bundle_asks_and_in_time(
    tmp_path: Path, refresh: int, life: int, expected: float
) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            edge.fake.bundle = signed(bundle(refresh_seconds=refresh, not_after=NOW // 1000 + life))
            keeper = BundleKeeper(edge.folder, edge.clock, STALE)
            assert keeper._interval() == 15.0, "there is none yet"
            await keeper.pull(edge.client)
            assert keeper._interval() == expected
            keeper.trouble = "It can't be reached."
            assert keeper._interval() == 15.0

    asyncio.run(play())


def test_a_doubt_makes_it_look_at_once_and_at_a_limited_rate(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            got: asyncio.Queue[int] = asyncio.Queue()
            keeper = BundleKeeper(edge.folder, edge.clock, STALE, lambda known: got.put_nowait(known.bundle.revision))
            task = asyncio.create_task(keeper.run(edge.client, 3600))
            assert await asyncio.wait_for(got.get(), 5) == 5
            edge.fake.bundle = signed(bundle(revision=6))
            keeper.doubted()
            assert await asyncio.wait_for(got.get(), 5) == 6
            calls = len(edge.fake.calls)
            for _ in range(100):
                keeper.doubted()
            await asyncio.sleep(0.05)
            assert len(edge.fake.calls) == calls
            task.cancel()

    asyncio.run(play())


def test_a_forged_bundle_is_told_once_and_an_outage_is_not(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            told: asyncio.Queue[str] = asyncio.Queue()
            got: asyncio.Queue[Known] = asyncio.Queue()
            first = BundleKeeper(edge.folder, edge.clock, STALE, got.put_nowait, told.put_nowait)
            good, edge.fake.bundle = edge.fake.bundle, signed(bundle(), "approval-other")
            edge.fake.fail("/v1/bundle", "500", "lose_call")
            task = asyncio.create_task(first.run(edge.client, 0.01))
            assert "trusted for approval" in await asyncio.wait_for(told.get(), 5)
            calls = len(edge.fake.calls)
            edge.fake.bundle = good
            await asyncio.wait_for(got.get(), 5)
            assert len(edge.fake.calls) > calls and told.empty()
            task.cancel()

    asyncio.run(play())


def test_a_full_disk_keeps_the_old_bundle_in_force(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path / "state") as edge:
            first = keeper(edge)
            await first.pull(edge.client)
            edge.fake.bundle = signed(bundle(revision=6))
            (tmp_path / "state" / "bundle.json.tmp").mkdir()  # no file can be written in its place
            with pytest.raises(Unavailable):
                await first.pull(edge.client)
            assert first.known is not None and first.known.bundle.revision == 5

    asyncio.run(play())


def test_a_keeper_needs_an_enrolled_folder(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            (tmp_path / "edge.json").unlink()
            with pytest.raises(TwokeysError, match="not been enrolled"):
                keeper(edge)

    asyncio.run(play())
