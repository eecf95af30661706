"""Documents say what is so: tests that they name exist, attack tests are named, README's commands are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.attack_index import page
from twokeys import policy
from twokeys.policy import STARTER_TEXT, Policies

ROOT = Path(__file__).parent.parent


def test_the_page_of_attacks_is_current() -> None:
    assert page(ROOT / "tests") == (ROOT / "docs" / "attacks.md").read_text(), "python -m tests.support.attack_index"


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_readme_names_only_targets_that_make_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)", (ROOT / "README.md").read_text()):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_the_policies_of_the_page_on_approvals_are_valid() -> None:
    text = (ROOT / "docs" / "approvals.md").read_text()
    for sample in re.findall(r"```cedar\n(.*?)```", text, re.DOTALL):
        Policies(STARTER_TEXT + sample, 1)
    for name in ("MAX_WAIT_SECONDS", "MAX_BUDGET_ROWS", "MAX_BUDGET_MINUTES"):
        assert f"to {getattr(policy, name)}" in text, name


def test_the_map_of_the_postgresql_protocol_names_each_of_its_modules() -> None:
    folder = ROOT / "edge_agent" / "protocols" / "postgres"
    words = set(re.findall(r"\w+", (folder / "__init__.py").read_text()))
    assert not {path.stem for path in folder.glob("*.py") if path.stem != "__init__"} - words
