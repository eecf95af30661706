"""The suite of the issuer's client on the embedded issuer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.chalicelib.adapters.embedded import people_site
from control_plane.chalicelib.adapters.embedded.issuer_core import Issuer
from control_plane.chalicelib.adapters.embedded.oidc_client import EmbeddedOidcClient
from tests.control_plane.pages.site import running_site
from tests.control_plane.ports.oidc_suite import OidcSuite, SignInWorld
from tests.control_plane.world import ManualClock


@pytest.fixture
def sign_in(tmp_path: Path) -> Iterator[SignInWorld]:
    with running_site(tmp_path) as site:
        store, clock = people_site.issuer_store(tmp_path), ManualClock(int(site.now[0] * 1000))
        client = EmbeddedOidcClient(Issuer(site.url, store, lambda: clock.now() / 1000))
        yield SignInWorld(site, client, clock)
        store.close()


class TestEmbeddedOidc(OidcSuite):
    """The port's suite."""
