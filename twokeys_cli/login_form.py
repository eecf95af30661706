"""An issuer's sign-in form, filled in without a browser: for scripts, and for machines that have none."""

from __future__ import annotations

import html.parser
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from twokeys.errors import Refused, Unavailable
from twokeys_cli.api import exchange


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person would type."""

    name: str
    passphrase: str = field(repr=False)


class _Form(html.parser.HTMLParser):
    """The first form of a page that asks for a password: where it goes, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.name_field = self.password_field = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if tag == "form" and not self.password_field:
            self.action, self.fields, self.name_field = found.get("action", ""), {}, ""
        if tag == "input" and found.get("name"):
            match found.get("type", "text"):
                case "password":
                    self.password_field = found["name"]
                case "hidden":
                    self.fields[found["name"]] = found.get("value", "")
                case "text" | "email":
                    self.name_field = self.name_field or found["name"]


def fill_in(director: urllib.request.OpenerDirector, address: str, redirect_uri: str, answer: Answer) -> str:
    """Fill in the issuer's form as a browser would.

    Args:
        director: Keeps cookies, follows no redirect.
        address: Where the form is.
        redirect_uri: Where the issuer must lead to.
        answer: Name and passphrase.

    Returns:
        The address that the issuer redirects to.

    Raises:
        Unavailable: when there is no such form.
        Refused: when the issuer did not accept them, or the form leads to another host.
    """
    status, _, page = exchange(director, urllib.request.Request(address))  # noqa: S310 - checked_url
    form = _Form()
    form.feed(page.decode("utf-8", "replace"))
    if status != 200 or not form.password_field or not form.name_field:
        raise Unavailable(
            "The issuer's sign-in page has no form for a name and a passphrase.",
            not_done="You are not signed in.",
            advice="Sign in with the browser: leave --passphrase-stdin out.",
        )
    body = urlencode({**form.fields, form.name_field: answer.name, form.password_field: answer.passphrase}).encode()
    target = urljoin(address, form.action or address)
    own = urlsplit(address)
    headers = {"Origin": f"{own.scheme}://{own.netloc}", "Sec-Fetch-Site": "same-origin"}
    if urlsplit(target)[:2] != own[:2]:
        raise Refused("The sign-in form goes to another host.", not_done="The passphrase was not sent.")
    status, headers_back, _ = exchange(director, urllib.request.Request(target, body, headers))  # noqa: S310 - same host
    back = str(headers_back.get("Location", ""))
    if status not in (302, 303) or not back.startswith(redirect_uri):
        raise Refused(
            "The issuer did not accept the name and the passphrase.",
            not_done="You are not signed in.",
            advice="See the name and the passphrase; after several failures wait a minute.",
        )
    return back
