"""A schema with every place where users' code may hide, and texts over it."""

from __future__ import annotations

SCHEMA = """
CREATE SCHEMA app;
CREATE EXTENSION citext SCHEMA public;
CREATE TABLE app.log (said text);
CREATE TABLE app.orders (id int, total numeric, mail public.citext);
CREATE TABLE app.plain (id int, b text);
CREATE SEQUENCE app.s;
CREATE FUNCTION app.writes(n int) RETURNS int LANGUAGE plpgsql AS
 $$ BEGIN INSERT INTO app.log VALUES ('x'); RETURN n; END $$;
CREATE FUNCTION app.lies(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN app.writes(n); END $$;
CREATE FUNCTION app.vouched(n int) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN n; END $$;
CREATE FUNCTION app.sums(n int) RETURNS numeric STABLE LANGUAGE sql AS $$ SELECT sum(total) FROM app.orders $$;
CREATE FUNCTION app.twice(n int) RETURNS int IMMUTABLE LANGUAGE sql RETURN n * 2;
CREATE FUNCTION app.atomic(n int) RETURNS numeric STABLE LANGUAGE sql
 BEGIN ATOMIC SELECT total FROM app.orders WHERE id = n; END;
CREATE FUNCTION app.nested(n int) RETURNS numeric STABLE LANGUAGE sql AS $$ SELECT app.sums(n) + app.twice(n) $$;
CREATE FUNCTION app.own_path(n int) RETURNS numeric STABLE LANGUAGE sql SET search_path = app AS
 $$ SELECT sums(n) $$;
CREATE FUNCTION app.sneaks(n int) RETURNS int STABLE LANGUAGE sql AS $$ SELECT app.writes(n) $$;
CREATE FUNCTION app.counts() RETURNS bigint STABLE LANGUAGE sql AS $$ SELECT nextval('app.s') $$;
CREATE FUNCTION app.volatile_sql() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION app.definer() RETURNS int STABLE SECURITY DEFINER LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION app.default_writes(n int DEFAULT app.writes(1)) RETURNS int STABLE LANGUAGE sql AS $$ SELECT n $$;
CREATE FUNCTION app.endless(n int) RETURNS int STABLE LANGUAGE sql AS $$ SELECT 1 $$;
CREATE OR REPLACE FUNCTION app.endless(n int) RETURNS int STABLE LANGUAGE sql AS $$ SELECT app.endless(n) $$;
CREATE FUNCTION app.sets() RETURNS int STABLE LANGUAGE sql SET role = none AS $$ SELECT 1 $$;
CREATE FUNCTION app.of_row(o app.orders) RETURNS int LANGUAGE plpgsql AS
 $$ BEGIN INSERT INTO app.log VALUES ('y'); RETURN 1; END $$;
CREATE FUNCTION app.key(o app.orders) RETURNS int LANGUAGE plpgsql AS
 $$ BEGIN INSERT INTO app.log VALUES ('k'); RETURN 1; END $$;
CREATE FUNCTION app.label(o app.orders) RETURNS text STABLE LANGUAGE sql AS $$ SELECT 'x' || o.id $$;
CREATE FUNCTION public.initcap(n int) RETURNS text LANGUAGE plpgsql AS
 $$ BEGIN INSERT INTO app.log VALUES ('z'); RETURN 'z'; END $$;
CREATE FUNCTION app.step(a int, b int) RETURNS int LANGUAGE plpgsql AS
 $$ BEGIN INSERT INTO app.log VALUES ('s'); RETURN a; END $$;
CREATE AGGREGATE app.bad_sum(int) (SFUNC = app.step, STYPE = int, INITCOND = '0');
CREATE AGGREGATE app.good_sum(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR app.### (LEFTARG = int, RIGHTARG = int, FUNCTION = app.step);
CREATE OPERATOR app.#+# (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
CREATE OPERATOR app.#!# (RIGHTARG = bigint, FUNCTION = pg_try_advisory_lock);
CREATE DOMAIN app.good AS int CHECK (VALUE > 0);
CREATE DOMAIN app.bad AS int CHECK (app.writes(VALUE) > 0);
CREATE TYPE app.mood AS ENUM ('sad', 'glad');
CREATE TYPE app.pair AS (a int, b app.mood);
CREATE TYPE app.badge AS (n int);
CREATE FUNCTION app.to_badge(n int) RETURNS app.badge LANGUAGE plpgsql AS
 $$ DECLARE b app.badge; BEGIN INSERT INTO app.log VALUES ('c'); RETURN b; END $$;
CREATE CAST (int AS app.badge) WITH FUNCTION app.to_badge(int);
CREATE TABLE app.badges (id int, b app.badge);
CREATE TABLE app.moods (id int, m app.mood, ms app.mood[], p app.pair);
CREATE VIEW app.v_plain AS SELECT id, lower(mail::text) AS mail FROM app.orders WHERE id > 1;
CREATE VIEW app.v_reads AS SELECT app.nested(id) FROM app.orders;
CREATE VIEW app.v_writes AS SELECT app.writes(id) FROM app.orders;
CREATE VIEW app.v_on_it AS SELECT * FROM app.v_writes;
CREATE VIEW app.v_locks AS SELECT pg_try_advisory_lock(id) FROM app.orders;
CREATE VIEW app.v_operator AS SELECT id OPERATOR(app.###) 1 AS x FROM app.orders;
CREATE VIEW app.v_catalog AS SELECT relname FROM pg_class;
CREATE MATERIALIZED VIEW app.m AS SELECT app.vouched(id) FROM app.orders;
CREATE TABLE app.guarded (id int);
ALTER TABLE app.guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON app.guarded USING (app.writes(id) > 0);
CREATE TABLE app.fenced (id int, owner text);
ALTER TABLE app.fenced ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON app.fenced USING (owner = current_setting('app.who', true));
CREATE TABLE app.parent (id int);
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE app.remote (id int) INHERITS (app.parent) SERVER files OPTIONS (program 'true');
"""

