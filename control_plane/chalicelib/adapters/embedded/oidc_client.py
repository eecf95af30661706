"""The way from the control plane to the embedded issuer: calls in the process, no loopback HTTP.

Callbacks that waited for a thread of the same server would lock each other out when all threads wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twokeys.errors import Refused

from ...ports.oidc import CliClient, StandardTokens
from .issuer_core import CLI_CLIENT, WEB_CLIENT, Issuer, TokenError


class EmbeddedOidcClient:
    """Implements `ports.oidc.OidcClient` on the embedded issuer."""

    client_id = WEB_CLIENT
    access_tokens = StandardTokens()
    cli = CliClient(CLI_CLIENT)
    max_age_seconds = 0
    """It asks for the passphrase at every sign-in."""

    def __init__(self, issuer: Issuer) -> None:
        """Args: issuer: the one of this deployment."""
        self._issuer = issuer
        self.issuer = issuer.url
        self.authorization_endpoint = f"{issuer.url}/authorize"

    def jwks(self, kid: str = "") -> Mapping[str, Any]:
        return self._issuer.jwks()

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        try:
            tokens = self._issuer.exchange({
                "grant_type": "authorization_code", "code": code, "code_verifier": verifier,
                "redirect_uri": redirect_uri, "client_id": WEB_CLIENT,
            })  # fmt: skip
        except TokenError as error:
            raise Refused(f"The issuer did not take the code ({error.code}).", not_done="You are not signed in.",
                          advice="Sign in again.", code="sign_in_refused") from error  # fmt: skip
        return str(tokens["id_token"])
