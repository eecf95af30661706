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

from tests.attacks.unguard import GUARDS

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parent.parent.parent
NET, CORE = "tests/edge_agent/net/", "tests/edge_agent/protocols/postgres/"
PROOFS: Final = {
    "the classifier": (
        "tests/edge_agent/classify/test_attacks.py",
        "(p1 or p2 or p3 or p4 or p5 or p6 or p7 or p9) and not control",
    ),
    "the savepoint round what is not approved": (
        f"{CORE}test_session_live_guard.py {CORE}test_session_extended.py",
        "(g1 and wheel) or g7",
    ),
    "read-only again before a commit without writes": (f"{NET}test_fooled_live.py", "wheel and (g2 or g3)"),
    "read-only from the start of the session": (
        f"{NET}test_fooled_live.py",
        "wheel and test_p2_p3_p7 and simple and itself and (view or insert)",
    ),
    "the alarm on a default that was undone": (
        f"{CORE}test_session_live_guard.py {NET}test_fooled_live.py",
        "wheel and (test_p7_a_session_whose or test_g6)",
    ),
    "names that clients may not use": (f"{CORE}test_session_extended.py", "test_g4"),
    "the refusal of FunctionCall": (f"{NET}test_attacks_live.py", "wheel and test_g4"),
    "portals end with their statement": (f"{NET}test_red_team.py", "wheel and test_w3_a_statement_parsed_anew"),
    "statements are parsed anew after code of users": (f"{NET}test_names_live.py", "wheel and test_w3_code_of_users"),
    "names that SQL moves are forgotten": (f"{NET}test_names_live.py", "wheel and test_w3_names_are_forgotten"),
    "portals of the protocol are closed to SQL": (f"{NET}test_names_live.py", "test_w3_sql_cannot_fetch"),
    "no row limit for writes": (f"{CORE}test_session_rewind.py", "row_limit"),
    "a search path that moved": (f"{NET}test_session_moves_live.py", "wheel and test_w6_a_path_moved"),
    "a Pass is spent once": (f"{CORE}test_session_simple.py", "test_w3_a_pass"),
    "a portal that ran is not run again": (f"{NET}test_attacks_live.py", "wheel and test_w3_executing"),
}
"""Where the tests are that stand on a guard, and which of them: all of them must fail without it, but for those of
several variants, of which one must."""


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
    failed, all_of_them = run(*PROOFS[guard], "-p", "tests.attacks.unguard", f"--without-guard={guard}")
    assert failed
    assert failed == all_of_them, "no variant of these fails without the guard: they prove nothing of it"


def test_each_guard_has_its_proof() -> None:
    assert set(PROOFS) == set(GUARDS)
