"""A site for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_plane.pages.site import Browser, Site, running_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path) as running:
        yield running


@pytest.fixture
def rob(site: Site) -> Browser:
    """A browser in which rob, a reviewer, is signed in."""
    browser = Browser(site)
    browser.sign_in("rob")
    return browser
