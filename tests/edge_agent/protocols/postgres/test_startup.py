"""The client's side until it is signed in, as scripts: what it says, what is answered, how it ends."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.messages import GSSENC_REQUEST, PROTOCOL_3_0, CancelRequest
from edge_agent.protocols.postgres.scram import PLAIN, PLUS, ScramClient
from edge_agent.protocols.postgres.startup import Startup
from edge_agent.protocols.postgres.startup_rules import (
    Authenticated,
    Cancel,
    Ended,
    OidcUser,
    Plaintext,
    ScramUser,
    StartTls,
    StartupRules,
    Step,
)
from tests.edge_agent.protocols.postgres.test_oidc_password import JWKS, NOW, token
from twokeys.caller import Caller, CallerKind
from twokeys.errors import InvalidInput
from twokeys.issuer_keys import IssuerKeys
from twokeys.verifier import verifier_of

ANN = Caller("ann", CallerKind.PERSON)
BINDING = b"b" * 32
RULES = StartupRules("prod-db", tls=True, mock_secret=b"s" * 32, binding=BINDING)
PLAIN_RULES = replace(RULES, tls=False, binding=None)
GSSENC = struct.pack("!II", 8, GSSENC_REQUEST)
LIMITS = RULES.limits
VERIFIER = verifier_of("pencil", bytes(16))


@dataclass
class Users:
    """A directory that is a dictionary."""

    known: dict[str, ScramUser | OidcUser] = field(
        default_factory=lambda: {
            "ann": ScramUser(VERIFIER, ANN),
            "ci-deploy": OidcUser([IssuerKeys.from_jwks("https://issuer.example", JWKS)]),
            "rob": OidcUser([IssuerKeys.from_jwks("https://issuer.example", JWKS)], Caller("rob", CallerKind.PERSON)),
        }
    )

    def lookup(self, user: str) -> ScramUser | OidcUser | None:
        return self.known.get(user)


def startup(rules: StartupRules = RULES, *, loopback: bool = True, encrypted: bool = False) -> Startup:
    core = Startup(rules, Users(), nonce="server-nonce-0123456789", loopback=loopback)
    if encrypted:
        core.tls_started()
    return core


def hello(user: str = "ann", version: int = PROTOCOL_3_0, **parameters: str) -> bytes:
    return encode.startup_message({"user": user, **parameters}, version)


def answers(core: Startup) -> list[bytes]:
    data = core.take_to_client()
    splitter = Splitter(LIMITS.server_table)
    return [data[start:end] for _, start, end in splitter.feed(data)]


def error(core: Startup) -> dict[str, bytes]:
    data = answers(core)[-1]
    return server.read_fields(data, 0, len(data))


def password_of(text: str) -> bytes:
    return encode.message(b"p", encode.text(text))


def sign_in(
    core: Startup,
    user: str = "ann",
    password: str = "pencil",
    *,
    binding: bytes | None = None,
    feed: Callable[[bytes], Step | None] | None = None,
) -> Step | None:
    """Play a client through SCRAM, from the StartupMessage on."""
    push = feed or (lambda data: core.feed(data, NOW))
    assert push(hello(user)) is None
    asked = answers(core)[-1]
    offered = server.read_authentication(asked, 0, len(asked)).rest.split(b"\0")[:-2]
    client = ScramClient(
        password,
        nonce="client-nonce-0123456789",
        offered=[name.decode() for name in offered],
        binding=binding,
        encrypted=binding is not None,
    )
    assert push(encode.sasl_initial_response(client.mechanism, client.first())) is None
    challenge = answers(core)[0]
    return push(encode.sasl_response(client.final(challenge[9:])))


def test_scram_without_tls_signs_in() -> None:
    core = startup(PLAIN_RULES)
    assert sign_in(core) == Authenticated(ANN, "ann", {}, 0)
    final, okay = answers(core)
    assert (final[:1], okay) == (b"R", encode.authentication_ok())


@pytest.mark.parametrize("binding", [None, BINDING])
def test_scram_over_tls_signs_in(binding: bytes | None) -> None:
    core = startup()
    assert core.feed(encode.SSL_REQUEST_PACKET, NOW) == StartTls()
    assert core.take_to_client() == b"S"
    core.tls_started()
    if binding is None:
        core.feed(hello(), NOW)
        assert answers(core) == [encode.authentication_sasl([PLUS, PLAIN])]
    else:
        assert isinstance(sign_in(core, binding=binding), Authenticated)


def test_direct_tls_needs_no_request() -> None:
    assert isinstance(sign_in(startup(encrypted=True), binding=BINDING), Authenticated)


def test_everything_is_the_same_byte_by_byte() -> None:
    core = startup(PLAIN_RULES)

    def drip(data: bytes) -> Step | None:
        for at in range(len(data) - 1):
            assert core.feed(data[at : at + 1], NOW) is None
            assert core.take_to_client() == b""
        return core.feed(data[-1:], NOW)

    assert drip(GSSENC) is None
    assert core.take_to_client() == b"N"
    assert sign_in(core, feed=drip) == Authenticated(ANN, "ann", {}, 0)


def test_a_start_is_the_same_when_split_at_every_byte() -> None:
    packet = hello(database="shop", DateStyle="ISO", client_encoding="UTF8")
    for at in range(len(packet) + 1):
        core = startup(PLAIN_RULES)
        steps = (
            [core.feed(packet[:at], NOW), core.feed(packet[at:], NOW)] if at < len(packet) else [core.feed(packet, NOW)]
        )
        assert steps in ([None, None], [None])
        assert answers(core) == [encode.authentication_sasl([PLAIN])]


def test_encryption_that_we_have_not_is_declined_and_the_start_goes_on() -> None:
    core = startup(PLAIN_RULES)
    for packet in (GSSENC, encode.SSL_REQUEST_PACKET):
        assert core.feed(packet, NOW) is None
        assert core.take_to_client() == b"N"
    assert isinstance(sign_in(core), Authenticated)


@pytest.mark.parametrize("packet", [GSSENC, encode.SSL_REQUEST_PACKET])
def test_w1_encryption_is_asked_for_once(packet: bytes) -> None:
    core = startup(PLAIN_RULES)
    core.feed(packet, NOW)
    core.take_to_client()
    assert core.feed(packet, NOW) == Ended("asked_twice")
    assert error(core)["C"] == b"08P01"


@pytest.mark.parametrize("packet", [GSSENC, encode.SSL_REQUEST_PACKET])
def test_w1_encryption_inside_tls_is_refused(packet: bytes) -> None:
    assert startup(encrypted=True).feed(packet, NOW) == Ended("asked_twice")


@pytest.mark.parametrize("packet", [GSSENC, encode.SSL_REQUEST_PACKET, hello(), encode.cancel_request(7, b"k" * 4)])
@pytest.mark.parametrize("extra", [b"\0", hello(), b"\x16\x03\x01"])
def test_w1_bytes_before_an_answer_are_refused(packet: bytes, extra: bytes) -> None:
    """CVE-2021-23214: what was injected in the clear is never read as if it had come by TLS."""
    core = startup()
    assert core.feed(packet + extra, NOW) == Ended("early_bytes")
    assert error(core)["C"] == b"08P01"
    assert core.feed(hello(), NOW) == Ended("early_bytes")


def test_w1_bytes_between_the_answer_and_tls_are_refused() -> None:
    core = startup()
    core.feed(encode.SSL_REQUEST_PACKET, NOW)
    assert core.feed(hello(), NOW) == Ended("early_bytes")
    with pytest.raises(InvalidInput):
        core.tls_started()


def test_w1_tls_in_the_middle_of_a_packet_is_refused() -> None:
    core = startup()
    core.feed(hello()[:6], NOW)
    with pytest.raises(InvalidInput):
        core.tls_started()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\0\0\0\0",
        b"\0\0\0\x07",
        b"\xff\xff\xff\xff",
        struct.pack("!I", 10_001),
    ],
)
def test_w1_a_false_length_ends_it_before_its_body(data: bytes) -> None:
    core = startup()
    assert core.feed(data[:4], NOW) == Ended("malformed_message")
    assert error(core)["S"] == b"FATAL"


def test_w2_a_cancel_request_is_handed_on() -> None:
    for encrypted in (False, True):
        core = startup(encrypted=encrypted)
        assert core.feed(encode.cancel_request(7, b"k" * 32), NOW) == Cancel(CancelRequest(7, b"k" * 32))
        assert core.take_to_client() == b""
        assert core.feed(hello(), NOW) == Ended("early_bytes")


@pytest.mark.parametrize(
    ("parameters", "state", "code"),
    [
        ({"replication": "true"}, b"0A000", "replication"),
        ({"Replication": "database"}, b"0A000", "replication"),
        ({"options": "-c role=x"}, b"28000", "parameter"),
        ({"search_path": "x"}, b"28000", "parameter"),
        ({"default_transaction_read_only": "off"}, b"28000", "parameter"),
        ({"user": ""}, b"08P01", "invalidinput"),
        ({"client_encoding": "GBK"}, b"28000", "parameter"),
    ],
)
def test_w2_p7_a_start_that_asks_too_much_is_refused(parameters: dict[str, str], state: bytes, code: str) -> None:
    core = startup(PLAIN_RULES)
    step = core.feed(encode.startup_message({"user": "ann", **parameters}), NOW)
    assert isinstance(step, Ended)
    assert step.code == code
    said = error(core)
    assert (said["S"], said["C"]) == (b"FATAL", state)


@pytest.mark.parametrize(
    ("version", "options", "minor"),
    [
        (3 << 16, {}, None),
        (3 << 16 | 2, {}, None),
        (3 << 16 | 1, {}, 0),
        (3 << 16 | 3, {}, 2),
        (3 << 16 | 9999, {}, 2),
        (3 << 16, {"_pq_.x": "1"}, 0),
        (3 << 16 | 2, {"_pq_.x": "1"}, 2),
    ],
)
def test_w2_a_newer_protocol_is_negotiated(version: int, options: dict[str, str], minor: int | None) -> None:
    core = startup(PLAIN_RULES)
    core.feed(hello("ann", version, **options), NOW)
    said = answers(core)
    assert said[-1] == encode.authentication_sasl([PLAIN])
    assert said[:-1] == ([] if minor is None else [encode.negotiate_protocol_version(minor, tuple(options))])


@pytest.mark.parametrize("version", [0, 2 << 16, 4 << 16, 1233 << 16])
def test_another_major_protocol_is_refused(version: int) -> None:
    core = startup(PLAIN_RULES)
    assert core.feed(struct.pack("!II", 8, version), NOW) == Ended("protocol_version")
    assert error(core)["C"] == b"0A000"


@pytest.mark.parametrize(
    ("plaintext", "loopback", "accepted"),
    [
        (Plaintext.NEVER, True, False),
        (Plaintext.LOOPBACK, True, True),
        (Plaintext.LOOPBACK, False, False),
        (Plaintext.ANYWHERE, False, True),
    ],
)
def test_plaintext_is_accepted_only_from_where_it_is_permitted(
    plaintext: Plaintext, loopback: bool, accepted: bool
) -> None:
    core = startup(replace(PLAIN_RULES, plaintext=plaintext), loopback=loopback)
    assert core.feed(hello(), NOW) == (None if accepted else Ended("plaintext", "ann"))
    core.take_to_client()
    assert startup(replace(RULES, plaintext=plaintext), loopback=loopback, encrypted=True).feed(hello(), NOW) is None


def refusal_of(user: str, password: str, rules: StartupRules = PLAIN_RULES) -> tuple[Step | None, bytes]:
    core = startup(rules)
    step = sign_in(core, user, password)
    return step, core.take_to_client().replace(user.encode(), b"?")


def test_failures_do_not_say_what_was_wrong() -> None:
    """A wrong password, an unknown user and a token's user without TLS see the same bytes."""
    wrong, unknown, oidc = refusal_of("ann", "pen"), refusal_of("eve", "pencil"), refusal_of("rob", "pencil")
    assert wrong[1] == unknown[1] == oidc[1]
    assert b"28P01" in wrong[1]
    assert wrong[0] == Ended("bad_credential", "ann")


