"""Over real sockets: each caller sees their own, bodies are capped, people are who their token says."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from control_plane.chalicelib.adapters.embedded.gateway import Gateway, Server, make_server
from control_plane.chalicelib.adapters.embedded.issuer_core import CLI_CLIENT, challenge_of
from control_plane.chalicelib.adapters.embedded.issuer_store import IssuerStore
from control_plane.chalicelib.adapters.embedded.uploads import Uploads
from tests.control_plane.world import EdgeActor, World, fresh_id
from twokeys.bundle import open_bundle
from twokeys.digest import sha256
from twokeys.messages import (
    MAX_BODY_BYTES,
    PollRequest,
    ResultReport,
    SignedBundle,
    SpendRequest,
    UploadRequest,
    decode,
    encode,
)
from twokeys.signature import KeyRole
from twokeys.verifier import ScramVerifier, verifier_of


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Http:
    """The control plane on a free port."""

    world: World
    port: int

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        kind = answer.headers.get("Content-Type", "")
        value = json.loads(data) if data and kind.startswith("application/json") else data
        return Answer(answer.status, {name.lower(): text for name, text in answer.headers.items()}, value)

    def announce(self, method: str, path: str, length: int) -> int:
        """Send only the header of a request with a body, and take the status that comes before any of it is sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, path)
            connection.putheader("Content-Length", str(length))
            connection.endheaders()
            return connection.getresponse().status
        finally:
            connection.close()

    def edge(self, method: str, path: str, body: bytes = b"", actor: EdgeActor | None = None, **changes: Any) -> Answer:
        actor = actor or self.world.actor
        headers = actor.headers(actor.signed(method, path, body, **changes))
        return self.send(method, path, body, {**headers, "Content-Type": "application/json"})

    def person(self, token: str, method: str, path: str, body: Any = None) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        return self.send(method, path, data, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})

    def token(self, person_id: str) -> str:
        """An access token as the command line gets one."""
        issuer = self.world.deployment.site.issuer
        verifier, back = "v" * 64, "http://127.0.0.1:9/callback"
        asked = issuer.check({name: [value] for name, value in {
            "client_id": CLI_CLIENT, "redirect_uri": back, "state": "s", "nonce": "n", "response_type": "code",
            "scope": "openid", "code_challenge": challenge_of(verifier), "code_challenge_method": "S256",
        }.items()})  # fmt: skip
        passphrase = next(one["passphrase"] for one in self.world.facts["people"] if one["id"] == person_id)
        code = issuer.sign_in(asked, person_id, passphrase)
        assert code is not None
        fields = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier,
                  "client_id": CLI_CLIENT, "redirect_uri": back}  # fmt: skip
        answer = self.send("POST", "/issuer/token", urlencode(fields).encode(),
                           {"Content-Type": "application/x-www-form-urlencoded"})  # fmt: skip
        return str(answer.body["access_token"])


@pytest.fixture
def site(a_world: World) -> Iterator[Http]:
    store = a_world.deployment.store
    uploads = Uploads(store.recordings, store.tickets)
    gateway = Gateway(a_world.deployment.app, uploads, store.ports.clock, a_world.deployment.logger)
    server = make_server(gateway, uploads, Server(threads=64))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Http(a_world, server.effective_port)
    finally:
        store.waker.close()
        # The loop may be awake already, and close its trigger before this wakes it once more.
        with contextlib.suppress(OSError):
            server.trigger.pull_trigger(server.close)
        thread.join(5)
        server.task_dispatcher.shutdown()


