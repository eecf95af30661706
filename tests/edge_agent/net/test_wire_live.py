"""The wire's rarer ways, at the real server: portals in parts, cursors, notifications, much behind a hold."""

from __future__ import annotations

import os
import select
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from edge_agent.protocols.postgres import encode
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, any_postgres) as running:
        yield running


class Raw:
    """A signed-in connection, byte by byte: libpq signs in, and then sleeps."""

    def __init__(self, edge: InProcessEdge) -> None:
        self._caller = psycopg.connect(edge.dsn, autocommit=True)
        self._socket = self._caller.pgconn.socket
        self._data = b""

    def send(self, data: bytes) -> int:
        """Send all of it, waiting as need be; returns how much was sent."""
        sent = 0
        while sent < len(data):
            select.select([], [self._socket], [], 20)
            sent += os.write(self._socket, data[sent : sent + 65536])
        return sent

    def messages(self, until: bytes, count: int = 1) -> list[tuple[bytes, bytes]]:
        """Messages up to the `count`-th of the type `until`."""
        found: list[tuple[bytes, bytes]] = []
        while count:
            while len(self._data) < 5 or len(self._data) < 1 + struct.unpack_from("!I", self._data, 1)[0]:
                assert select.select([self._socket], [], [], 20)[0], found
                more = os.read(self._socket, 65536)
                assert more, found
                self._data += more
            size = 1 + struct.unpack_from("!I", self._data, 1)[0]
            found.append((self._data[:1], self._data[5:size]))
            self._data = self._data[size:]
            count -= found[-1][0] == until
        return found

    def kinds(self, until: bytes = b"Z", count: int = 1) -> str:
        """Their types; S and N are left out."""
        return b"".join(kind for kind, _ in self.messages(until, count) if kind not in b"SN").decode()

    def close(self) -> None:
        self._caller.close()


@pytest.fixture
def raw(edge: InProcessEdge) -> Iterator[Raw]:
    connection = Raw(edge)
    yield connection
    connection.close()


def group(*messages: bytes) -> bytes:
    return b"".join(messages) + encode.SYNC_MESSAGE


def test_a_portal_is_read_in_parts_and_suspends(raw: Raw) -> None:
    raw.send(encode.query(b"BEGIN"))
    assert raw.kinds() == "CZ"
    parse = encode.parse(b"", b"SELECT id FROM orders ORDER BY id LIMIT 25")
    raw.send(group(parse, encode.bind(b"c1", b""), encode.describe(b"P", b"c1"), encode.execute(b"c1", 10)))
    assert raw.kinds() == "12T" + "D" * 10 + "sZ"
    raw.send(group(encode.execute(b"c1", 10)) + group(encode.execute(b"c1", 10)))
    assert raw.kinds(count=2) == "D" * 10 + "sZ" + "D" * 5 + "CZ"
    raw.send(group(encode.close(b"P", b"c1")) + encode.query(b"COMMIT"))
    assert raw.kinds(count=2) == "3ZCZ"


def test_w4_a_write_is_never_executed_in_parts(edge: InProcessEdge, raw: Raw) -> None:
    parse = encode.parse(b"", b"UPDATE orders SET status = status WHERE id < 5 RETURNING id")
    raw.send(group(parse, encode.bind(b"", b""), encode.execute(b"", 2)))
    answer = raw.kinds()
    assert "s" not in answer and answer.endswith("DDDDCZ")
    assert len(edge.control.opened) == 1


