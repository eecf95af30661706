"""What a caller with its own protocol code can try at the running Edge; people are scripted."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from edge_agent.config import LimitsSection
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.callers import WaitingCaller
from tests.support.postgres import RealPostgres


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, any_postgres) as running:
        yield running


class RawCaller:
    """Signed in by psycopg; from then on messages are written and read by hand."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.socket = self.connection.fileno()
        os.set_blocking(self.socket, False)
        self.rest = b""
        """Bytes that came and are no part of what was returned yet."""

    def send(self, *messages: bytes) -> None:
        os.write(self.socket, b"".join(messages))

    def until(self, last: bytes, seconds: float = 15) -> list[tuple[bytes, bytes]]:
        """Messages up to one of this type; up to the connection's end for an empty one."""
        found: list[tuple[bytes, bytes]] = []
        end = time.monotonic() + seconds
        while True:
            while len(self.rest) >= 5 and len(self.rest) > (size := struct.unpack(">I", self.rest[1:5])[0]):
                found.append((self.rest[:1], self.rest[5 : size + 1]))
                self.rest = self.rest[size + 1 :]
                if found[-1][0] == last:
                    return found
            assert select.select([self.socket], [], [], max(0, end - time.monotonic()))[0], found
            try:
                more = os.read(self.socket, 65536)
            except ConnectionError:
                more = b""
            if not more:
                assert not last, found
                return found
            self.rest += more

    def close(self) -> None:
        self.connection.pgconn.finish()


@pytest.fixture
def raw(edge: InProcessEdge) -> Iterator[RawCaller]:
    caller = RawCaller(edge.dsn)
    yield caller
    caller.close()


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def parse(sql: str, name: str = "") -> bytes:
    return message(b"P", name.encode() + b"\0" + sql.encode() + b"\0\0\0")


def bind(portal: str = "", statement: str = "") -> bytes:
    return message(b"B", portal.encode() + b"\0" + statement.encode() + b"\0" + bytes(6))


def execute(portal: str = "", limit: int = 0) -> bytes:
    return message(b"E", portal.encode() + b"\0" + struct.pack(">I", limit))


SYNC = message(b"S")


def total(edge: InProcessEdge, order: int) -> str:
    return edge.postgres.admin(f"SELECT total FROM shop.orders WHERE id = {order}").strip()


def reset(edge: InProcessEdge, *orders: int) -> None:
    edge.postgres.admin(f"UPDATE shop.orders SET total = 1 WHERE id IN ({', '.join(map(str, orders))})")


def value(edge: InProcessEdge, order: int) -> float:
    return float(total(edge, order))


