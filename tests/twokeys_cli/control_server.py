"""A tiny control plane and issuer over real HTTP, for the commands that call one."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from twokeys.command import PostgresCommand, QueryProtocol, Setting, command_digest
from twokeys.digest import canonical, sha256, to_base64

REQUEST = "req_" + "a" * 26
COMMAND = PostgresCommand(
    QueryProtocol.EXTENDED,
    "update t set a = $1 -- \u202e\x1b[2J".encode(),
    (25,),
    (0, 1, 0),
    (b"x\x1b", b"\x00\x2a", None),
)
FINGERPRINT = "f" * 64


@dataclass
class Server:
    """What it answers, and what it was asked."""

    url: str = ""
    token: str = "token-of-rob"
    command: bytes = field(default_factory=lambda: canonical(COMMAND.to_json()))
    fields: dict[str, Any] = field(default_factory=dict)
    preview: bytes = b""
    votes: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    nonce: str | None = None
    issuer: str | None = None
    told: str = ""

    def request(self) -> dict[str, Any]:
        """The one held request."""
        setting = Setting("sample-db", "shop", "agent-7", FINGERPRINT)
        return {
            "id": REQUEST, "state": "pending", "caller": "agent-7", "sponsor": "ann", "target": "sample-db",
            "database": "shop", "kind": "UPDATE", "statement": "update t set a = $1", "seconds_left": 100,
            "command_digest": command_digest(COMMAND, setting), "fingerprint": FINGERPRINT,
            "command_sha256": sha256(canonical(COMMAND.to_json())), **self.fields,
        }  # fmt: skip


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        self._route(None)

    def do_POST(self) -> None:
        self._route(self.rfile.read(int(self.headers["Content-Length"])))

    do_PUT = do_DELETE = do_POST

    def _route(self, body: bytes | None) -> None:
        known: Server = self.server.known
        path, query = urlsplit(self.path).path, {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        if path == "/.well-known/twokeys" and path not in known.answers:
            self._json(200, {"issuer": known.told or known.url + "/issuer", "client_id": "twokeys-cli"})
            return
        if path.startswith(("/issuer", "/.well-known")):
            self._issuer(known, path, query, body)
            return
        known.asked.append((self.command, self.path, json.loads(body) if body else None))
        if self.headers["Authorization"] != f"Bearer {known.token}":
            self._json(401, {"code": "unauthenticated", "happened": "The token is not ours.\x1b[2J"})
        elif path in known.answers:
            self._json(*known.answers[path])
        elif path == f"/v1/requests/{REQUEST}":
            self._json(200, known.request())
        elif path == f"/v1/requests/{REQUEST}/body":
            start = int(query["offset"])
            piece = known.command[start : start + 40]
            self._json(200, {"data": to_base64(piece), "total": len(known.command)})
        elif path == f"/v1/requests/{REQUEST}/preview":
            self._json(200, {"data": to_base64(known.preview)})
        elif path == f"/v1/requests/{REQUEST}/votes":
            known.votes.append(json.loads(body or b"{}"))
            self._json(200, {"id": REQUEST, "state": "approved" if known.votes[-1]["approve"] else "denied"})
        else:
            self._json(404, {"code": "not_found", "happened": "There is no such thing."})

    def _issuer(self, known: Server, path: str, query: dict[str, str], body: bytes | None) -> None:
        form = {key: value[0] for key, value in parse_qs((body or b"").decode()).items()}
        own = known.url + "/issuer"
        if path in known.answers:
            self._json(*known.answers[path])
        elif path.endswith("openid-configuration"):
            found = {"issuer": known.issuer or own, "authorization_endpoint": own + "/authorize",
                     "token_endpoint": own + "/token"}  # fmt: skip
            self._json(200, found)
        elif path.endswith("/authorize") and body is None:
            page = (
                f'<form method=post action="/issuer/authorize?{urlsplit(self.path).query.replace("&", "&amp;")}">'
                '<input type=hidden name=csrf value="&lt;c"><input name=person><input type=password name=word></form>'
            )
            self._send(200, "text/html", page.encode(), {"Set-Cookie": "__Host-c=1; Secure; HttpOnly; Path=/"})
        elif path.endswith("/authorize"):
            good = form == {"csrf": "<c", "person": "rob", "word": "open sesame"} and "__Host-c=1" in str(
                self.headers["Cookie"]
            )
            known.codes["code-1"] = query
            back = query["redirect_uri"] + "?" + urlencode({"code": "code-1", "state": query["state"]})
            self._send(*((303, "text/plain", b"", {"Location": back}) if good else (200, "text/html", b"again", {})))
        else:
            begun = known.codes.pop(form["code"])
            hashed = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
            if hashed.decode() != begun["code_challenge"] or form["redirect_uri"] != begun["redirect_uri"]:
                self._json(400, {"error": "invalid_grant"})
                return
            claims = base64.urlsafe_b64encode(json.dumps({"nonce": known.nonce or begun["nonce"]}).encode()).decode()
            token = {"access_token": known.token, "id_token": f"a.{claims.rstrip('=')}.c", "expires_in": 600}
            self._json(200, token)

    def _json(self, status: int, value: Any) -> None:
        self._send(status, "application/json", json.dumps(value).encode(), {})

    def _send(self, status: int, kind: str, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


@contextmanager
def serving() -> Iterator[Server]:
    """Serve on a free loopback port while the block runs."""
    known = Server()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.known = known  # type: ignore[attr-defined]
        known.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()
