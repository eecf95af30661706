"""Handing over: every step may be lost or doubled, and the same Seal comes of it; a forged one deletes nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_agent.control.identity import pinned
from edge_agent.recorder.journal import Journal
from edge_agent.recorder.scan import Damaged, scan
from edge_agent.recorder.segments import list_segments
from edge_agent.recorder.uploader import Uploader
from tests.edge_agent.control.edges import TestEdge, edge_with
from tests.edge_agent.control.fake_control import FakeControl, key_list
from tests.edge_agent.recorder.journals import EDGE, NOW, READ, SETTINGS, journal_in, session_key
from twokeys.errors import Conflict, Refused, TwokeysError, Unavailable
from twokeys.segment_files import split_bodies
from twokeys.verify_chain import StoredSegment, Trust, verify_source

SEGMENTS = [f"edge-1-{first:012d}" for first in (1, 4, 7)]


@asynccontextmanager
async def recorded(folder: Path, fake: FakeControl) -> AsyncIterator[tuple[Journal, TestEdge]]:
    """Three closed segments of three records, each with a body of a session of its own."""
    journal = journal_in(folder / "journal")
    async with edge_with(folder / "state", fake, head=lambda: journal.durable_head) as edge:
        if journal.head.sequence == 0:
            for session in range(3):
                key = session_key(f"ses-{session}")
                for _ in range(3):
                    await journal.append_durable(READ, b"body", key)
                journal.close_segment()
            await journal.append_durable(READ)
        yield journal, edge
        await journal.close()


def uploader(journal: Journal, edge: TestEdge, **changes: int) -> Uploader:
    return Uploader(
        journal,
        edge.client,
        edge.http,
        lambda: pinned(key_list()),
        dataclasses.replace(SETTINGS, **changes),
        5.0,
        lambda: NOW,
    )


def whole(fake: FakeControl, folder: Path) -> int:
    """How many records an auditor verifies in what the fake stored."""
    segments = [
        StoredSegment(
            name,
            (folder / f"{name}.seal.json").read_bytes(),
            fake.stored[f"/put/lines/{name}"],
            fake.stored.get(f"/put/bodies/{name}"),
        )
        for name in sorted(set(fake.seal_names))
    ]
    result = verify_source(EDGE, segments, Trust(pinned(key_list())))
    assert result.whole, result.flaw
    return result.records


def test_segments_are_handed_over_in_order_and_an_auditor_finds_them_whole(tmp_path: Path) -> None:
    async def play() -> None:
        async with recorded(tmp_path, FakeControl()) as (journal, edge):
            await uploader(journal, edge).hand_over()
            assert edge.fake.seal_names == SEGMENTS
            assert whole(edge.fake, tmp_path / "journal") == 9
            assert sorted(edge.fake.keys) == ["ses-0", "ses-1", "ses-2"]
            for number, name in enumerate(SEGMENTS):
                calls = edge.fake.calls
                assert calls.index(f"POST /v1/sessions/ses-{number}/key") < calls.index(f"PUT /put/lines/{name}")
                assert len(list(split_bodies(edge.fake.stored[f"/put/bodies/{name}"]))) == 3
            assert not list((tmp_path / "journal").glob("*.journal"))
            before = len(edge.fake.calls)
            await uploader(journal, edge).hand_over()
            assert len(edge.fake.calls) == before

    asyncio.run(play())


STEPS = ["/v1/sessions", "/v1/uploads", "/put/lines", "/put/bodies", "/v1/segments"]


@pytest.mark.parametrize("fault", ["lose_call", "lose_answer", "500"])
@pytest.mark.parametrize("step", STEPS)
def test_a_restart_at_any_step_ends_in_the_same_seals(tmp_path: Path, step: str, fault: str) -> None:
    fake = FakeControl()

    async def play(*, fails: bool) -> None:
        async with recorded(tmp_path, fake) as (journal, edge):
            if fails:
                fake.fail(step, fault)
                with pytest.raises(Unavailable):
                    await uploader(journal, edge).hand_over()
            else:
                await uploader(journal, edge).hand_over()

    asyncio.run(play(fails=True))
    asyncio.run(play(fails=False))
    assert sorted(set(fake.seal_names)) == [*SEGMENTS, "edge-1-000000000010"]
    assert whole(fake, tmp_path / "journal") == 10
    assert scan(tmp_path / "journal", EDGE, pinned(key_list())).head.sequence == 10


def test_a_restart_between_any_two_files_is_harmless(tmp_path: Path) -> None:
    """A crash after the seal was written and before the journal went, or with a half written file lying about."""

    async def play() -> None:
        async with recorded(tmp_path, FakeControl()) as (journal, edge):
            folder = tmp_path / "journal"
            kept = (folder / f"{SEGMENTS[0]}.journal").read_bytes()
            await uploader(journal, edge).hand_over()
            (folder / f"{SEGMENTS[0]}.journal").write_bytes(kept)
            (folder / f"{SEGMENTS[1]}.lines.gz.tmp").write_bytes(b"half")
            (folder / f"{SEGMENTS[2]}.lines.gz").write_bytes(b"half")

    asyncio.run(play())
    assert scan(tmp_path / "journal", EDGE).head.sequence == 10
    assert not (tmp_path / "journal" / f"{SEGMENTS[0]}.journal").exists()
    assert not list((tmp_path / "journal").glob("*.tmp"))


def test_a_broken_packed_file_is_packed_again(tmp_path: Path) -> None:
    async def play() -> None:
        async with recorded(tmp_path, FakeControl()) as (journal, edge):
            (tmp_path / "journal" / f"{SEGMENTS[0]}.lines.gz").write_bytes(b"half")
            await uploader(journal, edge).hand_over()
            assert whole(edge.fake, tmp_path / "journal") == 9

    asyncio.run(play())


@pytest.mark.parametrize("forgery", ["other key", "approval key", "other hash", "other end", "other source"])
def test_a_forged_seal_is_refused_told_and_deletes_nothing(tmp_path: Path, forgery: str) -> None:
    async def play() -> None:
        async with recorded(tmp_path, FakeControl()) as (journal, edge):
            fake = edge.fake
            fake.seal_with = {"other key": "seal-other", "approval key": "approval"}.get(forgery, "seal")
            change = {
                "other hash": {"last_hash": "0" * 64},
                "other end": {"last_seq": 2},
                "other source": {"source": "edge-2", "segment": "edge-2-000000000001"},
            }.get(forgery, {})
            fake.change_seal = lambda seal: dataclasses.replace(seal, **change)  # type: ignore[arg-type]
            with pytest.raises(Refused):
                await uploader(journal, edge, keep_seconds=0).hand_over()
            (first, *_) = list_segments(tmp_path / "journal", EDGE)
            assert {"journal", "bodies"} <= first.parts and "seal.json" not in first.parts
            assert len(fake.seal_names) == 1, "the next ones wait"
            fake.seal_with, fake.change_seal = "seal", lambda seal: seal
            await uploader(journal, edge).hand_over()
            assert whole(fake, tmp_path / "journal") == 9

    asyncio.run(play())


def test_something_else_stored_under_our_name_is_a_conflict(tmp_path: Path) -> None:
    async def play() -> None:
        async with recorded(tmp_path, FakeControl()) as (journal, edge):
            edge.fake.stored[f"/put/lines/{SEGMENTS[0]}"] = b"another edge's"
            with pytest.raises(Conflict):
                await uploader(journal, edge).hand_over()
            assert edge.fake.seal_names == []

    asyncio.run(play())


def test_what_is_old_enough_is_deleted_but_the_newest_seal_stays(tmp_path: Path) -> None:
    async def play() -> None:
        async with recorded(tmp_path, FakeControl()) as (journal, edge):
            for _ in range(2):
                await uploader(journal, edge, keep_seconds=1).hand_over()
            assert all("bodies" in one.parts for one in list_segments(tmp_path / "journal", EDGE)[:3])
            await uploader(journal, edge, keep_seconds=0).hand_over()
            left = list_segments(tmp_path / "journal", EDGE)
            assert [(one.id, sorted(one.parts)) for one in left] == [
                (SEGMENTS[2], ["seal.json"]),
                ("edge-1-000000000010", ["journal.open"]),
            ]

    asyncio.run(play())
    assert scan(tmp_path / "journal", EDGE, pinned(key_list())).head.sequence == 10


def test_a_local_seal_that_was_changed_stops_the_start(tmp_path: Path) -> None:
    async def play() -> None:
        async with recorded(tmp_path, FakeControl()) as (journal, edge):
            await uploader(journal, edge).hand_over()

    asyncio.run(play())
    path = tmp_path / "journal" / f"{SEGMENTS[0]}.seal.json"
    value = json.loads(path.read_bytes())
    for name, other in (("last_hash", "0" * 64), ("last_seq", 2), ("previous_hash", "0" * 64)):
        path.write_text(json.dumps({**value, "seal": {**value["seal"], name: other}}))
        with pytest.raises((Damaged, Refused)):
            scan(tmp_path / "journal", EDGE)
        with pytest.raises(Refused):
            scan(tmp_path / "journal", EDGE, pinned(key_list()))
    path.write_bytes(b"{")
    with pytest.raises(TwokeysError):
        scan(tmp_path / "journal", EDGE)


def test_it_goes_on_by_itself_after_trouble_and_tells_what_will_not_pass(tmp_path: Path) -> None:
    async def play() -> None:
        async with recorded(tmp_path, FakeControl()) as (journal, edge):
            told: list[str] = []
            fake = edge.fake
            fake.fail("/v1/uploads", "500", "403", "403", "lose_call")
            done = asyncio.Event()
            seal = fake.change_seal

            def last(one: object) -> object:
                if len(fake.seal_names) >= 2:
                    done.set()
                return seal(one)  # type: ignore[arg-type]

            fake.change_seal = last  # type: ignore[assignment]
            worker = Uploader(
                journal,
                edge.client,
                edge.http,
                lambda: pinned(key_list()),
                dataclasses.replace(SETTINGS, segment_seconds=1, retry_seconds=1),
                5.0,
                lambda: NOW,
                told.append,
            )
            task = asyncio.create_task(worker.run())
            await asyncio.wait_for(done.wait(), 20)
            task.cancel()
            assert len(told) == 1, told

    asyncio.run(play())