def kinds(found: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(kind for kind, _ in found)


def rows(found: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [body for kind, body in found if kind == b"D"]


def states(found: list[tuple[bytes, bytes]]) -> list[str]:
    """The SQLSTATEs of errors."""
    return [
        field[1:].decode() for kind, body in found if kind == b"E" for field in body.split(b"\0") if field[:1] == b"C"
    ]


def test_w3_a_parse_behind_a_held_execute_changes_nothing_of_it(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 160, 161)
    edge.control.verdict = "pending"
    raw.send(parse("UPDATE orders SET total = 2 WHERE id = 160"), bind(), execute())
    raw.send(parse("UPDATE orders SET total = 2 WHERE id = 161"), SYNC)
    assert edge.control.arrived.wait(5)
    edge.control.verdict = "approved"
    raw.until(b"Z")
    assert (value(edge, 160), value(edge, 161)) == (2, 1)
    assert len(edge.control.opened) == 1


def test_w3_a_second_execute_behind_a_held_one_is_asked_for_anew(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 160, 161)
    raw.send(parse("UPDATE orders SET total = 2 WHERE id = 160", "a"), bind(statement="a"), execute())
    raw.send(parse("UPDATE orders SET total = 2 WHERE id = 161", "b"), bind(statement="b"), execute(), SYNC)
    raw.until(b"Z")
    assert len(edge.control.opened) == 2
    assert (value(edge, 160), value(edge, 161)) == (2, 2)


@pytest.mark.parametrize("in_transaction", [False, True])
def test_w3_executing_a_portal_twice_is_answered_as_by_the_server(
    edge: InProcessEdge, raw: RawCaller, in_transaction: bool
) -> None:
    reset(edge, 162)
    if in_transaction:
        raw.send(message(b"Q", b"BEGIN\0"))
        raw.until(b"Z")
    raw.send(parse("UPDATE orders SET total = total + 1 WHERE id = 162"), bind("p"), execute("p"), execute("p"), SYNC)
    found = raw.until(b"Z")
    assert kinds(found).endswith(b"2CEZ") and states(found) == ["55000"]
    assert b'portal "p" cannot be run' in found[-2][1]
    assert found[-1][1] == (b"E" if in_transaction else b"I")
    assert (len(edge.control.opened), value(edge, 162)) == (1, 1)


def test_w3_the_second_execute_of_a_portal_can_be_denied(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 162)
    edge.control.verdict = "denied"
    raw.send(parse("UPDATE orders SET total = total + 1 WHERE id = 162"), bind("p"), execute("p"), execute("p"), SYNC)
    raw.until(b"Z")
    assert value(edge, 162) == 1
    assert len(edge.control.opened) == 1


def test_w4_a_row_limit_does_not_get_more_written_than_was_approved(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 163, 164, 165)
    sql = "UPDATE orders SET total = total + 1 WHERE id IN (163, 164, 165) RETURNING id"
    raw.send(parse(sql), bind("p"), execute("p", 1), execute("p", 1), execute("p", 1), SYNC)
    raw.until(b"Z")
    assert all(value(edge, order) <= 2 for order in (163, 164, 165))
    raw.send(message(b"Q", b"SELECT 1\0"))
    assert kinds(raw.until(b"Z")) == b"TDCZ"


WRITES_ROW_BY_ROW = """
    CREATE FUNCTION shop.add_one(chosen bigint) RETURNS bigint LANGUAGE plpgsql AS
    'BEGIN UPDATE shop.orders SET total = total + 1 WHERE id = chosen; RETURN chosen; END'
"""


def test_w4_the_rest_of_a_portal_that_wrote_in_part_is_closed(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 163, 164, 165)
    edge.postgres.admin(WRITES_ROW_BY_ROW)
    try:
        raw.send(message(b"Q", b"BEGIN\0"))
        raw.until(b"Z")
        raw.send(parse("SELECT shop.add_one(n) FROM generate_series(163, 165) AS n"), bind("p"), execute("p", 1), SYNC)
        assert bytes(kind for kind in kinds(raw.until(b"Z")) if kind not in b"NS") == b"12DsZ"
        raw.send(message(b"Q", b"SELECT count(*) FROM pg_cursors WHERE name = 'p'\0"))
        assert [row[-1:] for row in rows(raw.until(b"Z"))] == [b"0"]
        for more in (execute("p", 1), message(b"Q", b"FETCH ALL FROM p\0")):
            raw.send(message(b"Q", b"SAVEPOINT one\0"))
            raw.until(b"Z")
            raw.send(more, SYNC if more[:1] == b"E" else b"")
            assert b"E" in kinds(raw.until(b"Z"))
            raw.send(message(b"Q", b"ROLLBACK TO one\0"))
            raw.until(b"Z")
        raw.send(message(b"Q", b"COMMIT\0"))
        raw.until(b"Z")
        assert [value(edge, order) for order in (163, 164, 165)] == [2, 1, 1]
        assert len(edge.control.opened) == 1
    finally:
        edge.postgres.admin("DROP FUNCTION shop.add_one")


def test_g4_a_function_call_message_is_refused(edge: InProcessEdge, raw: RawCaller) -> None:
    raw.send(message(b"F", struct.pack(">IHHH", 1598, 0, 0, 0)))
    assert b"E" in kinds(raw.until(b"Z"))
    raw.send(message(b"Q", b"SELECT 1\0"))
    assert kinds(raw.until(b"Z")) == b"TDCZ"


def test_an_unknown_message_ends_the_session(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 166)
    raw.send(message(b"z", b"?"), message(b"Q", b"UPDATE orders SET total = 2 WHERE id = 166\0"))
    assert b"E" in kinds(raw.until(b""))
    assert edge.control.opened == []


def test_a_message_longer_than_it_may_be_ends_the_session(edge: InProcessEdge, raw: RawCaller) -> None:
    raw.send(b"Q" + struct.pack(">I", 2**31 - 1))
    assert b"E" in kinds(raw.until(b""))


@pytest.mark.parametrize("mode", ["true", "database"])
def test_replication_is_refused(edge: InProcessEdge, mode: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"{edge.dsn} replication={mode}")


def test_start_up_options_cannot_lift_the_default(edge: InProcessEdge) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"{edge.dsn} options='-c default_transaction_read_only=off'")


def test_bytes_while_held_are_bounded_and_a_hang_up_is_still_seen(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 167)
    edge.control.verdict = "pending"
    raw.send(message(b"Q", b"UPDATE orders SET total = 2 WHERE id = 167\0"))
    assert edge.control.arrived.wait(5)
    flood, sent = message(b"Q", b"SELECT '" + b"x" * 60_000 + b"'\0"), 0
    while sent < 64 * 2**20:
        if not select.select([], [raw.socket], [], 0.5)[1]:
            break
        try:
            sent += os.write(raw.socket, flood)
        except BlockingIOError:
            break
    assert sent < 64 * 2**20
    raw.close()
    assert edge.control.gone.wait(5)
    edge.control.verdict = "approved"
    assert value(edge, 167) == 1


def test_a_caller_may_not_hold_more_than_its_share(tmp_path: Path, postgres: RealPostgres) -> None:
    with edge_in_process(tmp_path, postgres, limits=LimitsSection(max_open_per_caller=1)) as edge:
        edge.control.verdict = "pending"
        WaitingCaller(edge.dsn, "UPDATE orders SET total = 2 WHERE id = 168")
        assert edge.control.arrived.wait(5)
        with psycopg.connect(edge.dsn, autocommit=True) as caller:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="too many"):
                caller.execute("UPDATE orders SET total = 2 WHERE id = 169")
            assert caller.execute("SELECT 1").fetchone() == (1,)


