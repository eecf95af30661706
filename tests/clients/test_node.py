"""node-postgres"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scene import Doing, Scene, run

FOLDER = Path(__file__).parent / "node"

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not (FOLDER / "node_modules").exists(), reason="run `npm ci` in tests/clients/node"),
]


def play(scene: Scene, part: str) -> dict[str, Any]:
    node = shutil.which("node")
    assert node is not None
    done = run(node, FOLDER / "client.js", part, environment=scene.environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_node_postgres_reads(scene: Scene) -> None:
    """reads: text, parameters, a named statement, a pool"""
    assert play(scene, "reads") == {"text": 200, "parameter": 42, "named": [1, 2, 3], "pool": [0, 1, 2, 3]}
    assert scene.asked == 0


def test_node_postgres_write_is_applied_after_approval(scene: Scene) -> None:
    """a write waits and is applied after approval, alone and in a transaction"""
    assert play(scene, "writes") == {"alone": 1, "inside": 1}
    assert (scene.total(51), scene.total(52), scene.asked) == ("81.00", "82.00", 2)


def test_node_postgres_write_is_denied_with_the_reason(scene: Scene) -> None:
    """a denial says why, and the session stays usable"""
    scene.deny("not on a Friday")
    found = play(scene, "denied")
    assert found["code"] == "42501" and "not on a Friday" in found["message"] and found["after"] == 1


def test_node_postgres_disconnect_while_held(scene: Scene) -> None:
    """a hang-up while held withdraws, and nothing runs"""
    scene.leave_pending()
    before = scene.total(53)
    playing = Doing(lambda: play(scene, "gone"))
    scene.until_withdrawn()
    scene.approve()
    assert playing.done().result == {"gone": True}
    assert scene.total(53) == before


def test_node_postgres_cancel_while_held(scene: Scene) -> None:
    """a cancel while held withdraws, and the session stays usable"""
    scene.leave_pending()
    before = scene.total(55)
    assert play(scene, "cancelled") == {"code": "57014", "after": 1}
    scene.until_withdrawn()
    assert scene.total(55) == before