def test_an_unknown_users_salt_stays_the_same() -> None:
    def challenge(user: str) -> bytes:
        core = startup(PLAIN_RULES)
        core.feed(hello(user), NOW)
        core.take_to_client()
        core.feed(encode.sasl_initial_response(PLAIN, b"n,,n=,r=abc"), NOW)
        return core.take_to_client()

    assert challenge("eve") == challenge("eve") != challenge("mallory")
    assert len(challenge("eve")) == len(challenge("ann"))


@pytest.mark.parametrize(
    "message",
    [
        encode.message(b"p", b"SCRAM-SHA-256\0\xff\xff\xff\xff"),
        encode.message(b"p", b"SCRAM-SHA-256"),
        encode.message(b"p", b"SCRAM-SHA-256\0\0\0\0\x05abc"),
        encode.message(b"p"),
        password_of("pencil"),
        encode.sasl_initial_response("SCRAM-SHA-1", b"n,,n=,r=abc"),
        encode.sasl_initial_response(PLUS, b"n,,n=,r=abc"),
        encode.sasl_initial_response(PLAIN, b"p=tls-unique,,n=,r=abc"),
    ],
)
def test_a_proof_in_another_form_is_refused(message: bytes) -> None:
    core = startup(PLAIN_RULES)
    core.feed(hello(), NOW)
    core.take_to_client()
    assert isinstance(core.feed(message, NOW), Ended)
    assert error(core)["C"] == b"28P01"


