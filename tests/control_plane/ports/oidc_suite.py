"""The suite of `ports.oidc`: a client of a real issuer, over real forms and redirects."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

import jwt
import pytest

from control_plane.chalicelib.adapters.embedded.issuer_core import challenge_of
from control_plane.chalicelib.ports.oidc import OidcClient
from control_plane.chalicelib.services.signing_in import SigningIn
from tests.control_plane.pages.site import Browser, Site, fields_of, query_of
from tests.control_plane.world import ManualClock
from twokeys.errors import Refused


@dataclass
class SignInWorld:
    """A running issuer, a client of it, and the clock that both go by.

    Args:
        site: The issuer, with people and their passphrases.
        client: The adapter under test.
        clock: The client's.
    """

    site: Site
    client: OidcClient
    clock: ManualClock

    def answer(self, location: str, person: str = "rob") -> dict[str, str]:
        """What the issuer's redirect brings back when a person signs in at this address."""
        browser = Browser(self.site)
        form = fields_of(browser.get(location).text) | {"name": person, "passphrase": self.site.passphrases[person]}
        return query_of(browser.post("/issuer/authorize", form).location)

    def code(self, verifier: str) -> str:
        """A code for the control plane's own client."""
        asked = {
            "response_type": "code", "scope": "openid", "client_id": self.client.client_id, "state": "s", "nonce": "n",
            "redirect_uri": f"{self.site.url}/callback", "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }  # fmt: skip
        return self.answer(f"{self.client.authorization_endpoint}?{urlencode(asked)}")["code"]


class OidcSuite:
    """Subclass it with a fixture `sign_in`."""

    def test_it_names_the_issuer_and_both_clients(self, sign_in: SignInWorld) -> None:
        client = sign_in.client
        assert client.issuer == f"{sign_in.site.url}/issuer"
        assert client.authorization_endpoint == f"{sign_in.site.url}/issuer/authorize"
        assert (client.client_id, client.cli.client_id) == ("twokeys:control", "twokeys-cli")

    def test_a_person_signs_in(self, sign_in: SignInWorld) -> None:
        signing = SigningIn(sign_in.client, sign_in.site.url, b"k" * 32, lambda: sign_in.clock.now() / 1000)
        location, cookie = signing.begin("/requests")
        done = signing.finish(cookie, sign_in.answer(location))
        assert (done.subject, done.next) == ("rob", "/requests")
        assert done.auth_time == sign_in.clock.now() // 1000

    def test_a_code_is_exchanged_once_and_with_its_verifier_alone(self, sign_in: SignInWorld) -> None:
        redirect, verifier = f"{sign_in.site.url}/callback", secrets.token_urlsafe(48)
        code = sign_in.code(verifier)
        assert sign_in.client.exchange(code, verifier, redirect).count(".") == 2
        for wrong in (
            (code, verifier, redirect),
            (sign_in.code(verifier), secrets.token_urlsafe(48), redirect),
            (sign_in.code(verifier), verifier, "https://evil.example/callback"),
            ("never-seen", verifier, redirect),
        ):
            with pytest.raises(Refused, match="did not take the code"):
                sign_in.client.exchange(*wrong)

    def test_its_keys_verify_what_the_issuer_signs(self, sign_in: SignInWorld) -> None:
        verifier = secrets.token_urlsafe(48)
        token = sign_in.client.exchange(sign_in.code(verifier), verifier, f"{sign_in.site.url}/callback")
        kid = jwt.get_unverified_header(token)["kid"]
        for asked in (kid, "", "unknown"):
            keys = jwt.PyJWKSet.from_dict(dict(sign_in.client.jwks(asked))).keys
            assert [key.key_id for key in keys] == [kid]
        claims = jwt.decode(token, keys[0], algorithms=["ES256"], audience="twokeys:control",
                            options={"verify_exp": False, "verify_iat": False})  # fmt: skip
        assert (claims["sub"], claims["nonce"]) == ("rob", "n")
