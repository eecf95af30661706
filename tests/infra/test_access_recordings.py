"""Recordings are made once, and then only read: whoever asks, by whatever way."""

from __future__ import annotations

import pytest

from tests.infra.deployed import EVERYTHING, Deployed
from tests.infra.policy_evaluator import Call, allowed

EVERYBODY = (
    "api_handler", "due", "notices", "export", "reconcile", "auditor", "wake", "timer", "administrator",
)  # fmt: skip

CREATING = {"s3__if_none_match": "*"}

SEGMENTS = (
    "lines/dt=2026-11-22/agent-7-1.jsonl.gz",
    "bodies/dt=2026-11-22/agent-7-1.bodies",
    "seals/dt=2026-11-22/agent-7-1.json",
)


def recording(stack: Deployed, path: str = SEGMENTS[0]) -> str:
    return f"{stack.outputs['RecordingsBucketArn']}/{path}"


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(
    "action",
    [
        "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectRetention", "s3:BypassGovernanceRetention",
        "s3:PutObjectLegalHold", "s3:PutObjectAcl", "s3:ReplicateDelete",
    ],
)  # fmt: skip
def test_nobody_deletes_a_recording_or_shortens_its_retention(stack: Deployed, who: str, action: str) -> None:
    assert not stack.may(who, action, recording(stack))


@pytest.mark.parametrize("who", [one for one in EVERYBODY if one != "administrator"])
@pytest.mark.parametrize(
    "action",
    [
        "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutBucketPolicy", "s3:PutBucketVersioning",
        "s3:PutBucketObjectLockConfiguration", "s3:PutLifecycleConfiguration", "s3:PutReplicationConfiguration",
        "s3:PutEncryptionConfiguration", "s3:PutBucketPublicAccessBlock",
    ],
)  # fmt: skip
def test_nobody_at_work_changes_the_bucket(stack: Deployed, who: str, action: str) -> None:
    for name in ("RecordingsBucketArn", "IncomingBucketArn"):
        assert not stack.may(who, action, stack.outputs[name])


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("path", SEGMENTS)
def test_nobody_overwrites_a_recording(stack: Deployed, who: str, path: str) -> None:
    """Without the header that makes it fail where something is, a PUT or copy is refused whoever it is from."""
    assert not stack.may(who, "s3:PutObject", recording(stack, path))


@pytest.mark.parametrize("who", EVERYBODY)
def test_recordings_are_made_by_the_routes_and_two_workers_alone(stack: Deployed, who: str) -> None:
    made = stack.may(who, "s3:PutObject", recording(stack), **CREATING)
    assert made is (who in {"api_handler", "export", "reconcile"})


def test_recordings_are_made_only_where_they_belong(stack: Deployed) -> None:
    for who in ("api_handler", "export"):
        assert not stack.may(who, "s3:PutObject", recording(stack, "elsewhere/x"), **CREATING)
    assert stack.may("api_handler", "s3:PutObject", recording(stack, SEGMENTS[1]), **CREATING)
    assert not stack.may("export", "s3:PutObject", recording(stack, SEGMENTS[1]), **CREATING), "it has no bodies"


@pytest.mark.parametrize("who", EVERYBODY)
def test_public_keys_are_put_beside_recordings_once_by_the_owner(stack: Deployed, who: str) -> None:
    keys = recording(stack, "keys.json")
    assert stack.may(who, "s3:PutObject", keys, **CREATING) is (who == "administrator")
    assert not stack.may(who, "s3:PutObject", keys)
    assert not stack.may(who, "s3:DeleteObjectVersion", keys)


@pytest.mark.parametrize("who", EVERYBODY)
def test_nothing_is_read_or_written_without_tls(stack: Deployed, who: str) -> None:
    open_wire = {"aws__SecureTransport": "false"}
    for name in ("RecordingsBucketArn", "IncomingBucketArn"):
        assert not stack.may(who, "s3:GetObject", f"{stack.outputs[name]}/lines/x", **open_wire)
        assert not stack.may(who, "s3:PutObject", f"{stack.outputs[name]}/lines/x", **open_wire, **CREATING)
        assert not stack.may(who, "s3:ListBucket", stack.outputs[name], **open_wire)


def test_uploads_are_created_and_read_by_the_routes(stack: Deployed) -> None:
    """An Edge uploads by addresses that the routes' role signed: its permissions are the Edge's."""
    for kind in ("lines", "bodies", "commands"):
        upload = f"{stack.outputs['IncomingBucketArn']}/{kind}/x"
        assert stack.may("api_handler", "s3:PutObject", upload, **CREATING)
        assert not stack.may("api_handler", "s3:PutObject", upload)
        assert stack.may("api_handler", "s3:GetObject", upload)
        assert not stack.may("api_handler", "s3:DeleteObject", upload)
    assert stack.may("api_handler", "s3:ListBucket", stack.outputs["IncomingBucketArn"])


@pytest.mark.parametrize("who", ["due", "notices", "wake", "timer"])
def test_who_has_nothing_to_do_with_recordings_sees_none(stack: Deployed, who: str) -> None:
    assert not stack.may(who, "s3:GetObject", recording(stack))
    assert not stack.may(who, "s3:GetObject", f"{stack.outputs['IncomingBucketArn']}/commands/x")


