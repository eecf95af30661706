# docs/clients.md is made of the docstrings here; this file has none, so that it is no client.
from __future__ import annotations

from pathlib import Path

from tests.clients.page import page

HERE = Path(__file__).parent


def test_the_page_of_clients_is_current() -> None:
    written = (HERE.parent.parent / "docs" / "clients.md").read_text()
    assert page(HERE) == written, "python -m tests.clients.page"
