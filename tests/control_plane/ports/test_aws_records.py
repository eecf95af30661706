"""Records and session keys in DynamoDB: the port suites."""

from __future__ import annotations

from tests.control_plane.ports.aws_backend import backend
from tests.control_plane.ports.registry_suites import SessionKeysSuite
from tests.control_plane.ports.storage_suites import RecordsSuite

__all__ = ["backend"]


class TestRecords(RecordsSuite):
    """DynamoDB."""


class TestSessionKeys(SessionKeysSuite):
    """DynamoDB."""
