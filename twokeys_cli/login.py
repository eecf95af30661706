"""`twokeys login`: authorization code with PKCE and a loopback redirect.

    login ──▶ control plane: which issuer ──▶ its metadata ──▶ browser ──code──▶ 127.0.0.1 ──▶ token ──▶ 0600 file

A control plane names its issuer; what it names gets no passphrase unless it is the control plane's own.

Sources: RFC 8252 (native apps), RFC 7636 (PKCE, S256), RFC 9207 (issuer in the answer), OpenID Connect Core 1.0.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.cookiejar
import http.server
import json
import secrets
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import click
import msgspec

from twokeys.discovery import PATH, SignInFacts, read_facts
from twokeys.errors import Refused, Unavailable
from twokeys_cli.api import SignIn, checked_url, connection, exchange, opener, refusal, token_file
from twokeys_cli.confirm import terminal
from twokeys_cli.login_form import Answer, fill_in
from twokeys_cli.output import plain

WAIT_SECONDS: Final = 300
"""How long a sign-in in the browser is waited for."""

MAX_PASSPHRASE_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in: its secrets, where the code must come back to, and the issuer that must say so (if it can)."""

    redirect_uri: str
    issuer: str = ""
    client_id: str = "twokeys-cli"
    scope: str = "openid"
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def authorize_url(self, endpoint: str) -> str:
        """Where the person signs in."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        return f"{endpoint}{'&' if '?' in endpoint else '?'}" + urlencode(
            {
                "response_type": "code",
                "client_id": self.client_id,
                "redirect_uri": self.redirect_uri,
                "scope": self.scope,
                "state": self.state,
                "nonce": self.nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )

    def code(self, address: str) -> str:
        """The code in the address that the issuer sent the browser to.

        Raises:
            Refused: when it is not this sign-in's, or the issuer refused.
        """
        answer = parse_qs(urlsplit(address).query)
        if not hmac.compare_digest(answer.get("state", [""])[0].encode(), self.state.encode()):
            raise Refused("The sign-in that came back is not the one begun here.", not_done="You are not signed in.")
        # Another issuer's code must not be handed to this one (RFC 9207).
        if self.issuer and answer.get("iss", [""])[0] != self.issuer:
            raise Refused("The sign-in came back from another issuer.", not_done="You are not signed in.")
        if "code" not in answer:
            why = answer.get("error_description", answer.get("error", ["no code"]))[0]
            raise Refused(f"The issuer refused the sign-in ({why[:200]!r}).", not_done="You are not signed in.")
        return answer["code"][0]


@click.command()
@click.argument("address", required=False, default="")
@connection
@click.option("--issuer", default="", help="OpenID Connect issuer; default: the one that the control plane names.")
@click.option("--client-id", default="", help="The command line's client there; default: as the control plane says.")
@click.option("--name", default="", help="With --passphrase-stdin: who signs in.")
@click.option("--passphrase-stdin", is_flag=True, help="Read the passphrase from standard input; no browser.")
def login(
    address: str, url: str, ca_file: Path | None, issuer: str, client_id: str, name: str, passphrase_stdin: bool
) -> None:
    """Sign in at a control plane, as a person.

    \b
      twokeys login http://127.0.0.1:8443                                  in the browser
      twokeys login http://127.0.0.1:8443 --name rob --passphrase-stdin < passphrase.txt
    """
    place = checked_url(address or url or token_file().load().current)
    director = opener(ca_file, urllib.request.HTTPCookieProcessor(_jar()))
    facts = _facts(director, place, issuer, client_id)
    if passphrase_stdin and not name:
        raise click.UsageError("--passphrase-stdin needs --name.")
    if passphrase_stdin and not issuer and urlsplit(facts.issuer)[:2] != urlsplit(place)[:2]:
        raise Refused(
            f"{place} sends its people to {plain(facts.issuer)} to sign in.",
            not_done="The passphrase was not sent there.",
            advice="Sign in with the browser, or name the issuer yourself with --issuer.",
        )
    found = _metadata(director, checked_url(facts.issuer))
    if passphrase_stdin:
        passphrase = sys.stdin.readline(MAX_PASSPHRASE_BYTES).rstrip("\r\n")
        # Nobody listens there: the redirect is read from the answer and not followed.
        port = facts.ports[0] if facts.ports else 49152
        flow = _flow(facts, found, port)
        begun = flow.authorize_url(found["authorization_endpoint"])
        code = flow.code(fill_in(director, begun, flow.redirect_uri, Answer(name, passphrase)))
    else:
        flow, code = _browse(facts, found)
    token_file().keep(place, _redeem(director, flow, found["token_endpoint"], code))
    click.echo(f"Signed in at {place}. Next: twokeys request list")


def _facts(director: urllib.request.OpenerDirector, place: str, issuer: str, client_id: str) -> SignInFacts:
    """Where and as whom to sign in: as told on the command line, else as the control plane says."""
    if issuer and client_id:
        return SignInFacts(issuer=issuer, client_id=client_id)
    status, _, data = exchange(director, urllib.request.Request(place + PATH))  # noqa: S310 - checked_url
    if status != 200:
        raise Unavailable(
            f"{place} does not say how to sign in there (it answered {status}).",
            not_done="You are not signed in.",
            advice="See that the address is a control plane's; or name --issuer and --client-id.",
        )
    told = read_facts(data)
    if not issuer or issuer == told.issuer:
        return msgspec.structs.replace(told, client_id=client_id or told.client_id)
    # Ports and scope are what the issuer that was told of wants.
    return SignInFacts(issuer=issuer, client_id=client_id or told.client_id)


def _flow(facts: SignInFacts, found: dict[str, str], port: int) -> Flow:
    return Flow(f"http://127.0.0.1:{port}/callback", found["names_itself"], facts.client_id, facts.scope)


def _jar() -> http.cookiejar.CookieJar:
    # The issuer's cookies are Secure, and this machine's own http address counts as such, as in browsers.
    policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("https", "wss", "http"))
    return http.cookiejar.CookieJar(policy)


def _metadata(director: urllib.request.OpenerDirector, issuer: str) -> dict[str, str]:
    request = urllib.request.Request(f"{issuer}/.well-known/openid-configuration")  # noqa: S310 - checked_url
    status, _, data = exchange(director, request)
    try:
        found: dict[str, Any] = json.loads(data) if status == 200 else {}
        endpoints = {name: checked_url(found[name]) for name in ("authorization_endpoint", "token_endpoint")}
        named = found["issuer"]
        # Whether its redirects carry its name (RFC 9207 section 3).
        endpoints["names_itself"] = named if found.get("authorization_response_iss_parameter_supported") else ""
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"{issuer} is no OpenID Connect issuer (it answered {status}).",
            not_done="You are not signed in.",
            advice="Name your issuer with --issuer.",
        ) from error
    if named != issuer:
        raise Refused(
            f"The issuer calls itself {named!r}, and was asked for as {issuer!r}.", not_done="You are not signed in."
        )
    return endpoints


def _browse(facts: SignInFacts, found: dict[str, str]) -> tuple[Flow, str]:
    """Sign in with a browser: listen on a loopback port for the one redirect that is ours."""
    came: list[str] = []

    class Callback(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            mine = urlsplit(self.path).path == "/callback" and not came
            if mine:
                came.append(self.path)
            self.send_response(200 if mine else 404)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(b"You may close this page and go back to the terminal.\n")

        def log_message(self, *_args: Any) -> None:
            """Its lines would show the code."""

    with _listening(facts.ports or [0], Callback) as server:
        flow = _flow(facts, found, server.server_port)
        address = flow.authorize_url(found["authorization_endpoint"])
        click.echo(f"Sign in here (your browser should open):\n{address}", err=True)
        terminal().browse(address)
        server.timeout = 1
        deadline = time.monotonic() + WAIT_SECONDS
        while not came and time.monotonic() < deadline:
            server.handle_request()
    if not came:
        raise Unavailable(
            f"Nobody signed in within {WAIT_SECONDS} seconds.",
            not_done="You are not signed in.",
            advice="Without a browser: twokeys login ADDRESS --name NAME --passphrase-stdin",
        )
    return flow, flow.code(came[0])


def _listening(ports: Sequence[int], handler: type[http.server.BaseHTTPRequestHandler]) -> http.server.HTTPServer:
    for port in ports:
        with contextlib.suppress(OSError):
            return http.server.HTTPServer(("127.0.0.1", port), handler)
    raise Unavailable(
        f"None of the loopback ports that the issuer sends people back to is free ({', '.join(map(str, ports))}).",
        not_done="You are not signed in.",
        advice="End the program that uses one of them, and try again.",
    )


def _redeem(director: urllib.request.OpenerDirector, flow: Flow, endpoint: str, code: str) -> SignIn:
    """Exchange the code for a token; the id token's nonce must be this sign-in's."""
    body = urlencode(
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "client_id": flow.client_id,
            "code_verifier": flow.verifier,
        }
    ).encode()
    status, _, data = exchange(director, urllib.request.Request(endpoint, body))  # noqa: S310 - checked_url
    if status != 200:
        raise refusal(status, data)
    try:
        answer = json.loads(data)
        token = str(answer["access_token"])
        part = str(answer["id_token"]).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        nonce, lifetime = str(claims["nonce"]), int(answer.get("expires_in", 0))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Unavailable("The issuer's answer is malformed.", not_done="You are not signed in.") from error
    if not hmac.compare_digest(nonce.encode(), flow.nonce.encode()):
        raise Refused("The issuer's token is not of this sign-in.", not_done="You are not signed in.")
    # The signature is the control plane's to check; this came from the issuer itself (OpenID Connect Core 3.1.3.7).
    return SignIn(token, int(time.time()) + lifetime if lifetime else 0)
