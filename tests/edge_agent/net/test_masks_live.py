"""A caller that may not see a data class does not see it, whichever way it asks; through the Edge, at a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres
from twokeys.policy import STARTER_TEXT

POLICIES = (
    STARTER_TEXT
    + """
@id("mail") @columns("shop.customers.email shop.leaf.email") @form("partial")
permit (principal in Group::"support", action == Action::"reveal", resource == DataClass::"pii.email");
@id("limit") @columns("shop.customers.credit_limit")
forbid (principal, action == Action::"reveal", resource == DataClass::"money");
"""
)
SETUP = """
CREATE TABLE IF NOT EXISTS shop.tree (id int, email text, note text GENERATED ALWAYS AS (upper(email)) STORED);
CREATE TABLE IF NOT EXISTS shop.leaf () INHERITS (shop.tree);
TRUNCATE shop.tree, shop.leaf;
INSERT INTO shop.leaf (id, email) VALUES (1, 'customer77@example.com');
CREATE OR REPLACE VIEW shop.mails AS SELECT id, email AS address, lower(email) AS low, name FROM shop.customers;
CREATE OR REPLACE VIEW shop.more_mails AS SELECT m.address AS a, n.id FROM shop.mails m JOIN shop.mails n USING (id);
CREATE OR REPLACE VIEW shop.both AS SELECT name FROM shop.customers UNION ALL SELECT email FROM shop.customers;
DROP MATERIALIZED VIEW IF EXISTS shop.kept;
CREATE MATERIALIZED VIEW shop.kept AS SELECT id, email AS e FROM shop.customers;
CREATE OR REPLACE FUNCTION shop.tell() RETURNS SETOF shop.customers LANGUAGE sql STABLE SECURITY DEFINER AS
  'SELECT * FROM shop.customers';
CREATE OR REPLACE FUNCTION shop.say() RETURNS int LANGUAGE plpgsql STABLE AS $$
  BEGIN RAISE NOTICE 'it is %', (SELECT email FROM shop.customers WHERE id = 1); RETURN 1; END $$;
CREATE OR REPLACE VIEW shop.teller AS SELECT t.email AS e FROM shop.tell() t;
CREATE OR REPLACE FUNCTION shop.spell(int, text) RETURNS text LANGUAGE sql STABLE AS
  'SELECT email FROM shop.customers WHERE id = $1';
DO $$ BEGIN
  IF to_regoperator('shop.%%(int, text)') IS NULL THEN
    CREATE OPERATOR shop.%% (LEFTARG = int, RIGHTARG = text, FUNCTION = shop.spell);
  END IF;
