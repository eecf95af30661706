"""Callers that stall: before their sign-in, in TLS's handshake, in the middle of a message. Each is let go in time."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from edge_agent.config import LimitsSection
from edge_agent.protocols.postgres import encode
from tests.edge_agent.net.certificates import Authority
from tests.edge_agent.net.edge_in_process import CALLER, InProcessEdge, edge_in_process
from tests.support.callers import WaitingCaller
from tests.support.postgres import RealPostgres

LIMITS = LimitsSection(start_seconds=1, message_seconds=1, max_starting=30, max_starting_per_address=20)
SSL_REQUEST = struct.pack("!II", 8, 1234 << 16 | 5679)
CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303")
"""How a ClientHello begins that says it has 512 bytes."""


@pytest.fixture
def edge(tmp_path: Path, postgres: RealPostgres) -> Iterator[InProcessEdge]:
    certificate, key = Authority(tmp_path).issue("127.0.0.1")
    with edge_in_process(tmp_path, postgres, limits=LIMITS, tls_cert_file=certificate, tls_key_file=key) as running:
        yield running


@pytest.fixture
def line(edge: InProcessEdge) -> Iterator[socket.socket]:
    """A signed-in connection."""
    with psycopg.connect(edge.dsn, autocommit=True) as caller, socket.socket(fileno=os.dup(caller.fileno())) as found:
        found.settimeout(15)
        yield found


def kept(edge: InProcessEdge) -> tuple[int, int, int]:
    """Open files of this process, tasks of the Edge's loop, backends at the server."""

    async def tasks() -> int:
        return len(asyncio.all_tasks())

    count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    backends = int(edge.postgres.admin(count))
    running = asyncio.run_coroutine_threadsafe(tasks(), edge.loop).result(10)
    return len(list(Path("/proc/self/fd").iterdir())), running, backends


