"""pgbench"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.scene import Scene, run

PERMITTED = '@id("all") permit (principal, action, resource);'
TABLES = "shop.pgbench_accounts, shop.pgbench_branches, shop.pgbench_history, shop.pgbench_tellers"


@pytest.fixture
def room(scene: Scene) -> Iterator[Scene]:
    """A schema where the role may make tables."""
    scene.edge.postgres.admin("GRANT CREATE ON SCHEMA shop TO twokeys_edge")
    yield scene
    scene.edge.postgres.admin(f"DROP TABLE IF EXISTS {TABLES}; REVOKE CREATE ON SCHEMA shop FROM twokeys_edge")


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "permitted"])
@pytest.mark.parametrize("steps", ["dtgvp", "dtGvpf"])
def test_pgbench_makes_its_tables(room: Scene, steps: str, asked: bool) -> None:
    """`-i`, with data from the client (COPY with FREEZE) and from the server, and a run of TPC-B: each write after
    approval, or unasked where policy permits them"""
    if not asked:
        room.edge.enter(PERMITTED, 2)
    pgbench = room.program("pgbench")
    made = run(pgbench, "-q", "-i", "-I", steps, "-s", "1", environment=room.environment)
    assert made.returncode == 0, made.stderr
    assert room.edge.postgres.admin("SELECT count(*) FROM shop.pgbench_accounts").strip() == "100000"
    done = run(pgbench, "-n", "-t", "3", environment=room.environment)
    assert done.returncode == 0, done.stderr
    assert room.edge.postgres.admin("SELECT count(*) FROM shop.pgbench_history").strip() == "3"
    assert (room.asked > 20) is asked and (asked or room.asked == 0)


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_reads_and_writes(scene: Scene, mode: str, tmp_path: Path) -> None:
    """each query mode (simple, extended, prepared): reads, and a write in a transaction after approval"""
    script = tmp_path / "script.sql"
    script.write_text(
        "\\set a random(1, 200)\nSELECT total FROM orders WHERE id = :a;\nBEGIN;\n"
        "SELECT total FROM orders WHERE id = :a;\nUPDATE orders SET total = total WHERE id = :a;\nEND;\n"
    )
    done = run(
        scene.program("pgbench"), "-n", "-M", mode, "-c", "2", "-t", "5", "-f", script, environment=scene.environment
    )
    assert done.returncode == 0, done.stderr
    assert "10/10" in done.stdout
    assert scene.asked == 10