@pytest.mark.parametrize("message", [encode.query(b"select 1"), encode.SYNC_MESSAGE, b"p\0\0\0\3", b"p\0\1\0\0"])
def test_w1_anything_but_a_proof_is_refused(message: bytes) -> None:
    core = startup(PLAIN_RULES)
    core.feed(hello(), NOW)
    assert isinstance(core.feed(message, NOW), Ended)
    assert error(core)["C"] == b"08P01"


@pytest.mark.parametrize("extra", [encode.query(b"delete from t"), b"p", encode.sasl_response(b"")])
def test_w1_bytes_after_a_proof_are_refused(extra: bytes) -> None:
    core = startup(PLAIN_RULES)

    def push(data: bytes) -> Step | None:
        return core.feed(data + extra if data[:1] == b"p" and b"p=" in data else data, NOW)

    step = sign_in(core, feed=push)
    assert isinstance(step, Ended)
    assert error(core)["C"] == b"08P01"


def test_w1_a_downgrade_of_the_binding_is_refused() -> None:
    core = startup(encrypted=True)
    core.feed(hello(), NOW)
    assert core.feed(encode.sasl_initial_response(PLAIN, b"y,,n=,r=abc"), NOW) == Ended("malformed_scram", "ann")


def test_a_token_over_tls_signs_in() -> None:
    core = startup(encrypted=True)
    assert core.feed(hello("ci-deploy", database="shop"), NOW) is None
    assert answers(core) == [encode.authentication_cleartext()]
    assert core.feed(password_of(token()), NOW) == Authenticated(
        Caller("ci-deploy", CallerKind.MACHINE), "shop", {}, 0, NOW + 300
    )
    assert answers(core) == [encode.authentication_ok()]


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [
        ("ci-deploy", token({"aud": "twokeys:edge:other"}), "foreign_audience"),
        ("ci-deploy", "", "bad_token"),
        ("ci-deploy", token({"exp": NOW - 60, "iat": NOW - 99, "nbf": NOW - 99}), "expired_token"),
        ("rob", token(), "other_subject"),
        ("ci-deploy", "pencil", "bad_token"),
        ("ci-deploy", "\N{KEY}", "bad_token"),
    ],
)
def test_a5_a_token_that_is_not_this_users_is_refused(user: str, password: str, code: str) -> None:
    core = startup(encrypted=True)
    core.feed(hello(user), NOW)
    core.take_to_client()
    assert core.feed(password_of(password), NOW) == Ended(code, user)
    said = error(core)
    assert (said["C"], said["M"]) == (b"28P01", f'password authentication failed for user "{user}"'.encode())


