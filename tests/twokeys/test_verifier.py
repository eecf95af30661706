"""A verifier is what PostgreSQL stores; the RFC's numbers come out."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twokeys.digest import from_base64, to_base64
from twokeys.errors import InvalidInput
from twokeys.saslprep import password_bytes, saslprep
from twokeys.verifier import ScramVerifier, client_key, mint_verifier, salted_password, server_key, verifier_of

CREDENTIAL = "k3-" + "x" * 40
SALT = from_base64("W22ZaJ0SNY7soEsUEjb6gQ==")


def test_the_keys_of_rfc_7677_section_3() -> None:
    """Its proof and its signature follow from the keys of its password, salt and iterations."""
    salted = salted_password("pencil", SALT, 4096)
    said = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    key = client_key(salted)
    mask = hashlib.sha256(key).digest()
    proof = bytes(a ^ b for a, b in zip(key, hmac.digest(mask, said, "sha256"), strict=True))
    assert to_base64(proof) == "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    signature = hmac.digest(server_key(salted), said, "sha256")
    assert to_base64(signature) == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_verifier_is_read_as_written() -> None:
    verifier = mint_verifier(CREDENTIAL, bytes(16))
    assert ScramVerifier.parse(verifier.to_text()) == verifier
    assert verifier.to_text().startswith("SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$")


def test_a_verifier_shows_no_keys_when_printed() -> None:
    verifier = verifier_of("pencil", SALT)
    assert "key" not in repr(verifier)


@pytest.mark.parametrize("credential", ["", "short", "x" * 31, "é" * 40, "x" * 40 + "\n"])
def test_a_weak_credential_gets_no_verifier(credential: str) -> None:
    with pytest.raises(InvalidInput):
        mint_verifier(credential, bytes(16))


def test_a_salt_has_its_length() -> None:
    with pytest.raises(InvalidInput):
        mint_verifier(CREDENTIAL, bytes(15))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SHA-256$", "SHA-1$"),
        ("$4096:", "$4095:"),
        ("$4096:", "$1000001:"),
        ("$4096:", "$04096:"),
        ("$4096:", "$-4096:"),
        ("==$", "$"),
        (":", ""),
        ("SCRAM", " SCRAM"),
    ],
)
def test_a_malformed_verifier_is_refused(old: str, new: str) -> None:
    text = mint_verifier(CREDENTIAL, bytes(16)).to_text()
    with pytest.raises(InvalidInput):
        ScramVerifier.parse(text.replace(old, new, 1))
    with pytest.raises(InvalidInput):
        ScramVerifier.parse(text + "\n")


@given(st.text(max_size=80))
def test_any_text_is_a_verifier_or_invalid_input(text: str) -> None:
    for candidate in (text, f"SCRAM-SHA-256$4096:{text}"):
        with pytest.raises(InvalidInput):
            ScramVerifier.parse(candidate)


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
    ],
)
def test_the_examples_of_rfc_4013_section_3(typed: str, prepared: str) -> None:
    assert saslprep(typed) == prepared


@pytest.mark.parametrize("typed", ["\u0007", "\u0627\u0031", "", "\u00ad", "\U0001f511"])
def test_forbidden_passwords_are_used_as_they_are(typed: str) -> None:
    with pytest.raises(InvalidInput):
        saslprep(typed)
    assert password_bytes(typed) == typed.encode()


@given(st.text(max_size=20))
def test_any_password_has_bytes(typed: str) -> None:
    assert isinstance(password_bytes(typed), bytes)
