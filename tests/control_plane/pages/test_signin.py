"""Signing in: the issuer's passphrase, the relying party, the session."""

from __future__ import annotations

import pytest

from control_plane.chalicelib.services.sessions import ABSOLUTE_SECONDS, IDLE_SECONDS
from control_plane.chalicelib.services.signing_in import local_path
from tests.control_plane.pages.site import REQUEST, Browser, Site, fields_of


def test_who_is_not_signed_in_is_sent_to_sign_in_and_back(site: Site) -> None:
    browser = Browser(site)
    assert browser.get(f"/r/{REQUEST}").location == f"/signin?next=/r/{REQUEST}"
    done = browser.sign_in("rob", f"/r/{REQUEST}")
    assert (done.status, done.location) == (303, f"/r/{REQUEST}")
    assert browser.get(done.location).status == 200


def test_the_session_cookie_is_of_this_host_alone(site: Site) -> None:
    cookies = Browser(site).sign_in("rob").cookies
    own = next(one for one in cookies if one.startswith("__Host-twokeys="))
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= {part.strip() for part in own.split(";")}
    assert "Domain" not in own


def test_a_wrong_passphrase_signs_nobody_in_and_says_nothing_of_who_exists(site: Site) -> None:
    texts = []
    for name in ("rob", "who-is-this"):
        browser = Browser(site)
        form = browser.get(browser.get("/signin").location)
        wrong = browser.post("/issuer/authorize", fields_of(form.text) | {"name": name, "passphrase": "wrong"})
        assert wrong.status == 401
        texts.append(wrong.text.split("<form")[0])
    assert texts[0] == texts[1]


def test_the_passphrase_may_be_typed_without_hyphens(site: Site) -> None:
    site.passphrases["rob"] = site.passphrases["rob"].replace("-", " ").upper()
    assert Browser(site).sign_in("rob").status == 303


def test_tries_are_limited_for_known_and_unknown_names(site: Site) -> None:
    for name in ("rob", "unknown"):
        browser = Browser(site)
        fields = fields_of(browser.get(browser.get("/signin").location).text)
        for _ in range(5):
            browser.post("/issuer/authorize", fields | {"name": name, "passphrase": "wrong"})
        limited = browser.post("/issuer/authorize", fields | {"name": name, "passphrase": site.passphrases["rob"]})
        assert limited.status == 401
    site.now[0] += 31
    assert Browser(site).sign_in("rob").status == 303


def test_a_login_form_of_another_browser_is_refused(site: Site) -> None:
    theirs, victim = Browser(site), Browser(site)
    fields = fields_of(theirs.get(theirs.get("/signin").location).text)
    victim.get(victim.get("/signin").location)
    sent = victim.post("/issuer/authorize", fields | {"name": "ann", "passphrase": site.passphrases["ann"]})
    assert sent.status == 400


def test_a_callback_begun_in_another_browser_is_refused(site: Site) -> None:
    """Login CSRF: the attacker's own code must not sign the victim in as the attacker."""
    attacker, victim = Browser(site), Browser(site)
    form = attacker.get(attacker.get("/signin").location)
    sent = attacker.post(
        "/issuer/authorize", fields_of(form.text) | {"name": "ann", "passphrase": site.passphrases["ann"]}
    )
    assert victim.get(sent.location).status == 403
    victim.get("/signin")
    assert victim.get(sent.location).status == 403
    assert "__Host-twokeys" not in victim.cookies


def test_a_callback_is_used_once(site: Site) -> None:
    browser = Browser(site)
    form = browser.get(browser.get("/signin").location)
    sent = browser.post(
        "/issuer/authorize", fields_of(form.text) | {"name": "rob", "passphrase": site.passphrases["rob"]}
    )
    begun = dict(browser.cookies)
    assert browser.get(sent.location).status == 303
    assert Browser(site, begun).get(sent.location).status == 403


def test_a_sign_in_that_took_too_long_is_refused(site: Site) -> None:
    browser = Browser(site)
    form = browser.get(browser.get("/signin").location)
    site.now[0] += 601
    sent = browser.post(
        "/issuer/authorize", fields_of(form.text) | {"name": "rob", "passphrase": site.passphrases["rob"]}
    )
    assert browser.get(sent.location).status == 403


def test_who_is_not_registered_is_not_signed_in(site: Site) -> None:
    browser = Browser(site)
    done = browser.sign_in("nobody")
    assert done.status == 403 and "not registered" in done.text
    assert "__Host-twokeys" not in browser.cookies


@pytest.mark.parametrize("seconds", [IDLE_SECONDS, ABSOLUTE_SECONDS])
def test_an_idle_or_old_session_is_over(site: Site, rob: Browser, seconds: int) -> None:
    if seconds == ABSOLUTE_SECONDS:
        for _ in range(ABSOLUTE_SECONDS // (IDLE_SECONDS - 60)):
            site.now[0] += IDLE_SECONDS - 60
            rob.get("/")
    site.now[0] += seconds if seconds == IDLE_SECONDS else IDLE_SECONDS - 61
    assert rob.get("/").location == "/signin?next=/"


def test_signing_out_ends_the_session_at_our_side(site: Site, rob: Browser) -> None:
    kept = dict(rob.cookies)
    token = fields_of(rob.get("/").text)["csrf"]
    assert rob.post("/signout", {"csrf": "0" * 64}).status == 403
    assert rob.get("/").status == 200
    assert rob.post("/signout", {"csrf": token}).status == 200
    assert Browser(site, kept).get("/").status == 303


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "../../etc", "A" * 4000])
def test_a_forged_cookie_is_nobody(site: Site, cookie: str) -> None:
    assert Browser(site, {"__Host-twokeys": cookie}).get("/").status == 303


def test_a_cookie_that_stands_twice_is_nobody(site: Site, rob: Browser) -> None:
    own = rob.cookies["__Host-twokeys"]
    doubled = Browser(site).get("/", {"Cookie": f"__Host-twokeys={own}; __Host-twokeys={own}"})
    assert doubled.status == 303


def test_the_secret_is_not_at_rest(site: Site, rob: Browser) -> None:
    secret = rob.cookies["__Host-twokeys"]
    session = site.sessions.current(secret)
    assert session is not None and secret not in repr(session)


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\/evil",
        "/\t/evil.example",
        "javascript:x",
        "",
        "/\u00e9",
        "/" + "a" * 600,
    ],
)
def test_the_way_back_leads_to_our_own_pages_only(site: Site, path: str) -> None:
    assert local_path(path) == "/"
    assert Browser(site).sign_in("rob", path).location == "/"


def test_a_local_path_is_kept() -> None:
    assert local_path("/r/req_x?offset=1") == "/r/req_x?offset=1"
