"""Calls that the functions' code really makes of AWS, as IAM would see them: actions, resources, condition keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import boto3

from control_plane.chalicelib.adapters.aws.clients import Clients
from tests.support.cfn_patches import ACCOUNT, REGION

Asked = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A permission that a call needs; context as `Deployed.may` takes it."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


class Watched:
    """Clients of one function that remember what was asked of them."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.clients = Clients(self._make)

    def _make(self, service: str, **more: Any) -> Any:
        made = boto3.client(service, region_name=REGION, **more)
        made.meta.events.register("before-parameter-build.*.*", self._see)
        return made

    def _see(self, params: Asked, model: Any, **more: Any) -> None:
        service = str(model.service_model.service_name)
        self.wanted += list(permissions(service, str(model.name), params))


def permissions(service: str, operation: str, asked: Asked) -> Iterator[Wanted]:
    """What IAM asks for. Raises NotImplementedError for a call that is not written here: it must be judged first."""
    match service, operation:
        case "dynamodb", "GetItem":
            yield Wanted("dynamodb:GetItem", _table(asked["TableName"]))
        case "dynamodb", "Query":
            index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
            yield Wanted("dynamodb:Query", _table(asked["TableName"]) + index)
        case "dynamodb", "TransactWriteItems":
            for item in asked["TransactItems"]:
                yield from _written(item)
        case "kms", "Sign":
            context = {"kms__SigningAlgorithm": asked["SigningAlgorithm"], "kms__MessageType": asked["MessageType"]}
            yield Wanted("kms:Sign", asked["KeyId"], context)
        case "kms", "Decrypt":
            yield Wanted("kms:Decrypt", asked["KeyId"], {"kms__EncryptionAlgorithm": asked["EncryptionAlgorithm"]})
        case "kms", "GetPublicKey":
            yield Wanted("kms:GetPublicKey", asked["KeyId"])
        case "s3", _:
            yield from _stored(operation, asked)
        case "sqs", "CreateQueue" | "GetQueueUrl":
            yield Wanted(f"sqs:{operation}", _queue(asked["QueueName"]))
        case "sqs", "SendMessage" | "ReceiveMessage" | "DeleteMessage" | "DeleteQueue":
            yield Wanted(f"sqs:{operation}", _queue(asked["QueueUrl"].rpartition("/")[2]))
        case "stepfunctions", "StartExecution":
            yield Wanted("states:StartExecution", asked["stateMachineArn"])
        case "stepfunctions", "SendTaskSuccess":
            yield Wanted("states:SendTaskSuccess", "*")
        case "secretsmanager", "GetSecretValue":
            arn = boto3.client(service, region_name=REGION).describe_secret(SecretId=asked["SecretId"])["ARN"]
            yield Wanted("secretsmanager:GetSecretValue", arn)
        case "sesv2", "SendEmail":
            context = {"ses__FromAddress": asked["FromEmailAddress"]}
            for resource in ("identity/example.com", f"configuration-set/{asked['ConfigurationSetName']}"):
                yield Wanted("ses:SendEmail", f"arn:aws:ses:{REGION}:{ACCOUNT}:{resource}", context)
        case "sts", "AssumeRole":
            yield Wanted("sts:AssumeRole", asked["RoleArn"])
        case _:
            raise NotImplementedError(f"{service} {operation}")


_ACTIONS: Final = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


def _written(item: Asked) -> Iterator[Wanted]:
    for kind, what in item.items():
        partition = (what.get("Key") or what["Item"])["pk"]["S"]
        context = {"dynamodb__LeadingKeys": partition}
        yield Wanted(f"dynamodb:{_ACTIONS[kind]}", _table(what["TableName"]), context)


def _stored(operation: str, asked: Asked) -> Iterator[Wanted]:
    bucket = f"arn:aws:s3:::{asked['Bucket']}"
    data_key = {"kms__ViaService": f"s3.{REGION}.amazonaws.com"}
    match operation:
        case "HeadBucket":
            yield Wanted("s3:ListBucket", bucket)
        case "GetObject" | "HeadObject":
            action = "s3:GetObjectVersion" if "VersionId" in asked else "s3:GetObject"
            yield Wanted(action, f"{bucket}/{asked['Key']}")
            # What is not there is told from what is forbidden.
            yield Wanted("s3:ListBucket", bucket)
            yield Wanted("kms:Decrypt", "data", data_key)
        case "PutObject" | "CopyObject":
            context = {"s3__if_none_match": asked["IfNoneMatch"]} if "IfNoneMatch" in asked else {}
            yield Wanted("s3:PutObject", f"{bucket}/{asked['Key']}", context)
            yield Wanted("kms:GenerateDataKey", "data", data_key)
            if operation == "CopyObject":
                source = asked["CopySource"]
                action = "s3:GetObjectVersion" if "VersionId" in source else "s3:GetObject"
                yield Wanted(action, f"arn:aws:s3:::{source['Bucket']}/{source['Key']}")
        case _:
            raise NotImplementedError(f"s3 {operation}")


def _table(name: str) -> str:
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"


def _queue(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
