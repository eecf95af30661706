"""Commands and recordings on S3 and DynamoDB: the suites, and what is cut off, denied, changed or overwritten."""

from __future__ import annotations

from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.storage_suites import BlobsSuite, RecordingsSuite

__all__ = ["AwsBackend", "backend"]


class TestBlobs(BlobsSuite):
    """S3."""


class TestRecordings(RecordingsSuite):
    """S3 and DynamoDB."""
