"""pg_dump and pg_dumpall"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.scene import Scene, run

OBJECTS = """
SET search_path = shop;
CREATE TYPE shop.size AS ENUM ('s', 'm', 'l');
CREATE DOMAIN shop.short AS text CHECK (length(value) < 10);
CREATE VIEW shop.open_orders AS SELECT id, total FROM shop.orders WHERE status = 'open';
CREATE MATERIALIZED VIEW shop.totals AS SELECT status, sum(total) AS total FROM shop.orders GROUP BY status;
CREATE FUNCTION shop.twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE OPERATOR shop.@@@ (FUNCTION = shop.twice, RIGHTARG = integer);
CREATE AGGREGATE shop.total_of(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE TABLE shop.parts (id integer, day date) PARTITION BY RANGE (day);
CREATE TABLE shop.parts_2026 PARTITION OF shop.parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE FUNCTION shop.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noted BEFORE INSERT ON shop.parts FOR EACH ROW EXECUTE FUNCTION shop.noted();
CREATE STATISTICS shop.both ON customer_id, status FROM shop.orders;
COMMENT ON TABLE shop.parts IS 'in parts';
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO twokeys_edge;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA shop TO twokeys_edge;
"""
REMOVED = """
DROP STATISTICS shop.both; DROP TABLE shop.parts; DROP FUNCTION shop.noted(); DROP AGGREGATE shop.total_of(integer);
DROP OPERATOR shop.@@@ (NONE, integer); DROP FUNCTION shop.twice(integer); DROP MATERIALIZED VIEW shop.totals;
DROP VIEW shop.open_orders; DROP DOMAIN shop.short; DROP TYPE shop.size;
REVOKE SELECT ON ALL SEQUENCES IN SCHEMA shop FROM twokeys_edge;
"""


@pytest.fixture(autouse=True)
def objects(scene: Scene) -> Iterator[None]:
    """Something of every kind to dump."""
    scene.edge.postgres.admin(OBJECTS)
    yield
    scene.edge.postgres.admin(REMOVED)


def dumped(scene: Scene, *arguments: str, direct: bool = False) -> str:
    done = run(scene.program("pg_dump"), *arguments, environment=scene.direct if direct else scene.environment)
    assert done.returncode == 0, done.stderr
    return without_key(done.stdout)


def without_key(script: str) -> str:
    """Newer releases guard their scripts with a random key: \\restrict."""
    return re.sub(r"(?m)^\\(un)?restrict .*$", r"\\\1restrict", script)


@pytest.mark.parametrize("arguments", [(), ("--inserts", "--no-owner"), ("--serializable-deferrable",)], ids=" ".join)
def test_pg_dump_is_the_same_as_past_the_edge(scene: Scene, arguments: tuple[str, ...]) -> None:
    """a dump is byte for byte the one made past the Edge, and nobody is asked"""
    assert dumped(scene, *arguments) == dumped(scene, *arguments, direct=True)
    assert [one.statement for one in scene.edge.control.opened] == []


def test_pg_dump_in_parallel(scene: Scene, tmp_path: Path) -> None:
    """`--jobs` over one snapshot"""
    dumped(scene, "--format", "directory", "--jobs", "2", "--file", str(tmp_path / "dump"))
    listed = run(scene.program("pg_restore"), "--list", tmp_path / "dump", environment=scene.environment)
    assert "TABLE DATA shop orders" in listed.stdout
    assert [one.statement for one in scene.edge.control.opened] == []


def test_pg_dumpall_of_roles_and_tablespaces(scene: Scene) -> None:
    """`pg_dumpall -g --no-role-passwords -l <the database>`: the same as past the Edge, and nobody is asked; without
    `-l` it asks for another database, and is told which one is served"""
    wanted = (scene.program("pg_dumpall"), "--globals-only", "--no-role-passwords")
    through, direct = (
        run(*wanted, "-l", scene.database, environment=each) for each in (scene.environment, scene.direct)
    )
    assert through.returncode == 0, through.stderr
    assert "CREATE ROLE twokeys_edge" in through.stdout
    assert without_key(through.stdout) == without_key(direct.stdout)
    assert scene.asked == 0
    elsewhere = run(*wanted, environment=scene.environment)
    assert elsewhere.returncode == 1 and f"Connect to {scene.database}" in elsewhere.stderr
