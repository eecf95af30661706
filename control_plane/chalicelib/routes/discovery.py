"""How to sign in here, for command lines that only know our address."""

from __future__ import annotations

import msgspec
from chalice.app import Blueprint, Response

from twokeys.discovery import PATH, SignInFacts

from ..ports.oidc import OidcClient
from .answers import answer, answers


def blueprint(issuer: OidcClient) -> Blueprint:
    """The route. It asks nobody: whether the issuer answers is for whoever signs in to see."""
    routes = Blueprint(__name__)

    @routes.route(PATH, methods=["GET"])
    @answers
    def how() -> Response:
        cli = issuer.cli
        facts = SignInFacts(issuer=issuer.issuer, client_id=cli.client_id, scope=cli.scope, ports=list(cli.ports))
        return answer(msgspec.to_builtins(facts))

    return routes
