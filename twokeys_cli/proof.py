"""How a caller proves itself to an Edge: by a credential that never leaves this machine, or by a token over TLS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from twokeys.errors import InvalidInput

MAX_PROOF_BYTES: Final = 8 * 1024
"""Longest credential or token: an Edge looks at no longer token."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`secret`: the credential or token; `is_token`: it is a token, shown as it is, over verified TLS alone."""

    secret: str = field(repr=False)
    is_token: bool = False


def read_proof(password_file: Path | None, token_file: Path | None, environment: Mapping[str, str]) -> Proof:
    """Read the proof from a file, or else from ``TWOKEYS_TOKEN`` or ``PGPASSWORD``.

    Args:
        password_file: Holds a credential.
        token_file: Holds an OpenID Connect token.
        environment: Of the process.

    Raises:
        InvalidInput: when there is none, when there are two, or a file can't be read.
    """
    if password_file is not None and token_file is not None:
        raise _not_known("There are a password file and a token file.", "Name the one that the Edge asks for.")
    if token_file is not None:
        return Proof(_first_line(token_file), is_token=True)
    if password_file is not None:
        return Proof(_first_line(password_file))
    token, password = environment.get("TWOKEYS_TOKEN", ""), environment.get("PGPASSWORD", "")
    if token and password:
        raise _not_known("TWOKEYS_TOKEN and PGPASSWORD are both set.", "Unset the one that the Edge does not ask for.")
    if not token and not password:
        raise _not_known(
            "There is no credential: neither a file, nor PGPASSWORD or TWOKEYS_TOKEN in the environment.",
            "Put what `twokeys credential create` printed into PGPASSWORD, or name its file with --password-file.",
        )
    return Proof(token or password, is_token=bool(token))


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PROOF_BYTES + 2)
        line = data.split(b"\n")[0].rstrip(b"\r").decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _not_known(f"{path} can't be read as text.", "Is it the right file, and may you read it?") from error
    if not line or len(line.encode()) > MAX_PROOF_BYTES or "\0" in line:
        raise _not_known(f"The first line of {path} is no credential.", "It must be the first line, and nothing else.")
    return line


def _not_known(happened: str, advice: str) -> InvalidInput:
    return InvalidInput(happened, not_done="Nothing was sent.", advice=advice, code="no_proof")
