"""pgbench"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.scene import Scene, run


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