def test_a_write_from_open_to_done(site: Http) -> None:
    world, message = site.world, site.world.message()
    opened = site.edge("POST", "/v1/requests", encode(message))
    assert (opened.status, opened.body["state"]) == (200, "pending")
    assert opened.headers["twokeys-time"] == str(world.clock.now())
    rob = site.token("rob")
    (listed,) = site.person(rob, "GET", "/v1/requests?state=pending").body["requests"]
    assert (listed["id"], listed["may_decide"]) == (message.id, True)
    assert site.person(rob, "GET", f"/v1/requests/{message.id}").body["command_sha256"] == message.command_sha256
    page = site.person(rob, "GET", f"/v1/requests/{message.id}/body?offset=0").body
    assert page["data"] == message.command
    waiting: list[Answer] = []
    poll = threading.Thread(
        target=lambda: waiting.append(site.edge("POST", "/v1/poll", encode(PollRequest(wait_seconds=20))))
    )
    poll.start()
    vote = {"approve": True, "command_digest": listed["command_digest"]}
    assert site.person(rob, "POST", f"/v1/requests/{message.id}/votes", vote).body["state"] == "approved"
    poll.join(10)
    assert waiting[0].body["wake"] == [message.id]
    assert site.edge("GET", f"/v1/requests/{message.id}/status").body["decided_by"] == ["rob"]
    spend = SpendRequest(nonce="a" * 32, command_digest=message.command_digest, xid="7")
    spent = site.edge("POST", f"/v1/requests/{message.id}/spend", encode(spend))
    assert spent.body["approval"]["approvers"] == ["rob"]
    result = ResultReport(outcome="done", rows=1, nonce="a" * 32)
    assert site.edge("POST", f"/v1/requests/{message.id}/result", encode(result)).body["state"] == "done"
    assert site.edge("GET", "/v1/requests/open").body == {}


def test_each_of_50_concurrent_callers_sees_their_own_data(site: Http) -> None:
    """The thread trap: without the thread-local class nearly everybody would see another's request."""
    start = threading.Barrier(50)

    def ask(number: int) -> tuple[str, str]:
        message = site.world.message(f"UPDATE shop.orders SET id = {number}")
        start.wait()
        answer = site.edge("POST", "/v1/requests", encode(message))
        assert answer.status == 200, answer.body
        return message.id, answer.body["id"]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert all(asked == answered for asked, answered in answers)
    excerpts = {one.asked.opened.excerpt for one in site.world.ports.requests.listed(None)}
    assert excerpts == {f"UPDATE shop.orders SET id = {number}" for number in range(50)}


def test_bundles_come_signed_and_only_when_they_are_news(site: Http) -> None:
    answer = site.edge("GET", "/v1/bundle?have=0")
    keys = {key.key_id: key for key in site.world.ports.signer.public_keys() if key.role is KeyRole.APPROVAL}
    bundle = open_bundle(decode(SignedBundle, json.dumps(answer.body).encode(), 10**7), "edge-1", 1, keys)
    assert bundle.targets == ["sample-db"]
    assert {one.id for one in bundle.callers} == {"agent-7", "ann", "rob"}
    (verifier,) = bundle.verifiers
    password = site.world.facts["credential"]["password"]
    known = ScramVerifier.parse(verifier.verifier)
    assert verifier_of(password, known.salt, known.iterations) == known
    assert site.edge("GET", f"/v1/bundle?have={bundle.revision}").status == 304
    answer = site.person(site.token("ann"), "POST", "/v1/credentials", {"caller": "agent-7", "target": "sample-db"})
    assert answer.status == 201
    assert site.edge("GET", f"/v1/bundle?have={bundle.revision}").status == 200


def test_a_backend_without_queues_tells_edges_to_poll(site: Http) -> None:
    answer = site.edge("POST", "/v1/wake-access", b"")
    assert (answer.status, answer.body) == (200, {})


def test_a8_no_route_answers_without_a_credential(site: Http) -> None:
    opened = site.world.open().id
    for method, path in (
        ("GET", "/v1/requests"), ("GET", f"/v1/requests/{opened}"), ("GET", f"/v1/requests/{opened}/body"),
        ("POST", f"/v1/requests/{opened}/votes"), ("POST", f"/v1/requests/{opened}/settlement"),
        ("GET", "/v1/policies"), ("PUT", "/v1/policies"), ("POST", "/v1/policies/x/votes"), ("GET", "/v1/people"),
        ("POST", "/v1/people"), ("POST", "/v1/credentials"), ("POST", "/v1/edges/tokens"),
        ("GET", "/v1/issuers"), ("PUT", "/v1/issuers"), ("DELETE", "/v1/issuers?issuer=x"),
        ("GET", "/v1/sessions/s/bodies"), ("GET", "/v1/bundle"), ("POST", "/v1/requests"), ("POST", "/v1/poll"),
        ("GET", f"/v1/requests/{opened}/status"), ("POST", f"/v1/requests/{opened}/spend"),
        ("POST", f"/v1/requests/{opened}/withdraw"), ("POST", f"/v1/requests/{opened}/result"),
        ("GET", "/v1/requests/open"), ("POST", "/v1/uploads"), ("POST", "/v1/sessions/s/key"),
        ("POST", "/v1/segments/s/seal"), ("POST", "/v1/wake-access"), ("GET", "/v1/edges"),
        ("POST", "/v1/edges/edge-1/revoke"), ("POST", "/v1/sessions/s/erase"),
        ("POST", "/v1/people/rob/passphrase"),
    ):  # fmt: skip
        body = b"{}" if method != "GET" else b""
        answer = site.send(method, path, body, {"Content-Type": "application/json"})
        assert (answer.status, answer.body["code"] in ("unauthenticated", "bad_call")) == (401, True), path
        assert "twokeys-time" in answer.headers


