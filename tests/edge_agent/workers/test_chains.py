"""Chains of workers that an Edge has no more are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.workers.chains import left_behind


@pytest.mark.parametrize(("workers", "found"), [(1, [1, 3, 12]), (2, [3, 12]), (3, [12]), (12, [])])
def test_what_nobody_writes_any_more_and_is_here_alone_is_found(tmp_path: Path, workers: int, found: list[int]) -> None:
    for name in ("journal", "journal.w1", "journal.w3", "journal.w12", "journal.w99", "journal.wx", "journal.w01"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "edge-1-000000000001.journal.open").touch()
    (tmp_path / "journal.w4").mkdir()
    (tmp_path / "journal.w4" / "edge-1.w4-000000000001.seal.json").touch()
    assert left_behind(tmp_path, workers) == found
