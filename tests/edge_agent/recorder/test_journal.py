"""The journal on a real disk: what was acknowledged is there, and what can't be written is not acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edge_agent.recorder.bodies import KeyLine
from edge_agent.recorder.journal import Journal
from tests.edge_agent.recorder.journals import EDGE, READ, journal_in, session_key, unwrapped
from twokeys.body import decrypt
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys.record import ChainHead, extend, genesis
from twokeys.segment_files import split_bodies


def shut(journal: Journal) -> None:
    asyncio.run(journal.close())


def lines_in(folder: Path) -> list[bytes]:
    """The canonical lines of all segments in order, chain verified by hand."""
    found, head = [], genesis(EDGE)
    for path in sorted(folder.glob("*.journal*")):
        if path.name == "journal.lock":
            continue
        # What is reserved and not used reads as zeros.
        first, *rest = path.read_bytes().rstrip(b"\0").splitlines()
        assert first == head.hash.encode()
        for line in rest:
            head = extend(head, line[65:])
            assert line[:64] == head.hash.encode()
            found.append(line[65:])
    return found


def test_a_record_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    head = journal.append(READ)
    (line,) = lines_in(tmp_path)
    value = json.loads(line)
    assert value == {**READ, "seq": 1, "source": EDGE, "time": "2026-11-18T11:06:40.123Z"}
    assert head == journal.head == extend(genesis(EDGE), line)
    assert journal.durable_head == genesis(EDGE)
    shut(journal)


def test_the_chain_goes_on_after_a_restart_in_a_new_segment(tmp_path: Path) -> None:
    heads: list[ChainHead] = []
    for _ in range(3):
        journal = journal_in(tmp_path)
        assert not heads or journal.durable_head == heads[-1]
        journal.append(READ)
        heads.append(journal.append(READ))
        shut(journal)
    assert len(lines_in(tmp_path)) == 6
    assert [path.name for path in sorted(tmp_path.glob("*.journal"))] == [
        f"edge-1-{first:012d}.journal" for first in (1, 3, 5)
    ]
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_bodies_are_encrypted_for_their_place_and_the_key_is_saved_before_them(tmp_path: Path) -> None:
    journal, key = journal_in(tmp_path), session_key()
    journal.append(READ)
    for text in (b'{"text":"select 1"}', b'{"text":"select 2"}'):
        journal.append({**READ, "session": "ses-1"}, text, key)
    shut(journal)
    assert b"select" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    (key_line,) = (tmp_path / "edge-1-000000000001.keys").read_bytes().splitlines()
    cipher = unwrapped(msgspec.json.decode(key_line, type=KeyLine))
    frames = list(split_bodies((tmp_path / "edge-1-000000000001.bodies").read_bytes()))
    assert [decrypt(cipher, "ses-1", frame.sequence, frame.ciphertext) for frame in frames] == [
        b'{"text":"select 1"}',
        b'{"text":"select 2"}',
    ]
    assert [frame.sequence for frame in frames] == [2, 3]


def test_what_the_journal_itself_writes_nobody_else_can(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    for field in (
        {"seq": 9},
        {"source": "other"},
        {"time": "x"},
        {"body_sha256": "a" * 64},
        {"other": "x"},
        {"type": 1},
        {"type": ""},
        {"rows": -1},
        {"rows": True},
        {"rows": 2**53},
        {"objects": [1]},
        {"objects": "x"},
        {"in_transaction": 1},
        {"reason": None},
        {"reason": "\ud800"},
    ):
        with pytest.raises(InvalidInput):
            journal.append({**READ, **field})
    with pytest.raises(InvalidInput):
        journal.append({"effect": "read"})
    with pytest.raises(InvalidInput):
        journal.append(READ, b"a body without a key")
    assert journal.head == genesis(EDGE)
    assert lines_in(tmp_path) == []
    shut(journal)


def test_a_body_over_the_limit_is_refused_and_the_journal_goes_on(tmp_path: Path) -> None:
    journal, key = journal_in(tmp_path, max_body_bytes=1024), session_key()
    with pytest.raises(InvalidInput):
        journal.append(READ, b"x" * 1025, key)
    journal.append(READ, b"x" * 1024, key)
    shut(journal)


def test_only_one_process_writes(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    with pytest.raises(Refused, match="Another process"):
        journal_in(tmp_path)
    shut(journal)
    shut(journal_in(tmp_path))


def test_segments_close_by_size_and_by_age(tmp_path: Path) -> None:
    journal = journal_in(tmp_path, segment_bytes=1000)
    for _ in range(20):
        journal.append(READ)
    shut(journal)
    assert len(list(tmp_path.glob("*.journal"))) > 3
    assert len(lines_in(tmp_path)) == 20

    async def by_age() -> None:
        aged = journal_in(tmp_path, segment_seconds=0)
        before = len(aged.closed_segments())
        await aged.append_durable(READ)
        aged.close_segment(even_if_young=False)
        aged.close_segment(even_if_young=False)
        await aged.append_durable(READ)
        assert len(aged.closed_segments()) == before + 1
        await aged.close()

    asyncio.run(by_age())


def test_a_durable_append_moves_the_durable_head(tmp_path: Path) -> None:
    async def play() -> None:
        journal = journal_in(tmp_path)
        first = journal.append(READ)
        assert journal.durable_head.sequence == 0
        second = await journal.append_durable(READ)
        assert journal.durable_head == second
        await journal.synced(first.sequence)
        await journal.close()

    asyncio.run(play())


SHORT = """
import sys, asyncio, resource
from pathlib import Path
from tests.edge_agent.recorder.journals import READ, journal_in
from twokeys.errors import Unavailable
async def refused(awaitable):
    try:
        await awaitable
    except Unavailable:
        return True
    return False