@pytest.mark.parametrize("changes", [{"mock_secret": b"s" * 15}, {"tls": False}])
def test_rules_that_hide_nothing_or_bind_nothing_can_not_be_built(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        replace(RULES, **changes)


def test_a_token_with_a_nul_inside_is_refused() -> None:
    core = startup(encrypted=True)
    core.feed(hello("ci-deploy"), NOW)
    assert isinstance(core.feed(encode.message(b"p", b"a\0b\0"), NOW), Ended)


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            GSSENC,
            encode.SSL_REQUEST_PACKET,
            hello(),
            hello("eve"),
            hello("ci-deploy"),
            hello("ann", replication="1"),
            encode.sasl_initial_response(PLAIN, b"n,,n=,r=abc"),
            encode.sasl_response(b"c=biws,r=x,p=eA=="),
            encode.cancel_request(1, b"abcd"),
            password_of("x"),
            encode.query(b"delete from t"),
        ]
    ),
)


@settings(max_examples=200)
@given(pieces=st.lists(PIECES, max_size=6), encrypted=st.booleans(), tls=st.booleans())
def test_any_bytes_are_a_legal_step_or_the_one_protocol_error(pieces: list[bytes], encrypted: bool, tls: bool) -> None:
    """Nobody is signed in by chance, nothing is raised, and what ends stays ended with a FATAL error."""
    core = startup(RULES if tls or encrypted else PLAIN_RULES, encrypted=encrypted)
    for piece in pieces:
        step = core.feed(piece, NOW)
        assert not isinstance(step, Authenticated)
        if isinstance(step, Ended):
            assert error(core)["S"] == b"FATAL"
            assert isinstance(core.feed(hello(), NOW), Ended)
            return
        core.take_to_client()
        if step == StartTls():
            core.tls_started()
