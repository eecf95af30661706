"""A whole site of the pages on a free port: real issuer, real sessions, real sockets, and a desk in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import waitress.server
from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LocalChalice, LocalGateway, LocalGatewayException

from control_plane.chalicelib.adapters.embedded import people_site
from control_plane.chalicelib.adapters.embedded.issuer import set_passphrase
from control_plane.chalicelib.adapters.embedded.outbox import Outbox
from control_plane.chalicelib.pages.views import AccessView, ListView, RequestView, Rule, VoteView
from control_plane.chalicelib.services.reviewing import Ballot, Looked
from control_plane.chalicelib.services.sessions import Sessions
from tests.control_plane.pages.samples import blob
from twokeys.errors import Conflict, InvalidInput, Refused
from twokeys.preview import Preview, preview_digest, stored_bytes, to_bytes

DIGEST = "3f" * 32
REQUEST = "req_" + "a" * 26
OTHER = "req_" + "b" * 26


def request_view(request_id: str = REQUEST, **changes: Any) -> RequestView:
    """A pending UPDATE of agent-7."""
    view = RequestView(
        id=request_id,
        state="pending",
        requester="agent-7",
        requester_kind="machine",
        sponsor="ann",
        client="psql (18.1)",
        target="sample-db",
        database="shop",
        effect="write",
        kind="UPDATE",
        objects=(AccessView("write", "table", "public.orders"),),
        reasons=("UPDATE changes rows of public.orders.",),
        rules=(Rule("starter-request", ""),),
        certain=True,
        in_transaction=False,
        opened_at="2026-11-22T20:31:02+00:00",
        deadline="2026-11-22T20:46:02+00:00",
        seconds_left=841,
        approvals_needed=1,
    )
    return dataclasses.replace(view, **changes)


class MemoryDesk:
    """Implements `Desk`: requests in a dict; ann sponsors, rob may approve."""

    def __init__(self) -> None:
        self.reads: list[tuple[str, str]] = []
        self.requests = {one: request_view(one) for one in (REQUEST, OTHER)}
        self.previews: dict[str, Preview] = {}
        self.blobs: dict[str, bytes | None] = dict.fromkeys(self.requests, blob("UPDATE orders SET paid = true"))

    def look(self, request_id: str, person_id: str) -> Looked:
        if request_id not in self.requests:
            raise InvalidInput("There is no such request.", not_done="Nothing was shown.", code="not_found")
        refusal = "" if person_id == "rob" else "You sponsor agent-7: somebody else must approve."
        preview = self.previews.get(request_id)
        data = to_bytes(preview) if preview else b""
        digest, kept = (preview_digest(data), stored_bytes(data)) if preview else ("", None)
        request, blob_of = self.requests[request_id], self.blobs[request_id]
        return Looked(request, DIGEST, blob_of, refusal, preview_digest=digest, preview=kept)

    def note_read(self, request_id: str, person_id: str) -> None:
        self.reads.append((request_id, person_id))

    def listing(self, person_id: str) -> ListView:
        pending = tuple(one for one in self.requests.values() if one.is_pending)
        over = tuple(one for one in self.requests.values() if not one.is_pending)
        return ListView(pending, (), over) if person_id == "rob" else ListView((), pending, over)

    def vote(self, ballot: Ballot) -> None:
        request_id, person_id, approve, reason = ballot.request_id, ballot.person_id, ballot.approve, ballot.reason
        assert ballot.command_digest == DIGEST and ballot.auth_time
        request = self.requests[request_id]
        if person_id != "rob":
            raise Refused("You sponsor agent-7.", not_done="Nothing was decided.", code="own_request")
        if not request.is_pending:
            raise Conflict(f"The request is {request.state} already.", not_done="Your vote was not counted.")
        word = "approved" if approve else "denied"
        self.requests[request_id] = dataclasses.replace(
            request,
            state=word,
            seconds_left=0,
            outcome=f"{person_id} {word} it.",
            votes=(VoteView(person_id, approve, reason, "2026-11-22T20:33:40+00:00"),),
        )


@dataclass
class Answer:
    """What came back: status, headers with lower-case names, all cookies set, text."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    text: str

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


