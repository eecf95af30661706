"""Requests in DynamoDB: the port suite."""

from __future__ import annotations

from tests.control_plane.ports.aws_backend import backend
from tests.control_plane.ports.requests_suite import RequestsSuite

__all__ = ["backend"]


class TestRequests(RequestsSuite):
    """DynamoDB."""
