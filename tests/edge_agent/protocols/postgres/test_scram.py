"""SCRAM by the RFC's transcript, both sides against each other, and every way to cheat."""

from __future__ import annotations

import datetime
from base64 import b64encode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocols.postgres.channel_binding import end_point
from edge_agent.protocols.postgres.scram import PLAIN, PLUS, ScramClient, ScramServer, mock_verifier
from twokeys.digest import from_base64
from twokeys.errors import InvalidInput, Refused, TwokeysError
from twokeys.verifier import verifier_of

SALT = from_base64("W22ZaJ0SNY7soEsUEjb6gQ==")
VERIFIER = verifier_of("pencil", SALT)
RFC_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
OURS, THEIRS = "server-nonce-0123456789", "client-nonce-0123456789"
BINDING = b"b" * 32


def server(binding: bytes | None = None, *, genuine: bool = True) -> ScramServer:
    return ScramServer(VERIFIER, genuine=genuine, nonce=OURS, binding=binding)


def client(
    password: str = "pencil", offered: tuple[str, ...] = (PLAIN,), binding: bytes | None = None, encrypted: bool = False
) -> ScramClient:
    return ScramClient(password, nonce=THEIRS, offered=offered, binding=binding, encrypted=encrypted)


def test_the_transcript_of_rfc_7677_section_3() -> None:
    side = ScramServer(VERIFIER, genuine=True, nonce=RFC_NONCE, binding=None)
    assert side.start(PLAIN, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert side.finish(final) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize(
    ("server_binding", "client_binding", "offered", "mechanism"),
    [
        (None, None, (PLAIN,), PLAIN),
        (BINDING, BINDING, (PLUS, PLAIN), PLUS),
        (BINDING, None, (PLUS, PLAIN), PLAIN),
        (None, BINDING, (PLAIN,), PLAIN),
    ],
)
def test_both_sides_agree(
    server_binding: bytes | None, client_binding: bytes | None, offered: tuple[str, ...], mechanism: str
) -> None:
    ours, theirs = server(server_binding), client(offered=offered, binding=client_binding, encrypted=True)
    assert theirs.mechanism == mechanism
    theirs.verify(ours.finish(theirs.final(ours.start(theirs.mechanism, theirs.first()))))


def test_a_wrong_password_is_refused() -> None:
    ours, theirs = server(), client("pencils")
    with pytest.raises(Refused) as caught:
        ours.finish(theirs.final(ours.start(PLAIN, theirs.first())))
    assert caught.value.code == "bad_credential"


def test_a_mock_looks_the_same_and_never_succeeds() -> None:
    """An unknown user's salt stays the same, differs by user and by Edge, and the right answer to it is refused."""
    first, again = mock_verifier(b"s" * 16, "nobody"), mock_verifier(b"s" * 16, "nobody")
    assert first == again
    assert len({first.salt, mock_verifier(b"s" * 16, "other").salt, mock_verifier(b"t" * 16, "nobody").salt}) == 3
    assert (len(first.salt), first.iterations) == (len(VERIFIER.salt), VERIFIER.iterations)
    ours, theirs = server(genuine=False), client()
    with pytest.raises(Refused) as caught:
        ours.finish(theirs.final(ours.start(PLAIN, theirs.first())))
    assert caught.value.code == "bad_credential"
    with pytest.raises(InvalidInput):
        mock_verifier(b"short", "nobody")


def test_w1_another_certificate_breaks_the_binding() -> None:
    ours, theirs = server(BINDING), client(offered=(PLUS, PLAIN), binding=b"c" * 32, encrypted=True)
    with pytest.raises(Refused):
        ours.finish(theirs.final(ours.start(PLUS, theirs.first())))


@pytest.mark.parametrize(
    ("binding", "mechanism", "first"),
    [
        (BINDING, PLAIN, b"y,,n=,r=abc"),
        (BINDING, PLAIN, b"p=tls-server-end-point,,n=,r=abc"),
        (BINDING, PLUS, b"n,,n=,r=abc"),
        (BINDING, PLUS, b"y,,n=,r=abc"),
        (BINDING, PLUS, b"p=tls-unique,,n=,r=abc"),
        (None, PLUS, b"p=tls-server-end-point,,n=,r=abc"),
        (None, PLAIN, b"p=tls-server-end-point,,n=,r=abc"),
        (None, "SCRAM-SHA-1", b"n,,n=,r=abc"),
        (None, PLAIN, b"n,a=admin,n=,r=abc"),
        (None, PLAIN, b"n,,m=x,n=,r=abc"),
        (None, PLAIN, b"n,,n=,r="),
        (None, PLAIN, b"n,,n=,r=a b"),
        (None, PLAIN, b"n,,n=a=b,r=abc"),
        (None, PLAIN, b""),
        (None, PLAIN, b"n,,n=,r=abc\0"),
        (None, PLAIN, b"n,,n=\xff,r=abc"),
        (None, PLAIN, b"n,,n=,r=" + b"a" * 5000),
        (None, PLAIN, b"n,,n=" + b"a" * 4000 + b"=,r=a"),
        (None, PLAIN, b"n,,n=,r=abc\n"),
    ],
)
def test_a_first_message_that_does_not_fit_is_refused(binding: bytes | None, mechanism: str, first: bytes) -> None:
    with pytest.raises(InvalidInput):
        server(binding).start(mechanism, first)


def test_a_proof_for_another_nonce_is_refused() -> None:
    """A recorded login can't be replayed: our half of the nonce is new."""
    old, theirs = server(), client()
    final = theirs.final(old.start(PLAIN, theirs.first()))
    new = ScramServer(VERIFIER, genuine=True, nonce="another-nonce-0123456789", binding=None)
    new.start(PLAIN, theirs.first())
    with pytest.raises(Refused):
        new.finish(final)


def test_a_login_is_finished_once() -> None:
    ours, theirs = server(), client()
    final = theirs.final(ours.start(PLAIN, theirs.first()))
    ours.finish(final)
    with pytest.raises(InvalidInput):
        ours.finish(final)


def test_nothing_is_finished_before_it_is_started() -> None:
    with pytest.raises(InvalidInput):
        server().finish(b"c=biws,r=abc,p=" + b64encode(bytes(32)))


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_with_the_few_errors(data: bytes) -> None:
    with pytest.raises(TwokeysError):
        server().start(PLAIN, b"m" + data)
    ours = server()
    ours.start(PLAIN, client().first())
    with pytest.raises(TwokeysError):
        ours.finish(data)


@pytest.mark.parametrize(
    ("offered", "encrypted", "code"),
    [
        ((), True, "no_scram"),
        (("SCRAM-SHA-1",), True, "no_scram"),
        ((PLUS,), True, "no_scram"),
        ((PLUS, PLAIN), False, "stripped_tls"),
    ],
)
def test_a_client_refuses_what_it_can_not_trust(offered: tuple[str, ...], encrypted: bool, code: str) -> None:
    with pytest.raises(Refused) as caught:
        client(offered=offered, encrypted=encrypted)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "first",
    [
        f"r={THEIRS},s=QUJD,i=4096",
        "r=other,s=QUJD,i=4096",
        f"r={THEIRS}x,s=QUJD,i=4095",
        f"r={THEIRS}x,s=QUJD,i=1000001",
        f"r={THEIRS}x,s=QUJD,i=0",
        f"r={THEIRS}x,s=,i=4096",
        f"r={THEIRS}x,s=QUI,i=4096",
        f"r={THEIRS}x,s=QUJ=,i=4096",
        f"m=x,r={THEIRS}x,s=QUJD,i=4096",
        f"r={THEIRS}x,i=4096",
        "",
        "e=other-error",
        f"r={THEIRS}x,s={b64encode(bytes(66)).decode()},i=4096",
    ],
)
def test_a_client_refuses_a_false_challenge(first: str) -> None:
    with pytest.raises(InvalidInput):
        client().final(first.encode())


