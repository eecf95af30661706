"""The read-only matrix: what each server does by itself, and that none of it gets through an Edge.

The Edge here has a superuser's role, the worst that anybody can give it, and a reviewer who denies everything.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from edge_agent.protocols.postgres.events import Rewound
from tests.edge_agent.net.read_only_matrix import MATRIX, OFF, ROW, SETUP, Try
from tests.edge_agent.protocols.postgres.live import DENIED, Shell, shell
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import SUPERUSER

TRACKED = {"BEGIN", "BEGIN READ WRITE", "START TRANSACTION READ WRITE", "SET TRANSACTION READ WRITE", "COMMIT"}
"""Transaction control passes: what runs in it does so under the guard."""


@pytest.fixture(scope="module")
def matrix(any_postgres: RealPostgres) -> Iterator[RealPostgres]:
    """A server with all that the matrix tries."""
    any_postgres.admin(SETUP)
    any_postgres.admin(r"SELECT lo_from_bytea(0, '\x01')")
    yield any_postgres
    any_postgres.admin(
        "DROP SCHEMA matrix CASCADE; DROP TABLE shop.matrix; DROP EXTENSION dblink, tablefunc;"
        "SELECT lo_unlink(oid) FROM pg_largeobject_metadata"
    )


def count(postgres: RealPostgres) -> int:
    return int(postgres.admin("SELECT count(*) FROM shop.matrix"))


def run(client: psycopg.Connection[tuple[object, ...]], postgres: RealPostgres, messages: tuple[str, ...]) -> str:
    """Send them one by one; the SQLSTATE of the first error, or nothing."""
    for text in messages:
        try:
            client.execute(text.replace("{password}", postgres.server.superuser_password).encode())
        except psycopg.Error as error:
            return error.sqlstate or "connection"
    return ""


@pytest.mark.parametrize("each", MATRIX, ids=lambda each: each.name)
def test_p6_p7_what_the_server_does_by_itself(matrix: RealPostgres, each: Try) -> None:
    options = f"-c {OFF}=on"
    with psycopg.connect(matrix.admin_dsn, autocommit=True, options=options) as client:
        before = count(matrix)
        error = run(client, matrix, each.messages)
        told = client.info.parameter_status(OFF) == "off"
        if client.info.transaction_status.name != "IDLE":
            client.execute("ROLLBACK")
        after = count(matrix)
        readonly = client.execute(f"SHOW {OFF}").fetchone() == ("on",)
    quiet = "harmless" if each.on(matrix.major) == "harmless" else "executed"
    outcome = error or ("escapes" if after > before else quiet)
    assert outcome == each.on(matrix.major)
    assert told is each.told
    assert (after == before) is (outcome != "escapes")
    if outcome == "harmless":
        assert readonly


@pytest.fixture(scope="module")
def edge(matrix: RealPostgres) -> Iterator[Shell]:
    role = (SUPERUSER, matrix.server.superuser_password)
    with shell(matrix, user=role, answer=lambda held: DENIED) as running:
        yield running


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("each", MATRIX, ids=lambda each: each.name)
def test_p6_p7_none_of_it_gets_through_an_edge(matrix: RealPostgres, edge: Shell, each: Try, extended: bool) -> None:
    before, records, effects = count(matrix), len(edge.records), len(edge.effects)
    with psycopg.connect(edge.dsn, autocommit=True) as client:
        error = ""
        for text in each.messages:
            try:
                whole = text.replace("{password}", matrix.server.superuser_password).encode()
                client.execute(whole, () if extended else None, prepare=extended)
            except psycopg.Error as raised:
                error = raised.sqlstate or "connection"
                break
        status = client.info.transaction_status.name
        assert status in ("IDLE", "INERROR", "UNKNOWN", "INTRANS")
    assert count(matrix) == before
    forwarded = [record.text.decode() for record in edge.records[records:]]
    rewound = [effect.text.decode() for effect in edge.effects[effects:] if isinstance(effect, Rewound)]
    if each.on(matrix.major) in ("executed", "escapes"):
        # What nothing at the server stops must not reach it: transaction control and what only reads may.
        assert error
        assert not set(forwarded) & set(each.messages) - TRACKED
    elif each.on(matrix.major) == "25006":
        assert error
        assert set(rewound) <= set(forwarded)
    assert ROW not in forwarded
