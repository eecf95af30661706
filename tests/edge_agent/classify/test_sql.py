from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.sql import SqlVerdict, classify_sql
from edge_agent.classify.transaction import TxnKind
from tests.edge_agent.classify import cases
from twokeys.effect import DATABASE, Effect, ObjectKind, ObjectRef


def verdict(text: str, *search_path: str, limits: SqlLimits = SqlLimits()) -> SqlVerdict:  # noqa: B008
    return classify_sql(text.encode(), search_path or ("public",), limits)


def objects(text: str, *search_path: str) -> dict[str, str]:
    accesses = verdict(text, *search_path).classification.accesses
    return {access.object.name: access.effect.word for access in accesses}


@pytest.mark.parametrize("text", [*cases.READS, *cases.CONTROL])
def test_what_only_reads_is_a_proven_read(text: str) -> None:
    judged = verdict(text)
    assert judged.classification.certain
    assert judged.classification.effect is Effect.READ
    assert judged.classification.reasons == ()
    assert judged.refusal == ""
    assert judged.is_read


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        *((text, Effect.WRITE) for text in cases.WRITES),
        *((text, Effect.DDL) for text in cases.DDL),
        *((text, Effect.PRIVILEGED) for text in cases.PRIVILEGED),
    ],
)
def test_what_does_more_than_read_says_what_and_why(text: str, effect: Effect) -> None:
    judged = verdict(text)
    assert judged.classification.certain
    assert judged.classification.effect is effect
    assert judged.classification.reasons
    assert judged.refusal == ""
    assert not judged.is_read


@pytest.mark.parametrize("text", cases.UNCERTAIN)
def test_what_is_not_understood_asks_as_privileged_on_the_database(text: str) -> None:
    classification = verdict(text).classification
    assert not classification.certain
    assert classification.reasons
    assert {access.effect for access in classification.accesses} == {Effect.PRIVILEGED}
    assert DATABASE in {access.object for access in classification.accesses}


def test_the_table_of_cases_is_large() -> None:
    everything = [*cases.READS, *cases.CONTROL, *cases.WRITES, *cases.DDL, *cases.PRIVILEGED, *cases.UNCERTAIN]
    assert len(set(everything)) == len(everything) >= 150


# Objects


def test_targets_are_written_and_sources_are_read() -> None:
    assert objects("INSERT INTO app.t SELECT * FROM u JOIN x.y USING (a)") == {
        "app.t": "write",
        "public.u": "read",
        "x.y": "read",
    }
    assert objects("UPDATE t SET a = 1 FROM u WHERE a IN (SELECT a FROM v)") == {
        "public.t": "write",
        "public.u": "read",
        "public.v": "read",
    }
    assert objects("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE") == {"public.t": "write", "public.u": "read"}


def test_an_unqualified_name_counts_for_each_schema_of_the_search_path() -> None:
    assert objects("SELECT * FROM t", "app", "public") == {"app.t": "read", "public.t": "read"}
    assert objects("DROP TABLE t", "app", "public") == {"app.t": "ddl", "public.t": "ddl"}


def test_catalogue_names_are_the_catalogues_unless_a_user_could_own_them() -> None:
    assert objects("SELECT * FROM pg_class") == {"pg_catalog.pg_class": "read"}
    assert objects("SELECT * FROM pg_mine") == {"pg_catalog.pg_mine": "read", "public.pg_mine": "read"}
    assert objects("SELECT * FROM information_schema.tables") == {"information_schema.tables": "read"}


def test_common_table_expressions_hide_tables_only_where_they_are_in_scope() -> None:
    assert objects("WITH t AS (SELECT 1) SELECT * FROM t") == {"": "read"}
    assert objects("WITH t AS (SELECT * FROM t) SELECT * FROM t") == {"public.t": "read"}
    assert objects("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a") == {"public.b": "read"}
    assert objects("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a") == {"": "read"}
    assert objects("SELECT * FROM (WITH t AS (SELECT 1) SELECT * FROM t) x, t") == {"public.t": "read"}
    assert objects("WITH t AS (SELECT 1) SELECT * FROM public.t") == {"public.t": "read"}
    assert objects("WITH t AS (SELECT 1 AS a) INSERT INTO t SELECT * FROM t") == {"public.t": "write"}
    assert objects("WITH t AS (SELECT 1) (SELECT 1 UNION SELECT * FROM t) UNION SELECT * FROM t") == {"": "read"}


