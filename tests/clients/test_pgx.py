"""pgx"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.clients.scene import Scene, playing, run

PACKAGES = Path("/usr/share/gocode")
SOURCE = Path(__file__).parent / "go" / "client.go"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("go") is None, reason="no Go compiler is installed (Debian: golang-go)"),
    pytest.mark.skipif(
        not (PACKAGES / "src/github.com/jackc/pgx/v4").exists(),
        reason="pgx is not installed (Debian: golang-github-jackc-pgx-v4-dev)",
    ),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GO111MODULE": "off", "GOPATH": str(PACKAGES),
        "GOCACHE": str(folder / "cache"),
    }  # fmt: skip
    done = run(shutil.which("go") or "", "build", "-o", folder / "client", SOURCE, environment=environment)
    assert done.returncode == 0, done.stderr
    return folder / "client"


def play(scene: Scene, program: Path, part: str) -> list[str]:
    done = run(program, part, environment=scene.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_pgx_reads(scene: Scene, program: Path) -> None:
    """reads: its cache of prepared statements, the simple protocol, batches, arrays, COPY to the client, read-only"""
    assert play(scene, program, "reads") == ["cached 1"] * 3 + ["simple 200", "batch 15", "array [1 2]", "7"]
    assert [one.statement for one in scene.edge.control.opened] == []


def test_pgx_write_is_applied_after_approval(scene: Scene, program: Path) -> None:
    """a write waits and is applied after approval: Exec, RETURNING, savepoints, a batch, CopyFrom (binary)"""
    try:
        told = play(scene, program, "writes")
        assert told == ["alone 1", "returning 122", "savepoint undone", "batch 1", "copied 2"]
        assert [scene.total(order) for order in (121, 122, 123, 124, 7121)] == [
            "71.00", "72.00", "73.00", "74.00", "1.00",
        ]  # fmt: skip
    finally:
        scene.edge.postgres.admin("DELETE FROM shop.orders WHERE id IN (7121, 7122)")


def test_pgx_write_is_denied_with_the_reason(scene: Scene, program: Path) -> None:
    """a denial says why, and the session stays usable"""
    scene.deny("not on a Friday")
    said, after = play(scene, program, "denied")
    assert said.startswith("42501 ") and "not on a Friday" in said
    assert after == "after 1"


def test_pgx_timeout_while_held(scene: Scene, program: Path) -> None:
    """the end of its context while held (pgx closes the connection) withdraws, and nothing runs"""
    scene.leave_pending()
    before = scene.total(125)
    assert play(scene, program, "timeout") == ["timed out true"]
    scene.until_withdrawn()
    assert scene.total(125) == before


def test_pgx_disconnect_while_held(scene: Scene, program: Path) -> None:
    """the end of the program while held withdraws, and nothing runs"""
    scene.leave_pending()
    before = scene.total(125)
    with playing(program, "waits", environment=scene.environment) as client:
        scene.until_held()
        client.kill()
        scene.until_withdrawn()
    scene.approve()
    assert scene.total(125) == before