def comes_true(what: Callable[[], bool], seconds: float = 15) -> bool:
    """Whether it does; for what nobody tells us of."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def dial(edge: InProcessEdge, first: bytes, source: str = "127.0.0.1") -> socket.socket:
    found = socket.create_connection(("127.0.0.1", edge.port), 15, source_address=(source, 0))
    found.sendall(first)
    return found


def last_words(line: socket.socket) -> bytes:
    """All that comes until the Edge closes."""
    data = b""
    try:
        while piece := line.recv(65536):
            data += piece
    except ConnectionResetError:
        return data
    return data


STARTUP = encode.startup_message({"user": CALLER.id, "database": "shop"})
BEGUN = {
    "nothing": b"",
    "half_a_length": STARTUP[:3],
    "half_a_startup": STARTUP[:20],
    "no_answer_to_the_challenge": STARTUP,
    "no_handshake": SSL_REQUEST,
    "half_a_handshake": SSL_REQUEST,
    "half_a_handshake_at_once": CLIENT_HELLO,
}


@pytest.mark.parametrize("first", BEGUN.values(), ids=BEGUN.keys())
def test_who_does_not_sign_in_is_let_go_in_time(
    edge: InProcessEdge, first: bytes, request: pytest.FixtureRequest
) -> None:
    began = time.monotonic()
    with dial(edge, first) as stalled:
        if "half_a_handshake]" in request.node.name:
            assert stalled.recv(1) == b"S"
            stalled.sendall(CLIENT_HELLO)
        last_words(stalled)
    assert time.monotonic() - began < 8


def test_a_byte_at_a_time_does_not_buy_more_time_to_sign_in(edge: InProcessEdge) -> None:
    with dial(edge, b"") as slow:
        began = time.monotonic()
        try:
            for byte in STARTUP * 100:
                slow.sendall(bytes([byte]))
                slow.settimeout(0.1)
                try:
                    if not slow.recv(4096):
                        break
                except TimeoutError:
                    continue
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert time.monotonic() - began < 8


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted by /proc")
def test_a_flood_from_one_address_leaves_room_for_another_and_nothing_behind(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        # The journal opens its files with its first record and first body.
        caller.execute("SELECT 1")
    before = kept(edge)
    turned_away = 0
    for _ in range(3):
        flood = [dial(edge, STARTUP[:9], source="127.0.0.2") for _ in range(60)]
        with psycopg.connect(edge.dsn) as caller:
            assert caller.execute("SELECT 1").fetchone() == (1,)
        said = [last_words(one) for one in flood]
        turned_away += sum(b"C53300" in one for one in said)
        for one in flood:
            one.close()
    assert turned_away >= 3 * 40 - 20
    assert comes_true(lambda: all(now <= then for now, then in zip(kept(edge), before, strict=True))), (
        before,
        kept(edge),
    )


HALVES = {
    "three_bytes_of_a_header": b"Q\0\0",
    "no_body": b"Q" + (100).to_bytes(4, "big"),
    "half_a_query": encode.query(b"SELECT 40 + 2")[:12],
    "half_of_the_second": encode.query(b"SELECT 1") + encode.query(b"SELECT 2")[:7],
    "half_a_parse": encode.parse(b"", b"SELECT 1")[:8],
    "half_of_a_group": encode.parse(b"", b"SELECT 1") + encode.bind(b"", b"")[:6],
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
def test_half_a_message_ends_the_session_in_time(edge: InProcessEdge, line: socket.socket, half: bytes) -> None:
    line.sendall(half)
    assert b"a message was begun and not finished within 1 s" in last_words(line)
    assert comes_true(lambda: sessions(edge) == 0)


def test_a_byte_each_moment_does_not_buy_more_time(edge: InProcessEdge, line: socket.socket) -> None:
    line.settimeout(0.2)
    said = b""
    try:
        for byte in encode.query(b"SELECT '" + b"x" * 1000 + b"'"):
            line.sendall(bytes([byte]))
            try:
                said += line.recv(4096)
            except TimeoutError:
                continue
            if b"FATAL" in said:
                break
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert b"a message was begun and not finished" in said


def test_whole_messages_may_come_as_slowly_as_they_like(edge: InProcessEdge, line: socket.socket) -> None:
    for _ in range(3):
        query = encode.query(b"SELECT 40 + 2")
        line.sendall(query[:7])
        time.sleep(0.6)
        line.sendall(query[7:])
        said = b""
        while b"Z\0\0\0\5I" not in said:
            said += line.recv(4096)
        assert b"42" in said


def test_half_a_message_behind_a_held_write_does_not_end_it(edge: InProcessEdge, line: socket.socket) -> None:
    edge.control.verdict = "pending"
    sql = b"UPDATE orders SET total = 2 WHERE id = 150"
    later = encode.query(b"SELECT 40 + 2")
    line.sendall(encode.query(sql) + later[:7])
    assert edge.control.arrived.wait(10)
    time.sleep(2)
    edge.control.verdict = "approved"
    assert edge.control.reported.wait(10)
    line.sendall(later[7:])
    said = b""
    while b"42" not in said:
        piece = line.recv(4096)
        assert piece, said
        said += piece
    assert b"UPDATE 1" in said


def test_half_a_message_in_a_held_copy_ends_it_and_nobody_was_asked(edge: InProcessEdge, line: socket.socket) -> None:
    line.sendall(encode.query(b"COPY orders (id, total) FROM STDIN"))
    said = b""
    while b"G" not in said[:1]:
        said += line.recv(4096)
    for at in range(8):
        line.sendall(encode.copy_data(b"%d\t1\n" % (9000 + at)) + b"d\0")
        time.sleep(0.3)
        line.sendall(encode.copy_data(b"%d\t1\n" % (9100 + at))[2:])
    line.sendall(b"d\0")
    assert b"a message was begun and not finished" in last_words(line)
    assert edge.control.opened == []
    assert comes_true(lambda: sessions(edge) == 0)


def test_others_go_on_while_some_stall(edge: InProcessEdge, line: socket.socket) -> None:
    edge.control.verdict = "pending"
    held = WaitingCaller(edge.dsn, "UPDATE orders SET total = 3 WHERE id = 151")
    assert edge.control.arrived.wait(10)
    line.sendall(b"Q\0\0")
    stalled = [dial(edge, STARTUP[:3], source="127.0.0.3") for _ in range(10)]
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        for _ in range(20):
            assert caller.execute("SELECT 1").fetchone() == (1,)
    last_words(line)
    edge.control.verdict = "approved"
    assert held.done().error is None
    for one in stalled:
        one.close()


def sessions(edge: InProcessEdge) -> int:
    """Callers' sessions at the server."""
    who = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{edge.postgres.user}' AND state IS NOT NULL"
    return int(edge.postgres.admin(who + " AND application_name NOT LIKE 'twokeys%'"))
