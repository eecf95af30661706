"""Every port suite on the embedded adapters."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_lambda_powertools import Logger

from control_plane.chalicelib.adapters.embedded.deployment import Store, open_store
from control_plane.chalicelib.adapters.embedded.keys import make_keys
from control_plane.chalicelib.bootstrap import Ports
from control_plane.chalicelib.ports.session_keys import KeptKey
from tests.control_plane.ports.backend import NOTE, add_person
from tests.control_plane.ports.registry_suites import EdgesSuite, PeopleSuite, PoliciesSuite, SessionKeysSuite
from tests.control_plane.ports.requests_suite import RequestsSuite
from tests.control_plane.ports.storage_suites import (
    BlobsSuite,
    KeysSuite,
    RecordingsSuite,
    RecordsSuite,
    WakerSuite,
)
from tests.control_plane.world import ManualClock
from twokeys.policy import STARTER_TEXT


class EmbeddedBackend:
    """Implements `backend.Backend` on SQLite and files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, ManualClock(1_795_379_462_000)
        self.store = self._open()
        self.ports.policies.install(STARTER_TEXT, "test", NOTE)
        add_person(self, "rob", "reviewers")

    @property
    def ports(self) -> Ports:
        return self.store.ports

    def reopen(self) -> None:
        self.store.close()
        self.store = self._open()

    def _open(self) -> Store:
        return open_store(self.folder, self.clock, Logger(service="test"), 4)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "keys"
    make_keys(folder)
    return folder


@pytest.fixture
def backend(tmp_path: Path, keys: Path) -> Iterator[EmbeddedBackend]:
    shutil.copytree(keys, tmp_path / "keys")
    made = EmbeddedBackend(tmp_path)
    yield made
    made.store.close()


class TestRequests(RequestsSuite):
    """SQLite."""


class TestPeople(PeopleSuite):
    """SQLite."""


class TestPolicies(PoliciesSuite):
    """SQLite."""


class TestEdges(EdgesSuite):
    """SQLite."""


class TestSessionKeys(SessionKeysSuite):
    """SQLite."""


def test_an_erased_key_is_in_no_file_any_more(backend: EmbeddedBackend) -> None:
    wrapped = b"wrapped-key-of-a-session" * 16
    backend.ports.session_keys.put(KeptKey(edge_id="edge-1", session="s", wrapping_key_id="w", wrapped=wrapped))
    files = list(backend.folder.glob("store.sqlite*"))
    assert any(wrapped in path.read_bytes() for path in files)
    assert backend.ports.session_keys.erase("s", "ann", {"type": "key_erased"})
    assert not any(wrapped in path.read_bytes() for path in files)


class TestBlobs(BlobsSuite):
    """Files."""


class TestRecords(RecordsSuite):
    """SQLite."""


class TestRecordings(RecordingsSuite):
    """Files and SQLite."""


class TestWaker(WakerSuite):
    """A condition variable over SQLite."""


class TestKeys(KeysSuite):
    """Key files."""
