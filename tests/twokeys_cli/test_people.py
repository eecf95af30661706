"""People at a terminal: who is added, as what, and whose code is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twokeys_cli.control_server import Server, serving
from tests.twokeys_cli.test_request import run
from twokeys_cli.api import SignIn, TokenFile
from twokeys_cli.people import people


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TWOKEYS_CONFIG", str(tmp_path))
    with serving() as known:
        TokenFile(tmp_path).keep(known.url, SignIn(known.token))
        known.answers["/v1/people"] = (200, {"people": [
            {"id": "ann", "kind": "person", "email": "ann@example.com", "groups": ["owners"], "accounts": []},
            {"id": "agent-7", "kind": "machine", "sponsor": "ann", "groups": []},
        ]})  # fmt: skip
        known.answers["/v1/people/joe/passphrase"] = (
            201,
            {"code": "aaaa-bbbb", "page": "http://here/issuer/passphrase"},
        )
        yield known


def test_people_and_machines_are_listed(server: Server) -> None:
    result = run(people, "list")
    assert result.exit_code == 0, result.output
    for word in ("ann@example.com", "owners", "agent-7", "machine"):
        assert word in result.output


def test_a_person_and_a_machine_are_added_as_what_they_are(server: Server) -> None:
    assert run(people, "add", "joe", "--email", "joe@example.com", "--group", "reviewers").exit_code == 0
    assert run(people, "add", "agent-8", "--sponsor", "joe").exit_code == 0
    assert [one[2] for one in server.asked] == [
        {"id": "joe", "kind": "person", "email": "joe@example.com", "accounts": [], "groups": ["reviewers"]},
        {"id": "agent-8", "kind": "machine", "sponsor": "joe", "groups": []},
    ]
    assert run(people, "add", "agent-8", "--sponsor", "joe", "--email", "x@example.com").exit_code != 0


def test_a_code_is_shown_with_where_it_is_typed(server: Server) -> None:
    result = run(people, "passphrase", "joe")
    assert "aaaa-bbbb" in result.output
    assert "http://here/issuer/passphrase" in result.output