def test_locking_clauses_name_aliases_and_not_tables() -> None:
    assert objects("SELECT * FROM t AS secret FOR UPDATE OF secret") == {"public.t": "write"}


def test_dotted_names_stay_distinct() -> None:
    assert objects('SELECT * FROM "a.b".c, a."b.c", a."q""q"') == {
        '"a.b".c': "read",
        'a."b.c"': "read",
        'a."q""q"': "read",
    }


def test_functions_are_objects() -> None:
    accesses = verdict("SELECT nextval('s')").classification.accesses
    assert [access.object for access in accesses] == [ObjectRef(ObjectKind.FUNCTION, "pg_catalog.nextval")]
    assert "app.f" in objects("SELECT app.f()")


def test_grants_and_owners_name_their_tables() -> None:
    assert objects("GRANT ALL ON app.t TO x") == {"": "privileged", "app.t": "privileged"}
    assert objects("DROP TRIGGER g ON app.t") == {"app.t": "ddl"}


# What the session core needs


def test_transaction_control_is_told_in_order() -> None:
    actions = verdict("BEGIN READ WRITE; SAVEPOINT a; ROLLBACK TO a; RELEASE a; COMMIT AND CHAIN").actions
    assert [(action.kind, action.name, action.at) for action in actions] == [
        (TxnKind.BEGIN, "", 0),
        (TxnKind.SAVEPOINT, "a", 1),
        (TxnKind.ROLLBACK_TO, "a", 2),
        (TxnKind.RELEASE, "a", 3),
        (TxnKind.COMMIT, "", 4),
    ]
    assert actions[0].asks_for_writing
    assert actions[-1].chain


@pytest.mark.parametrize(
    ("text", "read_only"),
    [
        ("BEGIN", None),
        ("BEGIN READ ONLY", True),
        ("BEGIN READ WRITE", False),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE", False),
        ("SET TRANSACTION READ ONLY", True),
        ("SET TRANSACTION READ WRITE", False),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", None),
        ("SET TRANSACTION SNAPSHOT '00000003-0000001B-1'", None),
        ("SET transaction_read_only = on", True),
        ("SET LOCAL transaction_read_only TO off", False),
        ("SET transaction_read_only = nonsense", False),
        ("SET transaction_read_only = 0", False),
        ('SET "Transaction_Read_Only" = 1', True),
    ],
)
def test_read_write_is_told_apart_from_read_only(text: str, read_only: bool | None) -> None:
    (action,) = verdict(text).actions
    assert action.read_only is read_only


@pytest.mark.parametrize("text", ["BEGIN READ ONLY, READ WRITE", "SET TRANSACTION READ WRITE, READ ONLY"])
def test_a_contradiction_is_refused(text: str) -> None:
    assert "both" in verdict(text).refusal


@pytest.mark.parametrize(
    "text",
    [
        "VACUUM",
        "VACUUM t",
        "CREATE DATABASE d",
        "DROP DATABASE d",
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX (CONCURRENTLY) TABLE t",
        "REINDEX TABLE CONCURRENTLY t",
        "REINDEX DATABASE d",
        "ALTER SYSTEM SET a = 1",
        "CALL p()",
        "DO 'x'",
        "CREATE TABLESPACE s LOCATION '/x'",
        "DROP TABLESPACE s",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
        "DROP SUBSCRIPTION s",
        "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
        "CLUSTER",
        "DISCARD ALL",
        "COMMIT PREPARED 'x'",
        "SELECT 1; VACUUM",
    ],
)
def test_what_cannot_run_in_a_transaction_says_so(text: str) -> None:
    assert not verdict(text).can_run_in_transaction


