"""Peers that take slowly: a caller and its large result, a server and COPY data. Memory stays, others go on."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from edge_agent.protocols.postgres import encode
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.protocols.postgres.doors import ALLOW_ALL
from tests.support.callers import WaitingCaller
from tests.support.postgres import RealPostgres

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured by /proc")

MIB: Final = 2**20
MOST: Final = 24 * MIB
"""What the Edge, which shares this process with the test, may grow by; each test moves several times that."""

WIDE: Final = b"SELECT repeat('x', 1000) FROM generate_series(1, 200000)"
"""200 MB."""


@pytest.fixture
def edge(tmp_path: Path, postgres: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, postgres) as running:
        yield running


def resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def signed_in(edge: InProcessEdge) -> tuple[psycopg.Connection[tuple[object, ...]], socket.socket]:
    """A connection, and its socket to write and read by hand."""
    caller = psycopg.connect(edge.dsn, autocommit=True)
    line = socket.socket(fileno=os.dup(caller.fileno()))
    line.settimeout(20)
    return caller, line


def backends(edge: InProcessEdge, doing: str) -> list[int]:
    """The server's processes that run such a text."""
    found = edge.postgres.admin(
        f"SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{doing}' AND pid != pg_backend_pid()"
    )
    return [int(pid) for pid in found.split()]


def until(edge: InProcessEdge, doing: str, count: int) -> list[int]:
    """Wait until so many run it."""
    end = time.monotonic() + 20
    while len(found := backends(edge, doing)) != count:
        assert time.monotonic() < end, found
        select.select([], [], [], 0.05)
    return found


def test_a_reader_of_a_kilobyte_at_a_time_costs_little_and_a_hold_beside_it_works(edge: InProcessEdge) -> None:
    caller, line = signed_in(edge)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    before, most = resident(), 0
    line.sendall(encode.query(WIDE))
    edge.control.verdict = "pending"
    held = WaitingCaller(edge.dsn, "UPDATE orders SET total = 7 WHERE id = 140")
    assert edge.control.arrived.wait(10)
    for at in range(300):
        assert line.recv(1024)
        most = max(most, resident() - before)
        if at == 150:
            edge.control.verdict = "approved"
    assert held.done().rows == 1
    with psycopg.connect(edge.dsn, autocommit=True) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert most < MOST
    line.close()
    caller.close()


def test_a_hang_up_in_the_middle_of_a_large_result_frees_all(edge: InProcessEdge) -> None:
    before = 0
    for at in range(12):
        caller, line = signed_in(edge)
        line.sendall(encode.query(WIDE))
        assert line.recv(65536)
        until(edge, "SELECT repeat(%", 1)
        line.shutdown(socket.SHUT_RDWR)
        line.close()
        caller.close()
        until(edge, "SELECT repeat(%", 0)
        before = before or resident()
        if at > 1:
            assert resident() - before < MOST


def test_a_server_that_reads_nothing_while_data_are_copied_in_makes_the_caller_wait(
    tmp_path: Path, postgres: RealPostgres
) -> None:
    postgres.admin("DROP TABLE IF EXISTS shop.heap; CREATE TABLE shop.heap (text text)")
    postgres.admin("GRANT ALL ON shop.heap TO PUBLIC")
    row = encode.copy_data(b"x" * 1000 + b"\n")
    with edge_in_process(tmp_path, postgres, ALLOW_ALL) as edge:
        caller, line = signed_in(edge)
        line.sendall(encode.query(b"COPY heap FROM STDIN"))
        assert line.recv(65536)[:1] == b"G"
        (pid,) = until(edge, "COPY heap%", 1)
        os.kill(pid, signal.SIGSTOP)
        try:
            before, sent = resident(), 0
            block = row * 64
            line.setblocking(False)
            # Until nothing is taken for a second: only so the caller learns that it must wait.
            while sent < 200 * MIB and select.select([], [line], [], 1.0)[1]:
                sent += line.send(block[sent % len(block) :])
            assert sent < 100 * MIB
            assert resident() - before < MOST
            with psycopg.connect(edge.dsn, autocommit=True) as other:
                assert other.execute("SELECT 1").fetchone() == (1,)
        finally:
            os.kill(pid, signal.SIGCONT)
        line.settimeout(20)
        line.sendall(block[sent % len(block) :] + encode.COPY_DONE_MESSAGE)
        rows = sent // len(row) + (len(block) - sent % len(block) + sent % len(row)) // len(row)
        assert b"COPY %d\0" % rows in line.recv(65536)
        line.close()
        caller.close()
    assert postgres.admin("SELECT count(*) FROM shop.heap").strip() == str(rows)
    postgres.admin("DROP TABLE shop.heap")
