"""The fuzz targets, by hypothesis in every run, and by coverage in the slow ones."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.lane_twins import CLIENT, steps, twins
from tests.fuzz.targets import SEEDS, TARGETS

SECONDS = 12
"""Of coverage-guided fuzzing, for each target."""


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    """A seed with bytes changed, dropped, put in, or any bytes."""
    data = bytearray(draw(st.sampled_from((*SEEDS[name], b""))))
    for at, change in draw(st.lists(st.tuples(st.integers(0, len(data)), st.binary(max_size=6)), max_size=4)):
        data[at : at + draw(st.integers(0, 3))] = change
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_hold_the_invariant(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name](seed)


def test_the_lanes_seeds_go_by_the_lane() -> None:
    for seed in SEEDS["lane"]:
        twin, _ = twins(seed[0])
        for who, chunk, count in steps(seed[1:]):
            if count:
                twin.arrive(count)
            else:
                (twin.client if who == CLIENT else twin.server)(chunk)
        assert twin.passed, seed


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_changed_seeds_hold_the_invariant(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(mutated(name)))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform")
@pytest.mark.parametrize("name", TARGETS)
def test_fuzzing_by_coverage_finds_nothing(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", name, f"-max_total_time={SECONDS}", "-rss_limit_mb=2048",
               f"-artifact_prefix={tmp_path}/", "-timeout=10"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS * 5, check=False)
    assert done.returncode == 0, done.stderr[-4000:] + "".join(path.read_bytes().hex() for path in tmp_path.iterdir())
