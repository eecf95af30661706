from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from twokeys.errors import Refused, Unavailable
from twokeys_cli.page import Browser

LOGIN = """<form method="post" action="/login"><input type="hidden" name="csrf" value="t&amp;1">
<input name="name"><input name="passphrase" type="password"><button>Sign in</button></form>"""
LIST = """<style>.a { UPDATE }</style><h1>Waiting</h1><a href="/r/req_1">one</a>
<pre><span>UPDATE</span> shop.<b>orders</b>\n SET x = &#39;1&#39;</pre>"""


class Site(BaseHTTPRequestHandler):
    """Signs in `rob` with `right`, by a Secure cookie and redirects."""

    def do_GET(self) -> None:
        if self.path == "/away":
            self._answer(302, location="http://127.0.0.2:1/")
        elif "signed=rob" in self.headers.get("Cookie", ""):
            self._answer(200, LIST)
        elif self.path == "/login":
            self._answer(200, LOGIN)
        else:
            self._answer(302, location="/login")

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        ours = f"http://{self.headers['Host']}"
        if self.headers["Origin"] != ours or self.headers["Sec-Fetch-Site"] != "same-origin" or form["csrf"] != ["t&1"]:
            self._answer(403, "a forged form")
        elif form["name"] == ["rob"] and form["passphrase"] == ["right"]:
            self._answer(303, location="/", cookie="signed=rob; Secure; HttpOnly; Path=/")
        else:
            self._answer(200, LOGIN)

    def _answer(self, status: int, body: str = "", location: str = "", cookie: str = "") -> None:
        self.send_response(status)
        for name, value in (("Location", location), ("Set-Cookie", cookie)):
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def browser() -> Iterator[Browser]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Browser(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join()


def test_signing_in_follows_redirects_and_keeps_the_cookie(browser: Browser) -> None:
    page = browser.sign_in("rob", "right")
    assert page.links == ("/r/req_1",)
    assert browser.get("/").links == ("/r/req_1",)


def test_a_wrong_passphrase_is_told(browser: Browser) -> None:
    with pytest.raises(Refused, match="rob could not sign in"):
        browser.sign_in("rob", "wrong")


def test_a_page_shows_words_through_markup_and_not_its_styles(browser: Browser) -> None:
    page = browser.sign_in("rob", "right")
    assert page.shows("UPDATE shop.orders SET x = '1'")
    assert not page.shows(".a")


def test_a_missing_form_is_told_with_the_page(browser: Browser) -> None:
    with pytest.raises(Unavailable, match=r"no form with 'verdict'.*Waiting"):
        browser.sign_in("rob", "right").form("verdict")


def test_no_page_leads_to_another_origin(browser: Browser) -> None:
    with pytest.raises(Refused, match=r"leads to http://127\.0\.0\.2:1"):
        browser.get("/away")
    with pytest.raises(Refused, match="leads to"):
        browser.get("//127.0.0.2/")


def test_nobody_there_is_told() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        Browser("http://127.0.0.1:1").get("/")
