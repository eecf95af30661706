"""Django"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scene import Scene, go_on, playing, run

pytest.importorskip("django")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def site(scene: Scene, tmp_path: Path) -> Iterator[tuple[Scene, Path]]:
    """A schema where the role may make tables, and a copy of the sample app, where migrations are written."""
    admin = scene.edge.postgres.admin
    admin("GRANT CREATE ON SCHEMA shop TO twokeys_edge")
    target = tmp_path / "site" / "tests" / "clients"
    target.mkdir(parents=True)
    (target.parent / "__init__.py").touch()
    (target / "__init__.py").touch()
    shutil.copytree(ROOT / "tests" / "clients" / "django_sample", target / "django_sample")
    shutil.copy(ROOT / "tests" / "clients" / "django_story.py", target)
    yield scene, tmp_path / "site"
    admin(
        "DROP TABLE IF EXISTS shop.django_sample_thing, shop.django_sample_shelf, shop.django_migrations, "
        "shop.django_content_type; REVOKE CREATE ON SCHEMA shop FROM twokeys_edge"
    )


def command(part: str) -> tuple[str, ...]:
    return sys.executable, "-m", "tests.clients.django_story", part


def play(scene: Scene, site: Path, part: str) -> Any:
    done = run(*command(part), environment=scene.environment, folder=site)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_django_migrates_and_works(site: tuple[Scene, Path]) -> None:
    """`migrate`, the ORM in transactions, `inspectdb`, a denial with its reason: each change is held and applied"""
    scene, folder = site
    tables = play(scene, folder, "migrate")
    assert {"django_migrations", "django_sample_shelf", "django_sample_thing", "orders"} <= set(tables)
    made = scene.asked
    assert made > 5
    assert play(scene, folder, "orm") == [2, [["0", 0], ["1", 5], ["2", 0]]]
    assert scene.asked > made
    asked = scene.asked
    assert play(scene, folder, "inspect") is True
    assert scene.asked == asked
    scene.deny("not on a Friday")
    said, shelves = play(scene, folder, "denied")
    assert "not on a Friday" in said and shelves == 1


def test_django_cancel_and_disconnect_while_held(site: tuple[Scene, Path]) -> None:
    """a cancel while held in a transaction withdraws, and the connection stays usable; the end of the program while
    held withdraws, and nothing runs"""
    scene, folder = site
    play(scene, folder, "migrate")
    scene.leave_pending()
    with playing(*command("cancelled"), environment=scene.environment, folder=folder) as client:
        scene.until_held()
        ((said, shelves),) = map(json.loads, go_on(client))
        assert "canceling statement" in said and shelves == 0
        scene.until_withdrawn()
    scene.leave_pending()
    with playing(*command("cancelled"), environment=scene.environment, folder=folder) as client:
        scene.until_held()
        client.kill()
        scene.until_withdrawn()
    scene.approve()
    assert scene.edge.postgres.admin("SELECT count(*) FROM shop.django_sample_shelf").strip() == "0"