def test_a_server_without_the_verifier_is_found_out() -> None:
    theirs = client()
    theirs.final(server().start(PLAIN, theirs.first()))
    with pytest.raises(Refused) as caught:
        theirs.verify(b"v=" + b64encode(bytes(32)))
    assert caught.value.code == "false_server"
    with pytest.raises(InvalidInput):
        theirs.verify(b"e=invalid-proof")


def test_a_signature_counts_only_after_a_proof() -> None:
    with pytest.raises(Refused):
        client().verify(b"v=" + b64encode(bytes(32)))


@pytest.mark.parametrize("nonce", ["", "short", "a" * 17, "a" * 20 + ",", "a" * 20 + "\n", "é" * 20])
def test_a_poor_nonce_is_refused(nonce: str) -> None:
    with pytest.raises(InvalidInput):
        ScramServer(VERIFIER, genuine=True, nonce=nonce, binding=None)


def certificate(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, function: hashes.SHA384 | None) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1))
    return builder.sign(key, function).public_bytes(serialization.Encoding.DER)


def test_the_binding_is_the_certificates_hash_by_its_own_function() -> None:
    der = certificate(ec.generate_private_key(ec.SECP256R1()), hashes.SHA384())
    digest = hashes.Hash(hashes.SHA384())
    digest.update(der)
    assert end_point(der) == digest.finalize()


def test_no_binding_where_none_is_defined() -> None:
    assert end_point(certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None
    assert end_point(b"no certificate") is None
