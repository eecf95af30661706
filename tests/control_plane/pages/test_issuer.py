"""The embedded issuer, attacked through its own routes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from control_plane.chalicelib.adapters.embedded.attempts import ACCOUNT_TRIES, TOTAL_TRIES, Attempts
from control_plane.chalicelib.adapters.embedded.issuer_store import MAX_OPEN_CODES, Code, IssuerStore
from tests.control_plane.pages.site import Answer, Browser, Site, fields_of, query_of

CLI_REDIRECT = "http://127.0.0.1:49152/callback"
VERIFIER = secrets.token_urlsafe(48)


def challenge(verifier: str = VERIFIER) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def asked(**changes: str) -> dict[str, str]:
    values = {
        "response_type": "code",
        "client_id": "twokeys-cli",
        "redirect_uri": CLI_REDIRECT,
        "scope": "openid",
        "state": "s" * 43,
        "nonce": "n" * 43,
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in values.items() if value != "-"}


def authorize(browser: Browser, **changes: str) -> Answer:
    return browser.get(f"/issuer/authorize?{urlencode(asked(**changes))}")


def code_for(site: Site, person: str = "rob") -> str:
    browser = Browser(site)
    form = fields_of(authorize(browser).text)
    sent = browser.post("/issuer/authorize", form | {"name": person, "passphrase": site.passphrases[person]})
    assert sent.location.startswith(CLI_REDIRECT)
    return query_of(sent.location)["code"]


def exchange(site: Site, code: str, **changes: str) -> tuple[int, dict[str, Any]]:
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CLI_REDIRECT,
        "client_id": "twokeys-cli",
        "code_verifier": VERIFIER,
    } | changes
    answer = Browser(site).post("/issuer/token", fields)
    return answer.status, json.loads(answer.text)


def claims(site: Site, token: str, audience: str) -> dict[str, Any]:
    found = json.loads(Browser(site).get("/issuer/jwks").text)
    key = jwt.PyJWKSet.from_dict(found)[jwt.get_unverified_header(token)["kid"]]
    options: Any = {"verify_exp": False, "verify_iat": False}
    decoded: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256"], audience=audience, options=options)
    return decoded


def test_the_metadata_is_the_issuers_own(site: Site) -> None:
    found = json.loads(Browser(site).get("/issuer/.well-known/openid-configuration").text)
    assert found["issuer"] == f"{site.url}/issuer"
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["response_types_supported"] == ["code"]


def test_the_command_line_gets_tokens_for_the_api(site: Site) -> None:
    status, tokens = exchange(site, code_for(site))
    assert status == 200 and tokens["token_type"] == "Bearer"
    access = claims(site, tokens["access_token"], "twokeys:control")
    assert access["sub"] == "rob" and access["exp"] - access["iat"] == tokens["expires_in"]
    assert access["auth_time"] == int(site.now[0])
    identity = claims(site, tokens["id_token"], "twokeys-cli")
    assert identity["nonce"] == "n" * 43
    assert jwt.get_unverified_header(tokens["access_token"])["typ"] == "at+jwt"


def test_a5_a_code_is_used_once(site: Site) -> None:
    code = code_for(site)
    assert exchange(site, code)[0] == 200
    assert exchange(site, code) == (400, {"error": "invalid_grant"})


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "x" * 43},
        {"code_verifier": ""},
        {"code_verifier": challenge()},
        {"redirect_uri": "http://127.0.0.1:49153/callback"},
        {"client_id": "twokeys:control"},
        {"client_id": ""},
    ],
)
def test_a5_a_stolen_code_is_worth_nothing_elsewhere_and_is_used_up(site: Site, changes: dict[str, str]) -> None:
    code = code_for(site)
    assert exchange(site, code, **changes)[0] == 400
    assert exchange(site, code)[0] == 400


def test_a5_a_late_code_is_refused(site: Site) -> None:
    code = code_for(site)
    site.now[0] += 60
    assert exchange(site, code)[0] == 400


@pytest.mark.parametrize("grant", ["password", "refresh_token", "client_credentials", "implicit", ""])
def test_there_is_no_other_grant(site: Site, grant: str) -> None:
    assert exchange(site, code_for(site), grant_type=grant)[1] == {"error": "unsupported_grant_type"}


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": "-"},
        {"code_challenge_method": "-"},
        {"code_challenge_method": "plain"},
        {"code_challenge": VERIFIER},
        {"code_challenge": "short"},
    ],
)
def test_pkce_cannot_be_downgraded(site: Site, changes: dict[str, str]) -> None:
    answer = authorize(Browser(site), **changes)
    assert answer.location.startswith(CLI_REDIRECT)
    assert query_of(answer.location)["error"] == "invalid_request"


@pytest.mark.parametrize("kind", ["token", "id_token", "code id_token", "-"])
def test_there_is_no_other_flow(site: Site, kind: str) -> None:
    assert query_of(authorize(Browser(site), response_type=kind).location)["error"] == "unsupported_response_type"


@pytest.mark.parametrize(
    "redirect",
    [
        "https://evil.example/callback",
        "http://127.0.0.1:49152/callback/../evil",
        "http://127.0.0.1:49152@evil.example/callback",
        "http://127.0.0.1.evil.example:80/callback",
        "http://localhost:49152/callback",
        "http://127.0.0.1:49152/callback?x=1",
        "http://127.0.0.1:49152/callback#x",
        "http://127.0.0.1:49152/callback\n",
        "javascript:alert(1)",
        "//evil.example/callback",
        "-",
    ],
)
def test_a2_an_address_that_is_not_registered_is_never_redirected_to(site: Site, redirect: str) -> None:
    answer = authorize(Browser(site), redirect_uri=redirect)
    assert (answer.status, answer.location) == (403, "")


def test_a_client_cannot_use_anothers_address(site: Site) -> None:
    for client, redirect in (
        ("twokeys:control", CLI_REDIRECT),
        ("twokeys-cli", f"{site.url}/callback"),
        ("x", CLI_REDIRECT),
    ):
        assert authorize(Browser(site), client_id=client, redirect_uri=redirect).status == 403


def test_a_parameter_that_stands_twice_is_refused(site: Site) -> None:
    query = urlencode(asked())
    twice = Browser(site).get(f"/issuer/authorize?{query}&state=other")
    assert query_of(twice.location)["error"] == "invalid_request"
    address = Browser(site).get(f"/issuer/authorize?{query}&redirect_uri=https%3A%2F%2Fevil.example")
    assert (address.status, address.location) == (403, "")


def test_a_form_is_bound_to_its_request(site: Site) -> None:
    """Fields changed after the form was made: the token doesn't fit."""
    browser = Browser(site)
    form = fields_of(authorize(browser).text)
    own = {"name": "rob", "passphrase": site.passphrases["rob"]}
    assert browser.post("/issuer/authorize", form | own | {"code_challenge": challenge("y" * 43)}).status == 400
    assert browser.post("/issuer/authorize", form | own | {"csrf": "0" * 64}).status == 400
    assert browser.post("/issuer/authorize", form | own, {"Origin": "https://evil.example"}).status == 403
    assert browser.post("/issuer/authorize", form | own, {"Sec-Fetch-Site": "cross-site"}).status == 403