def test_the_reconciler_publishes_what_was_sealed_and_takes_no_uploads(stack: Deployed) -> None:
    """Whole Commands are none of its business, and a Seal is noted as published, never made."""
    incoming, table = stack.outputs["IncomingBucketArn"], stack.outputs["TableArn"]
    seal = {"dynamodb:LeadingKeys": ["SEAL#x"]}
    for kind in ("lines", "bodies"):
        assert stack.may("reconcile", "s3:GetObject", f"{incoming}/{kind}/x")
        assert not stack.may("reconcile", "s3:PutObject", f"{incoming}/{kind}/x", **CREATING)
        assert not stack.may("reconcile", "s3:DeleteObject", f"{incoming}/{kind}/x")
    assert not stack.may("reconcile", "s3:GetObject", f"{incoming}/commands/x")
    identity = stack.identity("reconcile")
    for action in ("UpdateItem", "PutItem", "DeleteItem"):
        call = Call(stack.role("reconcile"), f"dynamodb:{action}", table, seal)
        assert allowed(call, identity) is (action == "UpdateItem")


def test_whole_commands_are_hidden_from_auditors(stack: Deployed) -> None:
    """They lie there as reviewers read them; an auditor reads bodies by the way that is recorded."""
    assert not stack.may("auditor", "s3:GetObject", f"{stack.outputs['IncomingBucketArn']}/commands/x")


# --- auditors


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("athena:StartQueryExecution", "arn:aws:athena:us-east-1:123456789012:workgroup/twokeys-prod-audit"),
        ("athena:StopQueryExecution", "arn:aws:athena:us-east-1:123456789012:workgroup/twokeys-prod-audit"),
        ("glue:GetTable", "arn:aws:glue:us-east-1:123456789012:table/twokeys_prod/records"),
        ("glue:GetPartitions", "arn:aws:glue:us-east-1:123456789012:database/twokeys_prod"),
    ],
)
def test_an_auditor_asks(stack: Deployed, action: str, resource: str) -> None:
    assert stack.may("auditor", action, resource)


def test_an_auditor_reads_recordings_and_every_version_of_them(stack: Deployed) -> None:
    for path in (*SEGMENTS, "keys.json"):
        assert stack.may("auditor", "s3:GetObject", recording(stack, path))
        assert stack.may("auditor", "s3:GetObjectVersion", recording(stack, path))
    assert stack.may("auditor", "s3:ListBucketVersions", stack.outputs["RecordingsBucketArn"])


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("athena:StartQueryExecution", "arn:aws:athena:us-east-1:123456789012:workgroup/primary"),
        ("athena:UpdateWorkGroup", "arn:aws:athena:us-east-1:123456789012:workgroup/twokeys-prod-audit"),
        ("glue:CreateTable", "arn:aws:glue:us-east-1:123456789012:table/twokeys_prod/records"),
        ("glue:UpdateTable", "arn:aws:glue:us-east-1:123456789012:table/twokeys_prod/records"),
        ("glue:DeleteTable", "arn:aws:glue:us-east-1:123456789012:table/twokeys_prod/records"),
        ("glue:GetTable", "arn:aws:glue:us-east-1:123456789012:table/payroll/salaries"),
        ("dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:123456789012:table/twokeys-prod"),
        ("dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:123456789012:table/twokeys-prod"),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:123456789012:secret:twokeys-prod/cookie-a"),
        ("sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:twokeys-prod-due"),
        ("states:StartExecution", "arn:aws:states:us-east-1:123456789012:stateMachine:twokeys-prod-timer"),
        ("sts:AssumeRole", "arn:aws:iam::123456789012:role/twokeys-prod-wake"),
        ("iam:PutRolePolicy", "arn:aws:iam::123456789012:role/twokeys-prod-auditor"),
    ],
)
def test_an_auditor_changes_nothing_and_asks_nowhere_else(stack: Deployed, action: str, resource: str) -> None:
    assert not stack.may("auditor", action, resource)


def test_an_auditor_with_more_policies_still_writes_no_recording(stack: Deployed) -> None:
    """Somebody attaches full access to the role: its own denials and the bucket's still hold."""
    identity = [*stack.identity("auditor"), EVERYTHING]
    for action in ("s3:PutObject", "s3:PutBucketPolicy", "s3:RestoreObject", "s3:PutObjectTagging"):
        for resource in (recording(stack), stack.outputs["RecordingsBucketArn"]):
            call = Call(stack.role("auditor"), action, resource, {"s3:if-none-match": "*"})
            assert not allowed(call, identity, stack.policy_of(resource))
    assert not allowed(Call(stack.role("auditor"), "dynamodb:GetItem", stack.outputs["TableArn"]), identity)


def test_results_of_queries_are_kept_where_queries_may_write(stack: Deployed) -> None:
    results = "arn:aws:s3:::twokeys-prod-results-123456789012-us-east-1"
    assert stack.may("auditor", "s3:PutObject", f"{results}/results/x.csv")
    assert not stack.may("auditor", "s3:PutObject", f"{results}/elsewhere/x.csv")
    assert not stack.may("auditor", "s3:PutObject", f"{results}/results/x.csv", aws__SecureTransport="false")
