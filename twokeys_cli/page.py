"""A person's browser in miniature, for `twokeys demo`: cookies, redirects within one origin, links and forms."""

from __future__ import annotations

import html.parser
import http.cookiejar
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from twokeys.errors import Refused, Unavailable

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""Longest page read."""
TIMEOUT_SECONDS = 15.0
"""Longest wait for one page."""


@dataclass(slots=True)
class Form:
    """One form of a page: where it goes, and what its fields hold now."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it was answered."""

    url: str
    status: int
    text: str
    links: tuple[str, ...]
    forms: tuple[Form, ...]

    def form(self, having: str) -> Form:
        """The form that has a field of this name.

        Raises:
            Unavailable: There is none; the message has the page's words.
        """
        for form in self.forms:
            if having in form.fields:
                return form
        raise Unavailable(
            f"{self.url} ({self.status}) has no form with {having!r}: {self.text[:300]!r}", code="no_form"
        )

    def shows(self, words: str) -> bool:
        """Whether the page shows these words, however they are wrapped and marked up."""
        return _dense(words) in _dense(self.text)


class Browser:
    """Visits one origin.

    Args:
        origin: Such as `http://127.0.0.1:8443`.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin.rstrip("/")
        # The cookies are Secure, and this machine's own http address counts as such, as in browsers.
        policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("https", "http"))
        jar = http.cookiejar.CookieJar(policy)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar), _SameOrigin(self.origin)
        )

    def get(self, path: str) -> Page:
        """Visit a page, following redirects."""
        return self._visit(urllib.request.Request(self._url(path)))  # noqa: S310 - _url checks the origin

    def submit(self, page: Page, form: Form, values: Mapping[str, str]) -> Page:
        """Send a form of a page with these values beside the ones it holds."""
        data = urlencode({**form.fields, **values}).encode()
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        url = self._url(urljoin(page.url, form.action or page.url))
        return self._visit(urllib.request.Request(url, data, headers, method=form.method))  # noqa: S310

    def sign_in(self, name: str, passphrase: str) -> Page:
        """Sign in by the issuer's form.

        Raises:
            Refused: The name or passphrase was not taken.
        """
        page = self.get("/")
        done = self.submit(page, page.form("passphrase"), {"name": name, "passphrase": passphrase})
        if done.status != 200 or any("passphrase" in form.fields for form in done.forms):
            raise Refused(f"{name} could not sign in: {done.text[:300]}", code="no_sign_in")
        return done

    def _visit(self, request: urllib.request.Request) -> Page:
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return _read(answer.url, answer.status, answer.read(MAX_PAGE_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return _read(error.url, error.code, error.read(MAX_PAGE_BYTES))
        except OSError as error:
            raise Unavailable(f"{request.full_url} does not answer: {error}", code="no_page") from error

    def _url(self, path: str) -> str:
        url = urljoin(self.origin + "/", path)
        _check_origin(self.origin, url)
        return url


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    def __init__(self, origin: str) -> None:
        self._origin = origin

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        _check_origin(self._origin, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.words: list[str] = []
        self._open: Form | None = None
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        match tag:
            case "a" if "href" in found:
                self.links.append(found["href"])
            case "form":
                self._open = Form(found.get("action", ""), found.get("method", "get").upper())
                self.forms.append(self._open)
            case "input" | "textarea" if self._open is not None and "name" in found:
                self._open.fields[found["name"]] = found.get("value", "")
            case "script" | "style":
                self._hidden += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag in ("script", "style"):
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def _read(url: str, status: int, body: bytes) -> Page:
    reader = _Reader()
    reader.feed(body.decode(errors="replace"))
    text = " ".join("".join(reader.words).split())
    return Page(url, status, text, tuple(reader.links), tuple(reader.forms))


def _check_origin(origin: str, url: str) -> None:
    ours, theirs = urlsplit(origin), urlsplit(url)
    if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
        raise Refused(f"A page of {origin} leads to {theirs.scheme}://{theirs.netloc}.", code="foreign_origin")


def _dense(text: str) -> str:
    return re.sub(r"\s+", "", text)
