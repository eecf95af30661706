"""Keys on KMS: the suite, and what happens without KMS, with a moved alias or a key of the wrong kind."""

from __future__ import annotations

from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.storage_suites import KeysSuite

__all__ = ["AwsBackend", "backend"]


class TestKeys(KeysSuite):
    """KMS."""