def test_cursors_are_declared_fetched_moved_and_closed(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("DECLARE c SCROLL CURSOR FOR SELECT id FROM orders ORDER BY id")
        assert len(caller.execute("FETCH 10 FROM c").fetchall()) == 10
        caller.execute("MOVE BACKWARD 5 IN c")
        assert caller.execute("FETCH 1 FROM c").fetchone() == (6,)
        caller.execute("CLOSE c")
        with caller.cursor("server side") as cursor:
            cursor.itersize = 30
            assert len(list(cursor.execute("SELECT id FROM orders"))) == 200
    assert edge.control.opened == []


def test_notifications_arrive_while_nothing_is_asked(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute("LISTEN changes")
        edge.postgres.admin("NOTIFY changes, 'one'")
        assert [one.payload for one in caller.notifies(timeout=10, stop_after=1)] == ["one"]
        assert caller.execute("SELECT 1").fetchone() == (1,)


def test_a_hundred_megabytes_behind_a_hold_wait_at_the_client_and_none_is_lost(edge: InProcessEdge, raw: Raw) -> None:
    edge.control.verdict = "pending"
    value, count = b"x" * 2**20, 100
    raw.send(encode.query(b"UPDATE orders SET status = status WHERE id = 120"))
    assert edge.control.arrived.wait(5)
    one = group(
        encode.parse(b"", b"SELECT octet_length($1::text)"), encode.bind(b"", b"", [value]), encode.execute(b"")
    )
    sent = [0]

    def send() -> None:
        for _ in range(count):
            sent[0] += raw.send(one)

    thread = threading.Thread(target=send)
    thread.start()
    thread.join(1.5)
    # What the Edge keeps, and both socket buffers: far from all of it.
    assert thread.is_alive() and 0 < sent[0] < 16 * 2**20
    edge.control.verdict = "approved"
    messages = raw.messages(b"Z", count + 1)
    thread.join(10)
    rows = [body for kind, body in messages if kind == b"D"]
    assert rows == [b"\0\1\0\0\0\7" + str(len(value)).encode()] * count


@pytest.mark.parametrize(
    ("message", "state"),
    [
        (b"F" + struct.pack("!IIHHH", 14, 2000, 0, 0, 0), b"0A000"),
        (b"!\0\0\0\4", b"08P01"),
        (b"Q\xff\xff\xff\xff", b"08P01"),
        (b"W\0\0\0\4", b"08P01"),
        (b"p\0\0\0\5\0", b"08P01"),
        (b"Q\0\0\0\6xx", b"08P01"),
    ],
)
def test_w1_w2_what_is_not_understood_is_not_forwarded(edge: InProcessEdge, message: bytes, state: bytes) -> None:
    raw = Raw(edge)
    raw.send(message)
    (_, body), *_ = [one for one in raw.messages(b"E") if one[0] == b"E"]
    assert b"C" + state in body
    raw.close()


@pytest.mark.parametrize("option", ["replication=database", "replication=true"])
def test_w2_replication_is_refused(edge: InProcessEdge, option: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="eplication"):
        psycopg.connect(f"{edge.dsn} {option}")


def test_w5_a_copy_pipelined_with_what_follows_is_taken_in_order(edge: InProcessEdge, raw: Raw) -> None:
    edge.postgres.admin("CREATE TABLE IF NOT EXISTS shop.piped (id int); GRANT ALL ON shop.piped TO PUBLIC")
    edge.postgres.admin("TRUNCATE shop.piped")
    data = encode.copy_data(b"1\n2") + encode.copy_data(b"\n3\n") + encode.COPY_DONE_MESSAGE
    count = encode.query(b"SELECT count(*) FROM piped")
    raw.send(encode.query(b"COPY piped FROM STDIN") + data + count)
    assert raw.kinds(count=2) == "GCZTDCZ"
    extended = encode.parse(b"", b"COPY piped FROM STDIN") + encode.bind(b"", b"") + encode.describe(b"P", b"")
    raw.send(extended + encode.execute(b"") + encode.SYNC_MESSAGE + data + encode.SYNC_MESSAGE + count)
    assert raw.kinds(count=2) == "12nGCZTDCZ"
    edge.control.verdict = "denied"
    raw.send(encode.query(b"COPY piped FROM STDIN") + data + count)
    assert raw.kinds(count=2) == "GEZTDCZ"
    raw.send(extended + encode.execute(b"") + data + encode.execute(b"") + encode.SYNC_MESSAGE + count)
    assert raw.kinds(count=2) == "12nGEZTDCZ"
    assert edge.postgres.admin("SELECT count(*) FROM shop.piped").strip() == "6"


def test_w5_the_data_of_one_copy_never_serve_another(edge: InProcessEdge, raw: Raw) -> None:
    edge.postgres.admin("CREATE TABLE IF NOT EXISTS shop.piped (id int); GRANT ALL ON shop.piped TO PUBLIC")
    edge.postgres.admin("TRUNCATE shop.piped")
    text = encode.query(b"COPY piped FROM STDIN")
    raw.send(text + encode.copy_data(b"1\n") + encode.COPY_DONE_MESSAGE)
    raw.send(text + encode.copy_data(b"2\n") + encode.copy_fail("changed my mind"))
    raw.send(text + encode.copy_data(b"3\n") + encode.COPY_DONE_MESSAGE)
    assert raw.kinds(count=3) == "GCZGEZGCZ"
    first, second = edge.control.opened
    assert first.command_digest != second.command_digest
    assert edge.postgres.admin("SELECT sum(id) FROM shop.piped").strip() == "4"
