"""The names of parameters' types, as people will read them."""

from __future__ import annotations

import psycopg

from edge_agent.protocols.postgres.events import Held
from edge_agent.protocols.postgres.type_names import read_types
from tests.edge_agent.protocols.postgres.live import Shell, shell
from tests.support.postgres import RealPostgres
from twokeys.messages import MAX_TYPES

MOOD = """DROP SCHEMA IF EXISTS moods CASCADE; CREATE SCHEMA moods; GRANT USAGE ON SCHEMA moods TO PUBLIC;
CREATE TYPE moods."text" AS ENUM ('glad'); CREATE TYPE moods.mood AS ENUM ('sad');
CREATE TABLE moods.t (a moods."text", b moods.mood[], c int8[], d timestamptz, e varchar(3));
GRANT ALL ON moods.t TO PUBLIC"""


def held(running: Shell) -> Held:
    (found,) = running.of(Held)
    assert isinstance(found, Held)
    return found


def test_a4_types_of_users_are_named_with_their_schema(any_postgres: RealPostgres) -> None:
    any_postgres.admin(MOOD)
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute("INSERT INTO moods.t VALUES (%s, %s, %s, %s, %s)", ["glad", "{sad}", "{1}", "2026-11-22", "x"])
        assert held(running).types == (
            "moods.text", "moods.mood[]", "bigint[]", "timestamp with time zone", "character varying",
        )  # fmt: skip


def test_types_are_named_inside_a_transaction_too(any_postgres: RealPostgres) -> None:
    with shell(any_postgres) as running, psycopg.connect(running.dsn) as client:
        client.execute("UPDATE orders SET total = %s WHERE id = %s", ["3", 21])
        assert held(running).types == ("numeric", "smallint")
        assert client.execute("SELECT total FROM orders WHERE id = 21").fetchone() is not None


def test_more_types_than_the_limit_are_left_out(any_postgres: RealPostgres) -> None:
    places = ", ".join(["%s"] * 300)
    with shell(any_postgres) as running, psycopg.connect(running.dsn, autocommit=True) as client:
        client.execute(f"UPDATE orders SET total = 1 WHERE id IN ({places})", [str(at) for at in range(300)])
        assert held(running).types == ("integer",) * MAX_TYPES


def test_what_the_server_does_not_say_is_empty() -> None:
    assert read_types((23, 25), "") == ("", "")
    assert read_types((23, 25), "[]") == ("", "")
    assert read_types((23, 25), '{"23": "integer"}') == ("integer", "")
