"""An issuer found by discovery: the port's suite over loopback HTTP, and issuers that lie, hang, flood or change."""

from __future__ import annotations

import base64
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from control_plane.chalicelib.adapters.aws.https_json import MAX_ANSWER_BYTES, HttpsJson, checked_address
from control_plane.chalicelib.adapters.aws.oidc import (
    AGAIN_SECONDS,
    KEYS_SECONDS,
    MAX_KEYS,
    METADATA_SECONDS,
    STALE_SECONDS,
    UNKNOWN_KEY_SECONDS,
    DiscoveredIssuer,
    IssuerFacts,
)
from control_plane.chalicelib.ports.oidc import CliClient, StandardTokens
from tests.control_plane.pages.site import running_site
from tests.control_plane.ports.oidc_suite import OidcSuite, SignInWorld
from tests.control_plane.world import ManualClock
from twokeys.errors import InvalidInput, Refused, Unavailable


def facts(issuer: str, **more: Any) -> IssuerFacts:
    return IssuerFacts(issuer, "twokeys:control", StandardTokens(), CliClient("twokeys-cli"), **more)


@pytest.fixture
def sign_in(tmp_path: Path) -> Iterator[SignInWorld]:
    with running_site(tmp_path) as site:
        clock = ManualClock(int(site.now[0] * 1000))
        client = DiscoveredIssuer(facts(f"{site.url}/issuer"), lambda: "", clock, HttpsJson())
        yield SignInWorld(site, client, clock)


class TestDiscoveredOidc(OidcSuite):
    """The port's suite."""


@dataclass
class Scripted:
    """An issuer that answers what the test says, and keeps what it was asked."""

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    forms: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def well(self, **changes: Any) -> None:
        own = {"issuer": self.url, **{name: f"{self.url}/{name}" for name in
               ("authorization_endpoint", "token_endpoint", "jwks_uri")}, **changes}  # fmt: skip
        self.answers["/.well-known/openid-configuration"] = (200, own)
        self.answers.setdefault("/jwks_uri", (200, {"keys": [{"kid": "a"}]}))

    def count(self, path: str) -> int:
        return self.asked.count(path)


@contextmanager
def scripted() -> Iterator[Scripted]:
    known = Scripted()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append(self.path)
            status, value = known.answers.get(self.path, (404, {}))
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Location", f"{known.url}/jwks_uri")
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            known.forms.append((form, self.headers.get("Authorization", "")))
            self.do_GET()

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            known.well()
            yield known
        finally:
            server.shutdown()
            thread.join(5)


@pytest.fixture
def issuer() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_795_379_462_000)


def client_of(issuer: Scripted, clock: ManualClock, secret: str = "", **more: Any) -> DiscoveredIssuer:
    return DiscoveredIssuer(facts(issuer.url, **more), lambda: secret, clock, HttpsJson())


def test_nothing_is_asked_before_it_is_needed(issuer: Scripted, clock: ManualClock) -> None:
    client_of(issuer, clock)
    assert issuer.asked == []


def test_endpoints_and_keys_are_kept_and_asked_for_anew_in_time(issuer: Scripted, clock: ManualClock) -> None:
    client = client_of(issuer, clock)
    for _ in range(3):
        client.jwks("a")
    assert (issuer.count("/jwks_uri"), issuer.count("/.well-known/openid-configuration")) == (1, 1)
    clock.pass_seconds(KEYS_SECONDS)
    issuer.answers["/jwks_uri"] = (200, {"keys": [{"kid": "b"}]})
    assert client.jwks("b") == {"keys": [{"kid": "b"}]}, "a key that the issuer withdrew is gone"
    clock.pass_seconds(METADATA_SECONDS)
    client.jwks("b")
    assert issuer.count("/.well-known/openid-configuration") == 2


def test_unknown_key_ids_make_it_ask_at_a_limited_rate(issuer: Scripted, clock: ManualClock) -> None:
    client = client_of(issuer, clock)
    client.jwks("a")
    for number in range(50):
        client.jwks(f"made-up-{number}")
    assert issuer.count("/jwks_uri") == 1
    issuer.answers["/jwks_uri"] = (200, {"keys": [{"kid": "a"}, {"kid": "new"}]})
    clock.pass_seconds(UNKNOWN_KEY_SECONDS)
    assert len(client.jwks("new")["keys"]) == 2
    assert issuer.count("/jwks_uri") == 2


def test_an_issuer_that_is_down_leaves_its_keys_in_use_for_a_while_only(issuer: Scripted, clock: ManualClock) -> None:
    client = client_of(issuer, clock)
    client.jwks("a")
    issuer.answers["/jwks_uri"] = (500, {})
    clock.pass_seconds(KEYS_SECONDS)
    assert client.jwks("a")["keys"]
    clock.pass_seconds(STALE_SECONDS - KEYS_SECONDS)
    for _ in range(2):
        with pytest.raises(Unavailable):
            client.jwks("a")
    issuer.answers["/jwks_uri"] = (200, {"keys": [{"kid": "a"}]})
    clock.pass_seconds(AGAIN_SECONDS)
    assert client.jwks("a")["keys"]


