"""The command signs in at the embedded issuer itself, as a script does."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from tests.control_plane.pages.site import running_site
from twokeys.errors import Refused
from twokeys_cli.api import signed_in
from twokeys_cli.login import login


def test_a_passphrase_signs_in_for_the_api_and_a_wrong_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOKEYS_CONFIG", str(tmp_path / "config"))
    with running_site(tmp_path) as site:
        named = ["--issuer", f"{site.url}/issuer", "--client-id", "twokeys-cli"]
        arguments = [site.url, *named, "--name", "rob", "--passphrase-stdin"]
        wrong = CliRunner().invoke(login, arguments, input="wrong\n")
        assert isinstance(wrong.exception, Refused), wrong.output
        result = CliRunner().invoke(login, arguments, input=site.passphrases["rob"] + "\n")
        assert result.exit_code == 0, (result.output, result.exception)
        claims = jwt.decode(signed_in("", None).token, options={"verify_signature": False})
        assert (claims["sub"], claims["aud"]) == ("rob", "twokeys:control")
