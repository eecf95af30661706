"""Each guard taken away lets an attack through: the tests named after it fail then, and for no other reason.

A pytest of its own runs them without the guard (`unguard`), so nothing of it is left in this process.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.attacks.proofs import PROOFS
from tests.attacks.unguard import GUARDS
from tests.support.attack_index import CLASSES

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parent.parent.parent


def run(files: str, which: str, *more: str) -> tuple[set[str], set[str]]:
    """Names of the tests that failed and that passed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rA",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-m",
        "",
        "-k",
        which,
    ]
    done = subprocess.run(
        [*command, *more, *files.split()], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode in (0, 1), done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, set[str]] = {"PASSED": set(), "FAILED": set(), "ERROR": set()}
    for word, name in re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)", done.stdout, flags=re.M):
        found[word].add(name)
    assert not found["ERROR"], done.stdout[-3000:]
    return found["FAILED"], found["PASSED"] | found["FAILED"]


@pytest.mark.parametrize("guard", PROOFS)
def test_without_its_guard_an_attack_gets_through(guard: str) -> None:
    proof = PROOFS[guard]
    failed, all_of_them = run(proof.files, proof.which, "-p", "tests.attacks.unguard", f"--without-guard={guard}")
    assert failed
    assert failed == all_of_them, "no variant of these fails without the guard: they prove nothing of it"


def test_each_guard_has_its_proof() -> None:
    assert set(PROOFS) == set(GUARDS)


def test_each_class_of_the_database_has_a_guard_whose_removal_shows() -> None:
    proven = {attack for proof in PROOFS.values() for attack in proof.classes.split()}
    assert proven == {attack for attack in CLASSES if attack[0] in "PWG"}