class Passphrases(dict[str, str]):
    """Made when they are first asked for: hashing one is slow on purpose."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, person: str) -> str:
        store = people_site.issuer_store(self._folder)
        self[person] = set_passphrase(store, person)
        store.close()
        return self[person]


@dataclass
class Site:
    """The running site."""

    url: str
    desk: MemoryDesk
    sessions: Sessions
    outbox: Outbox
    now: list[float]
    passphrases: Passphrases


@dataclass
class Browser:
    """A browser of few wits: cookies by name, headers as Chromium sends them from our own pages."""

    site: Site
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", path, b"", headers or {})

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        own = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": self.site.url,
            "Sec-Fetch-Site": "same-origin",
        }
        return self.send("POST", path, urlencode(fields).encode(), own | dict(headers or {}))

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        host = urlsplit(self.site.url)
        connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=20)
        sent = dict(headers)
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request(method, path.removeprefix(self.site.url), body or None, sent)
        answer = connection.getresponse()
        set_cookies = answer.headers.get_all("Set-Cookie") or []
        for one in set_cookies:
            name, _, value = one.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        text = answer.read().decode()
        connection.close()
        return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, set_cookies, text)

    def sign_in(self, person: str, path: str = "/") -> Answer:
        """All steps; the answer is the callback's."""
        form = self.get(self.get(f"/signin?next={quote(path, safe='')}").location)
        sent = self.post(
            "/issuer/authorize", fields_of(form.text) | {"name": person, "passphrase": self.site.passphrases[person]}
        )
        assert sent.status == 303, sent.text
        return self.get(sent.location)


def fields_of(html: str) -> dict[str, str]:
    """The hidden fields of the page's main form (the last one for each name)."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', html)
    return {name: value.replace("&amp;", "&") for name, value in found}


def query_of(location: str) -> dict[str, str]:
    """Query parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Serve on a free port until the block ends."""
    app = Chalice(app_name="pages")
    app.__class__ = type("ThreadSafeChalice", (LocalChalice, Chalice), {})
    # The gateway reads the routes when it is made, and the routes need the port: so it is made last.
    made: list[LocalGateway] = []
    server = waitress.server.create_server(_wsgi(made), host="127.0.0.1", port=0, threads=4)
    url = f"http://127.0.0.1:{server.effective_port}"
    now, desk = [1_795_379_462.0], MemoryDesk()
    people = people_site.build(
        folder, url, lambda: now[0], desk, lambda subject: subject if subject != "nobody" else None
    )
    for routes in people.blueprints:
        app.register_blueprint(routes)
    site = Site(url, desk, people.sessions, people.outbox, now, Passphrases(folder))
    made.append(LocalGateway(app, Config.create(chalice_app=app, lambda_timeout=60)))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        # Closed by its own loop: closing under its feet makes it complain.
        with contextlib.suppress(OSError):
            server.trigger.pull_trigger(server.close)
        thread.join(5)
        server.task_dispatcher.shutdown()
        people.close()


def _wsgi(made: list[LocalGateway]) -> Callable[..., list[bytes]]:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        headers = {
            key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")
        }
        headers |= {"content-type": environ.get("CONTENT_TYPE", "")} if environ.get("CONTENT_TYPE") else {}
        headers.setdefault("accept", "*/*")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        path = quote(environ["PATH_INFO"].encode("latin-1"), safe="/%:@!$&'()*+,;=~-._")
        query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
        body = environ["wsgi.input"].read(length) if length else b""
        try:
            answer = made[0].handle_request(environ["REQUEST_METHOD"], path + query, headers, body)
        except LocalGatewayException as error:
            start_response(f"{error.CODE} X", [])
            return [error.body or b""]
        multiple = answer.get("multiValueHeaders", {})
        sent = [(k, str(v)) for k, v in answer["headers"].items() if k.lower() not in {m.lower() for m in multiple}]
        sent += [(name, str(value)) for name, values in multiple.items() for value in values]
        start_response(f"{answer['statusCode']} X", sent)
        return [answer["body"].encode() if isinstance(answer["body"], str) else answer["body"]]

    return application
