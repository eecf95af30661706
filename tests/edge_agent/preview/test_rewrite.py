"""A rewriting reads exactly what its statement reads, or there is none."""

from __future__ import annotations

import pytest

from edge_agent.classify.sql import classify_sql
from edge_agent.preview.clauses import NotRewritten
from edge_agent.preview.limits import PreviewLimits
from edge_agent.preview.rewrite import Rewriting
from edge_agent.preview.statement import read_statement, rewrite
from edge_agent.preview.target import TargetColumn

LIMITS = PreviewLimits()
COLUMNS = tuple(TargetColumn(name, "", "", name == "id") for name in ("id", "a", "b", "c", "d"))


def made(text: str) -> Rewriting:
    return rewrite(read_statement(text.encode(), LIMITS))


CHANGES = [
    ("update t set a = 1", "SELECT pg_catalog.count(*) FROM t"),
    ("UPDATE ONLY public.t AS o SET a = b WHERE o.id = $1 RETURNING *",
     "SELECT pg_catalog.count(*) FROM ONLY public.t AS o WHERE o.id = $1"),
    ("update t set (a, b) = (1, default), c = default where id in (select id from u where x = ')' -- where\n)",
     "SELECT pg_catalog.count(*) FROM t WHERE id in (select id from u where x = ')' -- where\n)"),
    ("update t set a = (b is distinct from c), b = a is distinct from c from u where t.id = u.id",
     'SELECT pg_catalog.count(DISTINCT ("t".tableoid, "t".ctid)) FROM t, u WHERE t.id = u.id'),
    ("with w as (select 1 as x) update t set a = w.x from w where w.x = t.id",
     'with w as (select 1 as x) SELECT pg_catalog.count(DISTINCT ("t".tableoid, "t".ctid)) FROM t, w WHERE w.x = t.id'),
    ('update "T""x" as "A b" set a = 1 from u',
     'SELECT pg_catalog.count(DISTINCT ("A b".tableoid, "A b".ctid)) FROM "T""x" as "A b", u'),
    ("delete from t", "SELECT pg_catalog.count(*) FROM t"),
    ("delete from only t using u join v using (id) where t.id = u.id returning t.id",
     'SELECT pg_catalog.count(DISTINCT ("t".tableoid, "t".ctid)) FROM only t, u join v using (id) WHERE t.id = u.id'),
    ("/* where */ delete from t where a = $$ returning $$;",
     "SELECT pg_catalog.count(*) FROM t WHERE a = $$ returning $$"),
    ("insert into t values (1, 2), (3, 4)",
     "SELECT pg_catalog.count(*) FROM (values (1, 2), (3, 4)) AS _tk_new(c1, c2)"),
    ("insert into t (a, b) values (1, default) on conflict (a) do update set b = excluded.b returning *",
     "SELECT pg_catalog.count(*) FROM (values (1, NULL)) AS _tk_new(c1, c2)"),
    ("insert into public.t as q (a) overriding user value select x from u join v on u.i = v.i on conflict do nothing",
     "SELECT pg_catalog.count(*) FROM (select x from u join v on u.i = v.i) AS _tk_new(c1)"),
    ("with w as (select 1) insert into t table w",
     "with w as (select 1) SELECT pg_catalog.count(*) FROM (table w) AS _tk_new"),
]  # fmt: skip


CHANGES += [
    (
        "with w as (select 1 as id) merge into only public.t as x using w on x.id = w.id and true"
        " when matched and w.id > case when true then 1 else 2 end then update set a = case when b then 1 end, c = 2"
        " when matched then do nothing when not matched then insert (id) values (w.id)",
        "with w as (select 1 as id) SELECT pg_catalog.count(*) FROM only public.t as x RIGHT JOIN w"
        " ON (x.id = w.id and true) WHERE CASE"
        ' WHEN "x".tableoid IS NOT NULL AND (w.id > case when true then 1 else 2 end) THEN true'
        ' WHEN "x".tableoid IS NOT NULL THEN false WHEN "x".tableoid IS NULL THEN true ELSE false END',
    ),
    (
        "update t set a = case when b then c else d end, b = 2 where case when c then true end",
        "SELECT pg_catalog.count(*) FROM t WHERE case when c then true end",
    ),
]