def test_an_issuer_that_does_not_answer_is_not_asked_by_every_call(issuer: Scripted, clock: ManualClock) -> None:
    issuer.answers["/.well-known/openid-configuration"] = (503, {})
    client = client_of(issuer, clock)
    for _ in range(5):
        with pytest.raises(Unavailable):
            client.jwks("a")
    assert len(issuer.asked) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example"}, {"issuer": None}, {"issuer": "SELF/"},
        {"token_endpoint": "http://evil.example/token"}, {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": None},
        {"jwks_uri": "http://127.0.0.1.evil.example/"}, {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "https://user:word@evil.example/"}, {"token_endpoint": "https://a.example/\r\nX: y"},
        {"token_endpoint": "https://a.example/" + "a" * 3000},
    ],
)  # fmt: skip
def test_metadata_that_lies_is_refused(issuer: Scripted, clock: ManualClock, changes: dict[str, Any]) -> None:
    issuer.well(**{key: value.replace("SELF", issuer.url) if value else value for key, value in changes.items()})
    with pytest.raises(Unavailable):
        assert client_of(issuer, clock).authorization_endpoint == ""


@pytest.mark.parametrize(
    "answer",
    [
        (302, {}), (200, b"<html>"), (200, b"[]"), (200, {"keys": {}}), (200, {"keys": ["a"]}), (200, {}),
        (200, {"keys": [{"kid": str(n)} for n in range(MAX_KEYS + 1)]}), (200, b"[" * 100_000),
        (200, b'{"keys": []}' + b" " * MAX_ANSWER_BYTES),
    ],
)  # fmt: skip
def test_keys_that_are_none_are_refused(issuer: Scripted, clock: ManualClock, answer: tuple[int, Any]) -> None:
    issuer.answers["/jwks_uri"] = answer
    with pytest.raises(Unavailable):
        client_of(issuer, clock).jwks("a")


def test_the_client_s_secret_goes_as_the_issuer_takes_it(issuer: Scripted, clock: ManualClock) -> None:
    issuer.answers["/token_endpoint"] = (200, {"id_token": "a.b.c"})
    for methods, secret in ((None, "s:/?"), (["client_secret_post"], "s:/?"), (["client_secret_post"], "")):
        issuer.well(**({"token_endpoint_auth_methods_supported": methods} if methods else {}))
        client = client_of(issuer, clock, secret)
        assert client.exchange("c", "v", "https://twokeys.example/callback") == "a.b.c"
    basic, post, public = issuer.forms
    assert base64.b64decode(basic[1].removeprefix("Basic ")).decode() == "twokeys%3Acontrol:s%3A%2F%3F"
    assert "client_secret" not in basic[0]
    assert (post[0]["client_secret"], post[1]) == ("s:/?", "")
    assert ("client_secret" in public[0], public[1]) == (False, "")
    assert basic[0]["code_verifier"] == "v"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((400, {"error": "invalid_grant"}), Refused),
        ((400, {"error": "invalid_client"}), Unavailable),
        ((401, {"error": "invalid_client"}), Unavailable),
        ((200, {"access_token": "a.b.c"}), Unavailable),
        ((200, {"id_token": 7}), Unavailable),
        ((500, {}), Unavailable),
        ((302, {}), Unavailable),
    ],
)
def test_a_code_that_was_not_exchanged_is_told_apart_from_an_issuer_that_is_ill(
    issuer: Scripted, clock: ManualClock, answer: tuple[int, Any], kind: type[Exception]
) -> None:
    issuer.answers["/token_endpoint"] = answer
    with pytest.raises(kind):
        client_of(issuer, clock).exchange("c", "v", "https://twokeys.example/callback")


def test_an_answer_that_drips_ends_at_the_deadline() -> None:
    """A socket's timeout starts anew with each byte; the deadline does not."""
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not ended.wait(0.02):
                try:
                    peer.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        with pytest.raises(Unavailable, match="TimeoutError"):
            HttpsJson(seconds=0.3).get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        ended.set()
        thread.join(5)


def test_nobody_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable):
        HttpsJson().get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "issuer_url",
    ["http://issuer.example", "ftp://issuer.example", "", "https://", "https://a@issuer.example", "https://i.example#x",
     "http://localhost/", "http://10.0.0.1/"],
)  # fmt: skip
def test_an_issuer_without_tls_can_t_be_configured(issuer_url: str) -> None:
    with pytest.raises(InvalidInput):
        facts(issuer_url)


def test_plain_http_is_for_an_issuer_on_this_machine_alone() -> None:
    assert checked_address("http://127.0.0.1:8/token", "http://127.0.0.1:8")
    for near in ("https://issuer.example", ""):
        with pytest.raises(InvalidInput):
            checked_address("http://127.0.0.1:9001/", near)
