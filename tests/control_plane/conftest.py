"""A bootstrapped deployment, made once, and copies of it to play with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.chalicelib.adapters.embedded.first_start import Wanted, bootstrap
from tests.control_plane.world import World, world


@pytest.fixture(scope="session")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A deployment's folder right after bootstrap, and what bootstrap printed. Nobody changes it."""
    folder = tmp_path_factory.mktemp("bootstrapped") / "state"
    return folder, bootstrap(folder, Wanted("http://127.0.0.1:1"))


@pytest.fixture
def a_world(bootstrapped: tuple[Path, dict[str, Any]], tmp_path: Path) -> Iterator[World]:
    """A deployment with an enrolled Edge, and a clock that stands."""
    with world(*bootstrapped, tmp_path / "state") as made:
        yield made
