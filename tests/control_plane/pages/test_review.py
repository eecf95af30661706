"""Reading and deciding, and everything that must not decide."""

from __future__ import annotations

import re

import pytest

from tests.control_plane.pages.samples import blob
from tests.control_plane.pages.site import DIGEST, OTHER, REQUEST, Browser, Site, fields_of, request_view

LONG = "UPDATE orders SET paid = true;\n" * 1200


def form(browser: Browser, request_id: str = REQUEST, **changes: str) -> dict[str, str]:
    page = browser.get(f"/r/{request_id}").text
    return fields_of(page.split('class="decide"')[1]) | {"verdict": "approve", "reason": ""} | changes


def state(site: Site, request_id: str = REQUEST) -> str:
    return site.desk.requests[request_id].state


def test_a_reviewer_approves(site: Site, rob: Browser) -> None:
    answer = rob.post(f"/r/{REQUEST}/decision", form(rob))
    assert (answer.status, answer.location, state(site)) == (303, f"/r/{REQUEST}", "approved")
    assert "rob approved it." in rob.get(f"/r/{REQUEST}").text


def test_w7_locks_of_an_open_transaction_are_told(site: Site, rob: Browser) -> None:
    locks = ("shop.orders RowExclusiveLock", "shop.<b> AccessShareLock")
    site.desk.requests[REQUEST] = request_view(in_transaction=True, locks=locks)
    page = rob.get(f"/r/{REQUEST}").text
    assert "<li><code>shop.orders RowExclusiveLock</code></li>" in page
    assert "shop.&lt;b&gt; AccessShareLock" in page


def test_reading_a_command_is_recorded_once_for_each_session(site: Site, rob: Browser) -> None:
    for _ in range(3):
        rob.get(f"/r/{REQUEST}")
    rob.get("/")
    assert site.desk.reads == [(REQUEST, "rob")]


def test_a_reviewer_denies_with_a_reason(site: Site, rob: Browser) -> None:
    assert rob.post(f"/r/{REQUEST}/decision", form(rob, verdict="deny", reason="  ")).status == 400
    assert state(site) == "pending"
    assert rob.post(f"/r/{REQUEST}/decision", form(rob, verdict="deny", reason="not <b>now</b>")).status == 303
    assert state(site) == "denied"
    assert "not &lt;b&gt;now&lt;/b&gt;" in rob.get(f"/r/{REQUEST}").text


def test_a1_get_decides_nothing(site: Site, rob: Browser) -> None:
    """A scanner that follows every link, even as a signed-in person, has decided nothing."""
    fields = form(rob)
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    for path in ("", "/body", "/body?offset=0", f"?{query}", f"/decision?{query}"):
        for method in ("GET", "HEAD"):
            rob.send(method, f"/r/{REQUEST}{path}", b"", {})
    links = re.findall(r'href="(/[^"]*)"', rob.get(f"/r/{REQUEST}").text)
    for link in links:
        rob.get(link)
    assert state(site) == "pending"


def test_a1_a_press_of_the_button_without_a_session_decides_nothing(site: Site, rob: Browser) -> None:
    fields = form(rob)
    answer = Browser(site).post(f"/r/{REQUEST}/decision", fields)
    assert answer.location == f"/signin?next=/r/{REQUEST}"
    assert state(site) == "pending"


def test_a2_a_link_bears_no_authority(site: Site) -> None:
    """Forwarded mail: who isn't signed in sees nothing; who may not approve can't."""
    assert "UPDATE" not in Browser(site).get(f"/r/{REQUEST}").text
    ann = Browser(site)
    ann.sign_in("ann")
    page = ann.get(f"/r/{REQUEST}").text
    assert "You sponsor agent-7" in page and 'value="approve"' not in page


def test_a6_who_may_not_approve_is_refused_when_they_post_anyway(site: Site, rob: Browser) -> None:
    ann = Browser(site)
    ann.sign_in("ann")
    ann.get(f"/r/{REQUEST}")
    session = site.sessions.current(ann.cookies["__Host-twokeys"])
    assert session is not None
    own = {"csrf": session.token(f"decision:{REQUEST}"), "command_digest": DIGEST, "verdict": "approve", "reason": ""}
    assert ann.post(f"/r/{REQUEST}/decision", own).status == 403
    assert state(site) == "pending"


