"""A write held at a live Edge, and all who may not approve it, over real HTTP: it stays held until rob approves."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor

import pytest

from tests.support.callers import WaitingCaller
from tests.support.deployment import Deployment, deployment
from tests.support.postgres import RealPostgres
from twokeys_cli.page import Browser, Form

UPDATE = "UPDATE orders SET total = 2 WHERE id = 198"
COOKIE = "__Host-twokeys"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, postgres: RealPostgres) -> Iterator[Deployment]:
    """Control plane and Edge in front of the real PostgreSQL."""
    with deployment(tmp_path_factory.mktemp("deployment"), postgres) as running:
        yield running


@pytest.fixture
def held(whole: Deployment) -> Iterator[dict[str, Any]]:
    """The Request of a write that waits; afterwards rob approves it, so that nothing but he has decided."""
    whole.postgres.admin("UPDATE shop.orders SET total = 1 WHERE id = 198")
    caller = WaitingCaller(whole.dsn, UPDATE)
    request = whole.one_pending()
    yield request
    assert whole.state(request["id"]) == "pending"
    assert whole.postgres.admin("SELECT total FROM shop.orders WHERE id = 198").strip() == "1.00"
    assert whole.vote("rob", request, approve=True).status == 200
    assert caller.done().error is None


def send(whole: Deployment, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> int:
    """One request as somebody with a tool would send it; returns the status."""
    connection = http.client.HTTPConnection("127.0.0.1", whole.control_port, timeout=20)
    connection.request(method, path, body or None, dict(headers))
    status = connection.getresponse().status
    connection.close()
    return status


def signed_in(whole: Deployment, person: str) -> tuple[Browser, str]:
    """A person's browser, and its session's cookie as a header."""
    browser = Browser(whole.url)
    browser.sign_in(person, whole.passphrase(person))
    handlers = vars(browser._opener)["handlers"]
    (jar,) = [one.cookiejar for one in handlers if isinstance(one, HTTPCookieProcessor)]
    return browser, "; ".join(f"{one.name}={one.value}" for one in jar if one.name == COOKIE)


def review(whole: Deployment, request: Mapping[str, Any]) -> tuple[dict[str, str], Form]:
    """The headers and fields of rob's own form: sent exactly so they would count."""
    browser, cookie = signed_in(whole, "rob")
    form = browser.get(f"/r/{request['id']}").form("command_digest")
    return {**FORM, "Cookie": cookie, "Origin": whole.url, "Sec-Fetch-Site": "same-origin"}, form


def body(form: Form, **changes: str) -> bytes:
    return urlencode({**form.fields, "verdict": "approve", "reason": "", **changes}).encode()


CHANGED_HEADERS: dict[str, dict[str, str]] = {
    "a2_no_cookie": {"Cookie": ""},
    "a8_forged_cookie": {"Cookie": f"{COOKIE}=" + "A" * 43},
    "a2_other_origin": {"Origin": "https://evil.example"},
    "a2_other_site": {"Sec-Fetch-Site": "cross-site"},
    "a2_no_origin": {"Origin": "", "Sec-Fetch-Site": ""},
    "a2_opaque_origin": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "a2_plain_form": {"Content-Type": "text/plain"},
}


@pytest.mark.parametrize("change", CHANGED_HEADERS.values(), ids=CHANGED_HEADERS.keys())
def test_a2_a8_a_form_from_elsewhere_decides_nothing(
    whole: Deployment, held: dict[str, Any], change: dict[str, str]
) -> None:
    headers, form = review(whole, held)
    changed = {name: text for name, text in {**headers, **change}.items() if text}
    assert send(whole, "POST", f"/r/{held['id']}/decision", body(form), changed) in (303, 400, 401, 403, 415)


def test_a8_a_cookie_that_was_changed_decides_nothing(whole: Deployment, held: dict[str, Any]) -> None:
    headers, form = review(whole, held)
    name, _, value = headers["Cookie"].partition("=")
    for forged in (value[:-2] + "AA", value[1:], value.upper(), value + "; " + name + "=", "A" * len(value)):
        changed = {**headers, "Cookie": f"{name}={forged}"}
        assert send(whole, "POST", f"/r/{held['id']}/decision", body(form), changed) in (303, 400, 401, 403)


def test_sent_exactly_so_the_form_counts(whole: Deployment) -> None:
    whole.postgres.admin("UPDATE shop.orders SET total = 1 WHERE id = 198")
    caller = WaitingCaller(whole.dsn, UPDATE)
    request = whole.one_pending()
    headers, form = review(whole, request)
    assert send(whole, "POST", f"/r/{request['id']}/decision", body(form), headers) == 303
    assert caller.done().error is None
    assert whole.postgres.admin("SELECT total FROM shop.orders WHERE id = 198").strip() == "2.00"


@pytest.mark.parametrize("name", ["csrf", "command_digest", "verdict"])
def test_a2_a_form_without_its_secrets_decides_nothing(whole: Deployment, held: dict[str, Any], name: str) -> None:
    headers, form = review(whole, held)
    for value in ("", "0" * 64):
        assert send(whole, "POST", f"/r/{held['id']}/decision", body(form, **{name: value}), headers) in (400, 403)


def test_a1_a_get_decides_nothing(whole: Deployment, held: dict[str, Any]) -> None:
    headers, form = review(whole, held)
    query = body(form).decode()
    for method in ("GET", "HEAD", "PUT", "OPTIONS"):
        for path in (f"/r/{held['id']}/decision", f"/r/{held['id']}", f"/v1/requests/{held['id']}/votes"):
            send(whole, method, f"{path}?{query}", b"", headers)


@pytest.mark.parametrize("override", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a1_a_get_that_says_it_is_a_post_decides_nothing(
    whole: Deployment, held: dict[str, Any], override: str
) -> None:
    headers, form = review(whole, held)
    send(whole, "GET", f"/r/{held['id']}/decision?{body(form).decode()}", b"", {**headers, override: "POST"})


def test_a8_no_token_but_a_reviewers_counts_at_the_api(whole: Deployment, held: dict[str, Any]) -> None:
    path = f"/v1/requests/{held['id']}/votes"
    vote = json.dumps({"approve": True, "reason": "", "command_digest": held["command_digest"]}).encode()
    _, cookie = signed_in(whole, "rob")
    rob = whole.token("rob")
    for headers in (
        {},
        {"Authorization": "Bearer " + "A" * 40},
        {"Authorization": "Bearer " + rob[:-4] + "AAAA"},
        {"Authorization": "Basic " + rob},
        {"Authorization": "Bearer " + whole.password},
        {"Cookie": cookie},
        {"Cookie": cookie, "Origin": whole.url, "Sec-Fetch-Site": "same-origin"},
        {"X-Forwarded-User": "rob", "X-Remote-User": "rob"},
    ):
        assert send(whole, "POST", path, vote, {**JSON, **headers}) in (400, 401, 403), headers


def test_a6_the_sponsor_cannot_approve_on_any_path(whole: Deployment, held: dict[str, Any]) -> None:
    assert whole.vote("ann", held, approve=True).status == 403
    headers, form = review(whole, held)
    own = {**headers, "Cookie": signed_in(whole, "ann")[1]}
    assert send(whole, "POST", f"/r/{held['id']}/decision", body(form), own) in (400, 403)


def test_a5_a_form_of_one_request_does_not_decide_another(whole: Deployment, held: dict[str, Any]) -> None:
    headers, form = review(whole, held)
    other = f"/r/req_{'a' * 26}/decision"
    assert send(whole, "POST", other, body(form), headers) in (400, 403, 404)
