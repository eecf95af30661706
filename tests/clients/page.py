"""Write docs/clients.md: what was tried of each client, by the tests that try it.

python -m tests.clients.page
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

INTRODUCTION: Final = """\
# Clients

Any PostgreSQL client points at the Edge and works: it changes a host, a port and a credential. This is what was tried,
each line by the test that it names, before a live Edge and a real PostgreSQL (18, and most of it on 15, too).
`python -m tests.clients.page` writes this page.
"""


def page(folder: Path) -> str:
    """The page, from the docstrings of the tests in `folder`."""
    parts = [INTRODUCTION]
    for file in sorted(folder.glob("test_*.py")):
        module = ast.parse(file.read_text())
        rows = [
            f"| {said(node)} | `{node.name}` |"
            for node in module.body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and ast.get_docstring(node)
        ]
        if rows:
            parts.append(f"## {said(module)}\n\n| what | test |\n| --- | --- |\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def said(node: ast.Module | ast.FunctionDef) -> str:
    """The docstring in one line."""
    return " ".join((ast.get_docstring(node) or "").split())


if __name__ == "__main__":
    here = Path(__file__).parent
    (here.parent.parent / "docs" / "clients.md").write_text(page(here))