@pytest.mark.parametrize(("text", "count"), CHANGES, ids=[text for text, _ in CHANGES])
def test_the_count_is_made_of_the_statements_own_words(text: str, count: str) -> None:
    assert made(text).count_sql().decode() == count


@pytest.mark.parametrize("text", [text for text, _ in CHANGES])
def test_every_query_is_a_proven_read(text: str) -> None:
    rewriting = made(text)
    columns = COLUMNS[: rewriting.width or 2] if not rewriting.before else COLUMNS
    sample = b"SELECT 1" if rewriting.unsampled else rewriting.sample_sql(columns, LIMITS)
    for sql in (rewriting.count_sql(), rewriting.plan_sql(), sample):
        verdict = classify_sql(sql, ("public",))
        assert verdict.is_read, (sql, verdict.classification.reasons)


def test_a_sample_shows_each_column_before_and_what_is_assigned_after() -> None:
    sql = made("update t set a = b + $1, c = default where id = 4").sample_sql(
        (COLUMNS[0], TargetColumn("a", "numeric(10,2)", "", False), COLUMNS[3]), LIMITS
    )
    assert sql.decode() == (
        'SELECT pg_catalog.left((("t"."id"))::pg_catalog.text, 201), '
        'pg_catalog.left((CAST(("t"."a") AS numeric(10,2)))::pg_catalog.text, 201), '
        "pg_catalog.left((CAST((b + $1) AS numeric(10,2)))::pg_catalog.text, 201), "
        'pg_catalog.left((("t"."c"))::pg_catalog.text, 201), '
        "pg_catalog.left(((NULL))::pg_catalog.text, 201) FROM t WHERE id = 4 LIMIT 20"
    ).replace('(CAST(("t"."a") AS numeric(10,2)))', '(("t"."a"))')


@pytest.mark.parametrize(
    "text",
    [
        "update t set (a, b) = (select 1, 2)",
        "update t set a[1] = 2",
        "update t set a.b = 2",
        "update t set a = 1 where current of c",
        "delete from t where current of c",
        "with w as (delete from u returning *) delete from t using w",
        "with w as (insert into u values (1) returning *) insert into t select * from w",
        "insert into t (a.b) values (1)",
        "update t set a = 1; delete from t",
        "select 1",
        "truncate t",
        "",
        "update",
        "with update as (select 1) update t set a = 1",
        "update set set set = 1",
        "merge into t using s on t.id = s.id when not matched by source then delete",
        "with w as (delete from u returning *) merge into t using w on t.id = w.id when matched then delete",
        "delete from t where pg_sleep(1) is null",
        "update t set a = 1 from (select pg_catalog.pg_advisory_unlock_all()) x",
    ],
)
def test_what_has_no_such_query_says_why(text: str) -> None:
    with pytest.raises(NotRewritten) as why:
        made(text)
        made(text).count_sql()
    assert str(why.value)


@pytest.mark.parametrize(
    "text",
    [
        "delete from t where pg_terminate_backend(1)",
        "update t set a = dblink_exec('x', 'y')",
        "insert into t select f(1)",
        "delete from t where a = any (array(select nextval('s')))",
        "insert into t values (lo_creat(-1))",
    ],
)
def test_p6_what_calls_more_than_proven_reads_is_no_proven_read_as_a_preview(text: str) -> None:
    rewriting = made(text)
    columns = COLUMNS[: rewriting.width or 2]
    assert not classify_sql(rewriting.sample_sql(columns, LIMITS), ("public",)).is_read


def test_a_sample_of_many_columns_cuts_its_values_so_that_the_answer_stays_small() -> None:
    assert LIMITS.cut(2) == 200
    assert LIMITS.cut(64) * 64 * 4 * (LIMITS.rows + 1) <= LIMITS.sample_bytes
