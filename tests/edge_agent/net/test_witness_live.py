"""What the database calls a write, at the live Edge: held, approved, and run once; and known from then on."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import SYNC, RawCaller, bind, execute, kinds, message, parse, states
from tests.support.callers import WaitingCaller
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

SETUP = """
CREATE TABLE IF NOT EXISTS shop.seen (id serial, what text);
TRUNCATE shop.seen;
CREATE OR REPLACE FUNCTION shop.see(what text) RETURNS text LANGUAGE sql VOLATILE SECURITY DEFINER AS
  $$ INSERT INTO shop.seen (what) VALUES (what) RETURNING what $$;
CREATE OR REPLACE FUNCTION shop.see_noisily() RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS
  $$ BEGIN RAISE NOTICE 'looking'; RAISE NOTICE 'still';
     INSERT INTO shop.seen (what) VALUES ('noisy'); RETURN 'n'; END $$;
CREATE OR REPLACE FUNCTION shop.see_late(at int) RETURNS int LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS
  $$ BEGIN IF at = 2000 THEN INSERT INTO shop.seen (what) VALUES ('late'); END IF; RETURN at; END $$;
CREATE OR REPLACE FUNCTION shop.next_seen() RETURNS bigint LANGUAGE sql IMMUTABLE SECURITY DEFINER AS
  $$ SELECT nextval('shop.seen_id_seq') $$;
CREATE OR REPLACE VIEW shop.seeing AS SELECT shop.see('view') AS what;
CREATE OR REPLACE VIEW shop.seeing_noisily AS SELECT shop.see_noisily() AS what;
CREATE OR REPLACE VIEW shop.seeing_late AS
  SELECT repeat('x', 100) AS filler, shop.see_late(n) AS n FROM generate_series(1, 3000) n;
CREATE OR REPLACE FUNCTION shop.see_at_2(at int) RETURNS int LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS
  $$ BEGIN IF at = 2 THEN INSERT INTO shop.seen (what) VALUES ('second'); END IF; RETURN at; END $$;
