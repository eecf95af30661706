"""Texts of transaction control and reads: one statement after the other, one ReadyForQuery."""

from __future__ import annotations

import psycopg
import pytest

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Declined, Held
from tests.edge_agent.protocols.postgres.doors import ALLOW_ALL, TestDoor
from tests.edge_agent.protocols.postgres.live import shell
from tests.edge_agent.protocols.postgres.script import SYNC, Script, kinds
from tests.support.postgres import RealPostgres

WRITE = b"UPDATE orders SET total = 1"


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (b"BEGIN; SELECT 1; COMMIT", "CDDCCZI"),
        (b"BEGIN;SELECT 1", "CDDCZT"),
        (b"SELECT 1; BEGIN; SELECT 2; SELECT 3; ROLLBACK;", "DDCCDDCDDCCZI"),
        (b"BEGIN; SAVEPOINT a; SELECT 1; RELEASE a; COMMIT", "CCDDCCCZI"),
        (b"BEGIN /* of a day */; SELECT 1; COMMIT", "CDDCCZI"),
        (b"COMMIT; BEGIN", "CCZT"),
    ],
)
def test_each_statement_is_answered_and_recorded_as_by_itself(text: bytes, seen: str, lane: bool) -> None:
    script = Script(lane=lane)
    assert kinds(script.client(encode.query(text))) == seen
    parts = [part.strip() for part in text.rstrip(b";").split(b";")]
    assert [record.text.strip() for record in script.records] == parts
    assert all(read_only for _, _, read_only in script.server.ran)
    assert kinds(script.client(encode.query(b"SELECT 9"))).startswith("DDCZ")


def test_a_transaction_that_began_so_may_be_written_in() -> None:
    script = Script(answers=[True])
    script.client(encode.query(b"BEGIN; SELECT 1"))
    assert kinds(script.client(encode.query(WRITE))) == "CZT"
    assert script.server.ran[-1] == ("simple", WRITE, False)
    assert kinds(script.client(encode.query(b"SELECT 2; COMMIT"))) == "DDCCZI"


@pytest.mark.parametrize("where", [b"SELECT boom", b"ROLLBACK TO nothing"])
def test_the_first_that_fails_is_the_last(where: bytes) -> None:
    script = Script()
    told = kinds(script.client(encode.query(b"BEGIN; " + where + b"; SELECT 1; COMMIT")))
    assert told.startswith("CE(") and told.endswith("ZE") and told.count("Z") == 1
    assert b"SELECT 1" not in script.ran
    assert kinds(script.client(encode.query(b"ROLLBACK"))) == "CZI"


def test_p1_what_the_server_calls_a_write_fails_in_it_and_nobody_is_asked() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(encode.query(b"BEGIN; SELECT trap; COMMIT"))) == "CTE(25006)ZE"
    assert not script.held and script.server.status == ord("E")


@pytest.mark.parametrize("text", [
    b"BEGIN; UPDATE orders SET total = 1; COMMIT", b"BEGIN; PREPARE p AS SELECT 1", b"BEGIN; EXECUTE p; SELECT 1",
    b"DISCARD ALL; BEGIN", b"BEGIN; COPY orders TO STDOUT", b"BEGIN; COPY orders FROM STDIN",
    b"BEGIN; COMMIT AND CHAIN", b"SELECT 1; PREPARE TRANSACTION 'a'", b"SAVEPOINT a; UPDATE orders SET total = 1",
    b"COMMIT; UPDATE orders SET total = 1", b"BEGIN; ROLLBACK; UPDATE orders SET total = 1",
    b"UPDATE orders SET total = 1; BEGIN", b"BEGIN; UPDATE orders SET total = 1; UPDATE orders SET total = 2",
    b"BEGIN; VACUUM orders", b"BEGIN; CREATE INDEX CONCURRENTLY i ON orders (total)",
    b"SET TRANSACTION READ WRITE; UPDATE orders SET total = 1",
])  # fmt: skip
def test_p1_what_is_more_than_a_read_and_not_last_in_a_transaction_is_refused_whole(text: bytes) -> None:
    script = Script(answers=[True])
    before = script.sent
    assert "E(" in kinds(script.client(encode.query(text)))
    assert script.sent == before and not script.held
    assert script.of(Declined)


