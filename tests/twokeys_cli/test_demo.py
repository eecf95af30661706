from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from twokeys_cli.demo import change_one_byte
from twokeys_cli.story import STORY, Approve, Deny, Silence, Write

ROOT = Path(__file__).parents[2]


def test_the_story_has_each_end_a_write_can_have() -> None:
    writes = [step for step in STORY if isinstance(step, Write)]
    assert {type(step.answer) for step in writes} == {Approve, Deny, Silence}


def test_one_byte_is_changed_and_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "lines" / "dt=2026-01-01"
    folder.mkdir(parents=True)
    (folder / "edge-1-000000000001.jsonl.gz").write_bytes(gzip.compress(b"abcd"))
    changed = change_one_byte(tmp_path)
    assert gzip.decompress(changed.read_bytes()) == b"abbd"


@pytest.mark.slow
def test_the_whole_story_comes_out_as_told() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "twokeys_cli.main", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=170
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "The whole story took" in said.stdout
