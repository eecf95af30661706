"""What a driver decodes from the binary format is what it decodes from the text format, or NULL; at a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

SETUP = """
DROP TABLE IF EXISTS shop.shapes;
CREATE TABLE shop.shapes
  (id int, one jsonb, doc jsonb, plain json, tags text[], mails varchar(40)[], born date, uid uuid);
INSERT INTO shop.shapes VALUES
  (1, '"ann@example.com"', '{"a": ["rob@example.com", 7, "x\\\\y"]}', '["\\u0061nn\\u0040example.com"]',
   '{ann@example.com,NULL,"say \\"hi\\", rob@example.com"}', '{{a,ann@example.com},{c,d}}', '2001-02-03',
   '00000000-0000-0000-0000-000000000001'),
  (2, 'null', '{}', '{}', '{}', '{}', NULL, NULL);
UPDATE shop.shapes SET mails = mails || ARRAY[ARRAY[rpad('4111111111111111', 40), 'e']::varchar[]] WHERE id = 1;
GRANT SELECT ON shop.shapes TO PUBLIC;
"""
MASKED = (
    STARTER_TEXT
    + """
@id("some") @columns("shop.shapes.one shop.shapes.tags shop.shapes.born shop.shapes.uid") @form("partial")
forbid (principal, action == Action::"reveal", resource == DataClass::"pii");
@id("all") @columns("shop.shapes.doc shop.shapes.mails") @form("redact")
forbid (principal, action == Action::"reveal", resource == DataClass::"pii.all");
"""
)
SEARCHED = (
    STARTER_TEXT
    + """
@id("any") @detect("email card") forbid (principal, action == Action::"reveal", resource == DataClass::"pii");
"""
)
COLUMNS = "id, one, doc, plain, tags, mails, born, uid"
READ = f"SELECT {COLUMNS} FROM shop.shapes ORDER BY id"
SECRETS = ("ann@", "rob@", "4111")


@pytest.fixture
def policies() -> str:
    return MASKED


@pytest.fixture
def edge(
    tmp_path_factory: pytest.TempPathFactory, any_postgres: RealPostgres, policies: str
) -> Iterator[InProcessEdge]:
    any_postgres.admin(SETUP)
    with edge_in_process(tmp_path_factory.mktemp("edge"), any_postgres, policies) as running:
        yield running


def by_psycopg(edge: InProcessEdge, text: str, *, binary: bool) -> list[tuple[object, ...]]:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        return caller.execute(text, binary=binary).fetchall()


def by_asyncpg(edge: InProcessEdge, text: str) -> list[tuple[object, ...]]:
    async def ask() -> list[tuple[object, ...]]:
        place = conninfo_to_dict(edge.dsn)
        caller = await asyncpg.connect(
            host=place["host"], port=int(str(place["port"])), user=place["user"], password=place["password"],
            database=place["dbname"], ssl=False,
        )  # fmt: skip
        try:
            return [tuple(row) for row in await caller.fetch(text)]
        finally:
            await caller.close()

    return asyncio.run(ask())


def test_classified_documents_and_arrays_are_masked_alike(edge: InProcessEdge) -> None:
    rows = by_psycopg(edge, READ, binary=False)
    assert rows == by_psycopg(edge, READ, binary=True)
    tags = ["a***@example.com", None, "s***@example.com"]
    assert rows[0][1:3] == ("a***@example.com", "***")
    assert rows[0][4:] == (tags, ["***"], None, None)
    assert rows[1][4:6] == ([], ["***"])
    decoded = by_asyncpg(edge, "SELECT tags, mails, born, uid FROM shop.shapes ORDER BY id")
    assert decoded == [row[4:] for row in rows]


@pytest.mark.parametrize("policies", [SEARCHED])
def test_m1_documents_and_arrays_are_searched_alike(edge: InProcessEdge) -> None:
    rows = by_psycopg(edge, READ, binary=False)
    assert rows == by_psycopg(edge, READ, binary=True)
    assert rows[0][1:6] == (
        "***", {"a": ["***", 7, "x\\y"]}, ["***"], ["***", None, 'say "hi", ***'],
        [["a", "***"], ["c", "d"], ["***" + " " * 24, "e"]],
    )  # fmt: skip
    assert by_asyncpg(edge, "SELECT tags, mails FROM shop.shapes ORDER BY id") == [row[4:6] for row in rows]


@pytest.mark.parametrize("policies", [SEARCHED])
@pytest.mark.parametrize(
    "value",
    [
        "ROW(rpad('4111111111111111', 50), 1)",
        "ARRAY[ROW(1, rpad('4111111111111111', 48))]",
        'ARRAY[\'{"a": "ann@example.com"}\'::jsonb]',
        "tags || rpad('4111111111111111', 57)",
    ],
)
def test_m1_a_frame_does_not_hide_a_value(edge: InProcessEdge, value: str) -> None:
    for binary in (False, True):
        told = str(by_psycopg(edge, f"SELECT {value} FROM shop.shapes WHERE id = 1", binary=binary))
        assert not any(secret in told for secret in SECRETS)


@pytest.mark.parametrize("policies", [MASKED, SEARCHED])
def test_m3_a_binary_copy_shows_what_a_select_does(edge: InProcessEdge) -> None:
    query = "SELECT id, one, doc, tags, mails, born FROM shop.shapes ORDER BY id"
    with (
        psycopg.connect(edge.dsn, autocommit=True) as caller,
        caller.cursor() as cursor,
        cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy,
    ):
        copy.set_types(["int4", "jsonb", "jsonb", "text[]", "varchar[]", "date"])
        rows = list(copy.rows())
    assert rows == by_psycopg(edge, query, binary=True)
    assert not any(secret in str(rows) for secret in SECRETS)


def test_m3_a_binary_copy_of_nothing_is_empty(edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as caller, caller.cursor() as cursor:
        with cursor.copy("COPY (SELECT one FROM shop.shapes WHERE false) TO STDOUT (FORMAT binary)") as copy:
            assert list(copy.rows()) == []
        assert caller.execute("SELECT 1").fetchone() == (1,)
