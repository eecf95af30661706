# Peers that read or write slowly are no client of their own: no docstrings, so no lines in docs/clients.md.
from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.clients.scene import SECONDS, Scene

MIB = 2**20


def resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.fixture
def line(one_scene: Scene) -> Iterator[socket.socket]:
    client = psycopg.connect(one_scene.url, autocommit=True)
    with socket.socket(fileno=client.fileno()) as found:
        found.settimeout(SECONDS)
        yield found
        found.detach()
    client.close()


def query(sql: bytes) -> bytes:
    return b"Q" + (len(sql) + 5).to_bytes(4, "big") + sql + b"\0"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured by /proc")
def test_a_slow_reader_of_a_large_result_costs_little_memory(one_scene: Scene, line: socket.socket) -> None:
    wide = b" || ".join([b"repeat('x', 500)"] * 2)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    before = resident()
    line.sendall(query(b"SELECT " + wide + b" FROM generate_series(1, 130000)"))
    taken = most = 0
    while taken < MIB:
        got = len(line.recv(4096))
        assert got
        taken += got
        most = max(most, resident() - before)
    assert most < 32 * MIB
    with psycopg.connect(one_scene.url, autocommit=True) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_writer_of_single_bytes_is_served_and_disturbs_nobody(one_scene: Scene, line: socket.socket) -> None:
    for byte in query(b"SELECT 40 + 2"):
        line.sendall(bytes([byte]))
        if byte == ord("+"):
            with psycopg.connect(one_scene.url, autocommit=True) as other:
                assert other.execute("SELECT 1").fetchone() == (1,)
    data = b""
    while b"Z\0\0\0\5I" not in data:
        data += line.recv(4096)
    assert b"42" in data


def test_a_statement_longer_than_the_limit_is_refused_by_its_header(line: socket.socket) -> None:
    line.sendall(b"Q" + (2**30).to_bytes(4, "big"))
    data = b""
    while piece := line.recv(4096):
        data += piece
    assert data[:1] == b"E" and b"bytes" in data
