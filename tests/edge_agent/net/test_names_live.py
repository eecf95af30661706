"""W3 at the live Edge: names that the server gives to something else than the Edge believes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import (
    SYNC,
    RawCaller,
    bind,
    execute,
    message,
    parse,
    reset,
    rows,
    states,
    value,
)
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

WRITING_VIEW = (
    "CREATE OR REPLACE FUNCTION shop.red() RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER AS "
    "$$ UPDATE shop.orders SET total = 2 WHERE id = 171 RETURNING 1 $$; "
    "CREATE OR REPLACE VIEW shop.red_view AS SELECT shop.red() AS n; "
    "GRANT SELECT ON shop.red_view TO PUBLIC"
)
SECRETS_HELD = STARTER_TEXT.replace(
    '@id("starter-read")',
    '@id("no-secrets")\nforbid (principal, action == Action::"read", '
    'resource == Table::"sample-db.shop.customers");\n\n@id("starter-read")',
)
FLUSH = message(b"H")


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin(WRITING_VIEW)
    with edge_in_process(tmp_path, any_postgres) as running:
        yield running


@pytest.fixture
def raw(edge: InProcessEdge) -> Iterator[RawCaller]:
    caller = RawCaller(edge.dsn)
    yield caller
    caller.close()


def say(raw: RawCaller, *texts: str) -> list[tuple[bytes, bytes]]:
    """Simple Queries, one after the other; the messages of all."""
    found: list[tuple[bytes, bytes]] = []
    for text in texts:
        raw.send(message(b"Q", text.encode() + b"\0"))
        found += raw.until(b"Z")
    return found


SWAPS = {
    "deallocate": ("DEALLOCATE a", "PREPARE a AS {}"),
    "quoted": ('DEALLOCATE "a"', 'PREPARE "a" AS {}'),
    "all": ("DEALLOCATE ALL", "PREPARE a AS {}"),
    "discard": ("DISCARD ALL", "PREPARE a AS {}"),
    "one text": ("DEALLOCATE a; PREPARE a AS {}",),
    "failing text": ("DEALLOCATE ALL; SELECT 1/0", "PREPARE a AS {}"),
    "nested": ("SELECT 1; DEALLOCATE PREPARE a", "PREPARE a AS {}"),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS.keys())
@pytest.mark.parametrize("control", ["SAVEPOINT s", "COMMIT"])
def test_w3_a_view_cannot_run_under_a_name_of_transaction_control(
    edge: InProcessEdge, raw: RawCaller, swap: tuple[str, ...], control: str
) -> None:
    reset(edge, 171)
    edge.control.verdict = "denied"
    raw.send(parse(control, "a"), SYNC)
    raw.until(b"Z")
    say(raw, *(text.format("SELECT n FROM red_view") for text in swap))
    say(raw, "BEGIN")
    raw.send(bind("", "a"), execute(), SYNC)
    raw.until(b"Z")
    say(raw, "COMMIT")
    assert value(edge, 171) == 1


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS.keys())
def test_w3_a_read_is_never_run_under_the_name_of_another(
    edge: InProcessEdge, raw: RawCaller, swap: tuple[str, ...]
) -> None:
    raw.send(parse("SELECT 'shown'", "a"), SYNC)
    raw.until(b"Z")
    say(raw, *(text.format("SELECT 'other'") for text in swap))
    raw.send(bind("", "a"), execute(), SYNC)
    found = raw.until(b"Z")
    assert states(found) == ["26000"]
    raw.send(parse("SELECT 'anew'", "b"), bind("", "b"), execute(), SYNC)
    assert b"anew" in rows(raw.until(b"Z"))[0]


@pytest.mark.parametrize("swap", ["all", "one text", "failing text"])
def test_w3_names_are_forgotten_by_an_extended_execute_too(edge: InProcessEdge, raw: RawCaller, swap: str) -> None:
    text = SWAPS[swap][0].split(";")[0]
    raw.send(parse("SELECT 'shown'", "a"), parse(text, "d"), bind("", "d"), execute(), SYNC)
    raw.until(b"Z")
    say(raw, "PREPARE a AS SELECT 'other'")
    raw.send(bind("", "a"), execute(), SYNC)
    assert states(raw.until(b"Z")) == ["26000"]


def test_w3_names_that_the_server_takes_for_one_are_refused(edge: InProcessEdge, raw: RawCaller) -> None:
    one, other = "n" * 63 + "1", "n" * 63 + "2"
    close = message(b"C", b"S" + other.encode() + b"\0")
    for group in (
        [parse("SELECT 'shown'", one), SYNC],
        [close, SYNC],
        [parse("SELECT 1", "b"), bind(one, "b"), SYNC],
        [message(b"D", b"P" + one.encode() + b"\0"), SYNC],
    ):
        raw.send(*group)
        assert states(raw.until(b"Z")) == ["42622"]
    raw.send(parse("SELECT 'kept'", "n" * 63), bind("p" * 63, "n" * 63), execute("p" * 63), SYNC)
    assert b"kept" in rows(raw.until(b"Z"))[0]


@pytest.mark.parametrize(
    "swap",
    [
        ["CLOSE p", "DECLARE p CURSOR FOR SELECT n FROM red_view"],
        ["CLOSE p; DECLARE p CURSOR FOR SELECT n FROM red_view"],
        ["CLOSE ALL", "DECLARE p CURSOR FOR SELECT n FROM red_view"],
        ["DECLARE c CURSOR FOR SELECT n FROM red_view", "CLOSE ALL; DECLARE p CURSOR FOR SELECT n FROM red_view"],
    ],
)
@pytest.mark.parametrize(
    "text", ["SAVEPOINT s", "COMMIT", "SELECT 'shown'", "UPDATE orders SET total = 2 WHERE id = 170"]
)
def test_w3_a_cursor_of_sql_is_never_run_as_a_portal(
    edge: InProcessEdge, raw: RawCaller, swap: list[str], text: str
) -> None:
    reset(edge, 170, 171)
    say(raw, "BEGIN")
    raw.send(parse(text, "a"), bind("p", "a"), FLUSH, SYNC)
    raw.until(b"Z")
    say(raw, *swap)
    raw.send(execute("p"), SYNC)
    raw.until(b"Z")
    say(raw, "COMMIT")
    assert value(edge, 171) == 1


@pytest.mark.parametrize(
    "text", ["FETCH ALL FROM p", "MOVE p", "CLOSE p", 'SELECT 1; FETCH 1 FROM "p"', "FETCH ALL FROM P"]
)
@pytest.mark.parametrize("extended", [False, True])
def test_w3_sql_cannot_fetch_from_a_read_that_waits_for_approval(
    tmp_path: Path, postgres: RealPostgres, text: str, extended: bool
) -> None:
    with edge_in_process(tmp_path, postgres, SECRETS_HELD) as edge:
        edge.control.verdict = "denied"
        raw = RawCaller(edge.dsn)
        say(raw, "BEGIN")
        raw.send(parse("SELECT 'secret', c.* FROM shop.customers c", "a"), bind("p", "a"), FLUSH, SYNC)
        raw.until(b"Z")
        if extended and ";" not in text:
            raw.send(parse(text, "f"), bind("", "f"), execute(), SYNC)
            found = raw.until(b"Z")
        else:
            found = say(raw, text)
        raw.close()
        assert states(found) == ["0A000"] and not any(b"secret" in row for row in rows(found))


def test_w3_code_of_users_cannot_leave_another_text_under_a_name(edge: InProcessEdge, raw: RawCaller) -> None:
    reset(edge, 171)
    edge.postgres.admin(
        "CREATE OR REPLACE FUNCTION shop.swap() RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
        "EXECUTE 'DEALLOCATE a'; EXECUTE 'PREPARE a AS SELECT n::text FROM shop.red_view'; RETURN 1; END $$"
    )
    say(raw, "BEGIN")
    raw.send(parse("SELECT 'shown'", "a"), bind("", "a"), execute(), SYNC)
    raw.until(b"Z")
    found = say(raw, "SELECT shop.swap()")
    assert not states(found), found
    raw.send(bind("", "a"), execute(), SYNC)
    found = raw.until(b"Z")
    assert b"shown" in rows(found)[0]
    # What the swap left there would have been called a write by the server, and asked for.
    assert len(edge.control.opened) == 1
    edge.control.verdict = "denied"
    say(raw, "COMMIT")
    assert value(edge, 171) == 1