def test_a_form_of_another_request_or_session_is_refused(site: Site, rob: Browser) -> None:
    other = Browser(site)
    other.sign_in("rob")
    for fields in (form(rob, OTHER), form(other), form(rob, csrf=""), form(rob, csrf="0" * 64)):
        rob.get(f"/r/{REQUEST}")
        assert rob.post(f"/r/{REQUEST}/decision", fields).status == 403
    assert state(site) == "pending"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "", "Sec-Fetch-Site": ""},
        {"Origin": "null", "Sec-Fetch-Site": ""},
    ],
)
def test_a_form_of_another_site_is_refused(site: Site, rob: Browser, headers: dict[str, str]) -> None:
    assert rob.post(f"/r/{REQUEST}/decision", form(rob), headers).status == 403
    assert state(site) == "pending"


def test_what_a_browser_sends_from_our_own_page_is_taken(site: Site, rob: Browser) -> None:
    """With `Referrer-Policy: no-referrer` a browser says `Origin: null`, and vouches by Sec-Fetch-Site."""
    answer = rob.post(f"/r/{REQUEST}/decision", form(rob), {"Origin": "null", "Sec-Fetch-Site": "same-origin"})
    assert answer.status == 303 and state(site) == "approved"


def test_a4_a_form_that_showed_another_command_is_refused(site: Site, rob: Browser) -> None:
    assert rob.post(f"/r/{REQUEST}/decision", form(rob, command_digest="ab" * 32)).status == 403
    assert rob.post(f"/r/{REQUEST}/decision", form(rob, command_digest="")).status == 403
    assert state(site) == "pending"


def test_a4_what_was_not_shown_whole_is_not_approved(site: Site, rob: Browser) -> None:
    site.desk.blobs[REQUEST] = blob(LONG)
    page = rob.get(f"/r/{REQUEST}").text
    assert re.search(r'value="approve" disabled', page)
    assert rob.post(f"/r/{REQUEST}/decision", form(rob)).status == 403
    assert state(site) == "pending"
    assert rob.post(f"/r/{REQUEST}/decision", form(rob, verdict="deny", reason="too long")).status == 303


def test_a4_after_all_parts_it_can_be_approved(site: Site, rob: Browser) -> None:
    site.desk.blobs[REQUEST] = blob(LONG)
    page, seen = rob.get(f"/r/{REQUEST}").text, 0
    while "Read on" in page:
        found = re.search(r'<a class="button" href="(/r/[^"]+)">Read on', page)
        assert found is not None
        page, seen = rob.get(found[1]).text, seen + 1
    assert seen == 4 and "You were shown the whole command." in page
    assert rob.post(f"/r/{REQUEST}/decision", form(rob)).status == 303
    assert state(site) == "approved"


def test_a4_what_another_session_was_shown_does_not_count(site: Site, rob: Browser) -> None:
    site.desk.blobs[REQUEST] = blob(LONG)
    other = Browser(site)
    other.sign_in("rob")
    for offset in re.findall(r"offset=(\d+)", other.get(f"/r/{REQUEST}").text):
        other.get(f"/r/{REQUEST}/body?offset={offset}")
    assert rob.post(f"/r/{REQUEST}/decision", form(rob)).status == 403


@pytest.mark.parametrize("bad", [None, b"", b"{}", b"x" * (5 * 1024 * 1024)])
def test_a4_what_cannot_be_shown_cannot_be_approved_but_denied(site: Site, rob: Browser, bad: bytes | None) -> None:
    site.desk.blobs[REQUEST] = bad
    assert 'value="approve" disabled' in rob.get(f"/r/{REQUEST}").text
    assert rob.post(f"/r/{REQUEST}/decision", form(rob)).status == 400
    assert rob.post(f"/r/{REQUEST}/decision", form(rob, verdict="deny", reason="unreadable")).status == 303


def test_a4_markup_and_bidi_in_a_statement_are_text(site: Site, rob: Browser) -> None:
    site.desk.blobs[REQUEST] = blob("UPDATE t SET a = '<script>alert(1)</script>' -- \u202egnp")
    page = rob.get(f"/r/{REQUEST}").text
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page and "U+202E right-to-left override" in page


