"""Edges in DynamoDB: the port suite."""

from __future__ import annotations

from tests.control_plane.ports.aws_backend import backend
from tests.control_plane.ports.registry_suites import EdgesSuite

__all__ = ["backend"]


class TestEdges(EdgesSuite):
    """DynamoDB."""
