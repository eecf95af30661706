"""CloudFormation on moto as far as our stack needs it: every type really made, an unknown one refused.

moto passes over types and properties that it does not know, and says CREATE_COMPLETE; a green stack would prove
nothing. Here each type is made by calls of the service's own API (`tests.support.cfn_types`), so botocore checks the
shape of what the template says, and moto's parser only resolves references and conditions.

What stays unproven: that AWS takes every value (cfn-lint looks after most), updates, deletion.
"""

from __future__ import annotations

import functools
import json
from typing import Any, Final

import boto3
import moto.cloudformation.parsing as parsing
import moto.s3.models as s3
import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.responses import S3Response

from tests.support.cfn_types import TYPES, Attributes, Client, Known

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"


class Made:
    """A resource of a stack, as moto's parser asks for it."""

    def __init__(self, physical_id: str, attributes: Attributes) -> None:
        self.physical_resource_id = physical_id
        self._attributes = attributes

    def get_cfn_attribute(self, name: str) -> str:
        """Fn::GetAtt. Raises KeyError for what the type does not have."""
        return self._attributes[name]

    def is_created(self) -> bool:
        """At once."""
        return True


def patch_cloudformation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stacks make our types, and no others, until the test ends."""

    @functools.cache
    def client(service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    def type_named(name: str) -> type[Made]:
        if name not in TYPES:
            raise NotImplementedError(f"{name} is in the stack, and tests.support.cfn_types can't make it")
        return _class_of(TYPES[name], client)

    monkeypatch.setattr(parsing, "resource_class_from_type", type_named)
    monkeypatch.setattr(parsing, "resource_name_property_from_type", lambda name: None)
    read_bucket_policies_without_conditions(monkeypatch)
    copy_into_locked_buckets(monkeypatch)


def copy_into_locked_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where retention is the bucket's default, moto wants a body's checksum; a copy inside S3 has no body to sum."""
    put = S3Response._key_response_put

    def put_or_copy(handler: S3Response, query: dict[str, Any], key_name: str) -> Any:
        if "x-amz-copy-source" not in handler.headers or "partNumber" in query:
            return put(handler, query, key_name)
        handler._set_action("KEY", "PUT", query)
        handler._authenticate_and_authorize_s3_action(bucket_name=handler.bucket_name, key_name=key_name)
        return handler.copy_object()

    monkeypatch.setattr(S3Response, "_key_response_put", put_or_copy)


def read_bucket_policies_without_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto holds bucket policies against calls, and takes a condition it can't judge for true of none: all denied.

    What is denied without a condition stays so; conditions are judged by `tests.infra.policy_evaluator`.
    """

    def permission(bucket: s3.FakeBucket, action: str, resource: str) -> PermissionResult:
        read = json.loads(bucket.policy) if bucket.policy else {"Statement": []}
        plain = [one for one in read["Statement"] if "Condition" not in one]
        policy = IAMPolicy({"policy_document": json.dumps({**read, "Statement": plain})})
        return policy.is_action_permitted(action, resource)

    monkeypatch.setattr(s3.FakeBucket, "get_permission", permission)


def _class_of(known: Known, client: Client) -> type[Made]:
    def create(name: str, described: dict[str, Any], account: str, region: str, **more: Any) -> Made:
        return Made(*known.make(described.get("Properties", {}), client))

    return type(
        "Made",
        (Made,),
        {
            "create_from_cloudformation_json": staticmethod(create),
            "has_cfn_attr": staticmethod(lambda name: name in known.attributes),
        },
    )


def create_stack(template: dict[str, Any], name: str = "", **parameters: str) -> dict[str, str]:
    """Make a stack inside `mock_aws`; return its outputs.

    Args:
        template: The whole of it.
        name: The stack's; else as docs/deploy.md has it.
        parameters: Of the stack; others have their defaults.

    Raises:
        NotImplementedError: for a type that nothing here can make, before anything is made.
    """
    unknown = sorted({one["Type"] for one in template["Resources"].values()} - TYPES.keys())
    if unknown:
        raise NotImplementedError(f"{', '.join(unknown)}: tests.support.cfn_types can't make it")
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    stack = name or f"twokeys-{parameters['Stage']}"
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    if described["StackStatus"] != "CREATE_COMPLETE":
        raise AssertionError(described["StackStatus"])
    return {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
