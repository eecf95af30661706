"""One secret of AWS Secrets Manager, by botocore, with the credentials that the machine has (role, environment).

Source: AWS Secrets Manager API reference, GetSecretValue; the JSON of database secrets ("username", "password").
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable
from typing import Any, Final

from edge_agent.config import PostgresSection
from edge_agent.credential import Credential
from edge_agent.secret import MAX_SECRET_BYTES, Secret
from twokeys.errors import Refused, Unavailable

CALL_SECONDS: Final = 5
"""Longest wait for a connection, and for an answer; there is one retry."""


def credential_of(section: PostgresSection, tell: Callable[[str], None]) -> Credential | None:
    """The Edge's own password at a target, wherever it is kept; None where the server asks for none. See Credential."""

    async def read() -> Secret:
        if section.upstream_password_secret:
            return await secret_from_aws(section.upstream_password_secret, section.upstream_user)
        return section.upstream_password.read_again()

    return None if section.upstream_trust else Credential(read, section.upstream_password, tell)


async def secret_from_aws(name: str, user: str) -> Secret:
    """Read the password of a role.

    Args:
        name: The secret's ARN or name. Its value is the password, or JSON with "password".
        user: The role; JSON that names another "username" is of something else.

    Raises:
        Refused: AWS does not give it to us, or it is no password of this role.
        Unavailable: AWS can't be reached, or botocore is not installed.
    """
    # botocore blocks: it looks for credentials in files and on the network too.
    value = await asyncio.to_thread(_get, name)
    password = value
    if value.startswith("{"):
        password = _from_json(value, name, user)
    if not password or len(password.encode()) > MAX_SECRET_BYTES or "\0" in password:
        raise _refused(f"The secret {name} holds no password")
    return Secret(password)


def _from_json(value: str, name: str, user: str) -> str:
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        # A password may begin with a brace.
        return value
    if not isinstance(fields, dict) or not isinstance(fields.get("password"), str):
        raise _refused(f'The secret {name} is JSON without a text "password"')
    if fields.get("username", user) != user:
        raise _refused(f"The secret {name} is of another role than {user}")
    return str(fields["password"])


def _get(name: str) -> str:
    try:
        session = importlib.import_module("botocore.session")
        config = importlib.import_module("botocore.config").Config
        errors = importlib.import_module("botocore.exceptions")
    except ImportError as error:
        raise Unavailable(
            "The edge can't ask AWS Secrets Manager.", not_done="No session was begun.",
            advice="Install twokeys[aws].", code="no_botocore",
        ) from error  # fmt: skip
    parts = name.split(":")
    region = parts[3] if len(parts) > 4 and parts[0] == "arn" else None
    wanted = config(connect_timeout=CALL_SECONDS, read_timeout=CALL_SECONDS, retries={"total_max_attempts": 2})
    try:
        client: Any = session.get_session().create_client("secretsmanager", region_name=region, config=wanted)
        try:
            answer = client.get_secret_value(SecretId=name)
        finally:
            client.close()
    except errors.ClientError as error:
        # Its message could hold what was asked; its code is enough.
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        raise _refused(f"AWS Secrets Manager does not give out the secret {name} ({code})") from None
    except errors.BotoCoreError as error:
        raise Unavailable(
            f"AWS Secrets Manager can't be asked ({type(error).__name__}).", not_done="No session was begun.",
            advice="See that the edge has a region, credentials (a role) and a way to AWS.", code="secret_unreachable",
        ) from None  # fmt: skip
    return str(answer.get("SecretString", ""))


def _refused(happened: str) -> Refused:
    return Refused(
        f"{happened}.",
        not_done="No session was begun.",
        advice="See that upstream_password_secret names it, and that the edge's role may call GetSecretValue for it.",
        code="bad_secret",
    )
