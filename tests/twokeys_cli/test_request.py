"""Deciding from a terminal: what is approved is what was shown, and somebody typed it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tests.twokeys_cli.control_server import COMMAND, REQUEST, Server, serving
from twokeys.digest import canonical
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.preview import Cell, Column, Lock, Preview, Row, preview_digest, to_bytes
from twokeys_cli.api import SignIn, TokenFile
from twokeys_cli.audit import audit
from twokeys_cli.confirm import Terminal
from twokeys_cli.credential import credential
from twokeys_cli.policy import policy
from twokeys_cli.request import request


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TWOKEYS_CONFIG", str(tmp_path))
    with serving() as known:
        TokenFile(tmp_path).keep(known.url, SignIn(known.token))
        yield known


SOMEBODY = Terminal(True, lambda _address: None)


def run(command: click.Command, *arguments: str, typed: str | None = None) -> Result:
    """Run a command; with something typed, by somebody at the terminal."""
    return CliRunner().invoke(command, list(arguments), input=typed, obj=None if typed is None else SOMEBODY)


def failed(result: Result) -> TwokeysError:
    assert isinstance(result.exception, TwokeysError), result.output
    return result.exception


def test_show_writes_out_what_hides(server: Server) -> None:
    result = run(request, "show", REQUEST)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "update t set a = $1 -- <U+202E><U+001B>[2J" in result.output
    assert "$1 = x<U+001B>" in result.output
    assert "$2 = binary 002a" in result.output
    assert "$3 = NULL" in result.output
    assert "\x1b" not in result.output
    for word in ("agent-7", "ann", "sample-db", server.request()["command_digest"]):
        assert word in result.output


def test_show_names_types_beside_values(server: Server) -> None:
    server.fields["types"] = ["text", "sho\u202ep.mood"]
    result = run(request, "show", REQUEST)
    assert "$1 text = x" in result.output
    assert "$2 sho<U+202E>p.mood = binary 002a" in result.output
    assert "$3 = NULL" in result.output


PREVIEW = Preview(
    action="UPDATE",
    target="public.t",
    rows=7,
    columns=[Column(name="id", key=True), Column(name="a", assigned=True), Column(name="email", assigned=True)],
    sample=[
        Row(
            before=[Cell(text="1"), Cell(text="old\x1b"), Cell(masked=True)],
            after=[Cell(text="1"), Cell(null=True), Cell(masked=True)],
        )
    ],
    locks=[Lock(on="t", mode="SHARE", blocks="Every write waits.")],
    notes=["Counted now."],
)


def give_preview(server: Server, preview: Preview = PREVIEW) -> str:
    server.preview = to_bytes(preview)
    digest = preview_digest(server.preview)
    server.fields["preview_digest"] = digest
    return digest


def test_show_says_what_it_would_do(server: Server) -> None:
    give_preview(server)
    result = run(request, "show", REQUEST)
    assert result.exit_code == 0, (result.output, result.exception)
    for words in ("public.t", "7", "old<U+001B> -> NULL", "hidden by policy", "lock t SHARE", "Counted now."):
        assert words in result.output
    assert "\x1b" not in result.output


def test_approving_names_the_preview_that_was_shown(server: Server) -> None:
    shown = give_preview(server)
    digest = server.request()["command_digest"]
    assert run(request, "approve", REQUEST, typed=digest[:4] + "\n").exit_code == 0
    assert server.votes[0]["preview_digest"] == shown


def test_a5_another_preview_than_the_request_names_decides_nothing(server: Server) -> None:
    give_preview(server)
    server.preview = to_bytes(Preview(action="UPDATE", rows=1))
    digest = server.request()["command_digest"]
    error = failed(run(request, "approve", REQUEST, typed=digest[:4] + "\n"))
    assert error.code == "preview_mismatch"
    assert server.votes == []


def test_approving_sends_the_digest_that_was_shown(server: Server) -> None:
    digest = server.request()["command_digest"]
    result = run(request, "approve", REQUEST, typed=digest[:4] + "\n")
    assert result.exit_code == 0, (result.output, result.exception)
    assert server.votes == [{"approve": True, "reason": "", "command_digest": digest}]
    assert "is approved" in result.output


@pytest.mark.parametrize("typed", ["y\n", "yes\n", "\n0\n", "0000\n", ""])
def test_a_key_pressed_too_early_decides_nothing(server: Server, typed: str) -> None:
    assert run(request, "approve", REQUEST, typed=typed).exit_code != 0
    assert run(request, "deny", REQUEST, "--reason", "no", typed=typed).exit_code != 0
    assert server.votes == []


def test_nobody_at_the_terminal_approves_nothing(server: Server) -> None:
    typed = server.request()["command_digest"][:4] + "\n"
    error = failed(CliRunner().invoke(request, ["approve", REQUEST], input=typed))
    assert error.code == "not_confirmed"
    assert server.votes == []


def test_a_script_names_the_whole_digest(server: Server) -> None:
    digest = server.request()["command_digest"]
    assert failed(run(request, "approve", REQUEST, "--digest", "0" * 64)).code == "digest_mismatch"
    assert failed(run(request, "approve", REQUEST, "--digest", digest[:4])).code == "digest_mismatch"
    assert server.votes == []
    assert run(request, "approve", REQUEST, "--digest", digest).exit_code == 0


def test_a_denial_needs_a_reason(server: Server) -> None:
    assert run(request, "deny", REQUEST, "--yes").exit_code == 2
    assert run(request, "deny", REQUEST, "--yes", "--reason", " ").exit_code == 2
    assert server.votes == []
    assert run(request, "deny", REQUEST, "--yes", "--reason", "not today").exit_code == 0
    assert server.votes[0]["approve"] is False
    assert server.votes[0]["reason"] == "not today"


OTHER = {**json.loads(canonical(COMMAND.to_json())), "text": "ZHJvcA=="}


@pytest.mark.parametrize("change", [
    {"command": canonical(OTHER)}, {"command": canonical(COMMAND.to_json()) + b" "}, {"command": b""},
    {"fields": {"command_digest": "0" * 64}}, {"fields": {"target": "other-db"}}, {"fields": {"id": "req_x"}},
    {"fields": {"command_sha256": "0" * 64}}, {"fields": {"fingerprint": "0" * 64}},
], ids=str)  # fmt: skip
def test_a4_another_text_than_the_digest_s_is_not_shown_as_if_it_were(server: Server, change: dict[str, Any]) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    for arguments in (("show", REQUEST), ("approve", REQUEST), ("deny", REQUEST, "--reason", "x")):
        assert isinstance(failed(run(request, *arguments, typed="0000\n")), Refused | InvalidInput)
    assert server.votes == []


def test_an_ended_sign_in_and_other_refusals_say_what_to_try(server: Server) -> None:
    server.answers["/v1/requests"] = (409, {"code": "c", "happened": "It moved.", "advice": "Look again."})
    assert isinstance(failed(run(request, "list")), Conflict)
    server.answers["/v1/requests"] = (500, "no error body")
    assert isinstance(failed(run(request, "list")), Unavailable)
    server.answers["/v1/requests"] = (200, ["no object"])
    assert isinstance(failed(run(request, "list")), Unavailable)
    server.answers["/v1/requests"] = (302, {})
    assert isinstance(failed(run(request, "list")), Unavailable)
    server.token = "another"
    error = failed(run(request, "list"))
    assert "twokeys login" in error.advice
    assert "\x1b" not in str(error)


def test_a_token_is_shown_to_no_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert run(request, "show", REQUEST).exit_code == 0
        assert proxy.asked == []


def test_list(server: Server) -> None:
    server.answers["/v1/requests"] = (200, {"requests": [server.request()]})
    assert REQUEST in CliRunner().invoke(request, ["list"], env={"COLUMNS": "200"}).output
    assert json.loads(run(request, "list", "--state", "all", "--format", "json").output)[0]["id"] == REQUEST
    assert [path for _, path, _ in server.asked] == ["/v1/requests?state=pending", "/v1/requests"]


POLICY = '@id("r") permit (principal, action == Action::"read", resource);\n'


def policies(server: Server) -> None:
    proposal = {"id": "prop_1", "author": "ann", "text": POLICY + "// more\n", "text_sha256": "a" * 64}
    server.answers["/v1/policies"] = (200, {"text": POLICY, "revision": 3, "proposals": [proposal], "id": "prop_2"})
    server.answers["/v1/policies/prop_1/votes"] = (200, {"state": "approved"})


def test_policy(server: Server, tmp_path: Path) -> None:
    policies(server)
    file = tmp_path / "p.cedar"
    file.write_text(POLICY)
    assert POLICY in run(policy, "show").output
    assert run(policy, "check", str(file)).exit_code == 0
    assert "prop_2" in run(policy, "put", str(file), "--reason", "why").output
    assert server.asked[-1] == ("PUT", "/v1/policies", {"text": POLICY, "reason": "why", "base_revision": 3})
    assert "+// more" in run(policy, "proposals").output
    assert failed(run(policy, "approve", "prop_9")).not_done
    assert failed(run(policy, "approve", "prop_1", typed="yes\n")).code == "not_confirmed"
    assert run(policy, "approve", "prop_1", typed="prop_1\n").exit_code == 0
    assert server.asked[-1][2]["text_sha256"] == "a" * 64
    file.write_text("permit (principal, action, resource);")
    assert failed(run(policy, "put", str(file))).code == "invalid_policy"


def test_a_credential_is_shown_once(server: Server) -> None:
    server.answers["/v1/credentials"] = (200, {"password": "s3cret"})
    assert run(credential, "create", "agent-7", "sample-db").output.startswith("s3cret\n")
    assert server.asked[-1][2] == {"caller": "agent-7", "target": "sample-db"}


def test_a_session_is_replayed_with_hidden_characters_written_out(server: Server) -> None:
    records = [
        {"seq": 1, "time": "2026-11-22T10:00:00.000Z", "type": "command", "statement": "update t", "outcome": "hold",
         "body": {"text": "update t set a = '\x1b[2J'\nwhere b"}},
        {"seq": 2, "time": "2026-11-22T10:00:01.000Z", "type": "result", "outcome": "done", "rows": 3},
    ]  # fmt: skip
    server.answers["/v1/sessions/s%2F1/bodies"] = (200, {"records": records})
    result = run(audit, "show", "s/1")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "update t set a = '<U+001B>[2J'\nwhere b" in result.output
    assert "rows: 3" in result.output
    assert "\x1b" not in result.output
    assert len(run(audit, "show", "s/1", "--format", "json").output.splitlines()) == 2
    server.answers["/v1/sessions/none/bodies"] = (200, {"records": []})
    assert run(audit, "show", "none").exit_code == 1