def test_a_get_signs_nobody_in(site: Site) -> None:
    query = urlencode(asked() | {"name": "rob", "passphrase": site.passphrases["rob"]})
    assert Browser(site).get(f"/issuer/authorize?{query}").location == ""


def test_the_form_may_lead_to_the_redirect_and_nowhere_else(site: Site) -> None:
    policy = authorize(Browser(site)).headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:49152;" in policy
    web = Browser(site)
    assert "form-action 'self';" in web.get(web.get("/signin").location).headers["content-security-policy"]


def test_what_was_typed_is_not_markup(site: Site) -> None:
    browser = Browser(site)
    form = fields_of(authorize(browser).text)
    answer = browser.post("/issuer/authorize", form | {"name": '"><script>x</script>', "passphrase": "wrong"})
    assert "<script>x" not in answer.text and "&lt;script&gt;" in answer.text


def test_passphrases_and_key_are_private_and_not_readable_at_rest(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "issuer"
    for file in folder.iterdir():
        assert site.passphrases["rob"].replace("-", "").encode() not in file.read_bytes().replace(b"-", b"")
    for name in ("issuer.sqlite", "issuer-key.pem"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_keys_passphrases_and_codes_survive_a_restart(tmp_path: Path) -> None:
    store = IssuerStore(tmp_path)
    passphrase = store.set_passphrase("rob")
    code = store.add_code(Code("c", "r", "n", "x", "rob", 1, 100.0), 50.0)
    store.close()
    again = IssuerStore(tmp_path)
    assert again.is_passphrase("rob", passphrase) and code is not None
    assert again.key.private_numbers() == store.key.private_numbers()
    assert again.take_code(code, 60.0) is not None and again.take_code(code, 60.0) is None
    again.close()


def test_a_new_passphrase_replaces_the_old(tmp_path: Path) -> None:
    store = IssuerStore(tmp_path)
    first, second = store.set_passphrase("rob"), store.set_passphrase("rob")
    assert re.fullmatch(r"([a-z2-9]{4}-){4}[a-z2-9]{4}", second)
    assert (store.is_passphrase("rob", first), store.is_passphrase("rob", second)) == (False, True)
    store.close()


def test_open_codes_are_limited(tmp_path: Path) -> None:
    store = IssuerStore(tmp_path)
    code = Code("c", "r", "n", "x", "rob", 1, 100.0)
    assert all(store.add_code(code, 50.0) for _ in range(MAX_OPEN_CODES))
    assert store.add_code(code, 50.0) is None
    assert store.add_code(Code("c", "r", "n", "x", "rob", 1, 200.0), 100.0) is not None
    store.close()


def test_tries_refill_and_are_limited_in_all() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    assert [attempts.take("rob") for _ in range(ACCOUNT_TRIES + 1)] == [True] * ACCOUNT_TRIES + [False]
    now[0] += 30
    assert (attempts.take("rob"), attempts.take("rob")) == (True, False)
    attempts.succeeded("rob")
    assert attempts.take("rob")
    spread = sum(attempts.take(f"name-{index}") for index in range(500))
    assert spread <= TOTAL_TRIES
