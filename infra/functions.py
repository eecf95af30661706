"""What each function may do, from the stack's outputs: one policy each, and no more than its work needs.

    api_handler   the routes: everything people and Edges ask for
    due           ends a Request whose time is over
    notices       tells people: reads, mails; changes nothing but to note a failure
    export        seals and publishes the control plane's own records; the only one that numbers them
    reconcile     what the timers missed

Partitions of the table are those of docs/adr/0010. The keys and the recordings' bucket have policies of their own
(stack.yaml), which hold whatever these say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from infra.outputs import Outputs

Statement = dict[str, Any]
Document = dict[str, Any]

MAX_POLICY_CHARACTERS: Final = 10_240
"""Longest policy in a role, without white space (IAM quotas, "Role inline policy size")."""

REQUEST_ENDS: Final = ("EDGE#*", "NOTES#*", "REQ#*", "WAKE#*")
"""What ending a Request writes: nothing of people, policies, Seals or sessions."""

EXPORT: Final = ("CHAIN", "NOTES#*", "SEAL#*", "SESSION#*", "SOURCE#control-plane")
"""What exporting writes. Alone: the chain of records has one writer."""

ROUTES: Final = (
    "ACCOUNT#*", "EDGE#*", "EDITS", "ISSUERS", "META", "NONCE#*", "NOTES#*", "PEOPLE", "POLICY", "PROPOSAL#*", "REQ#*",
    "SEAL#*", "SESSION#*", "SOURCE#*", "TARGET#*", "TOKEN#*", "WAKE#*", "WEB#*", "WEBS#*",
)  # fmt: skip
"""What the routes write: everything but the chain."""


def policies(outputs: Outputs) -> dict[str, Document]:
    """Each function's policy, by its name in the Chalice stage."""
    makers: dict[str, Callable[[Outputs], list[Statement]]] = {
        "api_handler": _api_handler,
        "due": _due,
        "notices": _notices,
        "export": _export,
        "reconcile": _reconcile,
    }
    return {
        name: {"Version": "2012-10-17", "Statement": [*make(outputs), *_observes(outputs, name)]}
        for name, make in makers.items()
    }