async def append(journal):
    journal.append(READ)
async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    journal = journal_in(Path(sys.argv[1]))
    while not await refused(append(journal)):
        pass
    last = journal.head
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert all([await refused(append(journal)), await refused(journal.append_durable(READ)),
                await refused(journal.synced(last.sequence)), journal.failure, journal.head == last])
    await journal.close()
    print(last.sequence)
asyncio.run(main())
"""


def test_a_short_write_ends_the_journal_for_good(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes a real EFBIG in the middle of a line; room coming back changes nothing."""
    done = subprocess.run([sys.executable, "-c", SHORT, str(tmp_path)], capture_output=True, text=True, check=True)
    last = int(done.stdout)
    again = journal_in(tmp_path)
    assert again.head.sequence == last + 1, "the torn line is cut off, and a gap record says so"
    assert json.loads(lines_in(tmp_path)[-1])["type"] == "gap"
    shut(again)


def test_low_disk_is_told_and_exhaustion_refuses_until_there_is_room(tmp_path: Path) -> None:
    free = [10_000]
    journal = journal_in(tmp_path, look=lambda _: free[0], low_disk_bytes=9500, exhausted_disk_bytes=1000)
    journal.append(READ)
    free[0] = 4000
    journal.append(READ, b"x" * 500, session_key())
    assert [journal.low_disk] == [True]
    journal.append(READ)
    free[0] = 1100
    with pytest.raises(Unavailable, match="exhausted"):
        journal.append(READ)
    assert journal.head.sequence == 3
    free[0] = 10_000
    journal.append(READ)
    assert [journal.low_disk] == [False]
    shut(journal)
    assert len(lines_in(tmp_path)) == 4


CHILD = """
import sys, asyncio
from pathlib import Path
from tests.edge_agent.recorder.journals import READ, journal_in, session_key
async def main():
    journal, key = journal_in(Path(sys.argv[1]), segment_bytes=20000), session_key()
    while True:
        head = journal.append(READ, b"x" * 100, key) if journal.head.sequence % 3 else journal.append(READ)
        sys.stdout.write(f"{head.sequence} {head.hash}\\n")
        sys.stdout.flush()
asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            seen = [child.stdout.readline() for _ in range(300)]
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read()
        acknowledged = [*seen, *rest.split("\n")[:-1]][-1].split()
        journal = journal_in(tmp_path)
        assert journal.head.sequence >= int(acknowledged[0])
        line = lines_in(tmp_path)[: int(acknowledged[0])]
        head = genesis(EDGE)
        for one in line:
            head = extend(head, one)
        assert head.hash == acknowledged[1]
        shut(journal)


def test_a_full_tmpfs_refuses_and_recovers(tmp_path: Path) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        journal = journal_in(tmp_path)
        with pytest.raises(Unavailable):
            for _ in range(10_000):
                journal.append(READ)
        last = journal.head.sequence
        shut(journal)
        subprocess.run(["mount", "-o", "remount,size=8m", str(tmp_path)], check=True)
        again = journal_in(tmp_path)
        assert again.head.sequence in (last, last + 1)
        again.append(READ)
        shut(again)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_long_header_is_shortened_and_never_keeps_a_refusal_off_the_record(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append(
        {
            **READ,
            "objects": [f"write:table:public.t{number}" * 8 for number in range(1000)],
            "statement": "\x01" * 8192,
            "reason": "é" * 30_000,
        }
    )
    value = json.loads(lines_in(tmp_path)[0])
    assert value["objects"][-1] == "… and 984 more"
    assert value["statement"].endswith(" …") and value["reason"].endswith(" …")
    shut(journal)
