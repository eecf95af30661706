"""Every field of every wire body refuses what is over its limit; a field without one is named here."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twokeys import messages
from twokeys.bundle import Bundle, CallerEntry, Issuer, Verifier
from twokeys.errors import InvalidInput
from twokeys.messages import MAX_BODY_BYTES, Message, decode, encode

HASH, REQUEST, NONCE = "a" * 64, "req_" + "a" * 26, "0" * 32
SIGNED: dict[str, Any] = {"key_id": "k", "signature": "AA=="}
VALID: dict[type[Message], dict[str, Any]] = {
    messages.ErrorBody: {"code": "c", "happened": "h"},
    messages.EnrolRequest: {"token": "t", "public_key": "AA==", "proof": "AA=="},
    messages.EnrolReply: {"edge_id": "edge-1", "keys": [{"key_id": "k"}]},
    messages.SignedBundle: {"bundle": "AA==", **SIGNED},
    messages.OpenRequest: {
        "id": REQUEST,
        "target": "sample-db",
        "database": "shop",
        "session": "s1",
        "caller": "agent-7",
        "caller_kind": "machine",
        "command_digest": HASH,
        "command_sha256": HASH,
        "fingerprint": HASH,
        "command_bytes": 1,
        "excerpt": "x",
        "statement": "x",
        "kind": "UPDATE",
        "protocol": "simple",
        "certain": True,
        "statements": 1,
        "accesses": ["write:table:public.orders"],
        "requirement": HASH,
        "bundle": 1,
        "hold_seconds": 60,
    },
    messages.RequestStatus: {"id": REQUEST, "state": "pending"},
    messages.PollRequest: {"wait_seconds": 20},
    messages.PollReply: {},
    messages.WakeAccess: {},
    messages.SpendRequest: {"nonce": NONCE, "command_digest": HASH},
    messages.SpendReply: {"approval": {}, **SIGNED},
    messages.WithdrawRequest: {"reason": "hung up"},
    messages.ResultReport: {"outcome": "done", "nonce": NONCE},
    messages.OpenItem: {"id": REQUEST, "state": "pending", "target": "sample-db", "database": "shop"},
    messages.OpenList: {},
    messages.UploadRequest: {"kind": "lines", "name": "edge-1-000000000001", "sha256": HASH, "length": 1},
    messages.UploadTicket: {},
    messages.SessionKey: {"wrapping_key_id": "k", "wrapped": "AA=="},
    messages.SealRequest: {
        "first_seq": 1,
        "last_seq": 2,
        "previous_hash": HASH,
        "last_hash": HASH,
        "lines_sha256": HASH,
    },
    messages.SealReply: {"seal": {}, **SIGNED},
    CallerEntry: {"id": "agent-7", "kind": "machine"},
    Verifier: {"caller": "agent-7", "target": "sample-db", "verifier": "SCRAM-SHA-256$"},
    Issuer: {"issuer": "https://issuer.example", "jwks": {}},
    Bundle: {
        "edge_id": "edge-1",
        "revision": 1,
        "issued_at": 1,
        "not_after": 2,
        "targets": [],
        "policies": "",
        "policy_revision": 1,
        "callers": [],
        "verifiers": [],
        "keys": [],
        "wrapping_key_id": "k",
        "wrapping_key": "AA==",
    },
}
BOUNDED_BY_THE_WHOLE_ALONE = {"SignedBundle.bundle", "UploadTicket.url", "Bundle.policies", "Bundle.wrapping_key"}
"""Texts without a limit of their own: only a control plane that the Edge pinned writes them."""

KINDS = sorted(VALID, key=lambda kind: kind.__name__)


def reads(kind: type[Message], value: Any) -> bool:
    try:
        decode(kind, msgspec.json.encode(value))
    except InvalidInput:
        return False
    return True


def violations(info: msgspec.inspect.Type) -> list[Any]:
    """Values just outside what a field's type says."""
    match info:
        case msgspec.inspect.StrType(pattern=str() as pattern):
            valid_empty = pattern.endswith("?\\Z")
            return [
                "x\n",
                HASH + "\n",
                REQUEST + "\n",
                NONCE + "\n",
                "done\n",
                "lines\n",
                "machine\n",
                "../x",
                "x\0",
                "é",
                "x" * 200,
                *([] if valid_empty else [""]),
            ]
        case msgspec.inspect.StrType(max_length=int() as most):
            return ["x" * (most + 1)]
        case msgspec.inspect.IntType():
            low = [info.ge - 1] if info.ge is not None else []
            high = [info.lt] if info.lt is not None else [info.le + 1] if info.le is not None else []
            assert low and high, "an integer has both limits"
            return [*low, *high, True, "1", 1.5]
        case msgspec.inspect.ListType():
            inner = [[one] for one in violations(info.item_type)]
            least: list[Any] = [[]] if info.min_length else []
            return [*inner, *least, *([["x"] * (info.max_length + 1)] if info.max_length else [])]
        case msgspec.inspect.UnionType(types=types):
            return [one for each in types if not isinstance(each, msgspec.inspect.NoneType) for one in violations(each)]
        case _:
            return []


def test_every_wire_body_is_in_this_table() -> None:
    found = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    }
    assert found <= set(VALID)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_valid_body_reads_and_a_doubtful_one_does_not(kind: type[Message]) -> None:
    value = VALID[kind]
    assert reads(kind, value)
    body = decode(kind, msgspec.json.encode(value))
    assert decode(kind, encode(body)) == body
    assert not reads(kind, {**value, "unknown": 1})
    assert not reads(kind, [value])
    for name in value:
        assert not reads(kind, {key: one for key, one in value.items() if key != name}), name
        assert not reads(kind, {**value, name: None}), name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_refuses_what_is_over_its_limit(kind: type[Message]) -> None:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        for bad in violations(field.type):
            assert not reads(kind, {**VALID[kind], field.name: bad}), (field.name, bad)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_text_without_a_limit_of_its_own_is_a_named_exception(kind: type[Message]) -> None:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    loose = {
        f"{kind.__name__}.{field.name}"
        for field in info.fields
        if isinstance(field.type, msgspec.inspect.StrType)
        and field.type.max_length is None
        and field.type.pattern is None
    }
    assert loose <= BOUNDED_BY_THE_WHOLE_ALONE


def test_an_id_that_ends_in_a_newline_reaches_no_file_name_and_no_mail_header() -> None:
    for kind, name in ((messages.UploadRequest, "name"), (messages.RequestStatus, "id"), (messages.OpenItem, "target")):
        assert not reads(kind, {**VALID[kind], name: VALID[kind][name] + "\n"})


def test_an_oversize_body_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidInput) as refusal:
        decode(messages.PollReply, b"!" * (MAX_BODY_BYTES + 1))
    assert refusal.value.code == "too_large"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"{} x",
        b"null",
        b'{"reason":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"reason":' + b"[" * 100_000,
    ],
)
def test_malformed_bodies_are_invalid_input(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        decode(messages.WithdrawRequest, data)
    assert refusal.value.code == "malformed_message"


@given(st.sampled_from(KINDS), st.binary(max_size=100))
def test_nothing_but_invalid_input_escapes(kind: type[Message], data: bytes) -> None:
    try:
        decode(kind, data)
    except InvalidInput:
        return
    assert kind in (messages.PollReply, messages.OpenList, messages.UploadTicket)