def _api_handler(outputs: Outputs) -> list[Statement]:
    secrets = [outputs[name] for name in ("CookieSecretArn", "IssuerSecretArn") if name in outputs]
    return [
        *_reads_table(outputs),
        _writes_table(outputs, ROUTES),
        *_timers(outputs),
        _wakes(outputs),
        _allow("EdgesQueues", ["sqs:DeleteMessage", "sqs:DeleteQueue", "sqs:ReceiveMessage"], _wake_queues(outputs)),
        _allow("LendsPolling", ["sts:AssumeRole"], outputs["WakeRole"]),
        _allow("Announces", ["sqs:SendMessage"], outputs["NoticesQueueArn"]),
        *_stores(outputs, ["lines", "bodies", "commands"], ["lines", "bodies", "seals"]),
        _signs("SignsApprovals", outputs.keys_of("ApprovalKeys")[0]),
        _signs("SignsSeals", outputs.keys_of("SealKeys")[0]),
        _shows_keys(outputs, outputs["WrappingKey"]),
        _allow(
            "Unwraps", ["kms:Decrypt"], outputs["WrappingKey"],
            {"StringEquals": {"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}},
        ),
        _allow("OwnSecrets", ["secretsmanager:GetSecretValue"], secrets),
    ]  # fmt: skip


def _due(outputs: Outputs) -> list[Statement]:
    return [_consumes(outputs["DueQueueArn"]), *_ends_requests(outputs)]


def _reconcile(outputs: Outputs) -> list[Statement]:
    return [*_ends_requests(outputs), *_publishes_again(outputs)]


def _notices(outputs: Outputs) -> list[Statement]:
    statements = [
        _consumes(outputs["NoticesQueueArn"]),
        *_reads_table(outputs),
        _allow("NotesFailures", ["dynamodb:PutItem"], outputs["TableArn"], _partitions(["NOTES#*"])),
    ]
    if "MailFrom" in outputs:
        # An identity is an address or its domain: which one is verified, the sender's address decides.
        resources = [
            outputs.arn("ses", "identity/*"),
            outputs.arn("ses", f"configuration-set/{outputs['MailConfiguration']}"),
        ]
        condition = {"StringEquals": {"ses:FromAddress": outputs["MailFrom"]}}
        statements.append(_allow("Mails", ["ses:SendEmail"], resources, condition))
    if "SlackSecretArn" in outputs:
        statements.append(_allow("Posts", ["secretsmanager:GetSecretValue"], outputs["SlackSecretArn"]))
    return statements


def _export(outputs: Outputs) -> list[Statement]:
    return [
        *_reads_table(outputs),
        _writes_table(outputs, EXPORT),
        *_stores(outputs, ["lines"], ["lines", "seals"]),
        _signs("SignsSeals", outputs.keys_of("SealKeys")[0]),
        _shows_keys(outputs),
    ]


def _ends_requests(outputs: Outputs) -> list[Statement]:
    return [
        *_reads_table(outputs), _writes_table(outputs, REQUEST_ENDS), *_timers(outputs), _wakes(outputs),
    ]  # fmt: skip


def _reads_table(outputs: Outputs) -> list[Statement]:
    table = outputs["TableArn"]
    return [
        _allow("Reads", ["dynamodb:GetItem", "dynamodb:Query"], [table, f"{table}/index/lists"]),
        _allow("TableIsEncrypted", ["kms:Decrypt", "kms:DescribeKey"], outputs["DataKey"], _via(outputs, "dynamodb")),
    ]


def _writes_table(outputs: Outputs, partitions: Sequence[str]) -> Statement:
    # TransactWriteItems is permitted by the actions it is made of.
    actions = ["dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    return _allow("Writes", actions, outputs["TableArn"], _partitions(partitions))


def _partitions(names: Sequence[str]) -> dict[str, Any]:
    return {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(names)}, "Null": {"dynamodb:LeadingKeys": "false"}}


def _timers(outputs: Outputs) -> list[Statement]:
    return [
        _allow("StartsTimers", ["states:StartExecution"], outputs["StateMachine"]),
        # IAM knows no resource for it: who has a token may use it.
        _allow("EndsTimers", ["states:SendTaskSuccess"], "*"),
    ]


def _wake_queues(outputs: Outputs) -> str:
    return outputs.arn("sqs", f"{outputs['WakeQueuePrefix']}*")


def _wakes(outputs: Outputs) -> Statement:
    return _allow("Wakes", ["sqs:CreateQueue", "sqs:GetQueueUrl", "sqs:SendMessage"], _wake_queues(outputs))


def _consumes(queue: str) -> Statement:
    actions = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    return _allow("Consumes", actions, queue)


def _stores(outputs: Outputs, incoming: Sequence[str], published: Sequence[str]) -> list[Statement]:
    """Takes uploads and publishes them: makes, reads, and neither deletes nor touches retention."""
    arriving, recordings = outputs["IncomingBucketArn"], outputs["RecordingsBucketArn"]
    return [
        _allow("TakesUploads", ["s3:GetObject", "s3:PutObject"], [f"{arriving}/{name}/*" for name in incoming]),
        _allow(
            "Publishes", ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"],
            [f"{recordings}/{name}/*" for name in published],
        ),
        # Without it S3 answers "forbidden" for what is not there.
        _allow("SeesWhatIsThere", ["s3:ListBucket"], [arriving, recordings]),
        _allow(
            "BucketsAreEncrypted", ["kms:Decrypt", "kms:GenerateDataKey"], outputs["DataKey"], _via(outputs, "s3")
        ),
    ]  # fmt: skip


def _publishes_again(outputs: Outputs) -> list[Statement]:
    """Ends a publishing that was cut off: copies what was uploaded and sealed, and takes no uploads itself."""
    arriving = [f"{outputs['IncomingBucketArn']}/{name}/*" for name in ("lines", "bodies")]
    stored = _stores(outputs, ["lines", "bodies"], ["lines", "bodies", "seals"])
    kept = [one for one in stored if one["Sid"] != "TakesUploads"]
    return [
        _allow("ReadsUploads", ["s3:GetObject"], arriving), *kept,
        # It notes where a Seal's objects lie, and makes no Seal.
        _allow("NotesPublished", ["dynamodb:UpdateItem"], outputs["TableArn"], _partitions(["SEAL#*"])),
    ]  # fmt: skip


def _signs(sid: str, key: str) -> Statement:
    condition = {"StringEquals": {"kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW"}}
    return _allow(sid, ["kms:Sign"], key, condition)


def _shows_keys(outputs: Outputs, *more: str) -> Statement:
    keys = [*outputs.keys_of("ApprovalKeys"), *outputs.keys_of("SealKeys"), *more]
    return _allow("ShowsPublicKeys", ["kms:GetPublicKey"], keys)


def _via(outputs: Outputs, service: str) -> dict[str, Any]:
    """Only by way of a service: nobody decrypts with the key itself."""
    return {"StringEquals": {"kms:ViaService": f"{service}.{outputs.region}.amazonaws.com"}}


def _observes(outputs: Outputs, function: str) -> list[Statement]:
    # Chalice names the function of the routes after the stage alone.
    name = f"twokeys-{outputs['Stage']}" + ("" if function == "api_handler" else f"-{function}")
    return [
        _allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"],
               outputs.arn("logs", f"log-group:/aws/lambda/{name}:*")),
        _allow("Traces", ["xray:PutTelemetryRecords", "xray:PutTraceSegments"], "*"),
    ]  # fmt: skip


def _allow(
    sid: str, actions: Sequence[str], resources: str | Sequence[str], condition: dict[str, Any] | None = None
) -> Statement:
    listed = [resources] if isinstance(resources, str) else list(resources)
    made: Statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": listed}
    return made | ({"Condition": condition} if condition else {})
