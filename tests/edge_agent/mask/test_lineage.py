"""What is provably free is shown, and only that: whatever derives from a classified column stays redacted.

In ``shop.person (id, name, email, code)`` the last two are classified; nothing of ``orders`` and ``pets`` is.
"""

from __future__ import annotations

import pytest

from edge_agent.mask.columns import NOTHING_KNOWN, Columns
from edge_agent.mask.lineage import Cleared, cleared

PERSON = {"id": False, "name": False, "email": True, "code": True}
COLUMNS = Columns(True, listed={"person": {"shop": PERSON}, "mails": {"shop": {"id": False, "low": True}}})


def proven(text: str) -> list[bool]:
    found = cleared(text.encode(), COLUMNS)
    assert found is not None
    assert found.after is None
    return list(found.before)


SHOWN = [
    "SELECT count(*), 1, 'x', $1, current_date FROM person",
    "SELECT lower(name), id + 1, CASE WHEN id > 3 THEN 'a' END, coalesce(name, 'x'), id::text FROM person",
    "SELECT lower(p.name), shop.person.id + 1 FROM shop.person p, shop.person",
    "SELECT d.name, count(*), sum(o.total) FROM person p JOIN orders o ON o.person_id = p.id JOIN pets d USING (id)",
    "SELECT lower(x.n) FROM (SELECT name AS n, email FROM person) x",
    "SELECT lower(x.name) FROM (SELECT * FROM person) x",
    "SELECT upper(a) FROM (SELECT id, name FROM person) x(i, a)",
    "WITH c AS (SELECT id, upper(name) AS n FROM person) SELECT n || '' FROM c",
    "WITH c(i, n) AS (SELECT id, name FROM person) SELECT n || '' FROM c",
    "SELECT name FROM person UNION SELECT status FROM orders",
    "SELECT lower(name) FROM person WHERE email = 'x' AND id > 2",
    "SELECT lower(name) FROM person WHERE email LIKE $1 AND code IS NOT NULL ORDER BY email LIMIT 3",
    "SELECT rank() OVER (PARTITION BY name ORDER BY id), sum(id) OVER w FROM person WINDOW w AS (ORDER BY name)",
    "SELECT (SELECT max(o.total) FROM orders o WHERE o.person_id = p.id) FROM person p",
    "SELECT EXISTS (SELECT 1 FROM orders o WHERE o.person_id = p.id), id IN (SELECT 1) FROM person p",
    "SELECT count(*) FROM orders WHERE person_id IN (SELECT p.id FROM person p WHERE p.name = 'x')",
    "SELECT ARRAY[id, 2], ROW(id, name), (ARRAY[id])[1], ARRAY(SELECT id FROM person) FROM person",
    "SELECT max(o.total), o, row_to_json(o) FROM person p, orders o",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r, person",
    "SELECT g + id, upper(g::text) FROM person, generate_series(1, 3) g",
    "SELECT v.a FROM person, (VALUES (1), (2)) v(a)",
    "SELECT name, count(*) FROM person GROUP BY ROLLUP (name), 1 HAVING count(*) > 1 ORDER BY 2 DESC, name",
    "SELECT extract(year FROM now()), string_agg(name, ',' ORDER BY id) FILTER (WHERE id > 1) FROM person",
    "WITH person AS (SELECT 1 AS email) SELECT email + 1 FROM person",
]


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_free_is_shown(text: str) -> None:
    assert all(proven(text))


