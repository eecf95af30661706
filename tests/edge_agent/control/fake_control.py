"""A tiny control plane on a real socket: it verifies calls, stores once, seals, and loses what it is told to lose."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.edge_agent.recorder.journals import EDGE, NOW, wrapping_pair
from twokeys.bundle import TYPE as BUNDLE_TYPE
from twokeys.bundle import Bundle, head_payload
from twokeys.digest import from_base64, sha256, to_base64
from twokeys.edge_call import CALL_HEADER, MAX_SKEW_MILLISECONDS, SIGNATURE_HEADER, TIME_HEADER, EdgeCall
from twokeys.edge_call import TYPE as CALL_TYPE
from twokeys.errors import Refused
from twokeys.messages import (
    EnrolRequest,
    ErrorBody,
    PollReply,
    PollRequest,
    RequestStatus,
    SealReply,
    SealRequest,
    SignedBundle,
    UploadRequest,
    UploadTicket,
    decode,
    encode,
)
from twokeys.policy import STARTER_TEXT
from twokeys.record import extend
from twokeys.seal import TYPE as SEAL_TYPE
from twokeys.seal import Seal
from twokeys.segment_files import split_lines, unpack_lines
from twokeys.signature import KeyRole, PublicKey, Signature, sign, verify

TOKEN = "one-time"
Fault = str
"""lose_call, lose_answer, slow, garbage, oversize, or a status."""


@cache
def key_of(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(key: ec.EllipticCurvePrivateKey, role: KeyRole) -> PublicKey:
    return PublicKey.from_der(
        key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo), role
    )


def key_list(*names: str) -> list[dict[str, str]]:
    roles = {"approval": KeyRole.APPROVAL, "seal": KeyRole.SEAL}
    return [
        {name: str(value) for name, value in public(key_of(one), roles[one.split("-")[0]]).to_json().items()}
        for one in names or ("approval", "seal")
    ]


def bundle(**changes: Any) -> Bundle:
    der = wrapping_pair()[1].public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    fields: dict[str, Any] = {
        "edge_id": EDGE,
        "revision": 5,
        "issued_at": NOW // 1000,
        "not_after": NOW // 1000 + 600,
        "targets": ["db"],
        "policies": STARTER_TEXT,
        "policy_revision": 1,
        "callers": [],
        "verifiers": [],
        "keys": key_list(),
        "wrapping_key_id": "wrap-1",
        "wrapping_key": to_base64(der),
    }
    return Bundle(**{**fields, **changes})


def signed(which: Bundle, key: str = "approval") -> SignedBundle:
    data = msgspec.json.encode(which)
    signature = sign(BUNDLE_TYPE, head_payload(data, which), key_of(key))
    return SignedBundle(bundle=to_base64(data), key_id=signature.key_id, signature=to_base64(signature.value))


@dataclass
class FakeControl:
    """What it knows, what it saw, and the faults it will make: for a path's beginning, one per call."""

    time: int = NOW
    edge_key: PublicKey | None = None
    bundle: SignedBundle = field(default_factory=lambda: signed(bundle()))
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    heads: list[tuple[int, str]] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    stored: dict[str, bytes] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    sealed: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, RequestStatus] = field(default_factory=dict)
    retry: set[str] = field(default_factory=set)
    wakes: list[str] = field(default_factory=list)
    bodies: dict[str, list[Any]] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    seal_with: str = "seal"
    change_seal: Callable[[Seal], Seal] = lambda seal: seal
    seal_names: list[str] = field(default_factory=list)
    url: str = ""

    def fail(self, path: str, *faults: Fault) -> None:
        self.faults.setdefault(path, []).extend(faults)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = next(
            (self.faults[path].pop(0) for path in self.faults if request.path.startswith(path) and self.faults[path]),
            "",
        )
        self.calls.append(f"{request.method} {request.path}")
        if fault == "lose_call":
            return self._hang_up(request)
        if fault == "slow":
            await asyncio.sleep(30)
        if fault == "oversize":
            return web.Response(body=b"x" * (20 * 1024 * 1024))
        if fault == "garbage":
            return web.Response(body=b"<html>")
        if fault == "redirect":
            return web.Response(status=302, headers={"Location": self.url + "/elsewhere"})
        if fault.isdecimal():
            return self._error(int(fault), "told_to")
        answer = await self._answer(request, body)
        return self._hang_up(request) if fault == "lose_answer" else answer

    def _hang_up(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _error(self, status: int, code: str) -> web.Response:
        return self._json(encode(ErrorBody(code=code, happened="No.", not_done="Nothing.", advice="Try.")), status)

    def _json(self, data: bytes, status: int = 200) -> web.Response:
        return web.Response(
            body=data, status=status, headers={TIME_HEADER: str(self.time)}, content_type="application/json"
        )

    async def _answer(self, request: web.Request, body: bytes) -> web.Response:
        path = request.path
        if path == "/v1/edges/enrol":
            return self._enrol(decode(EnrolRequest, body))
        if path.startswith("/put/"):
            if path in self.stored:
                return web.Response(status=412)
            self.stored[path] = body
            return web.Response()
        if refusal := self._refusal(request, body):
            return self._error(401, refusal)
        route: Callable[[web.Request, bytes], Awaitable[web.Response]] = {
            "bundle": self._bundle,
            "poll": self._poll,
            "requests": self._requests,
            "uploads": self._uploads,
            "sessions": self._session_key,
            "segments": self._seal,
        }[path.split("/")[2]]
        return await route(request, body)

    def _enrol(self, request: EnrolRequest) -> web.Response:
        key = PublicKey.from_der(from_base64(request.public_key), KeyRole.EDGE)
        if request.token != TOKEN or self.edge_key not in (None, key):
            return self._error(403, "bad_token")
        verify(
            "edge-enrol",
            KeyRole.EDGE,
            {"token_sha256": sha256(request.token.encode())},
            Signature(key.key_id, from_base64(request.proof)),
            {key.key_id: key},
        )
        self.edge_key = key
        return self._json(json.dumps({"edge_id": EDGE, "keys": key_list()}).encode())

    def _refusal(self, request: web.Request, body: bytes) -> str:
        assert self.edge_key is not None
        call = EdgeCall.from_header(request.headers[CALL_HEADER])
        try:
            verify(
                CALL_TYPE,
                KeyRole.EDGE,
                call.to_json(),
                Signature(self.edge_key.key_id, from_base64(request.headers[SIGNATURE_HEADER])),
                {self.edge_key.key_id: self.edge_key},
            )
        except Refused:
            return "bad_signature"
        if (call.method, call.path, call.body_sha256) != (request.method, request.path_qs, sha256(body)):
            return "other_call"
        if call.nonce in self.nonces:
            return "replay"
        if abs(call.time - self.time) > MAX_SKEW_MILLISECONDS:
            return "clock_skew"
        self.nonces.add(call.nonce)
        self.heads.append((call.head.sequence, call.head.hash))
        return ""

    async def _bundle(self, request: web.Request, body: bytes) -> web.Response:
        if f'"revision":{request.query["have"]},' in base64.b64decode(self.bundle.bundle + "==").decode("latin-1"):
            return web.Response(status=304, headers={TIME_HEADER: str(self.time)})
        return self._json(encode(self.bundle))

    async def _poll(self, request: web.Request, body: bytes) -> web.Response:
        asked = decode(PollRequest, body)
        self.wakes = [one for one in self.wakes if one not in asked.acknowledge]
        if not self.wakes:
            self.woken.clear()
            try:
                await asyncio.wait_for(self.woken.wait(), asked.wait_seconds)
            except TimeoutError:
                return self._json(encode(PollReply()))
        return self._json(encode(PollReply(wake=list(self.wakes), bundle=5)))

    def wake(self, request_id: str) -> None:
        self.wakes.append(request_id)
        self.woken.set()

    async def _requests(self, request: web.Request, body: bytes) -> web.Response:
        *_, request_id, verb = ("", *request.path.split("/"))
        if verb == "open":
            found = [one for one in self.status.values() if one.state in ("pending", "approved", "spending")]
            return self._json(
                json.dumps(
                    {
                        "requests": [
                            {
                                "id": one.id,
                                "state": one.state,
                                "target": "db",
                                "database": "d",
                                "xid": "7",
                                "nonce": "0" * 32,
                                "retry": one.id in self.retry,
                            }
                            for one in found
                        ]
                    }
                ).encode()
            )
        if verb == "requests":
            request_id = json.loads(body)["id"]
            self.status.setdefault(request_id, RequestStatus(id=request_id, state="pending", seconds_left=60))
        if verb in ("withdraw", "result", "spend"):
            self.bodies.setdefault(f"{verb} {request_id}", []).append(json.loads(body))
        if verb in ("withdraw", "result"):
            state = "withdrawn" if verb == "withdraw" else json.loads(body)["outcome"]
            self.status[request_id] = RequestStatus(id=request_id, state=state)
        if verb == "spend":
            return self._json(json.dumps({"approval": {}, "key_id": "k", "signature": ""}).encode())
        if request_id not in self.status:
            return self._error(404, "no_such_request")
        return self._json(encode(self.status[request_id]))

    async def _uploads(self, request: web.Request, body: bytes) -> web.Response:
        asked = decode(UploadRequest, body)
        place = f"/put/{asked.kind}/{asked.name}"
        if place in self.stored:
            same = sha256(self.stored[place]) == asked.sha256
            return self._json(encode(UploadTicket(exists=True))) if same else self._error(409, "exists")
        return self._json(encode(UploadTicket(url=self.url + place, headers={"x-amz-checksum": "a"})))

    async def _session_key(self, request: web.Request, body: bytes) -> web.Response:
        self.keys[request.path.split("/")[3]] = json.loads(body)["wrapped"]
        return self._json(b"{}")

    async def _seal(self, request: web.Request, body: bytes) -> web.Response:
        asked, segment = decode(SealRequest, body), request.path.split("/")[3]
        lines, hash_ = b"", asked.previous_hash
        for _, line in split_lines(unpack_lines(self.stored[f"/put/lines/{segment}"])):
            lines, hash_ = lines + line + b"\n", extend_hash(asked.first_seq, hash_, line)
        assert hash_ == asked.last_hash and sha256(lines) == asked.lines_sha256
        if asked.bodies_sha256:
            assert sha256(self.stored[f"/put/bodies/{segment}"]) == asked.bodies_sha256
        seal = self.change_seal(
            Seal(
                EDGE,
                segment,
                asked.first_seq,
                asked.last_seq,
                asked.previous_hash,
                asked.last_hash,
                asked.lines_sha256,
                asked.bodies_sha256,
                "2026-11-18T11:06:40.000Z",
            )
        )
        signature = sign(SEAL_TYPE, seal.to_json(), key_of(self.seal_with))
        self.seal_names.append(segment)
        return self._json(
            encode(SealReply(seal=dict(seal.to_json()), key_id=signature.key_id, signature=to_base64(signature.value)))
        )


def extend_hash(sequence: int, hash_: str, line: bytes) -> str:
    from twokeys.record import ChainHead

    return extend(ChainHead(sequence, hash_), line).hash


@asynccontextmanager
async def serving(fake: FakeControl) -> AsyncIterator[FakeControl]:
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    try:
        yield fake
    finally:
        await runner.cleanup()