END $$;
CREATE OR REPLACE VIEW shop.speller AS SELECT 1 OPERATOR(shop.%%) 'x'::text AS e;
CREATE OR REPLACE VIEW shop.sayer AS SELECT shop.say() AS n;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO PUBLIC;
ANALYZE shop.customers;
"""
TAIL = b"@example.com"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin(SETUP)
    with edge_in_process(tmp_path_factory.mktemp("edge"), any_postgres, POLICIES) as running:
        yield running


@pytest.fixture
def caller(edge: InProcessEdge) -> Iterator[psycopg.Connection]:
    with psycopg.connect(edge.dsn, autocommit=True) as connection:
        yield connection


WAYS = {
    "plain": "SELECT email FROM shop.customers",
    "all": "TABLE shop.customers",
    "alias": "SELECT c.email AS harmless FROM customers c",
    "sub_select": "SELECT x FROM (SELECT email AS x FROM shop.customers OFFSET 0) q",
    "cte": "WITH q AS MATERIALIZED (SELECT email FROM shop.customers) SELECT * FROM q",
    "mixed": "BEGIN; SELECT email FROM shop.customers; COMMIT",
    "distinct": "SELECT DISTINCT email FROM shop.customers",
    "concatenation": "SELECT email || '' FROM shop.customers",
    "function": "SELECT lower(email) FROM shop.customers",
    "aggregate": "SELECT max(email) FROM shop.customers",
    "array": "SELECT array_agg(email) FROM shop.customers",
    "string_agg": "SELECT string_agg(email, ',') FROM shop.customers",
    "cast": "SELECT email::varchar(99) FROM shop.customers",
    "bytea": "SELECT convert_to(email, 'UTF8') FROM shop.customers",
    "coalesce": "SELECT coalesce(email, name) FROM shop.customers",
    "union": "SELECT name FROM shop.customers UNION SELECT email FROM shop.customers",
    "scalar": "SELECT (SELECT email FROM shop.customers WHERE id = 1)",
    "case": "SELECT CASE WHEN true THEN email END FROM shop.customers",
    "row_to_json": "SELECT row_to_json(c) FROM shop.customers c",
    "to_jsonb": "SELECT to_jsonb(customers) FROM shop.customers",
    "whole_row": "SELECT c FROM shop.customers c",
    "whole_row_text": "SELECT c::text FROM shop.customers c",
    "row": "SELECT ROW(c.*) FROM shop.customers c",
    "values": "SELECT v FROM shop.customers c, LATERAL (VALUES (c.email)) AS t(v)",
    "unnest": "SELECT u FROM shop.customers c, unnest(ARRAY[c.email]) u",
    "split": "SELECT regexp_split_to_table(email, '@') || '@example.com' FROM shop.customers",
    "window": "SELECT first_value(email) OVER () FROM shop.customers",
    "xml_free_json": "SELECT json_agg(c) FROM shop.customers c",
    "view": "SELECT address, low FROM shop.mails",
    "view_of_view": "SELECT a FROM shop.more_mails",
    "view_union": "SELECT * FROM shop.both",
    "view_function": "SELECT * FROM shop.teller",
    "view_operator": "SELECT e FROM shop.speller",
    "materialized": "SELECT e FROM shop.kept",
    "inheritance": "SELECT email FROM shop.tree",
    "generated": "SELECT lower(note) FROM shop.tree",
    "generated_plain": "SELECT note FROM shop.leaf",
    "search_path_name": "SELECT email FROM customers",
    "quoted": 'SELECT "email" FROM "shop"."customers"',
    "unicode_name": 'SELECT email FROM U&"shop".U&"\\0063ustomers"',
    "two_statements": "SELECT 1; SELECT email FROM shop.customers",
    "explain_filter": "EXPLAIN SELECT email FROM shop.customers WHERE email = 'customer1@example.com'",
    "statistics": "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats WHERE tablename = 'customers'",
    "statistics_qualified": "SELECT histogram_bounds FROM pg_catalog.pg_stats",
    "field_of_row": "SELECT (c).email FROM shop.customers c",
    "join_using": "SELECT email FROM shop.customers a FULL JOIN shop.customers b USING (email)",
    "recursive": "WITH RECURSIVE r AS (SELECT 1 n, email e FROM customers UNION ALL SELECT n+1, e FROM r WHERE n<2)"
    " SELECT e FROM r",
    "functional_notation": "SELECT email(c) FROM shop.customers c",
    "row_within": "SELECT (x).email FROM (SELECT c AS x FROM customers c OFFSET 0) q",
    "record": "SELECT * FROM customers c, json_to_record(row_to_json(c)) AS r(email text)",
    "natural_join": "SELECT * FROM (SELECT email n FROM customers) a NATURAL JOIN (SELECT email n FROM customers) b",
    "error": "SELECT email::int FROM shop.customers",
    "error_of_names": "SELECT email::regclass FROM shop.customers",
    "error_in_a_join": "SELECT 1 FROM shop.customers WHERE email::date > now()",
    "notice": "SELECT n FROM shop.sayer",
}  # fmt: skip


_ADDRESS = re.compile(r"customer\d+@|637573746f6d6572", re.IGNORECASE)
"""An address of the sample, in words or in hexadecimal digits."""


def shown(cursor: psycopg.Cursor[tuple[object, ...]]) -> str:
    """All that the results of a text hold."""
    found: list[object] = []
    while True:
        if cursor.description:
            found += cursor.fetchall()
        if not cursor.nextset():
            return str(found)


def ask(caller: psycopg.Connection, how: str, text: str) -> str:
    """All that the caller gets for a text, errors too."""
    if how == "cursor":
        with caller.transaction():
            caller.execute(f"DECLARE seen CURSOR FOR {text}")
            return shown(caller.execute("FETCH ALL FROM seen"))
    if how == "simple":
        return shown(psycopg.ClientCursor(caller).execute(text))
    cursor = caller.cursor(binary=how == "binary")
    return shown(cursor.execute(text)) + shown(cursor.execute(text, prepare=how == "prepared"))


@pytest.mark.parametrize("how", ["simple", "extended", "binary", "prepared", "cursor"])
def test_m1_no_way_of_asking_shows_it(caller: psycopg.Connection, how: str) -> None:
    said: list[str] = []
    caller.add_notice_handler(lambda one: said.append(f"{one.message_primary} {one.message_detail} {one.context}"))
    got: dict[str, str] = {}
    for way, text in WAYS.items():
        try:
            got[way] = ask(caller, how, text)
        except psycopg.Error as error:
            got[way] = f"{error} {error.diag.message_detail} {error.diag.context}"
        assert caller.execute("SELECT 1").fetchone() == (1,), way
    assert {way: answer for way, answer in got.items() if _ADDRESS.search(answer)} == {}
    assert not _ADDRESS.search("".join(said))
    assert "c***@example.com" in got["plain"]


def test_what_is_not_classified_is_shown(caller: psycopg.Connection) -> None:
    row = caller.execute("SELECT id, name, email, credit_limit, ctid FROM shop.customers WHERE id = 3").fetchone()
    assert row == (3, "Customer 3", "c***@example.com", None, "(0,3)")
    assert caller.execute("SELECT count(*), 7, 'x', max(id) FROM shop.customers").fetchone() == (40, 7, "x", 40)
    both = "SELECT o.id, o.status, c.email FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 1"
    assert caller.execute(both).fetchone() == (1, "paid", "c***@example.com")
    assert caller.execute("SELECT lower(status) || 'x' FROM orders WHERE id = 1").fetchone() == ("paidx",)
    assert caller.execute("SELECT id, address, low, name FROM shop.mails WHERE id = 1").fetchone() == (
        1, "c***@example.com", "***", "Customer 1",
    )  # fmt: skip


def test_m1_a_write_shows_no_more_than_a_read(caller: psycopg.Connection, edge: InProcessEdge) -> None:
    sql = "UPDATE customers SET name = name WHERE id IN (4, 5) RETURNING id, email, lower(email), credit_limit"
    for parameters in (None, ()):
        assert caller.execute(sql, parameters).fetchone() == (4, "c***@example.com", "***", None)
    again = "INSERT INTO customers (name, email) VALUES ('x', 'customer1@example.com')"
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        caller.execute(again)
    assert "customers_email_key" in str(caught.value)
    assert caught.value.diag.message_detail is None
    assert "customer1@" not in str(edge.control.reports)


COPIES = {
    "COPY customers TO STDOUT": "3\tCustomer 3\tc***@example.com\t\\N\n",
    "COPY shop.customers (email, id) TO STDOUT": "c***@example.com\t3\n",
    "COPY (SELECT id, lower(email), email AS x FROM customers) TO STDOUT": "3\t***\tc***@example.com\n",
    "COPY (SELECT name, email, credit_limit FROM customers) TO STDOUT CSV HEADER": 'Customer 3,"c***@example.com",\n',
    "COPY (SELECT a FROM shop.more_mails) TO STDOUT (FORMAT csv)": '"c***@example.com"\n',
    "COPY shop.tree (id, email) TO STDOUT": "",
    "COPY (SELECT count(*) FROM customers) TO STDOUT": "40\n",
    "COPY (SELECT c FROM customers c) TO STDOUT": "\\N\n",
    "COPY orders (id) TO STDOUT (DELIMITER ';')": "1\n",
    "COPY customers (id, email, credit_limit) TO STDOUT (DELIMITER '|', NULL 'NULL')": "1|c***@example.com|NULL\n",
    "COPY customers (email, id) TO STDOUT (FORMAT csv, QUOTE '*', ESCAPE '\\')": "*c\\*\\*\\*@example.com*,1\n",
    "COPY customers (email, credit_limit) TO STDOUT (FORMAT binary)": "c***@example.com",
    "COPY customers (id, email) TO STDOUT (FORMAT csv, DELIMITER ';', FORCE_QUOTE *)": '"1";"c***@example.com"\n',
}
REFUSED = [f"customers TO STDOUT ({options})" for options in ("FORMAT csv, QUOTE 'x'", "DELIMITER '='", "NULL 'x'")]


def test_m3_what_is_copied_out_is_masked(caller: psycopg.Connection) -> None:
    for in_transaction in (False, True):
        caller.autocommit = not in_transaction
        for text, line in COPIES.items():
            with caller.cursor() as cursor, cursor.copy(text) as rows:
                got = b"".join(bytes(row) for row in rows).decode("utf-8", "replace")
            assert line in got
            assert not _ADDRESS.search(got)
        caller.commit()


def test_a_refusal_says_what_to_do(caller: psycopg.Connection) -> None:
    for text in REFUSED:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"masked for you.*use SELECT"):
            caller.execute(f"COPY {text}")
    with pytest.raises(psycopg.errors.UndefinedColumn), caller.cursor().copy("COPY customers (nothing) TO STDOUT"):
        pass
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"masked for you.*use SELECT"):
        caller.execute("COPY customers TO STDOUT", prepare=True)
    assert caller.execute("SELECT 1").fetchone() == (1,)


def test_m4_what_is_shown_follows_what_tables_become(edge: InProcessEdge, caller: psycopg.Connection) -> None:
    edge.postgres.admin(f"DROP VIEW IF EXISTS shop.turn; GRANT CREATE ON SCHEMA shop TO {edge.postgres.user}")
    with psycopg.connect(edge.dsn, autocommit=True) as other:
        caller.execute("CREATE OR REPLACE VIEW shop.turn AS SELECT id, name AS x FROM shop.customers WHERE id = 9")
        for one in (caller, other):
            got = one.execute("SELECT x, upper(x) FROM shop.turn", prepare=True).fetchone()
            assert got == ("Customer 9", "CUSTOMER 9")
        caller.execute("CREATE OR REPLACE VIEW shop.turn AS SELECT id, email AS x FROM shop.customers WHERE id = 9")
        for one in (caller, other):
            got = one.execute("SELECT x, upper(x) FROM shop.turn", prepare=True).fetchone()
            assert got == ("c***@example.com", "***")
        with caller.transaction(force_rollback=True):
            caller.execute("CREATE OR REPLACE VIEW shop.turn AS SELECT id, name AS x FROM shop.customers WHERE id = 8")
            assert caller.execute("SELECT x FROM shop.turn").fetchone() == ("Customer 8",)
        assert caller.execute("SELECT x FROM shop.turn").fetchone() == ("c***@example.com",)
    edge.postgres.admin(f"DROP VIEW shop.turn; REVOKE CREATE ON SCHEMA shop FROM {edge.postgres.user}")


def test_m4_a_policy_counts_from_when_it_is_in_force(
    tmp_path_factory: pytest.TempPathFactory, any_postgres: RealPostgres
) -> None:
    any_postgres.admin(SETUP)
    read = "SELECT email FROM customers WHERE id = 1"
    with (
        edge_in_process(tmp_path_factory.mktemp("edge"), any_postgres) as edge,
        psycopg.connect(edge.dsn, autocommit=True) as caller,
    ):
        assert caller.execute(read).fetchone() == ("customer1@example.com",)
        edge.enter(POLICIES, 2)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="Send it again"):
            caller.execute(read)
        assert caller.execute(read).fetchone() == ("c***@example.com",)
        permit = 'permit (principal == Caller::"agent-7", action == Action::"reveal", resource);'
        edge.enter(POLICIES + f'@id("all") {permit}', 3)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            caller.execute(read)
        got = caller.execute("SELECT email, credit_limit FROM customers WHERE id = 1").fetchone()
        assert got == ("customer1@example.com", None)


def test_who_may_reveal_sees_everything(tmp_path_factory: pytest.TempPathFactory, any_postgres: RealPostgres) -> None:
    any_postgres.admin(SETUP)
    everything = STARTER_TEXT + '@id("all") @columns("shop.*.email") permit (principal, action == Action::"reveal", '
    everything += 'resource == DataClass::"pii.email");'
    with (
        edge_in_process(tmp_path_factory.mktemp("edge"), any_postgres, everything) as edge,
        psycopg.connect(edge.dsn, autocommit=True) as caller,
    ):
        assert caller.execute("SELECT lower(email) FROM customers WHERE id = 1").fetchone() == (
            "customer1@example.com",
        )
        with caller.cursor() as cursor, cursor.copy("COPY customers TO STDOUT") as rows:
            assert TAIL in b"".join(rows)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match=r"customer1@example\.com"):
            caller.execute("SELECT email::int FROM customers WHERE id = 1")


def test_values_that_look_like_it_are_masked_wherever_they_stand(
    tmp_path_factory: pytest.TempPathFactory, any_postgres: RealPostgres
) -> None:
    any_postgres.admin(SETUP)
    looked_for = STARTER_TEXT + '@id("mail") @detect("email card") forbid (principal, action == Action::"reveal", '
    looked_for += 'resource == DataClass::"pii.email");'
    with (
        edge_in_process(tmp_path_factory.mktemp("edge"), any_postgres, looked_for) as edge,
        psycopg.connect(edge.dsn, autocommit=True) as caller,
    ):
        row = "SELECT id, name, 'to ' || email, row_to_json(c), ARRAY[email] FROM customers c WHERE id = 2"
        for binary in (False, True):
            got = caller.execute(row, binary=binary).fetchone()
            assert got is not None
            assert got[:3] == (2, "Customer 2", "to ***")
            assert "customer2@" not in str(got)
        with caller.cursor() as cursor, cursor.copy("COPY customers (id, email) TO STDOUT") as rows:
            assert b"".join(bytes(row) for row in rows).startswith(b"1\t***\n")


def test_m1_rows_in_any_pieces_are_masked(caller: psycopg.Connection) -> None:
    wide = "SELECT repeat('x', 70000) AS long, email, i FROM shop.customers, generate_series(1, 20) i"
    count = 0
    for long, email, _ in caller.cursor().stream(wide):
        assert (len(long), email) == (70_000, "c***@example.com")
        count += 1
    assert count == 800


def test_m1_rows_of_a_pipeline_are_masked(caller: psycopg.Connection) -> None:
    with caller.pipeline():
        cursors = [caller.execute("SELECT email FROM customers WHERE id = %s", (i,)) for i in range(1, 6)]
    assert [cursor.fetchone() for cursor in cursors] == [("c***@example.com",)] * 5


def test_m1_what_sql_prepared_is_masked_when_it_runs(caller: psycopg.Connection) -> None:
    caller.execute("PREPARE told (int) AS SELECT email, upper(email), name FROM customers WHERE id = $1")
    assert caller.execute("EXECUTE told(3)").fetchone() == ("c***@example.com", "***", "Customer 3")
    assert psycopg.ClientCursor(caller).execute("EXECUTE told(3)").fetchone() == (
        "c***@example.com",
        "***",
        "Customer 3",
    )


def test_m2_other_sessions_texts_are_not_shown(caller: psycopg.Connection, edge: InProcessEdge) -> None:
    with psycopg.connect(edge.dsn, autocommit=True) as other:
        other.execute("SELECT id FROM orders WHERE status = 'customer1@example.com'")
        said = caller.execute("SELECT query FROM pg_stat_activity WHERE query LIKE '%customer1@%'").fetchall()
        assert set(said) == {("***",)}
        said = caller.execute("SELECT q.query, pid FROM pg_stat_get_activity(NULL) q").fetchall()
        assert not _ADDRESS.search(str(said))


OVERLOADS = """
CREATE FUNCTION shop.round(int) RETURNS text LANGUAGE sql STABLE AS
  'SELECT email FROM shop.customers WHERE id = $1';
