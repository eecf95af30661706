"""Journals for tests: small limits, a still clock, a wrapping key of the tests' own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_agent.config import RecorderSection
from edge_agent.recorder.bodies import KeyLine, SessionKey, WrappingKey
from edge_agent.recorder.disk import free_bytes
from edge_agent.recorder.journal import Journal, open_journal
from twokeys.body import WRAPPING
from twokeys.digest import from_base64, to_base64

EDGE = "edge-1"
NOW = 1_795_000_000_123
SETTINGS = RecorderSection(low_disk_bytes=2, exhausted_disk_bytes=1)
READ = {"type": "command", "effect": "read", "outcome": "allow", "objects": ["read:table:public.t"], "bundle": 3}


def journal_in(folder: Path, *, look: Callable[[Path], int] = free_bytes, **changes: Any) -> Journal:
    return open_journal(folder, EDGE, dataclasses.replace(SETTINGS, **changes), lambda: NOW, look=look)


@cache
def wrapping_pair() -> tuple[rsa.RSAPrivateKey, WrappingKey]:
    private = rsa.generate_private_key(65537, 3072)
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, WrappingKey.read("wrap-1", to_base64(der))


def session_key(session: str = "ses-1") -> SessionKey:
    return SessionKey(session, wrapping_pair()[1])


def unwrapped(line: KeyLine) -> AESGCM:
    return AESGCM(wrapping_pair()[0].decrypt(from_base64(line.wrapped), WRAPPING))
