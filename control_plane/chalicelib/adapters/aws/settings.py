"""What the stack tells the functions: its resources, by environment variables that `infra/` renders into the stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from twokeys.errors import Refused

PREFIX: Final = "TWOKEYS_"
"""`TWOKEYS_<FIELD>` for each field of `Settings`, in capitals; a list is separated by commas."""

LISTS: Final = ("_keys", "_ports")
"""Fields whose names end so are lists."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Names of the deployment's resources; nothing in it is secret.

    Args:
        public_url: Where people and Edges reach the control plane, without a slash at the end.
        table: The DynamoDB table.
        incoming_bucket: Uploads that are not sealed yet, and whole Commands; short-lived, no Object Lock.
        recordings_bucket: Segments and Seals; Object Lock, never deleted from.
        state_machine: ARN of the timer of Requests.
        due_queue: URL of the queue that the timer puts due Requests into.
        notices_queue: URL of the queue of Requests that people must be told of.
        wake_queue_prefix: Names of the Edges' queues begin with it (``twokeys-prod-wake-``).
        wake_role: ARN of the role that an Edge gets scoped credentials of, to poll its own queue.
        approval_keys: KMS key ids or ARNs (P-256) for approvals; the first signs, the others only verify.
        seal_keys: The same for Seals.
        wrapping_key: KMS key (RSA, decrypt) that session data keys are wrapped to.
        mail_from: Address that SES sends from; empty: no mail.
        mail_configuration: SES configuration set; empty: none.
        slack_secret: Name of the secret with Slack's token and channel; empty: no Slack.
        cookie_secret: Name of the secret with the 32 bytes that seal sign-ins under way.
        issuer: The OpenID Connect issuer that people sign in with.
        issuer_client: Our client id there, for the web.
        issuer_secret: Name of the secret with the client's secret; empty: a public client with PKCE.
        issuer_cli_client: Client id of `twokeys login`.
        issuer_tokens: The one kind of access token that the API takes: ``at+jwt`` (RFC 9068), or ``cognito``.
        issuer_cli_scope: What `twokeys login` asks for.
        issuer_cli_ports: Loopback ports of its redirect address, for issuers that compare ports; empty: any.
        issuer_max_age_seconds: How long ago people may have proved who they are when they sign in; 0: not asked.
    """

    public_url: _Name
    table: _Name
    incoming_bucket: _Name
    recordings_bucket: _Name
    state_machine: _Name
    due_queue: _Name
    notices_queue: _Name
    wake_queue_prefix: _Name
    wake_role: _Name
    approval_keys: Annotated[list[_Name], msgspec.Meta(min_length=1)]
    seal_keys: Annotated[list[_Name], msgspec.Meta(min_length=1)]
    wrapping_key: _Name
    cookie_secret: _Name
    issuer: _Name
    issuer_client: _Name
    issuer_cli_client: str = ""
    issuer_secret: str = ""
    issuer_tokens: Literal["at+jwt", "cognito"] = "at+jwt"
    issuer_cli_scope: str = "openid"
    issuer_cli_ports: list[Annotated[int, msgspec.Meta(ge=1, le=65535)]] = []
    issuer_max_age_seconds: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 0
    mail_from: str = ""
    mail_configuration: str = ""
    slack_secret: str = ""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of this function.

    Raises:
        Refused: naming every variable that is missing or malformed.
    """
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        text = environment.get(PREFIX + field.name.upper(), "")
        if text:
            values[field.name] = text.split(",") if field.name.endswith(LISTS) else text
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        missing = [
            PREFIX + field.name.upper()
            for field in msgspec.structs.fields(Settings)
            if field.required and field.name not in values
        ]
        what = f"{', '.join(missing)} missing" if missing else str(error)
        raise Refused(f"The stage's environment is incomplete: {what}.", not_done="Nothing was started.",
                      advice="Render the stage from the stack's outputs.", code="bad_settings") from error  # fmt: skip
