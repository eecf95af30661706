"""pg_restore, and psql with a dump"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.scene import Scene, run
from tests.clients.test_pg_dump import without_key

DEPOT = """
GRANT CREATE ON DATABASE {database} TO twokeys_edge; CREATE SCHEMA depot AUTHORIZATION twokeys_edge;
SET ROLE twokeys_edge;
CREATE TABLE depot.things (id serial PRIMARY KEY, name text UNIQUE, price numeric(8, 2) CHECK (price > 0));
CREATE TABLE depot.parts (id integer, thing integer REFERENCES depot.things);
CREATE INDEX ON depot.things (price);
CREATE VIEW depot.dear AS SELECT * FROM depot.things WHERE price > 40;
CREATE FUNCTION depot.twice(i integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 * 2';
COMMENT ON TABLE depot.things IS 'sample';
INSERT INTO depot.things (name, price) SELECT 'thing ' || g, g FROM generate_series(1, 50) AS g;
INSERT INTO depot.parts SELECT g, g FROM generate_series(1, 20) AS g;
"""
GONE = "DROP SCHEMA IF EXISTS depot CASCADE"


@pytest.fixture
def depot(scene: Scene) -> Iterator[Scene]:
    """A schema of the role's own."""
    postgres = scene.edge.postgres
    postgres.admin(DEPOT.format(database=postgres.database))
    yield scene
    postgres.admin(f"{GONE}; REVOKE CREATE ON DATABASE {postgres.database} FROM twokeys_edge")


def dumped(scene: Scene, *arguments: str | Path) -> str:
    done = run(scene.program("pg_dump"), "-n", "depot", *arguments, environment=scene.environment)
    assert done.returncode == 0, done.stderr
    return without_key(done.stdout)


@pytest.mark.parametrize("how", ["psql", "psql -1", "pg_restore", "pg_restore -1", "pg_restore -j 2", "pg_restore -c"])
def test_a_dump_is_restored_after_approval(depot: Scene, how: str, tmp_path: Path) -> None:
    """a dump in SQL by psql, and one in the custom format by pg_restore (`-1`, `-j`, `-c`): each statement that
    changes something is asked about, none of the preamble, and a new dump is the same"""
    before = dumped(depot)
    file = tmp_path / "dump"
    program, *options = how.split()
    if program == "psql":
        dumped(depot, "-f", file)
        command = ["-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-f", str(file)]
    else:
        dumped(depot, "-Fc", "-f", file)
        command = ["-e", *options, "-d", depot.database, str(file)]
    if "-c" not in options:
        depot.edge.postgres.admin(GONE)
    assert depot.asked == 0
    done = run(depot.program(program), *command, environment=depot.environment)
    assert done.returncode == 0, done.stderr
    asked = [one.statement for one in depot.edge.control.opened]
    assert len(asked) > 15 and not [one for one in asked if one.upper().startswith("SET")]
    assert dumped(depot) == before


def test_a_restore_ends_at_a_denial(depot: Scene, tmp_path: Path) -> None:
    """a denial ends it with the reason, and in one transaction nothing is left"""
    dumped(depot, "-Fc", "-f", tmp_path / "dump")
    depot.edge.postgres.admin(GONE)
    depot.deny("not on a Friday")
    done = run(
        depot.program("pg_restore"), "-1", "-d", depot.database, tmp_path / "dump", environment=depot.environment
    )
    assert done.returncode == 1 and "not on a Friday" in done.stderr
    assert depot.edge.postgres.admin("SELECT count(*) FROM pg_namespace WHERE nspname = 'depot'").strip() == "0"