@pytest.mark.parametrize(
    "text", ["UPDATE t SET a = 1", "CREATE INDEX i ON t (a)", "ANALYZE", "REINDEX TABLE t", "CLUSTER t"]
)
def test_everything_else_can_run_in_a_transaction(text: str) -> None:
    assert verdict(text).can_run_in_transaction


def test_copy_says_which_way_it_streams() -> None:
    assert verdict("COPY t FROM STDIN").is_copy_in
    assert verdict("COPY t TO STDOUT").is_copy_out
    assert not verdict("COPY t TO STDOUT").is_copy_in
    for text in ("COPY t TO '/x'", "COPY t FROM PROGRAM 'x'", "SELECT 1"):
        judged = verdict(text)
        assert not judged.is_copy_in
        assert not judged.is_copy_out


def test_what_drops_prepared_statements_says_so() -> None:
    assert verdict("DISCARD ALL").resets_session
    assert verdict("SELECT 1; DEALLOCATE ALL").resets_session
    assert not verdict("DEALLOCATE a").resets_session
    assert not verdict("DISCARD PLANS").resets_session


def test_an_empty_text_says_so() -> None:
    for text in ("", ";", " -- x", "/* */ ; ;"):
        judged = verdict(text)
        assert judged.empty
        assert judged.classification.statements == 0


def test_several_statements_are_one_command_judged_by_the_worst() -> None:
    judged = verdict("SELECT * FROM t; DROP TABLE u; UPDATE t SET a = 1").classification
    assert (judged.kind, judged.statements) == ("DROP TABLE", 3)
    assert objects("SELECT * FROM t; DROP TABLE u; UPDATE t SET a = 1") == {"public.t": "write", "public.u": "ddl"}
    assert not verdict("SELECT f(); SELECT 1").classification.certain


# Refusals


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN; DELETE FROM t; COMMIT",
        "BEGIN; DELETE FROM t; SELECT 1",
        "DELETE FROM t; BEGIN",
        "BEGIN; COPY t FROM STDIN",
        "ROLLBACK TO a; DELETE FROM t",
        "SELECT 1; COMMIT; DROP TABLE t",
        "SELECT f(); COMMIT",
        "SET TRANSACTION READ WRITE; DELETE FROM t",
    ],
)
def test_transaction_control_mixed_with_more_than_reads_is_refused(text: str) -> None:
    judged = verdict(text)
    assert "mixes transaction control" in judged.refusal
    assert judged.sqlstate == "0A000"


@pytest.mark.parametrize(
    "text",
    [
        "SAVEPOINT _tk_guard",
        "RELEASE _tk_guard",
        "ROLLBACK TO _tk",
        'SAVEPOINT "_TK"',
        "PREPARE _tk_x AS SELECT 1",
        "EXECUTE _tk_x",
        "DEALLOCATE _tk_x",
        "DECLARE _tk_c CURSOR FOR SELECT 1",
        "FETCH FROM _tk_c",
        "CLOSE _tk_c",
        'SELECT 1; RELEASE U&"\\005ftk"',
    ],
)
def test_g4_names_of_the_edges_own_are_refused(text: str) -> None:
    assert "_tk" in verdict(text).refusal


def test_a_syntax_error_is_refused_without_its_literals() -> None:
    judged = verdict("SELECT 'é', 's3cret' FORM t WHERE")
    assert judged.sqlstate == "42601"
    assert "character" in judged.refusal
    for shown in (judged.refusal, judged.classification.normalised, *judged.classification.reasons):
        assert "s3cret" not in shown


