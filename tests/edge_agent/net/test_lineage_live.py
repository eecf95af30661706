"""No query shows a classified value in any disguise, and what is plainly free of it is shown; at a real server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, note, settings

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.lineage_queries import queries
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

POLICIES = (
    STARTER_TEXT
    + """
@id("secret") @columns("shop.person.email shop.person.code")
forbid (principal, action == Action::"reveal", resource == DataClass::"secret");
"""
)
MARKER = "Zq7xWvKj9RtG"
CODE = "8305"
SETUP = f"""
DROP TABLE IF EXISTS shop.person, shop.notes CASCADE;
CREATE TABLE shop.person (id text, name text, email text, code text);
CREATE TABLE shop.notes (id text, person_id text, word text);
INSERT INTO shop.person VALUES ('1', 'Ann', '{MARKER}', '{CODE}'), ('2', 'Rob', '{MARKER}', '{CODE}');
INSERT INTO shop.notes VALUES ('1', '1', 'sun'), ('2', '2', 'moon');
CREATE VIEW shop.half AS SELECT id, email AS word, lower(email) AS low FROM shop.person;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO PUBLIC;
"""
_SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def disguises(secret: str) -> frozenset[str]:
    """What of a secret must not be seen, in lower case: any four characters in a row, of it and of what it becomes."""
    forms = [secret, secret[::-1], secret.encode().hex(), hashlib.md5(secret.encode()).hexdigest()]
    forms += [base64.b64encode(secret.encode()).decode(), hashlib.md5(secret.lower().encode()).hexdigest()]
    forms += [hashlib.md5(secret.upper().encode()).hexdigest(), secret.lower()[::-1].encode().hex()]
    return frozenset(form.lower()[at : at + 4] for form in forms for at in range(len(form) - 3))


# Four digits in a row are in many a number: of the code only the whole is looked for.
FORBIDDEN = disguises(MARKER) - {form for form in disguises(MARKER) if form.isdigit()} | {CODE, CODE[::-1]}


def leaks(got: str) -> list[str]:
    low = got.lower()
    return [form for form in FORBIDDEN if form in low]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin(SETUP)
    with edge_in_process(tmp_path_factory.mktemp("edge"), any_postgres, POLICIES) as running:
        yield running
    any_postgres.admin("DROP TABLE shop.person, shop.notes CASCADE")


@pytest.fixture(scope="module")
def caller(edge: InProcessEdge) -> Iterator[psycopg.Connection]:
    with psycopg.connect(edge.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def owner(any_postgres: RealPostgres, edge: InProcessEdge) -> Iterator[psycopg.Connection]:
    with psycopg.connect(any_postgres.admin_dsn, autocommit=True) as connection:
        yield connection


def answer(connection: psycopg.Connection, text: str) -> str:
    """All that is said to a text, values or an error."""
    try:
        return str(psycopg.ClientCursor(connection).execute(text.encode()).fetchall())
    except psycopg.Error as error:
        return f"ERROR {error} {error.diag.message_detail} {error.diag.context}"


@_SETTINGS
@given(text=queries())
def test_no_query_shows_a_classified_value(caller: psycopg.Connection, text: str) -> None:
    got = answer(caller, text)
    note(text)
    note(got)
    assert leaks(got) == []


@_SETTINGS
@given(text=queries(clean=True))
def test_what_is_plainly_free_is_shown(caller: psycopg.Connection, owner: psycopg.Connection, text: str) -> None:
    want = answer(owner, text)
    if want.startswith("ERROR"):
        return
    got = answer(caller, text)
    note(text)
    assert sorted(got) == sorted(want)
