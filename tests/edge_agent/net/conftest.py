"""Fixtures of the live tests."""

from __future__ import annotations

from tests.support.callers import callers_go_home

__all__ = ["callers_go_home"]