def test_limits_refuse_what_is_too_long_or_too_large() -> None:
    assert verdict("SELECT 1", limits=SqlLimits(text_bytes=7)).sqlstate == "54000"
    assert verdict("SELECT 1;" * 5, limits=SqlLimits(statements=4)).sqlstate == "54000"
    assert verdict("SELECT 1, 2, 3, 4", limits=SqlLimits(tree_nodes=4)).sqlstate == "54001"
    assert verdict("SELECT 1;" * 5, limits=SqlLimits(tree_nodes=8)).sqlstate == "54001"
    assert "objects" in verdict("TABLE a; TABLE b; TABLE c", limits=SqlLimits(objects=2)).refusal
    assert "objects" in verdict("SELECT FROM a, b, c", limits=SqlLimits(objects=2)).refusal


def test_reasons_are_bounded() -> None:
    classification = verdict("SET " + ".".join(["x" * 50] * 100) + " = 1; " + "SELECT f(); " * 50).classification
    assert len(classification.reasons) <= SqlLimits().reasons
    assert max(map(len, classification.reasons)) <= 200


def test_without_a_search_path_unqualified_names_are_uncertain() -> None:
    assert not classify_sql(b"SELECT * FROM t", ()).classification.certain
    assert classify_sql(b"SELECT * FROM public.t, pg_class", ()).is_read


def test_long_names_are_cut_as_the_server_cuts_them() -> None:
    assert objects(f"TABLE {'x' * 70}") == {f"public.{'x' * 63}": "read"}
    assert objects(f"TABLE {'ä' * 40}") == {f"public.{'ä' * 31}": "read"}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\xff")
@example(b"select \0")
@example("select '\ud800'".encode("utf-8", "surrogatepass"))
def test_any_bytes_give_a_verdict(text: bytes) -> None:
    judged = classify_sql(text, ("public",))
    assert judged.classification.accesses
    assert bool(judged.refusal) == bool(judged.sqlstate)


_WORDS = st.sampled_from(
    """
    select from where insert into values update set delete with as begin commit union all ( ) , ; * t a 1 'x' = + -
    $1 explain analyze create table drop function returning for update copy to stdin stdout prepare declare cursor
    $$ " -- /* */ :: . [ ] do call grant on x'ff' e'\\'' u&'\\0041' not null case when then else end
    """.split()  # noqa: SIM905
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_WORDS, max_size=25).map(" ".join))
def test_any_words_of_sql_give_a_verdict(text: str) -> None:
    assert verdict(text).classification.accesses


_WRITING = [
    "DELETE FROM t",
    "WITH x AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM x",
    "DROP TABLE t",
    "SELECT f()",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*cases.READS, *_WRITING]), min_size=1, max_size=4))
def test_a_text_with_a_write_anywhere_is_no_read(texts: list[str]) -> None:
    whole = verdict("\n;\n".join(texts)).classification
    assert whole.effect is max(verdict(text).classification.effect for text in texts)


@pytest.mark.parametrize(
    ("text", "prepared", "cursors", "everything"),
    [
        ("DEALLOCATE a", ("a",), (), (False, False)),
        ('DEALLOCATE PREPARE "A b"; SELECT 1; DEALLOCATE c', ("A b", "c"), (), (False, False)),
        ("PREPARE a AS SELECT 1", ("a",), (), (False, False)),
        ("DEALLOCATE " + "x" * 70, ("x" * 63,), (), (False, False)),
        ("DEALLOCATE ALL", (), (), (True, False)),
        ("DISCARD ALL", (), (), (True, True)),
        ("CLOSE ALL", (), (), (False, True)),
        ("CLOSE c; FETCH 1 FROM d; MOVE e", (), ("c", "d", "e"), (False, False)),
        ("DECLARE c CURSOR FOR SELECT 1", (), ("c",), (False, False)),
        ("SELECT 1", (), (), (False, False)),
    ],
)
def test_w3_names_of_statements_and_cursors_are_told(
    text: str, prepared: tuple[str, ...], cursors: tuple[str, ...], everything: tuple[bool, bool]
) -> None:
    found = verdict(text)
    assert (found.prepared, found.cursors) == (prepared, cursors)
    assert (found.resets_session, found.closes_cursors) == everything