HIDDEN = {
    "expression": "SELECT lower(email), email || '', max(email), email::text, count(email), email IS NULL FROM person",
    "mixed": "SELECT name || email, coalesce(name, email), CASE WHEN email = 'x' THEN 1 END, id = 1 OR code = 1"
    " FROM person",
    "whole row": "SELECT p, p::text, p.*::text, row_to_json(p), json_agg(p), ROW(p.*), count(p), p IS NULL"
    " FROM person p",
    "whole row by its table's name": "SELECT person, to_jsonb(person), shop.person.email || '' FROM shop.person",
    "notation": "SELECT email(p), (p).email, (p).name, p.to_json, p.row_to_json, p.foo FROM person p",
    "an alias that is a column": "SELECT lower(name), count(name) FROM orders, person AS name",
    "a column that is an alias": "SELECT max(o) FROM (SELECT email AS o FROM person) x, orders o",
    "renamed": "SELECT max(id), lower(name) FROM person AS p (email, id, name)",
    "renamed sub-select": "SELECT lower(a), lower(email) FROM (SELECT email, name FROM person) x(a)",
    "star in a sub-select": "SELECT lower(x.email), lower(x::text), x.row_to_json FROM (SELECT * FROM person) x",
    "row in a sub-select": "SELECT x.p, (x.p).email FROM (SELECT p FROM person p) x",
    "CTE named as a table": "WITH orders AS (SELECT email AS status FROM person) SELECT lower(status) FROM orders",
    "CTE within a CTE": "WITH a AS (WITH b AS (SELECT email FROM person) SELECT * FROM b) SELECT lower(email) FROM a",
    "CTE that sees the table of its name": "WITH person AS (SELECT email AS e FROM person) SELECT lower(e) FROM person",
    "CTE of another arm": "WITH c AS (SELECT 1 AS e), d AS (WITH c AS (SELECT email AS e FROM person) SELECT * FROM c)"
    " SELECT e || '' FROM d",
    "outer": "SELECT (SELECT max(email) FROM orders), (SELECT p.email), (SELECT p) FROM person p",
    "lateral": "SELECT lower(l.v) FROM person p, LATERAL (SELECT p.email AS v) l",
    "VALUES": "SELECT lower(v.a), lower(v.column1) FROM person p, LATERAL (VALUES ('x'), (p.email)) v(a)",
    "a sub-select tells": "SELECT EXISTS (SELECT 1 FROM person q WHERE q.id = p.id AND q.email LIKE 'a%'),"
    " (SELECT 'yes' FROM person q WHERE q.email LIKE 'a%') FROM person p",
    "a filter tells": "SELECT count(*) FILTER (WHERE email = 'x'), sum(id) OVER (ORDER BY email), string_agg(name,"
    " email),"
    " rank() OVER w, array_agg(id ORDER BY email) FROM person WINDOW w AS (ORDER BY email)",
    "UNION": "SELECT name FROM person UNION ALL SELECT email FROM person",
    "UNION by position": "SELECT x.a || '' FROM (SELECT name AS a, email AS b FROM person UNION SELECT email, name FROM"
    " person) x",
    "UNION of guesses": "SELECT 'a' FROM person WHERE email LIKE 'a%' UNION ALL SELECT 'b' FROM person WHERE email LIKE"
    " 'b%'",
    "recursive": "WITH RECURSIVE r(n, e) AS (SELECT 1, '' UNION ALL SELECT n + 1, (SELECT max(email) FROM person)"
    " FROM r"
    " WHERE n < 2) SELECT lower(e) FROM r",
    "recursive, later": "WITH RECURSIVE r(a, b, c) AS (SELECT name, name, email FROM person UNION ALL SELECT b, c, c"
    " FROM"
    " r) SELECT a || '' FROM r",
    "forward": "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT email AS x FROM person) SELECT x || '' FROM a",
    "join": "SELECT j.email || '', lower(email), j.j, j FROM (person p JOIN orders o ON o.person_id = p.id) AS j",
    "view": "SELECT low || '' FROM mails",
    "code of users": "SELECT public.max(id), id OPERATOR(shop.+) 1, id::shop.label, f(1) FROM person",
    "telltale": "SELECT (1).pg_stat_get_backend_activity, g.pg_stat_get_backend_activity,"
    " pg_stat_get_backend_activity(1) FROM person, generate_series(1, 9) g",
    "unknown rows": "SELECT lower(q.query), lower(query) FROM orders, pg_stat_get_activity(NULL) q",
    "nowhere": "SELECT max(nothing), q.nothing FROM person",
    "toast": "SELECT md5(chunk_data) FROM pg_toast.pg_toast_1",
    "temporary": "SELECT lower(email) FROM pg_temp.person",
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_what_derives_from_it_is_not(text: str) -> None:
    assert not any(proven(text))


STEERED = {
    "decoded by a join": "SELECT string_agg(chr(n), '' ORDER BY k) FROM person, generate_series(1, 9) k,"
    " generate_series"
    "(32, 126) n WHERE ascii(substr(email, k, 1)) = n",
    "decoded by VALUES": "SELECT string_agg(s, '') FROM person, (VALUES (97, 'a'), (98, 'b')) v(n, s)"
    " WHERE ascii(email) = n",
    "decoded by OR": "SELECT chr(n) FROM person, generate_series(1, 9) n WHERE (n = 1 AND email LIKE 'a%')"
    " OR (n = 2 AND email LIKE 'b%')",
    "decoded by ON": "SELECT max(o.id) FROM person p JOIN orders o ON o.id = p.code",
    "decoded by USING": "SELECT max(o.id) FROM person p JOIN orders o USING (code)",
    "decoded by NATURAL": "SELECT max(o.id) FROM person p NATURAL JOIN orders o",
    "decoded by an outer join": "SELECT v.s || '' FROM orders LEFT JOIN (person CROSS JOIN (VALUES ('a')) v(s))"
    " ON email LIKE 'a%'",
    "decoded by an order": "SELECT chr(n) FROM person, generate_series(1, 9) n ORDER BY ascii(email) = n DESC LIMIT 1",
    "decoded by a named order": "SELECT chr(n), ascii(email) = n AS t FROM person, generate_series(1, 9) n ORDER BY t",
    "decoded by a numbered order": "SELECT chr(n), ascii(email) = n FROM person, generate_series(1, 9) n ORDER BY 2",
    "decoded by a group": "SELECT array_agg(n) FROM person, generate_series(1, 9) n GROUP BY ascii(email) = n",
    "decoded by HAVING": "SELECT n + 0 FROM person, generate_series(1, 9) n GROUP BY n HAVING max(code) = n",
    "decoded by DISTINCT ON": "SELECT DISTINCT ON (code = n) n + 0 FROM person, generate_series(1, 9) n",
    "decoded by INTERSECT": "SELECT n, chr(n) FROM generate_series(1, 9) n INTERSECT SELECT n, email FROM person,"
    " orders",
    "decoded in a sub-select": "SELECT o.id + 0 FROM orders o WHERE o.id = (SELECT max(code) FROM person)",
    "decoded by EXISTS": "SELECT o.id + 0 FROM orders o WHERE EXISTS (SELECT 1 FROM person WHERE code = o.id)",
    "decoded by EXISTS within": "SELECT n + 0 FROM generate_series(1, 9) n WHERE (EXISTS (SELECT 1 FROM person WHERE"
    " email"
    " LIKE 'a%') AND n = 1) OR n = 0",
    "decoded by a lateral sub-select": "SELECT o.id + 0 FROM orders o, LATERAL (SELECT 1 FROM person WHERE code ="
    " o.id) l",
    "decoded by what was put together": "SELECT x.n + 0 FROM (SELECT n, n + 0 * code AS t FROM person,"
    " generate_series(1,"
    " 9) n) x JOIN person p ON p.code = x.t",
    "decoded by what was chosen": "SELECT x.s || '' FROM (SELECT CASE WHEN true THEN 1 ELSE code END AS t, 'a' AS s"
    " FROM"
    " person UNION ALL SELECT code, 'b' FROM person) x JOIN person p ON p.code = x.t",
    "guessed by many": "SELECT string_agg(chr(n), '') FROM generate_series(1, 9) n WHERE"
    " n <> ALL (SELECT 7 FROM person WHERE email NOT LIKE 'a%')",
    "guessed by HAVING": "SELECT chr(n) FROM generate_series(1, 9) n WHERE EXISTS (SELECT 1 FROM person WHERE email"
    " LIKE"
    " 'a%' HAVING count(*) > 0 OR n <> 7)",
    "guessed by weights": "SELECT count(*) FROM (SELECT 1 FROM person, generate_series(1, 64) WHERE ascii(email) & 64"
    " > 0"
    " UNION ALL SELECT 1 FROM person, generate_series(1, 32) WHERE ascii(email) & 32 > 0) x",
    "guessed by counts": "SELECT CASE WHEN x.n > 0 THEN 'a' END FROM (SELECT count(*) AS n FROM person WHERE email LIKE"
    " 'a%') x",
    "guessed within a sub-select": "SELECT count(*) FROM orders WHERE person_id IN (SELECT p.id FROM person p WHERE"
    " p.email = 'x')",
    "counted by DISTINCT": "SELECT count(*) FROM (SELECT DISTINCT n % code FROM person, generate_series(1, 99) n) x",
    "counted by UNION": "SELECT count(*) FROM (SELECT n % code FROM person, generate_series(1, 99) n UNION SELECT 1) x",
    "told by a seed": "SELECT max(o.id) FROM orders o TABLESAMPLE bernoulli (50) REPEATABLE ((SELECT code FROM"
    " person))",
    "counted by a function": "SELECT count(*) FROM person, generate_series(1, code)",
    "counted by a set": "SELECT count(*) FROM (SELECT generate_series(1, code) FROM person) x",
    "counted by an unknown function": "SELECT count(*) FROM (SELECT f(code) FROM person) x",
    "counted by LIMIT": "SELECT count(*) FROM (SELECT 1 FROM orders LIMIT (SELECT code FROM person)) x",
    "counted by notation": "SELECT count(*) FROM (SELECT (array_fill(1, ARRAY[code])).unnest FROM person) x",
    "counted by a sample": "SELECT count(*) FROM orders TABLESAMPLE system ((SELECT code FROM person))",
    "counted by comparison": "SELECT count(*) FROM person, generate_series(1, 99) n WHERE n <= code",
    "a table function": "SELECT count(*) FROM person, JSON_TABLE(email, '$' COLUMNS (x text PATH '$')) j",
    "a write within": "WITH d AS (DELETE FROM person RETURNING email) SELECT count(*) FROM d",
}


@pytest.mark.parametrize("text", STEERED.values(), ids=STEERED)
def test_where_classified_values_steer_nothing_is_proven(text: str) -> None:
    assert not any(proven(text))


def test_what_the_text_says_itself_is_shown_in_any_case() -> None:
    assert proven("SELECT 1, $1, count(*) FROM person, generate_series(1, code)") == [True, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1 INTO kept FROM person",
        "DELETE FROM person RETURNING 1",
        "EXPLAIN SELECT 1",
        "SELECT " + "1 + " * 500 + "id FROM person",
        "SELECT " + "1," * 30_000 + "id FROM person",
        "SELECT " + "x," * 400 + "x FROM person" + ", orders" * 500,
    ],
)
def test_what_is_not_looked_at_proves_nothing(text: str) -> None:
    assert cleared(text.encode(), COLUMNS) is None


def test_what_stands_beside_stars_is_found_by_its_place() -> None:
    found = cleared(b"SELECT count(*) OVER (), p.*, lower(email), o.*, lower(name), 1 FROM person p, orders o", COLUMNS)
    assert found == Cleared((True,), (True, True))
    assert found.of(6) == (True, False, False, False, True, True)
    assert found.of(2) == (False, False)
    assert Cleared((True,)).of(2) == (False, False)


def test_where_nothing_is_known_nothing_is_proven() -> None:
    assert cleared(b"SELECT count(*) FROM person", NOTHING_KNOWN) is None
