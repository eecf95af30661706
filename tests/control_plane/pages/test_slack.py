"""A post goes to Slack's own method, under TLS, and a no is told without the token."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from control_plane.chalicelib.adapters.slack import SlackConfig, SlackPoster
from control_plane.chalicelib.ports.slack import SlackPost
from twokeys.errors import Unavailable

POST = SlackPost("agent-7 asks", "https://twokeys.example/r/req_x")


@contextmanager
def slack(certificate: Path, answer: bytes) -> Iterator[tuple[int, list[tuple[str, str, bytes]]]]:
    """One answer of the Web API; yields the port and what was asked."""
    asked: list[tuple[str, str, bytes]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


def poster(port: int, certificate: Path | None) -> SlackPoster:
    config = SlackConfig("C1", "xoxb-hidden", "127.0.0.1", port)
    return SlackPoster(config, ssl.create_default_context(cafile=str(certificate) if certificate else None))


def test_a_post_is_one_call_with_the_token(certificate: Path) -> None:
    with slack(certificate, b'{"ok": true}') as (port, asked):
        poster(port, certificate).post(POST)
    (path, authorization, body), sent = asked[0], json.loads(asked[0][2])
    assert (path, authorization, len(asked)) == ("/api/chat.postMessage", "Bearer xoxb-hidden", 1)
    assert sent["channel"] == "C1" and sent["unfurl_links"] is False and body


@pytest.mark.parametrize("answer", [b'{"ok": false, "error": "not_in_channel"}', b"", b"[]", b"{}", b"<html>", b"null"])
def test_a_no_is_unavailable_and_does_not_tell_the_token(certificate: Path, answer: bytes) -> None:
    with slack(certificate, answer) as (port, _), pytest.raises(Unavailable) as caught:
        poster(port, certificate).post(POST)
    assert "hidden" not in str(caught.value)


def test_an_untrusted_server_gets_no_token(certificate: Path) -> None:
    with slack(certificate, b'{"ok": true}') as (port, asked), pytest.raises(Unavailable):
        poster(port, None).post(POST)
    assert asked == []
    assert "hidden" not in repr(SlackConfig("C1", "hidden"))
