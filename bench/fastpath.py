"""CPU of one read on its way through an Edge, without sockets or a server: where the microseconds go.

One session, one thread, the real door, gate, classifier and journal; the server's answers are written beforehand. CPU
time of this thread alone is counted, so that other work on the machine disturbs little. Printed is
the best of some rounds: what is above it, the machine was doing.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_agent.classify.cache import SqlClassifier
from edge_agent.door import SessionDoor
from edge_agent.gate import Gate, Standing, World
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.session import Session
from edge_agent.session_records import SessionFacts, SessionRecords
from tests.edge_agent.recorder.journals import journal_in, session_key
from twokeys.caller import Caller, CallerKind
from twokeys.policy import STARTER_TEXT, Policies

ROUNDS: Final = 7
COUNT: Final = 4000
CALLER: Final = Caller("agent-7", CallerKind.MACHINE, "ann")
TEXT: Final = b"SELECT abalance FROM pgbench_accounts WHERE aid = "
READY: Final = b"Z\0\0\0\x05I"
COLUMN: Final = b"T\0\0\0\x21\0\x01abalance\0\0\0\x40\0\0\x04\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"
ROW: Final = b"D\0\0\0\x0b\0\x01\0\0\0\x010" + b"C\0\0\0\x0dSELECT 1\0"


def main() -> None:
    """Measure and print."""
    asyncio.run(measure())


async def measure() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, cycle in (
            ("prepared", prepared), ("extended", extended), ("simple, same text", same), ("simple, new texts", new),
        ):  # fmt: skip
            whole = [await run(Path(folder), cycle, records=True) for _ in range(ROUNDS)]
            core = [await run(Path(folder), cycle, records=False) for _ in range(ROUNDS)]
            both, alone = min(whole), min(core)
            print(f"{name:20} {both:6.1f} µs a statement: session core {alone:5.1f}, records {both - alone:5.1f}")


async def run(folder: Path, cycle: Callable[[int], tuple[bytes, bytes]], *, records: bool) -> float:
    """Microseconds of CPU for one statement."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        journal = journal_in(Path(name) / "journal")
        facts = SessionFacts("ses_" + "0" * 24, "sample-db", "sample", CALLER, "pgbench")
        gate = Gate()
        gate.stand(Standing())
        gate.enter(World("edge-1", 1, Policies(STARTER_TEXT, 1), {}))
        door = SessionDoor(gate, SqlClassifier(), CALLER, "sample-db", "public", "edge")
        session = Session(door, guard="_tk" + "0" * 24)
        kept = SessionRecords(journal, session_key(facts.id), facts)
        if cycle is prepared:
            session.client_bytes(encode.parse(b"P_0", TEXT + b"$1") + encode.SYNC_MESSAGE)
            session.take_to_server()
            session.server_bytes(b"1\0\0\0\x04" + READY)
            session.take_to_client()
        pairs = [cycle(number) for number in range(COUNT)]
        begun = time.thread_time()
        for asked, answered in pairs:
            passage = session.lane.take(asked)
            assert passage is not None
            if records:
                kept.passage(passage, session.lane.bind)
            assert session.lane.answers(answered) is not None
        took = time.thread_time() - begun
        await journal.close()
    return took / COUNT * 1e6


def prepared(number: int) -> tuple[bytes, bytes]:
    """Bind, Execute, Sync of a statement that was parsed before, as pgbench -M prepared sends."""
    return _bind(b"P_0", number) + encode.execute(b"") + encode.SYNC_MESSAGE, b"2\0\0\0\x04" + ROW + READY


def extended(number: int) -> tuple[bytes, bytes]:
    """Parse, Bind, Describe, Execute, Sync, as pgbench -M extended sends."""
    parsed = encode.parse(b"", TEXT + b"$1") + _bind(b"", number)
    described = encode.message(b"D", b"P\0") + encode.execute(b"") + encode.SYNC_MESSAGE
    return parsed + described, b"1\0\0\0\x04" + b"2\0\0\0\x04" + COLUMN + ROW + READY


def same(number: int) -> tuple[bytes, bytes]:
    """A Query whose text came before."""
    return encode.message(b"Q", TEXT + b"7\0"), COLUMN + ROW + READY


def new(number: int) -> tuple[bytes, bytes]:
    """A Query whose text never came before, as pgbench -M simple sends."""
    return encode.message(b"Q", TEXT + b"%d\0" % (number + 1_000_000)), COLUMN + ROW + READY


def _bind(statement: bytes, number: int) -> bytes:
    value = b"%d" % number
    return encode.message(b"B", b"\0%b\0\0\0\0\1" % statement + len(value).to_bytes(4, "big") + value + b"\0\0")


if __name__ == "__main__":
    main()