READS = [
    "SELECT * FROM app.orders WHERE id = 1 ORDER BY total",
    "SELECT * FROM orders JOIN plain USING (id) WHERE b LIKE 'x%' AND id IN (1, 2) AND id BETWEEN 1 AND 2",
    "SELECT CASE id WHEN 1 THEN 2 END FROM plain",
    "SELECT o.id, o.total FROM orders o GROUP BY o.id, o.total HAVING count(*) > 1",
    "SELECT mail = 'a@example.com'::citext, mail::text FROM orders ORDER BY mail",
    "SELECT app.vouched(1)",
    "SELECT sums(1)",
    "SELECT app.twice(2), app.atomic(1), app.nested(3), app.own_path(1)",
    "SELECT * FROM app.twice(2)",
    "SELECT app.good_sum(id) FROM plain",
    "SELECT 1 OPERATOR(app.#+#) 2, id #+# 2 FROM plain",
    "SELECT 1::app.good, 'sad'::app.mood, '{sad}'::mood[], ROW(1, 'sad')::app.pair",
    "SELECT o.label FROM orders o",
    "SELECT * FROM app.v_plain",
    "SELECT * FROM app.v_reads",
    "SELECT * FROM v_catalog",
    "SELECT * FROM app.m",
    "SELECT * FROM app.fenced",
    "SELECT * FROM app.moods WHERE m = 'sad'",
    "EXPLAIN ANALYZE SELECT app.sums(1)",
    "COPY (SELECT app.sums(1)) TO STDOUT",
    "SELECT lower('X'), upper(b), length(b) FROM plain",
]

UNPROVEN = [
    "SELECT app.writes(1)",
    "SELECT writes(1)",
    "SELECT app.lies(1)",
    "SELECT app.sneaks(1)",
    "SELECT app.counts()",
    "SELECT app.volatile_sql()",
    "SELECT app.definer()",
    "SELECT app.default_writes()",
    "SELECT app.endless(1)",
    "SELECT app.sets()",
    "SELECT app.nobody_knows(1)",
    "SELECT * FROM app.writes(1)",
    "SELECT * FROM generate_series(1, 2) g WHERE app.lies(g) > 0",
    "SELECT o.of_row FROM app.orders o",
    "SELECT app.orders.of_row FROM app.orders",
    "SELECT (o).of_row FROM app.orders o",
    "SELECT (o).key FROM app.orders o",
    "SELECT o.key FROM app.orders o",
    "SELECT '{1}'::app._bad",
    "SELECT initcap('x')",
    "SELECT pg_catalog.lower('x'), initcap(b) FROM plain",
    "SELECT app.bad_sum(id) FROM plain",
    "SELECT 1 OPERATOR(app.###) 2",
    "SELECT id ### 2 FROM plain",
    "SELECT #!# 5",
    "SELECT 1::app.bad",
    "SELECT '{1}'::app.bad[]",
    "SELECT CAST(1 AS badge)",
    "SELECT b FROM app.badges",
    "SELECT * FROM app.v_writes",
    "SELECT * FROM app.v_on_it",
    "SELECT count(*) FROM v_on_it",
    "SELECT * FROM app.v_locks",
    "SELECT * FROM app.v_operator",
    "SELECT * FROM app.guarded",
    "SELECT * FROM app.remote",
    "SELECT * FROM app.parent",
    "TABLE app.v_writes",
    "COPY (SELECT * FROM app.v_writes) TO STDOUT",
    "COPY app.guarded TO STDOUT",
    "DECLARE c CURSOR FOR SELECT * FROM app.v_writes",
    "PREPARE p AS SELECT * FROM app.v_writes",
    "EXPLAIN SELECT * FROM app.v_writes",
    "WITH w AS (SELECT * FROM app.v_writes) SELECT * FROM w",
    "SELECT EXISTS (SELECT FROM app.v_writes)",
    "SELECT 1 UNION SELECT * FROM app.v_writes",
]

CHANGES = [
    "CREATE FUNCTION app.another() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION app.another() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "ALTER FUNCTION app.another() STABLE",
    "DROP FUNCTION app.another()",
    "CREATE OR REPLACE VIEW app.v_catalog AS SELECT relname FROM pg_class WHERE true",
    "CREATE OPERATOR app.#-# (LEFTARG = int, RIGHTARG = int, FUNCTION = int4mi)",
    "DROP OPERATOR app.#-# (int, int)",
    "ALTER DOMAIN app.good ADD CONSTRAINT more CHECK (VALUE > 1)",
    "CREATE POLICY q ON app.fenced USING (true)",
    "CREATE TABLE app.one_more (m app.mood)",
    "ALTER TABLE app.one_more RENAME TO one_less",
    "CREATE SCHEMA elsewhere",
]
