"""Write docs/attacks.md: the classes of attack, and the tests that stand against each.

python -m tests.support.attack_index
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Final

from tests.attacks.proofs import guards_of

CLASSES: Final = {
    "P1": "Several statements in one text; a comment that hides the second",
    "P2": "Writes inside something that reads: CTEs, SELECT INTO, EXPLAIN ANALYZE, PREPARE, cursors",
    "P3": "Code of users: functions, views, operators, casts, triggers",
    "P4": "SQL in strings that a function runs",
    "P5": "Files and programs of the server",
    "P6": "What PostgreSQL's read-only mode lets pass",
    "P7": "Undoing the read-only mode, in text, at start-up, by parameters",
    "P8": "Tricks of text: encodings, escapes, nesting, homoglyphs, size",
    "P9": "Reads that are as bad as writes: secrets of the catalogue",
    "W1": "False lengths, bytes before TLS or after a proof",
    "W2": "Replication, cancel keys, protocol versions, messages of another state",
    "W3": "Approve one statement, run another: names, values, pipelines",
    "W4": "Row limits and suspended portals",
    "W5": "COPY FROM STDIN: rows that nobody saw",
    "W6": "A session that changes between review and run",
    "W7": "Holding locks as a denial of service",
    "G1": "Cursor declared under guard, fetched after it",
    "G2": "Cursors WITH HOLD run at commit",
    "G3": "Temporary tables and deferred triggers",
    "G4": "The guard's own savepoint released by the client",
    "G5": "PREPARE now, EXECUTE later",
    "G6": "Settings that survive the guard",
    "G7": "A portal that outlives its guard",
    "M1": "A masked value under another name: aliases, views, expressions, whole rows, RETURNING",
    "M2": "A masked value by code of users, by statistics, by the texts of other sessions",
    "M3": "A masked value beside the rows: COPY, errors and notices, previews for reviewers",
    "M4": "The moment before masks are known: a table, a view or a policy that has just changed",
    "A1": "Link scanners that open and press",
    "A2": "A forwarded link as authority; redirects elsewhere",
    "A4": "The reviewer is shown something else",
    "A5": "Replay: codes, tokens, approvals, links",
    "A6": "Approving one's own",
    "A7": "The requester steers who is asked and what they read",
    "A8": "Any token for any request; a second path to the same action",
    "A10": "Crash, silence, clock skew, a dead control plane",
    "A11": "Rollback of bundles and policies; a cut-off chain",
}

WHY: Final = {
    "W5": "The data are taken before anybody is asked, and their digest is part of what is approved; people see their "
    "number, size and first 512 KiB, no more of them. What policy allows passes through and is recorded by digest.",
    "W7": "A hold inside a transaction has its own, shorter limit (`in_transaction_hold_seconds`, and below it a "
    "policy's `@in_transaction`); page, terminal and caller are told which locks it keeps.",
    "G3": "Creating a temporary table is a definition, so it is held; the reviewer sees it.",
    "G5": "`EXECUTE` of a statement prepared in SQL is no proven read, so it is held.",
    "G6": "Settings that change meaning are not on the list of harmless ones, and the fingerprint is compared again "
    "just before the forward.",
}

INTRODUCTION: Final = """\
# Attacks, and the tests that stand against them

Each heading is a class of attacks, not a list of cases. A class without a test says why. Tests take away the guards
named here one by one, and see that tests of the class fail then: `tests/attacks/proofs.py`. This page is written by
`python -m tests.support.attack_index`, and a test checks that it is current.
"""


def page(tests: Path) -> str:
    """The document, from the names of the tests."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(tests.rglob("test_*.py")):
        for name in re.findall(r"^ *(?:async )?def (test_[pwgma]\d+_\w+)", path.read_text(), flags=re.M):
            attack = name.split("_")[1].upper()
            found[attack].append(f"- `{path.relative_to(tests.parent)}::{name}`")
    parts = [INTRODUCTION]
    for attack, title in CLASSES.items():
        reason = WHY.get(attack, "" if found[attack] else "No test yet.")
        paragraph = [f"## {attack} {title}", *([reason] if reason else [])]
        if guards := guards_of(attack):
            paragraph.append(f"Tests fail without: {'; '.join(guards)}.")
        if found[attack]:
            paragraph.append("\n".join(found[attack]))
        parts.append("\n\n".join(paragraph) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    root = Path(__file__).parent.parent.parent
    (root / "docs" / "attacks.md").write_text(page(root / "tests"))
