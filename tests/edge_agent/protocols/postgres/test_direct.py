"""Is it the server itself? As scripts, in any split."""

from __future__ import annotations

import struct

import pytest

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.direct import QUESTION, DirectProof
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.server_messages import BackendKeyData
from edge_agent.protocols.postgres.upstream_rules import MAX_REPORTED, UpstreamReady
from twokeys.errors import InvalidInput, Refused

SESSION = UpstreamReady({"server_version": "18.6"}, BackendKeyData(4711, b"abcd"), b"")
IDLE = encode.ready_for_query(ord("I"))
DESCRIBED = encode.message(b"T", struct.pack("!H", 0))
STATUS = encode.parameter_status("TimeZone", "UTC")


def said(pid: bytes | None) -> bytes:
    value = struct.pack("!i", -1) if pid is None else struct.pack("!i", len(pid)) + pid
    row = encode.message(b"D", struct.pack("!H", 1) + value)
    return DESCRIBED + row + encode.command_complete(b"SELECT 1")


def proof(key: BackendKeyData = SESSION.key) -> DirectProof:
    return DirectProof(UpstreamReady(SESSION.parameters, key, b""), WireLimits())


def test_the_process_that_was_announced_answers() -> None:
    assert encode.query(b"SELECT pg_catalog.pg_backend_pid()") == QUESTION
    assert proof().feed(said(b"4711") + IDLE) == SESSION


def test_it_is_the_same_byte_by_byte_and_what_else_was_said_is_kept() -> None:
    core = proof()
    steps = [core.feed(bytes((byte,))) for byte in STATUS + said(b"4711") + STATUS + IDLE]
    assert steps[:-1] == [None] * (len(steps) - 1)
    assert steps[-1] == UpstreamReady(SESSION.parameters, SESSION.key, STATUS + STATUS)


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        (SESSION.key, said(b"4712")),
        (SESSION.key, said(b" 4711")),
        (SESSION.key, said(None)),
        (SESSION.key, b""),
        (SESSION.key, encode.error_response("42883", "no such function")),
        (SESSION.key, said(b"4711") + encode.error_response("57014", "cancelled")),
        (BackendKeyData(0, b""), said(b"4711")),
        (BackendKeyData(0, b""), said(b"")),
    ],
)
def test_w6_another_process_or_none_is_a_go_between(key: BackendKeyData, answer: bytes) -> None:
    with pytest.raises(Refused, match="pooler") as caught:
        proof(key).feed(answer + IDLE)
    assert caught.value.code == "upstream_pooler"


@pytest.mark.parametrize(
    "answer", [encode.ready_for_query(ord("T")), encode.message(b"A", b"x"), b"R\0\0\0\4", STATUS * (MAX_REPORTED + 1)]
)
def test_w1_anything_else_is_refused(answer: bytes) -> None:
    with pytest.raises(InvalidInput):
        proof().feed(answer)