def test_a4_names_from_the_wire_are_made_visible(site: Site, rob: Browser) -> None:
    site.desk.requests[REQUEST] = request_view(client="psql\u202e<b>", target="db\u200b", database="a\x00b")
    page = rob.get(f"/r/{REQUEST}").text
    assert "\u202e" not in page and "\u200b" not in page and "\x00" not in page and "<b>" not in page


def test_a5_a_used_link_shows_the_outcome_and_decides_no_more(site: Site, rob: Browser) -> None:
    fields = form(rob)
    assert rob.post(f"/r/{REQUEST}/decision", fields).status == 303
    again = rob.post(f"/r/{REQUEST}/decision", fields | {"verdict": "deny", "reason": "changed my mind"})
    assert again.status == 409 and "not counted" in again.text
    assert state(site) == "approved"


@pytest.mark.parametrize("over", ["expired", "withdrawn", "lapsed", "denied"])
def test_a5_an_expired_or_finished_request_has_no_form(site: Site, rob: Browser, over: str) -> None:
    fields = form(rob)
    site.desk.requests[REQUEST] = request_view(state=over, outcome="Nobody answered in time. Nothing was run.")
    page = rob.get(f"/r/{REQUEST}").text
    assert 'class="decide"' not in page and "Nothing was run." in page
    assert rob.post(f"/r/{REQUEST}/decision", fields).status == 409


@pytest.mark.parametrize("path", ["/r/req_x", "/r/req_" + "c" * 26, f"/r/{REQUEST}%0a"])
def test_an_unknown_request_is_a_page(rob: Browser, path: str) -> None:
    answer = rob.get(path)
    assert answer.status == 404 and "There is no such request." in answer.text


@pytest.mark.parametrize("offset", ["1", "-1", "x", "99999999999999", "0&offset=0", "%00"])
def test_an_offset_that_begins_no_part_is_a_page(rob: Browser, offset: str) -> None:
    assert rob.get(f"/r/{REQUEST}/body?offset={offset}").status == 404


@pytest.mark.parametrize(
    "changes",
    [{"verdict": "maybe"}, {"verdict": ""}, {"reason": "x" * 2001}, {f"f{n}": "x" for n in range(30)}],
)
def test_a_malformed_form_is_refused(site: Site, rob: Browser, changes: dict[str, str]) -> None:
    assert rob.post(f"/r/{REQUEST}/decision", form(rob, **changes)).status == 400
    assert state(site) == "pending"


def test_a_form_with_a_field_twice_or_an_endless_one_is_refused(site: Site, rob: Browser) -> None:
    head = {"Content-Type": "application/x-www-form-urlencoded", "Origin": site.url, "Sec-Fetch-Site": "same-origin"}
    for body in (b"csrf=1&csrf=2", b"reason=" + b"x" * 40_000, b"\xff\xfe", b"&&&"):
        assert rob.send("POST", f"/r/{REQUEST}/decision", body, head).status == 400
    assert state(site) == "pending"


def test_pages_carry_their_headers(site: Site, rob: Browser) -> None:
    for path in ("/", f"/r/{REQUEST}", f"/r/{REQUEST}/body", "/outbox", "/r/none"):
        headers = rob.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def test_pages_hold_no_inline_script_or_style(rob: Browser) -> None:
    for path in ("/", f"/r/{REQUEST}", "/outbox"):
        page = rob.get(path).text
        assert not re.search(r"<script(?![^>]*src=)|<style| style=| on[a-z]+=", page)
        assert '<html lang="en">' in page and "<main" in page


def test_static_files_are_the_named_ones(rob: Browser) -> None:
    assert rob.get("/static/style.css").headers["content-type"].startswith("text/css")
    for name in ("..%2frender.py", "render.py", "%2e%2e"):
        assert rob.get(f"/static/{name}").status in (403, 404)


def test_the_list_is_for_the_person(site: Site, rob: Browser) -> None:
    assert f'href="/r/{REQUEST}"' in rob.get("/").text
    assert "Waiting for you" in rob.get("/").text