CREATE FUNCTION shop.mail_of(int, text) RETURNS text LANGUAGE sql STABLE AS 'SELECT shop.round($1)';
CREATE OPERATOR shop.% (LEFTARG = int, RIGHTARG = text, FUNCTION = shop.mail_of);
CREATE FUNCTION shop.told(anyelement) RETURNS text LANGUAGE sql STABLE AS 'SELECT shop.round(1)';
CREATE TYPE shop.label AS (v text);
CREATE FUNCTION shop.label_of(int) RETURNS shop.label LANGUAGE sql STABLE AS 'SELECT ROW(shop.round($1))::shop.label';
CREATE CAST (int AS shop.label) WITH FUNCTION shop.label_of(int);
"""
FORGOTTEN = """
DROP TYPE shop.label CASCADE;
DROP OPERATOR shop.% (int, text);
DROP FUNCTION shop.told(anyelement), shop.mail_of(int, text), shop.round(int);
"""


@pytest.mark.parametrize(
    "text",
    [
        "SELECT round(id) FROM customers",
        "SELECT id % 'x'::text FROM customers",
        "SELECT id::label FROM customers",
        "SELECT o.told FROM orders o",
        "SELECT lower(o.told), c.id FROM orders o, customers c",
    ],
    ids=["a function", "an operator", "a cast", "a field of another table", "a field"],
)
def test_m2_code_of_users_under_a_built_in_name_shows_nothing(
    edge: InProcessEdge, any_postgres: RealPostgres, text: str
) -> None:
    any_postgres.admin(OVERLOADS)
    try:
        with psycopg.connect(edge.dsn, autocommit=True) as caller:
            got = shown(caller.execute(text)) + shown(psycopg.ClientCursor(caller).execute(text))
            assert not _ADDRESS.search(got)
            assert "***" in got or "None" in got
    finally:
        any_postgres.admin(FORGOTTEN)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("SELECT email, name FROM shop.customers", ["money", "pii.email"]),
        ("SELECT id, email FROM shop.leaf", ["pii.email"]),
        ("SELECT address FROM shop.mails", ["money", "pii.email"]),
        ("SELECT id FROM shop.orders", None),
        ("SELECT 1", None),
    ],
)
def test_records_say_which_classes_were_masked(
    edge: InProcessEdge, caller: psycopg.Connection, text: str, masked: list[str] | None
) -> None:
    caller.execute(text.encode())
    folder = edge.journal._folder
    lines = b"".join(path.read_bytes().rstrip(b"\0") for path in sorted(folder.glob("*journal*"))).splitlines()
    headers = [json.loads(line[line.index(b"{") :]) for line in lines if b"{" in line]
    last = [header for header in headers if header["type"] == "command"][-1]
    assert last.get("masked") == masked
