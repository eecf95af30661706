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


def test_node_postgres_reads(one_scene: Scene) -> None:
    """reads: text, parameters, a named statement, a pool"""
    assert play(one_scene, "reads") == {"text": 200, "parameter": 42, "named": [1, 2, 3], "pool": [0, 1, 2, 3]}
    assert one_scene.asked == 0


def test_node_postgres_write_is_applied_after_approval(one_scene: Scene) -> None:
    """a write waits and is applied after approval, alone and in a transaction"""
    assert play(one_scene, "writes") == {"alone": 1, "inside": 1}
    assert (one_scene.total(51), one_scene.total(52), one_scene.asked) == ("81.00", "82.00", 2)


def test_node_postgres_write_is_denied_with_the_reason(one_scene: Scene) -> None:
    """a denial says why, and the session stays usable"""
    one_scene.deny("not on a Friday")
    found = play(one_scene, "denied")
    assert found["code"] == "42501" and "not on a Friday" in found["message"] and found["after"] == 1


def test_node_postgres_disconnect_while_held(one_scene: Scene) -> None:
    """a hang-up while held withdraws, and nothing runs"""
    one_scene.leave_pending()
    before = one_scene.total(53)
    playing = Doing(lambda: play(one_scene, "gone"))
    one_scene.until_withdrawn()
    one_scene.approve()
    assert playing.done().result == {"gone": True}
    assert one_scene.total(53) == before


def test_node_postgres_cancel_while_held(one_scene: Scene) -> None:
    """a cancel while held withdraws, and the session stays usable"""
    one_scene.leave_pending()
    before = one_scene.total(55)
    assert play(one_scene, "cancelled") == {"code": "57014", "after": 1}
    one_scene.until_withdrawn()
    assert one_scene.total(55) == before