CREATE OR REPLACE VIEW shop.seeing_at_2 AS SELECT shop.see_at_2(n) AS n FROM generate_series(1, 3) n;
CREATE OR REPLACE VIEW shop.seeing_planned AS SELECT shop.next_seen() AS n;
GRANT SELECT ON shop.seeing, shop.seeing_noisily, shop.seeing_late, shop.seeing_planned TO twokeys_edge;
GRANT SELECT ON shop.seeing_at_2 TO twokeys_edge;
"""
SEEING = "SELECT what FROM shop.seeing"
NAMED = "SELECT what FROM shop.seeing WHERE what <> %s"
AUTO = '@id("auto") permit(principal, action in [Action::"read", Action::"write"], resource);'


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin(SETUP)
    # The catalogue would find out before the server does.
    with edge_in_process(tmp_path, any_postgres, catalogue_seconds=0) as running:
        yield running


def seen(edge: InProcessEdge) -> list[str]:
    return edge.postgres.admin("SELECT what FROM shop.seen ORDER BY id").split()


def told(found: list[tuple[bytes, bytes]]) -> bytes:
    """Types of messages, but notices and heartbeats."""
    return bytes(kind for kind in kinds(found) if kind not in b"NS")


@pytest.mark.parametrize("prepare", [None, True], ids=["simple", "named"])
@pytest.mark.parametrize("in_transaction", [False, True], ids=["autocommit", "transaction"])
def test_p3_what_the_server_calls_a_write_is_held_and_run_once_after_approval(
    edge: InProcessEdge, in_transaction: bool, prepare: bool | None
) -> None:
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        caller.execute("SELECT 1")
        for times in (1, 2):
            if prepare:
                assert caller.execute(NAMED, ("x",), prepare=True).fetchall() == [("view",)]
            else:
                assert caller.execute(SEEING).fetchall() == [("view",)]
            assert len(edge.control.opened) == times
        assert seen(edge) == ([] if in_transaction else ["view"] * 2)
    assert seen(edge) == ["view"] * 2
    request = edge.control.opened[0]
    assert request.reasons[0] == "the database says that this writes: it runs INSERT"
    assert request.accesses == ["write:database:", "write:table:shop.seeing"]
    assert request.in_transaction is in_transaction
    assert request.kind == "SELECT"


def test_a_caller_of_another_session_is_asked_at_once(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute(SEEING)
    raw = RawCaller(edge.dsn)
    raw.send(parse(SEEING), bind(), execute(), SYNC)
    assert told(raw.until(b"Z")) == b"12DCZ"
    raw.close()
    assert len(edge.control.opened) == 2


def test_denied_nothing_was_written_and_the_session_goes_on(edge: InProcessEdge) -> None:
    edge.control.verdict = "denied"
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied by rob"):
            caller.execute(SEEING)
        caller.rollback()
        assert caller.execute("SELECT 2").fetchone() == (2,)
    assert seen(edge) == []


def test_policy_may_allow_it_without_asking_and_the_journal_says_why(edge: InProcessEdge, tmp_path: Path) -> None:
    edge.enter(AUTO, 2)
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        assert caller.execute(SEEING).fetchall() == [("view",)]
        with caller.transaction():
            assert caller.execute(NAMED, ("x",), prepare=True).fetchall() == [("view",)]
    assert seen(edge) == ["view"] * 2
    assert edge.control.opened == []
    lines = b"".join(path.read_bytes() for path in sorted((tmp_path / "journal").glob("*journal*")))
    assert b'"reason":"the database says that this writes: it runs INSERT"' in lines
    assert b'"sqlstate":"25006"' in lines


def test_notices_of_the_failed_try_do_not_tell_a_description(edge: InProcessEdge) -> None:
    raw = RawCaller(edge.dsn)
    raw.send(message(b"Q", b"SELECT what FROM shop.seeing_noisily\0"))
    found = raw.until(b"Z")
    raw.close()
    assert told(found) == b"TDCZ"
    assert seen(edge) == ["noisy"]


@pytest.mark.parametrize("extended", [False, True])
def test_after_rows_went_out_the_error_does_and_the_next_time_is_held(edge: InProcessEdge, extended: bool) -> None:
    raw = RawCaller(edge.dsn)
    text = "SELECT * FROM shop.seeing_late"
    sent = parse(text) + bind() + execute() + SYNC if extended else message(b"Q", text.encode() + b"\0")
    raw.send(sent)
    found = raw.until(b"Z")
    assert states(found) == ["25006"]
    assert 0 < kinds(found).count(b"D") < 2000
    assert edge.control.opened == []
    raw.send(sent)
    found = raw.until(b"Z")
    assert states(found) == []
    assert kinds(found).count(b"D") == 3000
    raw.close()
    assert len(edge.control.opened) == 1
    assert seen(edge) == ["late"]


def test_a_write_while_planning_is_held_at_its_bind(edge: InProcessEdge) -> None:
    raw = RawCaller(edge.dsn)
    raw.send(parse("SELECT n FROM shop.seeing_planned"), bind(), execute(), SYNC)
    found = raw.until(b"Z")
    raw.close()
    assert states(found) == []
    assert told(found) == b"12DCZ"
    assert len(edge.control.opened) == 1


@pytest.mark.parametrize("in_transaction", [False, True])
def test_in_a_pipeline_what_came_before_stays_and_what_follows_waits(edge: InProcessEdge, in_transaction: bool) -> None:
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        caller.execute("SELECT 1")
        with caller.pipeline() as pipeline:
            first = caller.execute("SELECT 1 AS a")
            second = caller.execute(SEEING)
            third = caller.execute("UPDATE orders SET total = total WHERE id = 170")
            fourth = caller.execute("SELECT 4 AS d")
            pipeline.sync()
            assert (first.fetchall(), second.fetchall(), fourth.fetchall()) == ([(1,)], [("view",)], [(4,)])
            assert third.rowcount == 1
    assert seen(edge) == ["view"]
    assert len(edge.control.opened) == 2


def test_a_hang_up_while_it_waits_withdraws_it(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    caller = WaitingCaller(edge.dsn, SEEING)
    assert edge.control.arrived.wait(15)
    caller.hang_up()
    assert edge.control.gone.wait(15)
    assert seen(edge) == []


def test_a_cancel_while_it_waits_is_answered_and_the_session_goes_on(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    caller = WaitingCaller(edge.dsn, SEEING)
    assert edge.control.arrived.wait(15)
    caller.connection.cancel_safe()
    assert isinstance(caller.done().error, psycopg.errors.QueryCanceled)
    assert caller.connection.execute("SELECT 5").fetchone() == (5,)
    assert seen(edge) == []


def test_explain_analyze_and_copy_out_of_it_are_held_too(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute("EXPLAIN (ANALYZE, COSTS off) SELECT * FROM shop.seeing")
        assert seen(edge) == ["view"]
        with caller.cursor() as cursor, cursor.copy("COPY (SELECT * FROM shop.seeing) TO STDOUT") as copy:
            assert b"".join(bytes(part) for part in copy) == b"view\n"
    assert seen(edge) == ["view"] * 2
    assert len(edge.control.opened) == 2


def hints(found: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [field[1:] for kind, body in found if kind == b"E" for field in body.split(b"\0") if field[:1] == b"H"]


@pytest.mark.parametrize("in_transaction", [False, True])
def test_g5_an_execute_that_writes_is_held_and_run_once(edge: InProcessEdge, in_transaction: bool) -> None:
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        caller.execute("PREPARE look (text) AS SELECT what FROM shop.seeing WHERE what <> $1")
        assert edge.control.opened == []
        for times in (1, 2):
            assert caller.execute("EXECUTE look ('x')").fetchall() == [("view",)]
            assert len(edge.control.opened) == times
        edge.control.verdict = "denied"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.execute("EXECUTE look ('x')")
        caller.rollback()
    assert seen(edge) == ([] if in_transaction else ["view"] * 2)
    assert edge.control.opened[0].kind == "EXECUTE"


@pytest.mark.parametrize("declare", ["DECLARE c CURSOR FOR ", "DECLARE c NO SCROLL CURSOR FOR "])
def test_g1_a_fetch_that_writes_fails_with_advice(edge: InProcessEdge, declare: str) -> None:
    with psycopg.connect(edge.dsn) as caller:
        caller.execute(f"{declare}{SEEING}")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
            caller.execute("FETCH ALL FROM c")
        assert "Send that query by itself" in (caught.value.diag.message_hint or "")
        caller.rollback()
        assert edge.control.opened == []
        assert caller.execute(SEEING).fetchall() == [("view",)]
        caller.commit()
    assert seen(edge) == ["view"]


@pytest.mark.parametrize("limit", [1, 5])
def test_w4_a_portal_that_goes_on_to_write_fails_with_advice(edge: InProcessEdge, limit: int) -> None:
    raw = RawCaller(edge.dsn)
    raw.send(message(b"Q", b"BEGIN\0"))
    raw.until(b"Z")
    raw.send(parse("SELECT shop.n FROM shop.seeing_at_2 AS shop"), message(b"B", b"p\0\0" + bytes(6)))
    raw.send(message(b"E", b"p\0" + struct.pack(">I", 1)), message(b"H"))
    assert told(raw.until(b"s")) == b"12Ds"
    raw.send(message(b"E", b"p\0" + struct.pack(">I", limit)), SYNC)
    found = raw.until(b"Z")
    raw.close()
    assert states(found) == ["25006"]
    assert b"without a cursor, and bound anew" in hints(found)[0]
    assert edge.control.opened == []
    assert seen(edge) == []


@pytest.mark.parametrize(
    "begin", ["BEGIN READ ONLY", "BEGIN; SET TRANSACTION READ ONLY", "BEGIN; SET transaction_read_only = on"]
)
@pytest.mark.parametrize(
    "text", [SEEING, "EXECUTE look", "FETCH ALL FROM c", "UPDATE orders SET total = 9 WHERE id = 171"]
)
def test_p7_what_the_caller_made_read_only_is_never_lifted(edge: InProcessEdge, begin: str, text: str) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute(f"PREPARE look AS {SEEING}")
        for part in begin.split("; "):
            caller.execute(part)
        caller.execute("SAVEPOINT a")
        caller.execute(f"DECLARE c CURSOR FOR {SEEING}")
        for _ in range(2):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as caught:
                caller.execute(text)
            assert "held for approval" not in (caught.value.diag.message_hint or "")
            caller.execute("ROLLBACK TO a")
            caller.execute(f"DECLARE c CURSOR FOR {SEEING}")
        assert edge.control.opened == []
        caller.execute("COMMIT")
    assert seen(edge) == []


MASKED = """
@id("mail") @columns("shop.customers.email") @form("partial")
permit (principal in Group::"support", action == Action::"reveal", resource == DataClass::"pii.email");
"""
SPYING = "SELECT c.email, s.what FROM shop.customers c, shop.seeing s WHERE c.id = 1"


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_p3_a_masked_read_that_writes_is_held_and_stays_masked(
    edge: InProcessEdge, in_transaction: bool, extended: bool
) -> None:
    edge.enter(STARTER_TEXT + MASKED, 2)
    with psycopg.connect(edge.dsn, autocommit=not in_transaction) as caller:
        caller.execute("SELECT 1")
        for times in (1, 2):
            ((email, what),) = caller.execute(SPYING, prepare=extended, binary=extended).fetchall()
            assert email == "c***@example.com" and what == "***"
            assert len(edge.control.opened) == times
        copying = caller.cursor().copy(f"COPY ({SPYING}) TO STDOUT")
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught, copying as copy:
            list(copy)
        assert "SELECT" in str(caught.value)
    assert len(edge.control.opened) == 2
