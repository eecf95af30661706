"""What a control plane tells whoever wants to sign in there, before any sign-in: `GET /.well-known/twokeys`.

Public, and no secret: which issuer vouches for its people, and how the command line is known there (RFC 8615 for the
place, RFC 8252 for the loopback redirect).
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from twokeys.errors import InvalidInput

PATH: Final = "/.well-known/twokeys"
"""Below the control plane's address."""

MAX_BYTES: Final = 16 * 1024
"""Longest answer that is read."""

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class SignInFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How to sign in from a command line. Unknown fields are a newer version's and are left alone.

    Args:
        issuer: The OpenID Connect issuer.
        client_id: The public client of the command line there.
        scope: What to ask for; contains ``openid``.
        ports: Loopback ports that the redirect address may have; empty: any.
    """

    issuer: _Text
    client_id: _Text
    scope: _Text = "openid"
    ports: Annotated[list[_Port], msgspec.Meta(max_length=16)] = []


def read_facts(data: bytes) -> SignInFacts:
    """What was answered.

    Raises:
        InvalidInput: when it is too long or malformed.
    """
    try:
        if len(data) > MAX_BYTES:
            raise msgspec.DecodeError("too long")
        return msgspec.json.decode(data, type=SignInFacts)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput("What the control plane tells about signing in can't be read.",
                           not_done="You are not signed in.", code="bad_discovery") from error  # fmt: skip
