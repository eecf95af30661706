"""Trusting an issuer from a terminal: keys are shown before they count, and somebody typed the prefix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from tests.twokeys.test_issuer import KEY, PUBLIC, URL
from tests.twokeys_cli.control_server import Server, serving
from tests.twokeys_cli.test_request import failed, run
from twokeys.bundle import Issuer
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys.issuer_keys import thumbprint
from twokeys.shared_issuer import admitted
from twokeys_cli.api import SignIn, TokenFile
from twokeys_cli.issuer import issuer
from twokeys_cli.issuer_fetch import MAX_JWKS_BYTES, fetched_jwks

KNOWN: dict[str, Any] = {"issuer": "https://other.example", "jwks": {"keys": [PUBLIC]}, "subject_prefix": "other+"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TWOKEYS_CONFIG", str(tmp_path))
    with serving() as known:
        TokenFile(tmp_path).keep(known.url, SignIn(known.token))
        known.answers["/v1/issuers"] = (200, {"issuers": [KNOWN]})
        yield known


@pytest.fixture
def keys(tmp_path: Path) -> str:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{**PUBLIC, "x5c": ["…"]}]}))
    return str(path)


def changes(server: Server) -> list[Any]:
    return [one for one in server.asked if one[0] != "GET"]


def test_what_was_shown_and_confirmed_is_sent(server: Server, keys: str) -> None:
    result = run(issuer, "add", URL, "--prefix", "ci+", "--jwks", keys, "--sponsor-claim", "who", typed="ci+\n")
    assert result.exit_code == 0, (result.output, result.exception)
    for word in ("ci+SUBJECT", "claim who", thumbprint(PUBLIC), PUBLIC["kid"]):
        assert word in result.output
    [(method, path, body)] = changes(server)
    assert (method, path) == ("PUT", "/v1/issuers")
    wanted = Issuer(issuer=URL, jwks={"keys": [PUBLIC]}, subject_prefix="ci+", sponsor_claim="who")
    assert msgspec.convert(body, Issuer) == wanted


@pytest.mark.parametrize("typed", ["y\n", "ci\n", None])
def test_unless_the_prefix_is_typed_nothing_is_sent(server: Server, keys: str, typed: str | None) -> None:
    result = run(issuer, "add", URL, "--prefix", "ci+", "--jwks", keys, typed=typed)
    assert isinstance(failed(result), Refused)
    assert changes(server) == []


@pytest.mark.parametrize(
    "arguments", [["--prefix", "ci+", "--yes"], ["--prefix", "ci+", "--bare"], [], ["--yes", "--bare"]]
)
def test_it_is_said_whom_the_subjects_stand_for_and_fetched_keys_are_looked_at(
    server: Server, arguments: list[str]
) -> None:
    assert run(issuer, "add", URL, *arguments).exit_code == 2
    assert server.asked == []


def test_a_bare_issuer_is_called_what_it_is(server: Server, keys: str) -> None:
    result = run(issuer, "add", URL, "--bare", "--jwks", keys, typed="bare\n")
    assert "any caller, any person" in result.output
    [(_, _, body)] = changes(server)
    assert body["bare_subjects"] is True


def test_a_taken_prefix_and_a_private_key_are_refused_before_anything_is_sent(server: Server, tmp_path: Path) -> None:
    from jwt.algorithms import ECAlgorithm

    private = tmp_path / "private.json"
    private.write_text(json.dumps({"keys": [ECAlgorithm.to_jwk(KEY, as_dict=True)]}))
    assert failed(run(issuer, "add", URL, "--prefix", "ci+", "--jwks", str(private), "--yes")).code == "private_key"
    private.write_text(json.dumps({"keys": [PUBLIC]}))
    assert failed(run(issuer, "add", URL, "--prefix", "other+", "--jwks", str(private), "--yes")).code == "prefix_taken"
    private.write_text("[]")
    assert failed(run(issuer, "add", URL, "--prefix", "ci+", "--jwks", str(private), "--yes")).code == "bad_jwks"
    assert changes(server) == []


def test_list_names_subjects_and_keys(server: Server) -> None:
    listed = run(issuer, "list", "--format", "json").output
    assert json.loads(listed)[0]["subject_prefix"] == "other+"
    shown = run(issuer, "list").output
    assert "other+" in shown
    assert "every" in shown


def test_list_names_the_subjects_that_may_be_callers(server: Server) -> None:
    listed = {**KNOWN, "subjects": ["repo:org/app:*", "deploy"]}
    shared = {**KNOWN, "issuer": "https://gitlab.com", "subject_prefix": "gl+"}
    server.answers["/v1/issuers"] = (200, {"issuers": [listed, shared]})
    shown = " ".join(run(issuer, "list").output.split())
    assert "repo:org/app:*, deploy" in shown
    assert "none: name them with --subject" in shown


GITHUB = "https://token.actions.githubusercontent.com"
SUBJECTS = ("--subject", "repo:org/app:environment:prod", "--subject", "repo:org/lib:*")


def test_subjects_are_shown_with_their_callers_and_sent(server: Server, keys: str) -> None:
    result = run(issuer, "add", GITHUB, "--prefix", "gh+", "--jwks", keys, *SUBJECTS, typed="gh+\n")
    assert result.exit_code == 0, (result.output, result.exception)
    for word in ("repo:org/lib:*", "gh+repo+3Aorg+2Fapp+3Aenvironment+3Aprod", "gh+repo+3Aorg+2Flib+3A…"):
        assert word in result.output
    [(_, _, body)] = changes(server)
    assert body["subjects"] == ["repo:org/app:environment:prod", "repo:org/lib:*"]


@pytest.mark.parametrize("said", [(), ("--subject", "repo:*"), ("--subject", "*"), ("--subject", "")])
def test_a7_a_shared_issuer_without_subjects_is_not_even_sent(server: Server, keys: str, said: tuple[str, ...]) -> None:
    refused = failed(run(issuer, "add", GITHUB, "--prefix", "gh+", "--jwks", keys, "--yes", *said))
    assert refused.code in ("subjects_needed", "bad_subject")
    assert "repo:org/app:" in refused.advice
    assert changes(server) == []


def test_that_every_subject_is_meant_is_said(server: Server, keys: str) -> None:
    shown = run(issuer, "add", URL, "--prefix", "ci+", "--jwks", keys, typed="ci+\n").output
    assert "every one that it signs for" in shown


def test_help_teaches_subjects_by_an_example_that_is_taken() -> None:
    shown = CliRunner().invoke(issuer, ["add", "--help"]).output
    assert GITHUB in shown
    assert "--subject repo:org/app:environment:prod --subject 'repo:org/migrations:*'" in shown
    assert admitted(GITHUB, ["repo:org/app:environment:prod", "repo:org/migrations:*"]).entries


def test_remove_names_it_in_the_query(server: Server) -> None:
    result = run(issuer, "remove", URL, "--yes")
    assert result.exit_code == 0, (result.output, result.exception)
    assert changes(server) == [("DELETE", "/v1/issuers?issuer=https%3A%2F%2Fci.example", {})]


def found_at(server: Server, **changed: Any) -> str:
    own = server.url + "/issuer"
    answer = {"issuer": own, "jwks_uri": own + "/keys", **changed}
    server.answers["/issuer/.well-known/openid-configuration"] = (200, answer)
    server.answers["/issuer/keys"] = (200, {"keys": [PUBLIC]})
    return own


def test_keys_are_fetched_by_discovery(server: Server) -> None:
    assert fetched_jwks(found_at(server)) == {"keys": [PUBLIC]}


def test_another_issuers_name_or_a_plain_address_of_keys_is_refused(server: Server) -> None:
    for wrong in ({"issuer": "https://other.example"}, {"jwks_uri": "http://keys.example/"}, {"jwks_uri": "file:///x"}):
        with pytest.raises(Unavailable):
            fetched_jwks(found_at(server, **wrong))
    with pytest.raises(InvalidInput):
        fetched_jwks("http://issuer.example")


def test_too_long_a_key_set_is_refused(server: Server) -> None:
    place = found_at(server)
    server.answers["/issuer/keys"] = (200, {"keys": ["x" * MAX_JWKS_BYTES]})
    with pytest.raises(InvalidInput):
        fetched_jwks(place)


def test_the_thumbprint_is_that_of_the_rfc() -> None:
    """RFC 7638 section 3.1, and RFC 8037 appendix A.3."""
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(okp) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_user_name_of_a_subject_is_printed() -> None:
    said = CliRunner().invoke(issuer, ["caller", "gh+", "repo:org/app"])
    assert (said.exit_code, said.output) == (0, "gh+repo+3Aorg+2Fapp\n")
    assert CliRunner().invoke(issuer, ["caller", "gh", "repo:org/app"]).exit_code == 2
    with pytest.raises(InvalidInput):
        CliRunner().invoke(issuer, ["caller", "gh+", "x" * 200], catch_exceptions=False)