def test_a8_who_decides_is_never_taken_from_a_header_or_a_body(site: Http) -> None:
    message = site.world.message()
    site.edge("POST", "/v1/requests", encode(message))
    ann = site.token("ann")
    vote = {"approve": True, "command_digest": message.command_digest}
    headers = {"Authorization": f"Bearer {ann}", "Content-Type": "application/json", "X-Person": "rob",
               "X-Forwarded-User": "rob"}  # fmt: skip
    path = f"/v1/requests/{message.id}/votes"
    assert site.send("POST", path, json.dumps(vote).encode(), headers).body["code"] == "excluded"
    assert site.person(ann, "POST", path, {**vote, "person_id": "rob"}).body["code"] == "malformed_message"


def test_a8_an_edge_cannot_vote_and_a_person_cannot_spend(site: Http) -> None:
    message = site.world.message()
    site.edge("POST", "/v1/requests", encode(message))
    vote = json.dumps({"approve": True, "command_digest": message.command_digest}).encode()
    assert site.edge("POST", f"/v1/requests/{message.id}/votes", vote).status == 401
    spend = {"nonce": "a" * 32, "command_digest": message.command_digest}
    assert site.person(site.token("rob"), "POST", f"/v1/requests/{message.id}/spend", spend).status == 401


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "twokeys:edge:sample-db"}, {"aud": ["twokeys:control", "twokeys:edge:sample-db"]},
        {"iss": "https://elsewhere.example/issuer"}, {"exp": 1}, {"iat": 2**40}, {"sub": "nobody"}, {"sub": "agent-7"},
        {"typ": "JWT"}, {"key": "other"}, {"alg": "none"}, {"exp": None},
    ],
)  # fmt: skip
def test_a_forged_foreign_or_expired_token_is_nobody(site: Http, change: dict[str, Any]) -> None:
    world, now = site.world, site.world.clock.now() // 1000
    issuer = world.deployment.site.issuer
    kid = issuer.jwks()["keys"][0]["kid"]
    key = EdgeActor(world.clock).key if "key" in change else IssuerStore(world.folder / "people" / "issuer").key
    claims = {"iss": issuer.url, "sub": "rob", "aud": "twokeys:control", "iat": now, "exp": now + 60}
    claims |= {name: value for name, value in change.items() if name in claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    headers = {"kid": kid, "typ": change.get("typ", "at+jwt")}
    good = jwt.encode({**claims, "iss": issuer.url, "sub": "rob", "aud": "twokeys:control", "iat": now,
                       "exp": now + 60}, IssuerStore(world.folder / "people" / "issuer").key, "ES256",
                      {"kid": kid, "typ": "at+jwt"})  # fmt: skip
    assert site.person(good, "GET", "/v1/requests").status == 200
    algorithm = change.get("alg", "ES256")
    bad = jwt.encode(claims, "" if algorithm == "none" else key, algorithm, headers)
    assert site.person(bad, "GET", "/v1/requests").status in (401, 403)


def test_oversize_bodies_are_refused_before_they_are_read(site: Http) -> None:
    assert site.announce("POST", "/v1/requests", MAX_BODY_BYTES + 1) == 413


def test_an_upload_has_exactly_the_announced_bytes_and_happens_once(site: Http) -> None:
    data = b"x" * (3 * MAX_BODY_BYTES)
    ask = UploadRequest(kind="command", name=sha256(data), sha256=sha256(data), length=len(data))
    url = site.edge("POST", "/v1/uploads", encode(ask)).body["url"]
    assert site.send("PUT", url, b"y" * len(data)).status == 403
    assert site.send("PUT", url, data[:-1]).status == 400
    assert site.announce("PUT", url, len(data) + 1) == 413
    assert site.announce("PUT", url.replace("length=", "length=1"), len(data)) == 413
    assert site.send("PUT", url, data).status == 201
    assert site.send("PUT", url, data).status == 412
    assert site.edge("POST", "/v1/uploads", encode(ask)).body == {"exists": True}
    assert site.world.ports.blobs.get(sha256(data)) == data


def test_an_upload_without_a_good_ticket_is_not_even_read(site: Http) -> None:
    assert site.announce("PUT", "/uploads/command?kind=command&mac=0", 1000) == 413


@pytest.mark.parametrize(
    "name", ["edge-2-000000000001", "edge-1-1", "control-plane-000000000001", "edge-1-00000000000a"]
)
def test_a_segment_of_somebody_else_is_not_taken(site: Http, name: str) -> None:
    ask = UploadRequest(kind="lines", name=name, sha256="0" * 64, length=10)
    assert site.edge("POST", "/v1/uploads", encode(ask)).body["code"] == "foreign_segment"


def test_unknown_paths_and_ids_are_not_found(site: Http) -> None:
    rob = site.token("rob")
    for path in (f"/v1/requests/{fresh_id()}", "/v1/requests/x", "/v1/nothing", f"/v1/requests/{fresh_id()}/body"):
        assert site.person(rob, "GET", path).status == 404
    assert site.send("GET", "/healthz").body == {"state": "well"}


def test_polls_of_one_edge_end_the_oldest_and_never_take_all_threads(site: Http) -> None:
    def poll() -> float:
        began = time.monotonic()
        answer = site.edge("POST", "/v1/poll", encode(PollRequest(wait_seconds=3)))
        assert answer.status == 200
        return time.monotonic() - began

    with ThreadPoolExecutor(6) as pool:
        took = sorted(pool.map(lambda _: poll(), range(6)))
    assert sum(seconds > 2.5 for seconds in took) == 2
    assert took[3] < 2.5


def test_policies_people_and_tokens_over_http(site: Http) -> None:
    ann, rob = site.token("ann"), site.token("rob")
    shown = site.person(rob, "GET", "/v1/policies").body
    text = shown["text"] + '\n@id("no-ddl")\nforbid (principal, action == Action::"requestDdl", resource);\n'
    bad = site.person(ann, "PUT", "/v1/policies", {"text": "permit (", "base_revision": 1})
    assert (bad.status, bad.body["code"]) == (400, "invalid_policy")
    proposed = site.person(ann, "PUT", "/v1/policies", {"text": text, "reason": "r", "base_revision": 1})
    assert proposed.status == 201
    path = f"/v1/policies/{proposed.body['id']}/votes"
    vote = {"approve": True, "text_sha256": proposed.body["text_sha256"]}
    assert site.person(ann, "POST", path, vote).body["code"] == "own_proposal"
    assert site.person(rob, "POST", path, {**vote, "text_sha256": "0" * 64}).body["code"] == "digest_mismatch"
    assert site.person(rob, "POST", path, vote).body["state"] == "approved"
    assert site.person(rob, "GET", "/v1/policies").body["revision"] == 2
    for who, status in ((rob, 403), (ann, 201)):
        assert site.person(who, "POST", "/v1/edges/tokens", {"edge_id": "e-9", "targets": ["db"]}).status == status
    machine = {"id": "ci-deploy", "kind": "machine", "sponsor": "rob"}
    assert site.person(rob, "POST", "/v1/people", machine).status == 403
    assert site.person(ann, "POST", "/v1/people", {**machine, "sponsor": "nobody"}).body["code"] == "no_sponsor"
    assert site.person(ann, "POST", "/v1/people", machine).status == 200
    person = {"id": "zoe", "kind": "person", "email": "zoe@example.com", "groups": ["reviewers"]}
    assert site.person(ann, "POST", "/v1/people", person).body["revision"] == 1
    assert site.person(ann, "POST", "/v1/people", person).status == 409
    assert {one["id"] for one in site.person(rob, "GET", "/v1/people").body["people"]} == {
        "agent-7", "ann", "ci-deploy", "rob", "zoe"
    }  # fmt: skip
    credential = {"caller": "ci-deploy", "target": "sample-db"}
    assert len(site.person(rob, "POST", "/v1/credentials", credential).body["password"]) >= 32
    assert site.person(rob, "POST", "/v1/credentials", {**credential, "caller": "agent-7"}).status == 403
