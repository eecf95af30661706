"""A whole PostgreSQL server killed by SIGKILL, and started again over the same data."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

from tests.support.postgres import RealPostgres

DEFERRED: Final = """
CREATE TABLE shop.sleepy (id int PRIMARY KEY, total int);
INSERT INTO shop.sleepy VALUES (180, 1);
GRANT ALL ON shop.sleepy TO PUBLIC;
CREATE FUNCTION shop.doze() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER doze AFTER UPDATE ON shop.sleepy DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION shop.doze();
"""
"""A table whose COMMIT takes long: the deferred trigger runs in it."""


LASTING: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""Settings under which what was committed survives."""


def kill_server(postgres: RealPostgres) -> None:
    """SIGKILL to the postmaster and each of its processes, the postmaster first; returns when all are gone."""
    process = postgres.server.process
    assert process is not None
    children = [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.kill()
    process.wait(10)
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
    end = time.monotonic() + 10
    while any(Path(f"/proc/{child}/stat").exists() and not _zombie(child) for child in children):
        assert time.monotonic() < end
        time.sleep(0.02)


def start_again(postgres: RealPostgres) -> None:
    """The same server over the same data, at the same port."""
    postgres.server.start(postgres.port)


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
