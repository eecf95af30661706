"""The issuer, as one of its clients sees it, and what its access tokens look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

CONTROL_AUDIENCE: Final = "twokeys:control"
"""Whom an access token of RFC 9068 must be for, and nobody else."""

EDGE_AUDIENCES: Final = "twokeys:edge:"
"""Audiences of Edges begin with it; a token for one opens nothing here, whatever else it says."""


@dataclass(frozen=True, slots=True)
class StandardTokens:
    """Access tokens of RFC 9068: type ``at+jwt``, and the one audience `CONTROL_AUDIENCE`."""


@dataclass(frozen=True, slots=True)
class CognitoTokens:
    """Access tokens of an Amazon Cognito user pool: ``token_use`` is access, no audience, one client.

    Source: Amazon Cognito developer guide, "Understanding the access token".

    Args:
        client_id: The app client of `twokeys login`; tokens of every other client of the pool are refused.
    """

    client_id: str

    def __post_init__(self) -> None:
        # An empty one would take tokens that name no client.
        if not self.client_id:
            raise ValueError("the client of Cognito's access tokens must be named")


AccessTokens = StandardTokens | CognitoTokens
"""The one kind of access token that a deployment takes."""


@dataclass(frozen=True, slots=True)
class CliClient:
    """How `twokeys login` signs in at the issuer.

    Args:
        client_id: The public client of the command line.
        scope: What it asks for.
        ports: Loopback ports of its redirect address, for issuers that compare ports; empty: any.
    """

    client_id: str
    scope: str = "openid"
    ports: tuple[int, ...] = ()


class OidcClient(Protocol):
    """What the control plane asks of the issuer that its people sign in with."""

    @property
    def issuer(self) -> str:
        """The issuer's identifier: `iss` of every token."""

    @property
    def authorization_endpoint(self) -> str:
        """Where a browser is sent to sign in. Raises Unavailable when the issuer can't be asked."""

    @property
    def client_id(self) -> str:
        """Who we are there: the audience of an id_token."""

    @property
    def access_tokens(self) -> AccessTokens:
        """Which access tokens are taken."""

    @property
    def cli(self) -> CliClient:
        """How the command line signs in."""

    @property
    def max_age_seconds(self) -> int:
        """How long ago a person may have proved who they are when a sign-in ends; 0: the issuer's own session rules."""

    def jwks(self, kid: str = "") -> Mapping[str, Any]:
        """The issuer's current keys (RFC 7517).

        Args:
            kid: The key that is looked for: when it is not among those that are known, the issuer is asked again, at
                a limited rate.

        Raises:
            Unavailable: when it can't be reached.
        """

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        """Exchange a code for an id_token, not verified yet.

        Raises:
            Refused: when the issuer doesn't take the code.
            Unavailable: when it can't be reached, or does not take us for its client.
        """
