"""What the stage's environment may say: all of it or nothing, and one kind of access token."""

from __future__ import annotations

import pytest

from control_plane.chalicelib.adapters.aws.settings import read_settings
from twokeys.errors import Refused

WHOLE = {
    "TWOKEYS_PUBLIC_URL": "https://twokeys.example.com",
    "TWOKEYS_TABLE": "twokeys-test",
    "TWOKEYS_INCOMING_BUCKET": "twokeys-test-incoming",
    "TWOKEYS_RECORDINGS_BUCKET": "twokeys-test-recordings",
    "TWOKEYS_STATE_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:twokeys-test-timer",
    "TWOKEYS_DUE_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/twokeys-test-due",
    "TWOKEYS_NOTICES_QUEUE": "https://sqs.us-east-1.amazonaws.com/123456789012/twokeys-test-notices",
    "TWOKEYS_WAKE_QUEUE_PREFIX": "twokeys-test-wake-",
    "TWOKEYS_WAKE_ROLE": "arn:aws:iam::123456789012:role/twokeys-test-wake",
    "TWOKEYS_APPROVAL_KEYS": "arn:aws:kms:us-east-1:123456789012:key/a,arn:aws:kms:us-east-1:123456789012:key/b",
    "TWOKEYS_SEAL_KEYS": "arn:aws:kms:us-east-1:123456789012:key/c",
    "TWOKEYS_WRAPPING_KEY": "arn:aws:kms:us-east-1:123456789012:key/d",
    "TWOKEYS_COOKIE_SECRET": "twokeys-test/cookie",
    "TWOKEYS_ISSUER": "https://issuer.example.com",
    "TWOKEYS_ISSUER_CLIENT": "twokeys-web",
}
"""An environment as it is rendered from the stack's outputs, with nothing optional."""


def test_a_whole_environment_is_read() -> None:
    settings = read_settings({**WHOLE, "PATH": "/usr/bin"})
    assert settings.approval_keys[1].endswith("key/b")
    assert (settings.issuer_tokens, settings.issuer_cli_ports, settings.mail_from) == ("at+jwt", [], "")
    more = {"TWOKEYS_ISSUER_TOKENS": "cognito", "TWOKEYS_ISSUER_CLI_PORTS": "49152,49153",
            "TWOKEYS_ISSUER_MAX_AGE_SECONDS": "900"}  # fmt: skip
    settings = read_settings({**WHOLE, **more})
    assert (settings.issuer_tokens, settings.issuer_cli_ports) == ("cognito", [49152, 49153])
    assert settings.issuer_max_age_seconds == 900


@pytest.mark.parametrize("missing", sorted(WHOLE))
def test_what_is_missing_is_named(missing: str) -> None:
    for left in ({name: value for name, value in WHOLE.items() if name != missing}, {**WHOLE, missing: ""}):
        with pytest.raises(Refused, match=missing):
            read_settings(left)


@pytest.mark.parametrize(
    "changes",
    [{"ISSUER_TOKENS": "any"}, {"ISSUER_TOKENS": "at+jwt,cognito"}, {"ISSUER_CLI_PORTS": "0"},
     {"ISSUER_CLI_PORTS": "a"}, {"ISSUER_MAX_AGE_SECONDS": "-1"}, {"APPROVAL_KEYS": ","}],
)  # fmt: skip
def test_what_can_t_be_meant_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(Refused, match="incomplete"):
        read_settings({**WHOLE, **{f"TWOKEYS_{name}": value for name, value in changes.items()}})
