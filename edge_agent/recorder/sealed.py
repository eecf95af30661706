"""A Segment's seal file: ``{"seal": …, "key_id": …, "signature": …}``, the control plane's answer as received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twokeys.digest import from_base64
from twokeys.errors import InvalidInput
from twokeys.messages import SealReply, decode
from twokeys.seal import TYPE, Seal
from twokeys.signature import KeyRole, PublicKey, Signature, verify

MAX_SEAL_BYTES: Final = 16 * 1024
"""Longest seal file; what is signed in it is at most 4 KiB."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A Seal, and the signature under it."""

    seal: Seal
    signature: Signature


def open_seal(reply: SealReply, keys: Mapping[str, PublicKey] | None) -> Sealed:
    """Read a Seal, and verify its signature when there are keys.

    Raises:
        InvalidInput: when it can't be read.
        Refused: when no pinned seal key made the signature.
    """
    seal = Seal.from_json(reply.seal)
    signature = Signature(reply.key_id, from_base64(reply.signature))
    if keys is not None:
        verify(TYPE, KeyRole.SEAL, seal.to_json(), signature, keys)
    return Sealed(seal, signature)


def read_seal(path: Path, keys: Mapping[str, PublicKey] | None) -> Sealed:
    """Read a seal file. Raises as `open_seal`."""
    with path.open("rb") as file:
        data = file.read(MAX_SEAL_BYTES + 1)
    try:
        return open_seal(decode(SealReply, data, MAX_SEAL_BYTES), keys)
    except InvalidInput as error:
        raise InvalidInput(
            f"The seal file {path.name} can't be read: {error.happened}",
            not_done="The edge was not started.",
            code="journal_damaged",
        ) from error
