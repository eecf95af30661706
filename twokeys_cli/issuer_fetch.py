"""An issuer's public keys, by discovery (OpenID Connect Discovery section 4) or from a file."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from twokeys.errors import InvalidInput, Unavailable
from twokeys_cli.api import checked_url, exchange, opener
from twokeys_cli.output import plain

MAX_JWKS_BYTES: Final = 256 * 1024
"""Longest key set that is read."""
PATH: Final = "/.well-known/openid-configuration"


def read_jwks(data: bytes, place: str) -> dict[str, Any]:
    """A key set as JSON. Raises InvalidInput."""
    try:
        found = json.loads(data) if len(data) <= MAX_JWKS_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(
            f"{plain(place)} is no key set.",
            not_done="Nothing was changed.",
            advice="Give a JWKS: a JSON object with `keys`.",
            code="bad_jwks",
        )
    return found


def fetched_jwks(issuer: str, ca_file: Path | None = None) -> dict[str, Any]:
    """The key set that the issuer names.

    Raises:
        InvalidInput: when the address can't be an issuer's, or the key set is none.
        Unavailable: when it does not answer, or names another issuer.
    """
    director = opener(ca_file)
    configuration = checked_url(issuer) + PATH
    status, _, data = exchange(director, urllib.request.Request(configuration))  # noqa: S310 - checked_url
    try:
        found = json.loads(data) if status == 200 else {}
        named, keys = str(found["issuer"]), str(found["jwks_uri"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_issuer(issuer, f"it answered {status}") from error
    if named != issuer:
        raise _no_issuer(issuer, f"it calls itself {plain(named)}")
    if urlsplit(keys).scheme != "https" and urlsplit(keys)[:2] != urlsplit(issuer)[:2]:
        raise _no_issuer(issuer, "its keys are not at an https address")
    status, _, data = exchange(director, urllib.request.Request(keys))  # noqa: S310 - checked just above
    if status != 200:
        raise _no_issuer(issuer, f"its keys answered {status}")
    return read_jwks(data, keys)


def _no_issuer(issuer: str, why: str) -> Unavailable:
    return Unavailable(
        f"{plain(issuer)} does not tell its keys ({why}).",
        not_done="Nothing was changed.",
        advice="Give the exact `iss` of its tokens, or the key set with --jwks.",
        code="no_issuer",
    )
