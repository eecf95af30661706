"""The issuer, as one of its clients sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class OidcClient(Protocol):
    """What the control plane asks of the issuer that its people sign in with."""

    @property
    def issuer(self) -> str:
        """The issuer's identifier: `iss` of every token."""

    @property
    def authorization_endpoint(self) -> str:
        """Where a browser is sent to sign in."""

    @property
    def client_id(self) -> str:
        """Who we are there: the audience of an id_token."""

    def jwks(self) -> Mapping[str, Any]:
        """The issuer's current keys (RFC 7517). Raises Unavailable when it can't be reached."""

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        """Exchange a code for an id_token, not verified yet.

        Raises:
            Refused: when the issuer doesn't take the code.
            Unavailable: when it can't be reached.
        """