def test_more_connections_than_permitted_are_refused(tmp_path: Path, postgres: RealPostgres) -> None:
    limits = LimitsSection(max_connections=1, max_starting=1)
    with (
        edge_in_process(tmp_path, postgres, limits=limits) as edge,
        psycopg.connect(edge.dsn),
        pytest.raises(psycopg.OperationalError, match="too many connections"),
    ):
        psycopg.connect(edge.dsn)


def test_a7_without_a_journal_nothing_is_forwarded(edge: InProcessEdge, raw: RawCaller) -> None:
    asyncio.run_coroutine_threadsafe(edge.journal.close(), edge.loop).result(10)
    raw.send(message(b"Q", b"SELECT 1\0"))
    assert b"D" not in kinds(raw.until(b""))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(edge.dsn)


def test_w2_a_stranger_cannot_cancel_another_session(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    caller = WaitingCaller(edge.dsn, "UPDATE orders SET total = 2 WHERE id = 170")
    assert edge.control.arrived.wait(5)
    pid = caller.connection.info.backend_pid
    with psycopg.connect(edge.dsn):
        stranger = socket.create_connection(("127.0.0.1", edge.port), timeout=10)
        stranger.sendall(struct.pack(">IIII", 16, 80877102, pid, 7))
        assert stranger.recv(1) == b""
        stranger.close()
    assert edge.control.withdrawn == []
    assert caller.error is None
