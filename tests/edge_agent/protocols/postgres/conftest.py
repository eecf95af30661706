"""Fixtures of the PostgreSQL protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import RealPostgres

TRAPS = """
CREATE TABLE IF NOT EXISTS shop.trapped (n int);
CREATE OR REPLACE FUNCTION shop.sneaky() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
  'BEGIN INSERT INTO shop.trapped VALUES (1); RETURN 1; END';
CREATE OR REPLACE VIEW shop.trap AS SELECT shop.sneaky() AS n;
CREATE OR REPLACE FUNCTION shop.unlock() RETURNS text LANGUAGE sql AS
  $$SELECT set_config('default_transaction_read_only', 'off', false)$$;
CREATE OR REPLACE VIEW shop.unlocking AS SELECT shop.unlock() AS n;
CREATE OR REPLACE PROCEDURE shop.committing() LANGUAGE plpgsql AS
  'BEGIN INSERT INTO shop.trapped VALUES (2); COMMIT; INSERT INTO shop.trapped VALUES (3); END';
GRANT SELECT ON shop.trap, shop.unlocking TO twokeys_edge;
TRUNCATE shop.trapped;
"""


@pytest.fixture
def trapped(any_postgres: RealPostgres) -> Iterator[RealPostgres]:
    """A server with a view that writes, one that undoes the read-only default, and a procedure that commits."""
    any_postgres.admin(TRAPS)
    yield any_postgres
    any_postgres.admin(
        "DROP VIEW shop.trap, shop.unlocking; DROP FUNCTION shop.sneaky, shop.unlock; DROP PROCEDURE shop.committing;"
        "DROP TABLE shop.trapped"
    )
