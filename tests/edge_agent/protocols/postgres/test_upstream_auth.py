"""Signing in at the server, as scripts: one that asks too much, proves too little or is set otherwise is refused."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.messages import StartupMessage, read_first
from edge_agent.protocols.postgres.scram import PLAIN, PLUS, ScramServer
from edge_agent.protocols.postgres.server_messages import BackendKeyData
from edge_agent.protocols.postgres.upstream_auth import UpstreamLogin
from edge_agent.protocols.postgres.upstream_rules import (
    MAX_REPORTED,
    StartTls,
    UpstreamReady,
    UpstreamRules,
    options,
)
from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.verifier import verifier_of

BINDING = b"b" * 32
RULES = UpstreamRules("twokeys_edge", "pencil", tls=False)
TLS_RULES = replace(RULES, tls=True)
REPORTED = {
    "server_version": "18.6 (Debian)",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "on",
}
SASL = encode.authentication_sasl([PLAIN])
READY = encode.ready_for_query(ord("I"))


def login(rules: UpstreamRules = RULES, binding: bytes | None = None, **settings: str) -> UpstreamLogin:
    """A login that has said hello."""
    core = UpstreamLogin(rules, nonce="edge-nonce-0123456789", database="shop", settings=settings)
    core.begin()
    if rules.tls:
        assert core.take_to_server() == encode.SSL_REQUEST_PACKET
        assert core.feed(b"S") == StartTls()
        core.tls_started(binding)
    return core


def hello_of(core: UpstreamLogin) -> StartupMessage:
    packet = read_first(core.take_to_server())
    assert isinstance(packet, StartupMessage)
    return packet


def report(changes: dict[str, str | None] | None = None) -> bytes:
    said = {**REPORTED, **(changes or {})}
    return b"".join(encode.parameter_status(name, value) for name, value in said.items() if value is not None)


def prove(core: UpstreamLogin, binding: bytes | None = None, password: str = "pencil") -> bytes:
    """Play a server until the client's proof; return the server's last word, a right one unless `password` is not."""
    ours = ScramServer(verifier_of(password, bytes(16)), genuine=True, nonce="server-nonce-0123456789", binding=binding)
    core.take_to_server()
    assert core.feed(encode.authentication_sasl([PLAIN] if binding is None else [PLUS, PLAIN])) is None
    initial = core.take_to_server()[5:]
    mechanism, _, rest = initial.partition(b"\0")
    assert core.feed(encode.authentication_sasl_continue(ours.start(mechanism.decode(), rest[4:]))) is None
    return encode.authentication_sasl_final(ours.finish(core.take_to_server()[5:]))


def test_the_session_is_asked_to_be_read_only_and_unmistakable() -> None:
    said = hello_of(login(application_name="psql", DateStyle="ISO"))
    assert (said.major, said.minor) == (3, 0)
    assert said.parameters == {
        "user": "twokeys_edge",
        "database": "shop",
        "client_encoding": "UTF8",
        "application_name": "psql",
        "DateStyle": "ISO",
        "options": "-c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=on "
        "-c standard_conforming_strings=on",
    }


@pytest.mark.parametrize("tls", [False, True])
def test_a_whole_login(tls: bool) -> None:
    binding = BINDING if tls else None
    core = login(TLS_RULES if tls else RULES, binding)
    final = prove(core, binding)
    key = encode.backend_key_data(7, b"abcd")
    step = core.feed(final + encode.authentication_ok() + report() + key + READY + b"N\0")
    assert step == UpstreamReady(REPORTED, BackendKeyData(7, b"abcd"), b"N\0")
    assert core.take_to_server() == b""


def test_a_login_is_the_same_byte_by_byte() -> None:
    core = login()
    steps = [core.feed(bytes((byte,))) for byte in prove(core) + encode.authentication_ok() + report() + READY]
    assert steps[:-1] == [None] * (len(steps) - 1)
    assert steps[-1] == UpstreamReady(REPORTED, BackendKeyData(0, b""), b"")


def refusal(core: UpstreamLogin, data: bytes) -> TwokeysError:
    core.take_to_server()
    with pytest.raises(TwokeysError) as caught:
        core.feed(data)
    assert core.take_to_server() == b""
    with pytest.raises(InvalidInput):
        core.feed(READY)
    return caught.value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode.authentication_cleartext(), "upstream_password"),
        (encode.message(b"R", struct.pack("!I", 5) + b"salt"), "upstream_password"),
        (encode.authentication_ok(), "upstream_trust"),
        (encode.message(b"R", struct.pack("!I", 7)), "upstream_authentication"),
        (encode.authentication_sasl_continue(b""), "upstream_authentication"),
        (encode.authentication_sasl_final(b""), "upstream_authentication"),
        (encode.authentication_sasl(["SCRAM-SHA-1"]), "no_scram"),
        (encode.authentication_sasl([PLUS, PLAIN]), "stripped_tls"),
        (encode.message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256"), "malformed_message"),
        (encode.message(b"R", struct.pack("!I", 10)), "malformed_message"),
        (READY, "malformed_message"),
        (report(), "malformed_message"),
        (encode.backend_key_data(1, b"abcd"), "malformed_message"),
        (encode.negotiate_protocol_version(0, []), "malformed_message"),
        (encode.command_complete(b"x"), "unknown_message"),
        (encode.error_response("28P01", "no"), "upstream_28p01"),
        (encode.error_response("3D000", "no"), "upstream_3d000"),
        (encode.message(b"A", b"x"), "malformed_message"),
        (b"HTTP/1.1", "unknown_message"),
        (b"R\xff\xff\xff\xff", "too_large"),
    ],
)
def test_a_server_that_asks_otherwise_gets_no_credential(data: bytes, code: str) -> None:
    assert refusal(login(), data).code == code


@pytest.mark.parametrize(("state", "kind"), [("57P03", Unavailable), ("53300", Unavailable), ("28000", Refused)])
def test_a_server_that_can_not_now_is_unavailable(state: str, kind: type[TwokeysError]) -> None:
    assert isinstance(refusal(login(), encode.error_response(state, "no")), kind)


def test_a_notice_on_the_way_is_passed_over() -> None:
    assert login().feed(encode.notice_response("hello")) is None


def test_trust_must_be_asked_for() -> None:
    core = login(replace(RULES, unsafe_trust=True))
    assert isinstance(core.feed(encode.authentication_ok() + report() + READY), UpstreamReady)


def test_trust_does_not_excuse_a_missing_signature() -> None:
    core = login(replace(RULES, unsafe_trust=True))
    prove(core)
    assert refusal(core, encode.authentication_ok()).code == "upstream_authentication"


def test_a_server_that_does_not_know_the_credential_is_refused() -> None:
    core = login()
    prove(core)
    assert refusal(core, encode.authentication_sasl_final(b"v=" + b"A" * 43 + b"=")).code == "false_server"


def test_w1_bytes_before_tls_are_refused() -> None:
    """CVE-2021-23222: what was injected in the clear is never read as if it had come by TLS."""
    for data in (b"S" + encode.authentication_ok(), b"SS", b"E", b"X", b"NN"):
        core = UpstreamLogin(TLS_RULES, nonce="edge-nonce-0123456789", database="shop", settings={})
        core.begin()
        assert refusal(core, data).code == "malformed_message"
    core = UpstreamLogin(TLS_RULES, nonce="edge-nonce-0123456789", database="shop", settings={})
    core.begin()
    core.feed(b"S")
    assert refusal(core, encode.authentication_ok()).code == "malformed_message"


def test_a_server_without_tls_is_unavailable_where_tls_is_asked_for() -> None:
    core = UpstreamLogin(TLS_RULES, nonce="edge-nonce-0123456789", database="shop", settings={})
    core.begin()
    assert core.feed(b"") is None
    assert refusal(core, b"N").code == "no_upstream_tls"


def test_binding_can_be_required() -> None:
    strict = replace(TLS_RULES, require_binding=True)
    assert refusal(login(strict, BINDING), SASL).code == "upstream_unbound"
    assert refusal(login(strict, None), encode.authentication_sasl([PLUS, PLAIN])).code == "upstream_unbound"
    prove(login(strict, BINDING), BINDING)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"default_transaction_read_only": "off"}, "upstream_settings"),
        ({"client_encoding": "GBK"}, "upstream_settings"),
        ({"default_transaction_read_only": None}, "upstream_settings"),
        ({"server_version": "13.16"}, "old_server"),
        ({"standard_conforming_strings": "off"}, "upstream_settings"),
        ({"client_encoding": None}, "upstream_settings"),
        ({"standard_conforming_strings": None}, "upstream_settings"),
        ({"server_version": None}, "old_server"),
        ({"server_version": "new"}, "old_server"),
    ],
)
def test_p7_a_session_that_is_set_otherwise_is_refused(changes: dict[str, str | None], code: str) -> None:
    core = login()
    assert refusal(core, prove(core) + encode.authentication_ok() + report(changes) + READY).code == code


@pytest.mark.parametrize("version", ["14.0", "15beta1", "19devel", "180001"])
def test_versions_from_14_on_are_accepted(version: str) -> None:
    core = login()
    step = core.feed(prove(core) + encode.authentication_ok() + report({"server_version": version}) + READY)
    assert isinstance(step, UpstreamReady)


def test_a_session_that_starts_in_a_transaction_is_refused() -> None:
    core = login()
    data = prove(core) + encode.authentication_ok() + report() + encode.ready_for_query(ord("T"))
    assert refusal(core, data).code == "malformed_message"


@pytest.mark.parametrize(
    "data",
    [
        b"".join(encode.parameter_status(f"x{i}", "") for i in range(MAX_REPORTED + 1)),
        encode.parameter_status(b"\xff", ""),
    ],
)
def test_what_a_server_reports_is_bounded(data: bytes) -> None:
    core = login()
    assert refusal(core, prove(core) + encode.authentication_ok() + data).code == "malformed_message"


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("on", "on"),
        ("a b", r"a\ b"),
        ("a\\b", r"a\\b"),
        ('"$user", public', r'"$user",\ public'),
        ("a\tb", "a\\\tb"),
        ("x -c role=y", r"x\ -c\ role=y"),
        ("", ""),
    ],
)
def test_p7_an_option_stays_one_option(value: str, escaped: str) -> None:
    assert options({"search_path": value}) == f"-c search_path={escaped}"


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    )
)
def test_options_split_into_what_was_put_in(settings: dict[str, str]) -> None:
    """Split as the server does: by spaces that have no backslash before them."""
    words, word, escaped = list[str](), "", False
    for char in options(settings):
        if not escaped and char == " ":
            words, word = [*words, word], ""
        elif not escaped and char == "\\":
            escaped = True
        else:
            word, escaped = word + char, False
    words = [*words, word] if settings else []
    assert words == [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


@pytest.mark.parametrize(
    "changes",
    [
        {"user": ""},
        {"require_binding": True},
        {"settings": {"Default_Transaction_Read_Only": "off"}},
        {"settings": {"client_encoding": "GBK"}},
        {"settings": {"a b": "x"}},
        {"settings": {"x": "\0"}},
        {"settings": {"standard_conforming_strings": "off"}},
        {"settings": {"names": "GBK"}},
        {"settings": {"a-b": ""}},
    ],
)
def test_p7_rules_that_undo_ours_can_not_be_built(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        replace(RULES, **changes)


@pytest.mark.parametrize(
    ("database", "settings"),
    [
        ("", {}),
        ("shop", {"role": "x"}),
        ("shop", {"datestyle": "ISO"}),
        ("shop", {"options": "-c role=x"}),
        ("sh\0op", {}),
        ("shop", {"DateStyle": "a\0role\0b"}),
    ],
)
def test_p7_a_clients_setting_that_is_not_allowed_can_not_be_sent(database: str, settings: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        UpstreamLogin(RULES, nonce="edge-nonce-0123456789", database=database, settings=settings)


def test_what_a_target_fixes_no_client_overrides() -> None:
    rules = replace(RULES, search_path="shop, public", settings={"STATEMENT_TIMEOUT": "5s"})
    said = hello_of(login(rules, statement_timeout="0", lock_timeout="1s")).parameters
    assert "statement_timeout" not in said
    assert said["lock_timeout"] == "1s"
    assert said["options"].startswith(r"-c STATEMENT_TIMEOUT=5s -c search_path=shop,\ public -c default_tr")


@pytest.mark.parametrize("path", ["public", "public, edge", ""])
def test_a_client_narrows_the_path_of_its_session(path: str) -> None:
    rules = replace(RULES, user="edge", search_path='"$user", shop, public')
    said = hello_of(login(rules, search_path=path)).parameters
    assert f"-c search_path={path.replace(' ', chr(92) + ' ')} " in said["options"] and "search_path" not in said


@pytest.mark.parametrize("path", ["evil", "public, evil", '"shopx,"'])
def test_w6_no_client_widens_it(path: str) -> None:
    for rules in (RULES, replace(RULES, search_path="shop, public")):
        with pytest.raises(InvalidInput):
            login(rules, search_path=path)


def test_a_password_is_not_printed() -> None:
    assert "pencil" not in repr(RULES)


def test_steps_out_of_turn_are_refused() -> None:
    core = UpstreamLogin(RULES, nonce="edge-nonce-0123456789", database="shop", settings={})
    with pytest.raises(InvalidInput):
        core.feed(SASL)
    core = login()
    for step in (core.begin, lambda: core.tls_started(None)):
        with pytest.raises(InvalidInput):
            step()


@given(
    chunks=st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from(
                [
                    SASL,
                    READY,
                    report(),
                    encode.authentication_ok(),
                    encode.authentication_sasl_continue(b"r=x,s=QUJD,i=4096"),
                    encode.authentication_sasl_final(b"v=QUJD"),
                    encode.notice_response("x"),
                ]
            ),
        ),
        max_size=6,
    )
)
def test_any_bytes_are_a_legal_step_or_an_error(chunks: list[bytes]) -> None:
    """A server that can't prove itself never gets a session."""
    core = login()
    try:
        for chunk in chunks:
            assert core.feed(chunk) is None
    except TwokeysError as error:
        assert error.code