@pytest.mark.parametrize(
    ("first", "text", "seen"),
    [
        (b"SELECT 1", b"BEGIN;" + WRITE, "CCZT"),
        (b"BEGIN", b"SAVEPOINT a; " + WRITE, "CCZT"),
        (b"BEGIN; SAVEPOINT a", b"RELEASE a;SAVEPOINT a;" + WRITE, "CCCZT"),
        (b"BEGIN", b"SELECT 1; SAVEPOINT a; " + WRITE, "DDCCCZT"),
        (b"SELECT 1", b"BEGIN; SELECT f()", "CDDCZT"),
    ],
)
def test_a_write_at_its_end_is_held_by_itself(first: bytes, text: bytes, seen: str) -> None:
    script = Script(answers=[True])
    script.client(encode.query(first))
    assert kinds(script.client(encode.query(text))) == seen
    (held,) = script.held
    assert isinstance(held, Held) and held.command.text.strip() == text.rsplit(b";", 1)[1].strip()
    assert held.in_transaction and held.judgement.verdict.classification.statements == 1
    assert script.server.ran[-1] == ("simple", held.command.text.strip(), False)
    assert kinds(script.client(encode.query(b"SELECT 2"))) == "DDCZT"
    assert script.server.ran[-1][2]
    assert kinds(script.client(encode.query(b"COMMIT"))) == "CZI"


def test_a_write_at_its_end_that_is_denied_fails_the_transaction() -> None:
    script = Script(answers=[False])
    assert kinds(script.client(encode.query(b"BEGIN; SAVEPOINT a; " + WRITE))) == "CCE(42501)ZE"
    assert WRITE not in script.ran
    assert kinds(script.client(encode.query(b"ROLLBACK TO a"))) == "CZT"
    assert kinds(script.client(encode.query(b"SELECT 1; ROLLBACK"))) == "DDCCZI"


def test_a_write_at_its_end_that_the_server_refuses_fails_the_transaction() -> None:
    script = Script(answers=[True])
    assert kinds(script.client(encode.query(b"BEGIN; UPDATE boom SET total = 1"))) == "CE(22012)ZE"
    assert kinds(script.client(encode.query(b"ROLLBACK"))) == "CZI"


def test_nothing_of_a_text_runs_after_a_part_that_failed_and_nobody_is_asked() -> None:
    script = Script(answers=[True])
    assert "E(" in kinds(script.client(encode.query(b"BEGIN; RELEASE nothing; " + WRITE)))
    assert not script.held and WRITE not in script.ran


def test_a_write_that_policy_allows_goes_at_its_end_too() -> None:
    script = Script(TestDoor(ALLOW_ALL), answers=[])
    assert kinds(script.client(encode.query(b"BEGIN; " + WRITE))) == "CCZT"
    assert kinds(script.client(encode.query(b"SAVEPOINT a; " + WRITE))) == "CCZT"
    assert not script.of(Held)
    assert kinds(script.client(encode.query(b"COMMIT"))) == "CZI"


def test_in_the_extended_protocol_it_is_refused() -> None:
    script = Script()
    assert kinds(script.client(encode.parse(b"", b"BEGIN; SELECT 1"), SYNC)) == "E(0A000)ZI"


def test_a_policy_that_denies_one_of_them_denies_the_whole() -> None:
    script = Script(TestDoor('@id("none") permit(principal, action == Action::"write", resource);'))
    assert "E(42501)" in kinds(script.client(encode.query(b"BEGIN; SELECT total FROM orders; COMMIT")))
    assert script.ran == []


def test_cursors_as_odbc_opens_them(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        result = client.execute("BEGIN;declare c cursor for select id from orders order by id;fetch 2 in c")
        while result.nextset():
            pass
        assert result.fetchall() == [(1,), (2,)]
        assert client.info.transaction_status.name == "INTRANS"
        assert client.execute("fetch 1 in c;close c; commit").nextset()
        assert client.info.transaction_status.name == "IDLE"
        assert running.of(Held) == []
