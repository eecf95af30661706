"""What the stack says of itself: its outputs, read and checked.

describe_stacks ──▶ {OutputKey: OutputValue} ──▶ Outputs ──▶ policies (functions), environment (render)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

REQUIRED: Final = (
    "Stage", "PublicUrl", "Table", "TableArn", "IncomingBucket", "IncomingBucketArn", "RecordingsBucket",
    "RecordingsBucketArn", "StateMachine", "DueQueue", "DueQueueArn", "NoticesQueue", "NoticesQueueArn",
    "WakeQueuePrefix", "WakeRole", "ApprovalKeys", "SealKeys", "WrappingKey", "DataKey", "CookieSecret",
    "CookieSecretArn", "Issuer", "IssuerClient",
)  # fmt: skip
"""Outputs that every deployment has."""

TOGETHER: Final = (
    ("MailFrom", "MailConfiguration"),
    ("SlackSecret", "SlackSecretArn"),
    ("IssuerSecret", "IssuerSecretArn"),
)
"""Outputs of which both are there or none."""

NOT_SETTINGS: Final = frozenset(
    {
        "Stage", "TableArn", "IncomingBucketArn", "RecordingsBucketArn", "DueQueueArn", "NoticesQueueArn", "DataKey",
        "CookieSecretArn", "IssuerSecretArn", "SlackSecretArn", "SignInDomain", "UserPoolId", "AuditorRole",
        "AthenaWorkgroup", "AthenaDatabase", "AlarmsTopic",
    }
)  # fmt: skip
"""Outputs for policies and for people; every other one is a setting of the functions."""

PREFIX: Final = "TWOKEYS_"
"""Of the settings' names in the functions' environment."""

_DONE: Final = re.compile(r"(CREATE|UPDATE|IMPORT)_COMPLETE|UPDATE_ROLLBACK_COMPLETE")
_ARN: Final = re.compile(r"arn:(aws[a-z-]*):dynamodb:([a-z0-9-]+):(\d{12}):table/.+")


@dataclass(frozen=True, slots=True)
class Outputs:
    """A stack's outputs by name.

    Args:
        values: As CloudFormation has them; an optional one that is not in use is not there.

    Raises:
        ValueError: naming every one that is missing.
    """

    values: Mapping[str, str]

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED if not self.values.get(name)]
        for pair in TOGETHER:
            if 0 < sum(name in self.values for name in pair) < len(pair):
                missing += [name for name in pair if name not in self.values]
        if missing:
            raise ValueError(f"the stack has no output {', '.join(missing)}")
        if not _ARN.fullmatch(self["TableArn"]):
            raise ValueError("the output TableArn is no table's ARN")

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def keys_of(self, name: str) -> list[str]:
        """A list of keys; the first one signs."""
        return self[name].split(",")

    def arn(self, service: str, rest: str) -> str:
        """An ARN in the stack's partition, region and account."""
        found = _ARN.fullmatch(self["TableArn"])
        assert found is not None, "checked when made"  # noqa: S101
        partition, region, account = found.groups()
        return f"arn:{partition}:{service}:{region}:{account}:{rest}"

    @property
    def region(self) -> str:
        """The stack's region."""
        return self["TableArn"].split(":")[3]

    def environment(self) -> dict[str, str]:
        """The functions' settings: `PublicUrl` is ``TWOKEYS_PUBLIC_URL``."""
        return {
            PREFIX + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper(): value
            for name, value in sorted(self.values.items())
            if name not in NOT_SETTINGS and value
        }


def read_outputs(stack: str, region: str | None, client: Any = None) -> Outputs:
    """Ask CloudFormation.

    Args:
        stack: The stack's name.
        region: Where it is; None: where the caller's AWS configuration says.
        client: boto3's for CloudFormation; None: made.

    Raises:
        click.ClickException: when it can't be asked, or the stack is not whole.
    """
    try:
        asked = client or boto3.client("cloudformation", region_name=region)
        (found,) = asked.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(f"The stack {stack} can't be asked, and nothing was written: {error}") from error
    if not _DONE.fullmatch(status := found["StackStatus"]):
        raise click.ClickException(f"The stack {stack} is {status}, and nothing was written. Wait, or mend it first.")
    try:
        return Outputs({one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])})
    except ValueError as error:
        raise click.ClickException(
            f"Nothing was written: {error}. Is it the stack of `python -m infra.template`, and as new as this checkout?"
        ) from error
