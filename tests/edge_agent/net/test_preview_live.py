"""What reviewers are shown before they decide, asked of a real PostgreSQL through the real listener."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres
from twokeys.digest import from_base64
from twokeys.policy import STARTER_TEXT
from twokeys.preview import Cell, Preview, preview_digest, read_preview

DDL = """
DROP TABLE IF EXISTS shop.parts, shop.boxes, shop.moods CASCADE;
DROP TYPE IF EXISTS shop.mood;
CREATE TYPE shop.mood AS ENUM ('sad', 'glad');
CREATE TABLE shop.boxes (id int PRIMARY KEY, name varchar(20) DEFAULT 'box', price numeric(10,2), secret text);
CREATE TABLE shop.parts (id int PRIMARY KEY, box int REFERENCES shop.boxes ON DELETE CASCADE);
CREATE TABLE shop.moods (id int PRIMARY KEY, mood shop.mood, at timestamptz(0) DEFAULT now());
INSERT INTO shop.boxes SELECT i, 'box ' || i, i * 10, repeat('x', 300) FROM generate_series(1, 50) i;
INSERT INTO shop.parts SELECT i, i FROM generate_series(1, 50) i;
INSERT INTO shop.moods VALUES (1, 'sad');
CREATE OR REPLACE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamped BEFORE UPDATE ON shop.boxes FOR EACH ROW EXECUTE FUNCTION shop.stamp();
CREATE OR REPLACE PROCEDURE shop.tidy(a int) LANGUAGE sql AS 'DELETE FROM shop.parts WHERE id = a';
GRANT ALL ON shop.boxes, shop.parts, shop.moods TO {user};
"""


@pytest.fixture
def edge(tmp_path: Path, any_postgres: RealPostgres) -> Iterator[InProcessEdge]:
    any_postgres.admin(DDL.format(user=any_postgres.user))
    with edge_in_process(tmp_path, any_postgres) as running:
        running.control.verdict = "denied"
        yield running
    any_postgres.admin(
        "DROP TABLE shop.parts, shop.boxes, shop.moods; DROP TYPE shop.mood; DROP FUNCTION shop.stamp();"
        " DROP PROCEDURE shop.tidy(int); DROP FUNCTION IF EXISTS shop.spy(int)"
    )


def previewed(edge: InProcessEdge, sql: Any, values: Sequence[Any] | None = None, before: str = "") -> Preview:
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        if before:
            edge.control.verdict = "approved"
            caller.execute(before)
            edge.control.verdict = "denied"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.execute(sql, values)
    return shown(edge)


def shown(edge: InProcessEdge) -> Preview:
    request = edge.control.opened[-1]
    data = from_base64(request.preview)
    assert request.preview_digest == preview_digest(data)
    preview = read_preview(data)
    assert request.most_rows == preview.rows
    return preview


def texts(cells: Sequence[Cell]) -> list[str | None]:
    return [None if cell.null else cell.text for cell in cells]


def test_an_update_shows_its_count_and_values_before_and_after(edge: InProcessEdge) -> None:
    preview = previewed(edge, "UPDATE boxes SET price = price * 1.055, name = DEFAULT WHERE id <= 3")
    assert (preview.action, preview.target, preview.rows, preview.why) == ("UPDATE", "shop.boxes", 3, [])
    assert [(column.name, column.key, column.assigned) for column in preview.columns] == [
        ("id", True, False), ("name", False, True), ("price", False, True), ("secret", False, False),
    ]  # fmt: skip
    first = min(preview.sample, key=lambda row: row.before[0].text)
    assert texts(first.before[:3]) == ["1", "box 1", "10.00"]
    assert texts(first.after[:3]) == ["1", "DEFAULT: 'box'::character varying", "10.55"]
    assert first.before[3].cut and len(first.before[3].text) == 200
    assert preview.plan is not None and "boxes" in preview.plan.node
    assert [(effect.kind, effect.name, effect.does) for effect in preview.effects] == [
        ("trigger", "stamped", "calls shop.stamp() before each row")
    ]


def test_values_of_parameters_are_bound_as_the_caller_bound_them(edge: InProcessEdge) -> None:
    preview = previewed(edge, "UPDATE boxes SET price = %s WHERE id = ANY(%s)", (3, [4, 5]))
    assert preview.rows == 2
    assert {texts(row.after)[2] for row in preview.sample} == {"3.00"}


def test_a_delete_shows_what_goes_and_what_goes_with_it(edge: InProcessEdge) -> None:
    preview = previewed(edge, "DELETE FROM boxes AS b USING parts AS p WHERE p.box = b.id AND b.id > 48")
    assert preview.rows == 2
    assert sorted(row.before[0].text for row in preview.sample) == ["49", "50"]
    assert all(row.after == [] for row in preview.sample)
    (cascade,) = preview.effects
    assert cascade.kind == "cascade" and "shop.parts" in cascade.does and "CASCADE" in cascade.does


def test_a_sample_is_small_and_the_count_is_whole(edge: InProcessEdge) -> None:
    preview = previewed(edge, "DELETE FROM boxes")
    assert preview.rows == 50
    assert len(preview.sample) == 20


def test_an_insert_shows_the_new_rows(edge: InProcessEdge) -> None:
    preview = previewed(edge, "INSERT INTO boxes (id, price, name) VALUES (90, 1.005, DEFAULT), (91, NULL, 'y')")
    assert preview.rows == 2
    assert [texts(row.after) for row in preview.sample] == [
        ["90", "1.01", "DEFAULT: 'box'::character varying"],
        ["91", None, "y"],
    ]


def test_an_insert_of_a_query_counts_its_rows(edge: InProcessEdge) -> None:
    preview = previewed(edge, "INSERT INTO parts SELECT id + 100, id FROM boxes WHERE id < 30 ON CONFLICT DO NOTHING")
    assert preview.rows == 29
    assert any("ON CONFLICT DO NOTHING" in note for note in preview.notes)
    star = previewed(edge, "INSERT INTO boxes SELECT * FROM boxes WHERE id = 1")
    assert star.rows == 1 and texts(star.sample[0].after)[:2] == ["1", "box 1"]


MERGE = (
    "MERGE INTO boxes b USING (SELECT generate_series(48, 53) AS id) AS n ON b.id = n.id"
    " WHEN MATCHED AND b.id = 50 THEN DO NOTHING WHEN MATCHED THEN UPDATE SET price = 0"
    " WHEN NOT MATCHED AND n.id < 53 THEN INSERT (id) VALUES (n.id)"
)


def test_a_merge_counts_what_its_clauses_would_do_and_is_bounded_by_it(edge: InProcessEdge) -> None:
    edge.control.verdict = "approved"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        assert caller.execute(MERGE).rowcount == 4
    preview = shown(edge)
    assert preview.rows == 4
    assert [effect.name for effect in preview.effects] == ["stamped"]
    assert preview.why == []
    # In no order: 48 and 49 become cheaper, 51 and 52 are new.
    changed = sorted((texts(row.before), texts(row.after)) for row in preview.sample if row.before and row.after)
    assert [(before[0], after[0]) for before, after in changed] == [("48", "48"), ("49", "49")]
    price = [column.name for column in preview.columns].index("price")
    assert {after[price] for _, after in changed} == {"0.00"} and [
        column.name for column in preview.columns if column.assigned
    ] == ["id", "price"]
    new = sorted(texts(row.after)[0] or "" for row in preview.sample if not row.before)
    assert new == ["51", "52"]
    assert any(cell.text.startswith("DEFAULT: ") for row in preview.sample if not row.before for cell in row.after)


def test_a_merge_shows_what_it_deletes_and_what_it_computes(edge: InProcessEdge) -> None:
    sql = (
        "MERGE INTO boxes b USING (VALUES (1, 2.5), (2, NULL), (77, 9)) AS n(id, price) ON b.id = n.id"
        " WHEN MATCHED AND n.price IS NULL THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET (price, name) = (b.price + n.price, upper(b.name))"
        " WHEN NOT MATCHED THEN INSERT (id, price) VALUES (n.id, DEFAULT)"
    )
    preview = previewed(edge, sql)
    assert preview.rows == 3 and preview.why == []
    (gone,) = [row for row in preview.sample if not row.after]
    (new,) = [row for row in preview.sample if not row.before]
    (changed,) = [row for row in preview.sample if row.before and row.after]
    names = [column.name for column in preview.columns]
    assert texts(gone.before)[0] == "2" and texts(new.after)[0] == "77"
    assert texts(changed.after)[names.index("name")] == "BOX 1"


@pytest.mark.parametrize(
    ("clause", "why"),
    [
        ("WHEN NOT MATCHED THEN INSERT VALUES (n.id)", "without naming"),
        ("WHEN MATCHED THEN UPDATE SET (price, name) = (SELECT 1, 'x')", "sub-select"),
    ],
)
def test_a_merge_that_is_not_plain_says_why_no_rows_are_shown(edge: InProcessEdge, clause: str, why: str) -> None:
    preview = previewed(edge, f"MERGE INTO boxes b USING (SELECT 1000 AS id) AS n ON b.id = n.id {clause}")
    assert preview.sample == [] and any(why in reason for reason in preview.why)


def test_types_of_users_own_are_shown_as_they_are(edge: InProcessEdge) -> None:
    preview = previewed(edge, "UPDATE moods SET mood = 'glad'")
    assert texts(preview.sample[0].before)[1] == "sad"
    assert texts(preview.sample[0].after)[1] == "glad"


@pytest.mark.parametrize(
    ("sql", "before", "body"),
    [
        ("DO $$ BEGIN DELETE FROM shop.parts; END $$", "", "BEGIN DELETE FROM shop.parts; END"),
        ("CALL tidy(1)", "", "DELETE FROM shop.parts WHERE id = a"),
    ],
)
def test_code_is_shown_as_its_source(edge: InProcessEdge, sql: str, before: str, body: str) -> None:
    preview = previewed(edge, sql, before=before)
    assert body in preview.body and preview.rows is None and preview.why


@pytest.mark.parametrize(
    ("prepare", "execute", "rows"),
    [
        ("DELETE FROM shop.parts WHERE id = $1 OR id = $2 + $1", "(3, 1)", 2),
        ("UPDATE shop.boxes SET name = $2 WHERE id < $1", "(4, 'a$1')", 3),
        ("INSERT INTO shop.parts SELECT id + $1, $2 FROM shop.boxes WHERE id > 47", "(100, 7)", 3),
        ("DELETE FROM shop.moods", "", 1),
        ("UPDATE shop.boxes SET secret = '' FROM shop.parts p WHERE p.id = boxes.id AND p.id > $1", "(49 - 1)", 2),
    ],
)
def test_execute_is_counted_as_what_was_prepared_with_its_values(
    edge: InProcessEdge, prepare: str, execute: str, rows: int
) -> None:
    preview = previewed(edge, f"EXECUTE todo{execute}", before=f"PREPARE todo AS {prepare}")
    assert preview.rows == rows and len(preview.sample) == rows and preview.why == []
    assert prepare in preview.body


def test_execute_of_what_cannot_be_counted_shows_the_text_and_says_why(edge: InProcessEdge) -> None:
    preview = previewed(edge, "EXECUTE todo(1, 2)", before="PREPARE todo(int) AS DELETE FROM shop.parts WHERE id = $1")
    assert "DELETE" in preview.body and "2 values" in preview.why[0] and preview.rows is None
    preview = previewed(edge, "EXECUTE none")
    assert preview.why == ["No statement is prepared under this name, or it can't be looked up."]


def test_p2_an_execute_that_changes_more_rows_than_were_approved_is_rolled_back(edge: InProcessEdge) -> None:
    edge.control.verdict = "approved"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        caller.execute("PREPARE todo(int) AS UPDATE shop.boxes SET price = 0 WHERE id > $1")
        grow(edge)
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="6 rows would have been changed, and 5 rows"):
            caller.execute("EXECUTE todo(45)")
    assert zeroes(edge) == "0"


def test_ddl_shows_its_locks(edge: InProcessEdge) -> None:
    preview = previewed(edge, "ALTER TABLE boxes ADD COLUMN weight int")
    assert [(lock.on, lock.mode) for lock in preview.locks] == [("boxes", "ACCESS EXCLUSIVE")]


@pytest.mark.parametrize("then", ["SELECT count(*) FROM gone", "DELETE FROM moods USING gone"])
def test_p2_rows_that_a_with_clause_changes_are_said_not_to_be_bounded(edge: InProcessEdge, then: str) -> None:
    preview = previewed(edge, f"WITH gone AS (DELETE FROM parts RETURNING id) {then}")
    assert preview.rows is None
    assert "nothing bounds it but your decision" in preview.why[0]


def test_a_functions_call_is_no_reason_to_run_it(edge: InProcessEdge) -> None:
    edge.postgres.admin(
        "CREATE OR REPLACE FUNCTION shop.spy(int) RETURNS int LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_advisory_lock(4711); RETURN 1; END'"
    )
    preview = previewed(edge, "DELETE FROM boxes WHERE id = spy(1)")
    assert preview.rows is None and preview.sample == []
    assert any("no proven read" in reason for reason in preview.why)
    assert edge.postgres.admin("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").strip() == "0"


def test_a_question_that_takes_too_long_is_dropped_and_the_hold_goes_on(edge: InProcessEdge) -> None:
    preview = previewed(
        edge,
        "DELETE FROM boxes WHERE (SELECT count(*) FROM generate_series(1, 30000000) a, generate_series(1, 100) b) = id",
    )
    assert preview.rows is None
    assert any("worked too long" in reason for reason in preview.why)


def test_nothing_of_a_preview_is_left_in_an_open_transaction(edge: InProcessEdge) -> None:
    edge.control.verdict = "pending"
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("SET LOCAL statement_timeout = '77s'")
        edge.control.verdict = "approved"
        caller.execute("UPDATE boxes SET price = 1 WHERE id = 1")
        edge.control.verdict = "denied"
        locks = (
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE c.relname = 'moods' AND l.pid <> pg_backend_pid()"
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.execute("DELETE FROM moods")
        assert edge.postgres.admin(locks).strip() == "0"
    assert shown(edge).rows == 1
    with psycopg.connect(edge.dsn) as caller:
        edge.control.verdict = "approved"
        caller.execute("SET LOCAL statement_timeout = '77s'")
        caller.execute("UPDATE boxes SET price = 2 WHERE id = 1")
        assert shown(edge).rows == 1
        assert caller.execute("SHOW statement_timeout").fetchone() == ("77s",)
        assert caller.execute("SHOW lock_timeout").fetchone() == ("0",)
        assert caller.execute("SELECT price FROM boxes WHERE id = 1").fetchone() is not None


def test_a_failed_question_leaves_the_transaction_usable(edge: InProcessEdge) -> None:
    edge.control.verdict = "approved"
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("UPDATE boxes SET price = 5 WHERE id = 2")
        with pytest.raises(psycopg.errors.DivisionByZero):
            caller.execute("UPDATE boxes SET price = 1 / (id - 2) WHERE id = 2")
    assert any("22012" in reason for reason in shown(edge).why)


def test_the_servers_errors_do_not_carry_values_into_a_preview(edge: InProcessEdge) -> None:
    preview = previewed(edge, "UPDATE boxes SET price = secret::int WHERE id = 1")
    assert "xxx" not in " ".join(preview.why)
    assert any("22P02" in reason for reason in preview.why)


GROWING = "UPDATE boxes SET price = 0 WHERE id > 45"


def grow(edge: InProcessEdge) -> None:
    """Another row that the statement means appears while people decide."""
    edge.control.stop_at = "spend"

    def add() -> None:
        assert edge.control.stopped.wait(20)
        edge.postgres.admin("INSERT INTO shop.boxes VALUES (99, 'late', 1, '')")
        edge.control.go.set()

    threading.Thread(target=add).start()


def zeroes(edge: InProcessEdge) -> str:
    return edge.postgres.admin("SELECT count(*) FROM shop.boxes WHERE price = 0").strip()


@pytest.mark.parametrize("values", [None, (45,)], ids=["simple", "extended"])
def test_w6_a_write_that_changes_more_rows_than_were_approved_is_rolled_back(
    edge: InProcessEdge, values: tuple[int] | None
) -> None:
    edge.control.verdict = "approved"
    grow(edge)
    sql = GROWING if values is None else GROWING.replace("45", "%s")
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="6 rows would have been changed, and 5 rows"):
            caller.execute(sql, values)
        assert caller.execute("SELECT 1").fetchone() == (1,)
        assert zeroes(edge) == "0"
        assert edge.control.reported.wait(5)
        assert [(report.outcome, report.sqlstate) for report in edge.control.reports] == [("failed", "54000")]
        assert caller.execute(sql, values).rowcount == 6
    assert zeroes(edge) == "6"


def test_w6_at_the_end_of_a_text_it_fails_the_transaction(edge: InProcessEdge) -> None:
    edge.control.verdict = "approved"
    grow(edge)
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="rolled back"):
            caller.execute(f"BEGIN; SAVEPOINT a; {GROWING}")
        assert caller.info.transaction_status.name == "INERROR"
        caller.execute("ROLLBACK TO a")
        # The data do not change again: what was previewed is what is done, and the client sees each answer once.
        cursor = caller.execute(f"RELEASE a; SAVEPOINT a; {GROWING}")
        while cursor.nextset():
            pass
        assert cursor.rowcount == 6
        assert caller.info.transaction_status.name == "INTRANS"
        caller.execute("COMMIT")
    assert zeroes(edge) == "6"


@pytest.mark.parametrize("values", [None, (45,)], ids=["simple", "extended"])
def test_w6_in_the_callers_own_transaction_it_fails_the_transaction(
    edge: InProcessEdge, values: tuple[int] | None
) -> None:
    edge.control.verdict = "approved"
    grow(edge)
    sql = GROWING if values is None else GROWING.replace("45", "%s")
    with psycopg.connect(edge.dsn) as caller:
        caller.execute("SELECT 1")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="rolled back"):
            caller.execute(sql, values)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            caller.execute("SELECT 1")
        caller.rollback()
        assert caller.execute(sql, values).rowcount == 6
        caller.execute("SELECT 1")
    assert zeroes(edge) == "6"


def test_fewer_rows_than_were_approved_are_fine(edge: InProcessEdge) -> None:
    edge.control.verdict = "approved"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        assert caller.execute("INSERT INTO moods VALUES (1, 'sad'), (2, 'sad') ON CONFLICT DO NOTHING").rowcount == 1


def test_rows_that_only_a_policy_hides_are_not_counted(edge: InProcessEdge) -> None:
    edge.postgres.admin("ALTER TABLE shop.boxes ENABLE ROW LEVEL SECURITY")
    edge.postgres.admin("CREATE POLICY gone ON shop.boxes FOR DELETE USING (true)")
    preview = previewed(edge, "DELETE FROM boxes")
    assert preview.rows is None
    assert any("row-level security" in reason for reason in preview.why)
    assert previewed(edge, "INSERT INTO boxes (id) SELECT 300").rows == 1


def test_rows_under_policies_of_all_commands_are_counted_as_the_role_that_runs_it(edge: InProcessEdge) -> None:
    edge.postgres.admin(
        "ALTER TABLE shop.boxes ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON shop.boxes USING (id <= 7)"
    )
    preview = previewed(edge, "DELETE FROM boxes")
    assert (preview.rows, preview.why) == (7, [])
    assert any(f"Counted as {edge.postgres.user}," in note for note in preview.notes)
    edge.control.verdict = "approved"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        assert caller.execute("DELETE FROM boxes").rowcount == 7


def test_copied_rows_are_counted_with_their_columns(edge: InProcessEdge) -> None:
    edge.control.verdict = "approved"
    with psycopg.connect(edge.dsn, autocommit=True) as caller:
        with caller.cursor().copy("COPY parts (id, box) FROM STDIN") as copy:
            copy.write_row((201, 1))
            copy.write_row((202, 2))
        assert caller.execute("SELECT count(*) FROM parts WHERE id > 200").fetchone() == (2,)
    preview = shown(edge)
    assert (preview.action, preview.rows) == ("COPY", 2)
    assert [column.name for column in preview.columns] == ["id", "box"]


CLASSES = """
@id("secret") @columns("shop.boxes.secret") @form("redact")
permit(principal in Group::"owners", action == Action::"reveal", resource == DataClass::"secret");
"""


def test_what_policy_hides_is_hidden_from_who_decides(edge: InProcessEdge) -> None:
    edge.enter(STARTER_TEXT + CLASSES, 2)
    preview = previewed(edge, "UPDATE boxes SET name = left(secret, 3) WHERE id = 1")
    assert "x" * 3 not in str(preview.sample[0])
    (row,) = preview.sample
    assert row.before[3].masked and row.after[1].masked
