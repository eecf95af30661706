"""Staged data come back as they were, or not at all; on disk they are noise."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.net.postgres_copy import CHUNK_BYTES, IN_MEMORY_BYTES, CopyDesk, CopyRoom, StagedData
from edge_agent.net.wire import Wire
from edge_agent.protocols.postgres import events
from twokeys.copy_data import MAX_HEAD_BYTES, CopyData, CopyFormat
from twokeys.errors import Unavailable

LONG = b"sample row\n" * (IN_MEMORY_BYTES // 4)


def copied(data: bytes) -> CopyData:
    return CopyData(hashlib.sha256(data).hexdigest(), len(data), CopyFormat.TEXT, data[:MAX_HEAD_BYTES])


class Core:
    """A session core that takes data for ticket 7, as long as it wants to."""

    def __init__(self, takes: int = 2**40) -> None:
        self.takes, self.got, self.ended, self.refused = takes, b"", [""][:0], ""

    def send_data(self, ticket: int, data: bytes) -> bool:
        if len(self.got) >= self.takes:
            return False
        self.got += data
        return ticket == 7

    def end_data(self, ticket: int, failure: str = "") -> None:
        self.ended.append(failure)

    def refuse_data(self, reason: str) -> None:
        self.refused = reason


def desk(core: Core, room: CopyRoom, work: list[Coroutine[Any, Any, None]]) -> CopyDesk:
    return CopyDesk(room, core, lambda: None, work.append)  # type: ignore[arg-type]


def give_back(core: Core, room: CopyRoom, staged: bytes, held: CopyData) -> CopyDesk:
    work: list[Coroutine[Any, Any, None]] = []
    one = desk(core, room, work)
    one.act(events.StageBegun(), Wire())
    one.act(events.Staged([staged[:5], staged[5:]]), Wire())
    one.hold(7, held)
    one.act(events.SendStaged(7), Wire())
    asyncio.run(work[0])
    return one


@pytest.mark.parametrize("data", [b"", b"1\tone\n", LONG])
def test_what_was_staged_is_given_back_and_then_forgotten(tmp_path: Path, data: bytes) -> None:
    core, room = Core(), CopyRoom(tmp_path)
    one = give_back(core, room, data, copied(data))
    assert (core.got, core.ended, room.used) == (data, [""], len(data))
    one.forget(8)
    assert room.used == len(data)
    one.forget(7)
    assert room.used == 0


def test_w5_other_data_than_those_held_end_in_a_failure(tmp_path: Path) -> None:
    core = Core()
    give_back(core, CopyRoom(tmp_path), LONG, copied(LONG[:-1] + b"!")).close()
    assert core.ended == ["twokeys: the staged data are not the ones that were held"]


def test_w5_data_that_are_gone_end_in_a_failure(tmp_path: Path) -> None:
    core, work = Core(), list[Coroutine[Any, Any, None]]()
    one = desk(core, CopyRoom(tmp_path), work)
    one.act(events.SendStaged(7), Wire())
    asyncio.run(work[0])
    assert core.got == b"" and core.ended[0]


def test_a_server_that_takes_no_more_gets_no_more(tmp_path: Path) -> None:
    core = Core(takes=CHUNK_BYTES)
    give_back(core, CopyRoom(tmp_path), LONG, copied(LONG)).close()
    assert (len(core.got), core.ended) == (CHUNK_BYTES, [])


def test_w5_what_passed_through_is_told_once_for_its_record() -> None:
    one = desk(Core(), CopyRoom(), [])
    one.hold(7, None)
    assert one.body() is None
    one.act(events.Copied(7, copied(LONG)), Wire())
    assert json.loads(one.body() or b"")["copy"]["sha256"] == hashlib.sha256(LONG).hexdigest()
    assert one.body() is None


@given(st.lists(st.binary(max_size=100), max_size=8))
def test_any_pieces_come_back_whole(pieces: list[bytes]) -> None:
    staged = StagedData(CopyRoom())
    for piece in pieces:
        staged.write(piece)
    assert b"".join(staged.read()) == b"".join(pieces) == b"".join(staged.read())
    staged.close()


def test_on_disk_they_are_noise_without_a_name(tmp_path: Path) -> None:
    staged = StagedData(CopyRoom(tmp_path))
    staged.write(LONG)
    staged._file.flush()
    kept = Path(f"/proc/self/fd/{staged._file.fileno()}").read_bytes()
    assert len(kept) == len(LONG) and b"sample" not in kept
    assert list(tmp_path.iterdir()) == []
    staged.close()


@pytest.mark.parametrize("room", [CopyRoom(most=10), CopyRoom(low=2**60)])
def test_without_room_the_copy_is_refused_and_nothing_kept(room: CopyRoom) -> None:
    core = Core()
    one = desk(core, room, [])
    one.act(events.StageBegun(), Wire())
    one.act(events.Staged([b"12345"]), Wire())
    one.act(events.Staged([b"123456"]), Wire())
    assert core.refused and room.used == 0
    staged = StagedData(room)
    with pytest.raises(Unavailable):
        staged.write(b"12345678901")
    staged.close()
