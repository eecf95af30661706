"""pgjdbc"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clients.scene import Scene, go_on, playing, run

DRIVER = Path("/usr/share/java/postgresql.jar")
SOURCE = Path(__file__).parent / "java" / "Client.java"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("javac") is None, reason="no Java compiler is installed"),
    pytest.mark.skipif(not DRIVER.exists(), reason="pgjdbc is not installed (Debian: libpostgresql-jdbc-java)"),
]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    done = run(shutil.which("javac") or "", "-d", folder, SOURCE, environment={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return folder


def command(classes: Path, part: str) -> tuple[str, ...]:
    return shutil.which("java") or "", "-Xshare:auto", "-cp", f"{classes}:{DRIVER}", "Client", part


def play(scene: Scene, classes: Path, part: str) -> list[str]:
    done = run(*command(classes, part), environment=scene.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_jdbc_reads(scene: Scene, classes: Path) -> None:
    """reads: prepared more often than its threshold, in parts (fetch size), setReadOnly, isValid"""
    assert play(scene, classes, "reads") == ["prepared 8", "fetched 200", "read-only 1", "valid true"]
    assert scene.asked == 0


def test_jdbc_metadata(scene: Scene, classes: Path) -> None:
    """DatabaseMetaData (tables, columns, keys, functions, privileges) and ResultSetMetaData; nobody is asked"""
    found = play(scene, classes, "metadata")
    tables, *rest = found
    # Other tests leave tables behind.
    assert int(tables.removeprefix("tables ")) >= 2
    assert rest == ["columns 5", "keys 1", "imported 1", "nullable 0 true"]
    assert [one.statement for one in scene.edge.control.opened] == []


def test_jdbc_write_is_applied_after_approval(scene: Scene, classes: Path) -> None:
    """a write waits and is applied after approval, alone and as a batch in a transaction"""
    assert play(scene, classes, "writes") == ["alone 1", "batch 2"]
    assert [scene.total(at) for at in (61, 62, 63)] == ["91.00", "92.00", "93.00"]


def test_jdbc_write_is_denied_with_the_reason(scene: Scene, classes: Path) -> None:
    """a denial says why, and the session stays usable"""
    scene.deny("not on a Friday")
    said, after = play(scene, classes, "denied")
    assert said.startswith("42501 ") and "not on a Friday" in said
    assert after == "after 1"


def test_jdbc_timeout_while_held(scene: Scene, classes: Path) -> None:
    """setQueryTimeout while held withdraws, and the session stays usable"""
    scene.leave_pending()
    before = scene.total(65)
    assert play(scene, classes, "timeout") == ["57014", "after 1"]
    scene.until_withdrawn()
    assert scene.total(65) == before


def test_jdbc_cancel_while_held(scene: Scene, classes: Path) -> None:
    """Statement.cancel while held withdraws, and the session stays usable"""
    scene.leave_pending()
    before = scene.total(66)
    with playing(*command(classes, "cancelled"), environment=scene.environment) as client:
        scene.until_held()
        assert go_on(client) == ["57014", "after 1"]
        scene.until_withdrawn()
    assert scene.total(66) == before


def test_jdbc_disconnect_while_held(scene: Scene, classes: Path) -> None:
    """the end of the program while held withdraws, and nothing runs"""
    scene.leave_pending()
    before = scene.total(66)
    with playing(*command(classes, "cancelled"), environment=scene.environment) as client:
        scene.until_held()
        client.kill()
        scene.until_withdrawn()
    scene.approve()
    assert scene.total(66) == before
