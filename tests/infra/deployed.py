"""The stack as it stands in moto, and the verdicts of its documents as they were deployed."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import boto3
import pytest
from moto import mock_aws

from infra.functions import Document, policies
from infra.outputs import Outputs
from tests.infra.composed import STAGE, fresh
from tests.infra.policy_evaluator import Call, allowed
from tests.support.cfn_patches import ACCOUNT, REGION, create_stack, patch_cloudformation
from tests.support.moto_patches import patch_moto

PARAMETERS: Final = {
    "Stage": STAGE,
    "PublicUrl": "https://twokeys.example.com",
    "MailFrom": "twokeys@example.com",
    "Slack": "yes",
    "AlarmEmail": "ann@example.com",
}

ADMINISTRATOR: Final = f"arn:aws:iam::{ACCOUNT}:role/administrator"
EVERYTHING: Final[Document] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
"""What an administrator's role has."""


@contextmanager
def standing(**parameters: str) -> Iterator[Deployed]:
    """A stack, until the end."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch_moto(patch)
        patch_cloudformation(patch)
        with mock_aws():
            yield Deployed(create_stack(fresh(), **{**PARAMETERS, **parameters}))


class Deployed:
    """A stack's outputs, documents, and who may what by them."""

    def __init__(self, outputs: Mapping[str, str]) -> None:
        self.outputs = Outputs(outputs)
        self.functions = policies(self.outputs)

    @staticmethod
    def client(service: str) -> Any:
        """boto3's."""
        return boto3.client(service, region_name=REGION)

    @staticmethod
    def role(name: str) -> str:
        """ARN of a role of the stage, Chalice's or the stack's."""
        return f"arn:aws:iam::{ACCOUNT}:role/twokeys-{STAGE}-{name}"

    def may(self, who: str, action: str, resource: str, **context: str | Sequence[str]) -> bool:
        """Whether one may do something.

        Args:
            who: A function's or a role's short name, or ``administrator`` (whose role allows everything).
            action: The action.
            resource: ARN.
            context: Condition keys, ``__`` for ``:`` and (S3's) ``_`` for ``-``.
        """
        return self.may_within(None, who, action, resource, **context)

    def may_within(
        self, session: Document | None, who: str, action: str, resource: str, **context: str | Sequence[str]
    ) -> bool:
        """The same in a session that a policy narrows."""
        principal = ADMINISTRATOR if who == "administrator" else self.role(who)
        values = {_key(name): value for name, value in context.items()}
        own = self.policy_of(resource)
        strict = action.startswith("kms:") or action == "sts:AssumeRole"
        call = Call(principal, action, resource, values)
        return allowed(call, self.identity(who), own, session, resource_must_agree=strict)

    def identity(self, who: str) -> Sequence[Document]:
        """Policies of a role."""
        if who == "administrator":
            return [EVERYTHING]
        return [self.functions[who]] if who in self.functions else self.role_policies(who)

    @functools.cache  # noqa: B019 - lives as long as the stack does
    def role_policies(self, who: str) -> Sequence[Document]:
        """Inline policies of a role of the stack."""
        iam, name = self.client("iam"), f"twokeys-{STAGE}-{who}"
        assert not iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        return [
            iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"]
            for one in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]

    @functools.cache  # noqa: B019
    def policy_of(self, resource: str) -> Document | None:
        """A resource's own policy; None when it has none."""
        match resource.split(":", 5):
            case [_, _, "s3", _, _, path]:
                bucket = path.partition("/")[0]
                found: Document = json.loads(self.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
                return found
            case [_, _, "kms", _, _, path]:
                text = self.client("kms").get_key_policy(KeyId=path.removeprefix("key/"), PolicyName="default")
                return _document(text["Policy"])
            case [_, _, "iam", _, _, path]:
                name = path.removeprefix("role/")
                trust: Document = self.client("iam").get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
                return trust
            case [_, _, "sqs", _, _, name] if "-wake-" not in name:
                sqs = self.client("sqs")
                url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
                return _document(
                    sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
                )
            case [_, _, "sns", *_]:
                attributes = self.client("sns").get_topic_attributes(TopicArn=resource)["Attributes"]
                return _document(attributes["Policy"])
        return None


def _document(text: str) -> Document:
    read: Document = json.loads(text)
    return read


def _key(name: str) -> str:
    service, _, rest = name.partition("__")
    return f"{service}:{rest.replace('_', '-') if service == 's3' else rest}"
