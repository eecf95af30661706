"""What of a stack can be reached with the credentials at hand: one line for each resource, nothing changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.deployment import issuer_of
from control_plane.chalicelib.adapters.aws.errors import told
from control_plane.chalicelib.adapters.aws.secret_values import SecretValues
from control_plane.chalicelib.adapters.aws.settings import Settings
from control_plane.chalicelib.ports.clock import Clock
from twokeys.errors import TwokeysError, Unavailable

_NOT_DONE = "It was not looked at."


@dataclass(frozen=True, slots=True)
class Found:
    """One resource: what it is, its name, and what is wrong with it; empty when nothing is."""

    what: str
    name: str
    problem: str = ""


def check(settings: Settings, clients: Clients, clock: Clock) -> list[Found]:
    """Look at every resource of the settings once."""
    return [_looked(what, name, look) for what, name, look in _Looks(settings, clients, clock).all()]


def _looked(what: str, name: str, look: Callable[[], object]) -> Found:
    try:
        look()
    except TwokeysError as error:
        return Found(what, name, " ".join(part for part in (error.happened, error.advice) if part))
    return Found(what, name)


class _Looks:
    def __init__(self, settings: Settings, clients: Clients, clock: Clock) -> None:
        self._settings, self._clients, self._clock = settings, clients, clock
        self._secrets = SecretValues(clients, clock)

    def all(self) -> Iterable[tuple[str, str, Callable[[], object]]]:
        """What to look at, in the order in which a Request would meet it."""
        settings = self._settings
        yield "public address", settings.public_url, self._public_url
        yield "table", settings.table, self._table
        for bucket in (settings.incoming_bucket, settings.recordings_bucket):
            yield "bucket", bucket, self._call("s3", "head_bucket", Bucket=bucket)
        yield "object lock", settings.recordings_bucket, self._object_lock
        for queue in (settings.due_queue, settings.notices_queue):
            yield "queue", queue, self._call("sqs", "get_queue_attributes", QueueUrl=queue, AttributeNames=["QueueArn"])
        machine = settings.state_machine
        yield "state machine", machine, self._call("stepfunctions", "describe_state_machine", stateMachineArn=machine)
        for key in (*settings.approval_keys, *settings.seal_keys, settings.wrapping_key):
            yield "key", key, self._call("kms", "get_public_key", KeyId=key)
        for secret in filter(None, (settings.cookie_secret, settings.issuer_secret, settings.slack_secret)):
            yield "secret", secret, self._call("secretsmanager", "describe_secret", SecretId=secret)
        role = settings.wake_role.rpartition("/")[2]
        yield "role", settings.wake_role, self._call("iam", "get_role", RoleName=role)
        if settings.mail_from:
            yield "mail sender", settings.mail_from, self._sender
        yield "issuer", settings.issuer, self._issuer

    def _call(self, service: str, method: str, **arguments: Any) -> Callable[[], object]:
        def look() -> object:
            with told(service, _NOT_DONE):
                return getattr(self._clients.of(service), method)(**arguments)

        return look

    def _public_url(self) -> None:
        if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]+)?", self._settings.public_url):
            raise _wrong("It is no https address of a domain's root", "Pages and cookies need the root.")
        if self._settings.public_url.endswith(".invalid"):
            raise _wrong("It is a placeholder", "Give the custom domain to the stack, and render the stage again.")

    def _table(self) -> None:
        with told("DynamoDB", _NOT_DONE):
            found = self._clients.of("dynamodb").describe_table(TableName=self._settings.table)["Table"]
        indexes = {
            one["IndexName"]: one.get("IndexStatus", "ACTIVE") for one in found.get("GlobalSecondaryIndexes", [])
        }
        if found.get("TableStatus") != "ACTIVE" or indexes.get("lists") != "ACTIVE":
            raise _wrong("It or its index `lists` is not active", "Wait for the stack, and look again.")

    def _object_lock(self) -> None:
        with told("S3", _NOT_DONE):
            found = self._clients.of("s3").get_object_lock_configuration(Bucket=self._settings.recordings_bucket)
        configuration = found.get("ObjectLockConfiguration", {})
        retention = configuration.get("Rule", {}).get("DefaultRetention", {})
        if configuration.get("ObjectLockEnabled") != "Enabled" or not (retention.get("Days") or retention.get("Years")):
            raise _wrong("It has no default retention", "Without one recordings can be deleted: look at the stack.")

    def _sender(self) -> None:
        address = self._settings.mail_from
        for identity in (address, address.rpartition("@")[2]):
            try:
                with told("SES", _NOT_DONE):
                    found = self._clients.of("sesv2").get_email_identity(EmailIdentity=identity)
            except Unavailable:
                continue
            if found.get("VerifiedForSendingStatus"):
                return
        raise _wrong("SES has not verified it", "Verify the address or its domain.")

    def _issuer(self) -> None:
        issuer = issuer_of(self._settings, self._secrets, self._clock)
        if not issuer.authorization_endpoint or not issuer.jwks().get("keys"):
            raise _wrong("It shows no keys", "Look after the issuer.")


def _wrong(happened: str, advice: str) -> Unavailable:
    return Unavailable(f"{happened}.", not_done=_NOT_DONE, advice=advice, code="not_ready")
