"""What each function may do with table, queues, machine, secrets and mail: its work, and not another's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.functions import EXPORT, MAX_POLICY_CHARACTERS, ROUTES
from tests.infra.composed import findings
from tests.infra.deployed import Deployed

FUNCTIONS = ("api_handler", "due", "notices", "export", "reconcile")
ROOT = Path(__file__).parents[2]

WRITES = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem")


def writes(stack: Deployed, who: str, action: str, partition: str) -> bool:
    return stack.may(who, action, stack.outputs["TableArn"], dynamodb__LeadingKeys=partition)


def partitions_of_the_adr() -> set[str]:
    """The `pk` column of docs/adr/0010, ids as ``x``."""
    text = (ROOT / "docs" / "adr" / "0010-one-dynamodb-table.md").read_text("utf-8")
    rows = [line.split("|")[2] for line in text.splitlines() if line.startswith("|") and line.count("|") >= 5]
    found = {name for row in rows[2:] for name in re.findall(r"`([^`]+)`", row)}
    return {re.sub(r"<[^>]*>", "x", name) for name in found}


def test_the_adr_was_read() -> None:
    assert {"REQ#x", "PEOPLE", "CHAIN", "NOTES#x"} <= partitions_of_the_adr()


@pytest.mark.parametrize("action", WRITES)
def test_the_routes_write_every_partition_but_the_chain(stack: Deployed, action: str) -> None:
    for partition in partitions_of_the_adr():
        assert writes(stack, "api_handler", action, partition) is (partition != "CHAIN"), partition


def test_partitions_that_nobody_knows_are_written_by_nobody(stack: Deployed) -> None:
    for who in FUNCTIONS:
        assert not writes(stack, who, "dynamodb:PutItem", "ELSEWHERE")
        assert not stack.may(who, "dynamodb:PutItem", stack.outputs["TableArn"]), "or without saying which"
    known = partitions_of_the_adr()
    for pattern in {*ROUTES, *EXPORT} - {"SOURCE#control-plane"}:
        assert pattern.replace("*", "x") in known, f"{pattern} is in no row of the ADR"


@pytest.mark.parametrize("who", ["due", "reconcile", "notices", "export"])
@pytest.mark.parametrize(
    "partition",
    ["PEOPLE", "POLICY", "PROPOSAL#x", "ACCOUNT#x", "ISSUERS", "TARGET#x", "META", "EDITS", "TOKEN#x", "WEB#x"],
)
def test_workers_change_nothing_that_decides_who_may_what(stack: Deployed, who: str, partition: str) -> None:
    for action in WRITES:
        assert not writes(stack, who, action, partition)


def test_workers_write_what_their_work_is(stack: Deployed) -> None:
    for who in ("due", "reconcile"):
        for partition in ("REQ#x", "EDGE#x", "WAKE#x", "NOTES#x"):
            assert writes(stack, who, "dynamodb:UpdateItem", partition)
        assert not writes(stack, who, "dynamodb:PutItem", "CHAIN")
        assert not writes(stack, who, "dynamodb:PutItem", "SEAL#x")
    for partition in ("CHAIN", "NOTES#x", "SEAL#x", "SOURCE#control-plane"):
        assert writes(stack, "export", "dynamodb:PutItem", partition)
    assert not writes(stack, "export", "dynamodb:PutItem", "SOURCE#edge-1"), "an Edge's seals are not its own"
    assert not writes(stack, "export", "dynamodb:UpdateItem", "REQ#x")


def test_telling_people_changes_nothing_but_to_note_a_failure(stack: Deployed) -> None:
    assert writes(stack, "notices", "dynamodb:PutItem", "NOTES#3")
    for action in WRITES[1:]:
        assert not writes(stack, "notices", action, "NOTES#3"), "what was noted is not taken back"
    assert not writes(stack, "notices", "dynamodb:PutItem", "REQ#x")


@pytest.mark.parametrize("who", FUNCTIONS)
@pytest.mark.parametrize(
    "action",
    [
        "dynamodb:Scan", "dynamodb:DeleteTable", "dynamodb:UpdateTable", "dynamodb:UpdateTimeToLive",
        "dynamodb:UpdateContinuousBackups", "dynamodb:BatchWriteItem", "dynamodb:PartiQLUpdate",
        "dynamodb:PutResourcePolicy", "dynamodb:ExportTableToPointInTime",
    ],
)  # fmt: skip
def test_no_function_touches_the_table_itself(stack: Deployed, who: str, action: str) -> None:
    assert not stack.may(who, action, stack.outputs["TableArn"], dynamodb__LeadingKeys="NOTES#1")


@pytest.mark.parametrize("who", FUNCTIONS)
def test_every_function_reads_the_table_and_its_index(stack: Deployed, who: str) -> None:
    table = stack.outputs["TableArn"]
    assert stack.may(who, "dynamodb:GetItem", table)
    assert stack.may(who, "dynamodb:Query", f"{table}/index/lists")
    assert not stack.may(who, "dynamodb:GetItem", f"{table}-other")


# --- the state machine


def machine_updates() -> list[list[str]]:
    """The attributes that each of the machine's updates of the table names."""
    machine = json.loads((ROOT / "infra" / "state_machine.asl.json").read_text("utf-8"))
    uses = [one["Parameters"] for one in machine["States"].values() if "dynamodb" in one.get("Resource", "")]
    assert all("updateItem" in one["Resource"] for one in machine["States"].values() if "TableName" in str(one))
    return [_attributes(one) for one in uses]


def _attributes(update: dict[str, Any]) -> list[str]:
    assert "ReturnValues" not in update
    names = dict(update.get("ExpressionAttributeNames", {}))
    words = set(
        re.findall(r"(?<![:#\w])#?[A-Za-z_]\w*", f"{update['UpdateExpression']} {update['ConditionExpression']}")
    )
    words -= {"SET", "REMOVE", "AND", "OR", "NOT", "attribute_exists", "attribute_not_exists"}
    return sorted({names.get(word, word) for word in words} | set(update["Key"]))


def test_the_machine_keeps_its_token_beside_the_request(stack: Deployed) -> None:
    table = stack.outputs["TableArn"]
    assert machine_updates()
    for named in machine_updates():
        assert "token" in named
        keys = {"dynamodb__LeadingKeys": "REQ#x", "dynamodb__Attributes": named}
        assert stack.may("timer", "dynamodb:UpdateItem", table, **keys), named


@pytest.mark.parametrize("attribute", ["state", "votes", "approval", "outcome", "ttl", "list_pk", "revision"])
def test_the_machine_can_touch_nothing_of_the_request(stack: Deployed, attribute: str) -> None:
    """The table's conditional writes by the functions are the only arbiter."""
    table, keys = stack.outputs["TableArn"], {"dynamodb__LeadingKeys": "REQ#x"}
    named = [*machine_updates()[0], attribute]
    assert not stack.may("timer", "dynamodb:UpdateItem", table, **keys, dynamodb__Attributes=named)
    assert not stack.may("timer", "dynamodb:UpdateItem", table, **keys)
    assert not stack.may("timer", "dynamodb:PutItem", table, **keys, dynamodb__Attributes=named)
    assert not stack.may("timer", "dynamodb:GetItem", table, **keys)
    people = {"dynamodb__LeadingKeys": "PEOPLE", "dynamodb__Attributes": machine_updates()[0]}
    assert not stack.may("timer", "dynamodb:UpdateItem", table, **people)


def test_the_machine_reminds_and_sends_nothing_else(stack: Deployed) -> None:
    assert stack.may("timer", "sqs:SendMessage", stack.outputs["DueQueueArn"])
    assert not stack.may("timer", "sqs:SendMessage", stack.outputs["NoticesQueueArn"])
    assert not stack.may("timer", "sqs:ReceiveMessage", stack.outputs["DueQueueArn"])


@pytest.mark.parametrize("who", FUNCTIONS)
def test_timers_are_started_and_ended_by_who_moves_requests(stack: Deployed, who: str) -> None:
    moves = who in {"api_handler", "due", "reconcile"}
    machine = stack.outputs["StateMachine"]
    assert stack.may(who, "states:StartExecution", machine) is moves
    assert stack.may(who, "states:SendTaskSuccess", machine) is moves
    for action in ("states:UpdateStateMachine", "states:DeleteStateMachine", "states:StopExecution"):
        assert not stack.may(who, action, machine)
    assert not stack.may(who, "states:StartExecution", f"{machine}-other")
    assert not stack.may(who, "iam:PassRole", stack.role("timer"))


# --- queues


@pytest.mark.parametrize(("queue", "reader"), [("DueQueueArn", "due"), ("NoticesQueueArn", "notices")])
@pytest.mark.parametrize("who", FUNCTIONS)
def test_each_queue_is_read_by_its_worker_alone(stack: Deployed, queue: str, reader: str, who: str) -> None:
    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"):
        assert stack.may(who, action, stack.outputs[queue]) is (who == reader)
    assert not stack.may(who, "sqs:PurgeQueue", stack.outputs[queue])


def test_queues_are_written_by_who_has_something_to_say(stack: Deployed) -> None:
    assert stack.may("api_handler", "sqs:SendMessage", stack.outputs["NoticesQueueArn"])
    for who in FUNCTIONS:
        assert not stack.may(who, "sqs:SendMessage", stack.outputs["DueQueueArn"]), "only the machine reminds"
        wake = stack.outputs["DueQueueArn"].replace("-due", "-wake-edge-1")
        assert stack.may(who, "sqs:SendMessage", wake) is (who in {"api_handler", "due", "reconcile"})
        assert stack.may(who, "sqs:DeleteQueue", wake) is (who == "api_handler"), "an Edge is revoked there"


@pytest.mark.parametrize("who", ["administrator", *FUNCTIONS, "timer"])
def test_queues_and_alarms_are_not_spoken_to_without_tls(stack: Deployed, who: str) -> None:
    for name in ("DueQueueArn", "NoticesQueueArn"):
        for queue in (stack.outputs[name], f"{stack.outputs[name]}-dead"):
            for action in ("sqs:SendMessage", "sqs:ReceiveMessage"):
                assert not stack.may(who, action, queue, aws__SecureTransport="false")
    assert not stack.may(who, "sns:Publish", stack.outputs["AlarmsTopic"], aws__SecureTransport="false")


# --- secrets, mail, and what is no function's business


@pytest.mark.parametrize(
    ("secret", "reader"),
    [("CookieSecretArn", "api_handler"), ("IssuerSecretArn", "api_handler"), ("SlackSecretArn", "notices")],
)
@pytest.mark.parametrize("who", FUNCTIONS)
def test_each_secret_is_read_by_who_uses_it(stack: Deployed, secret: str, reader: str, who: str) -> None:
    assert stack.may(who, "secretsmanager:GetSecretValue", stack.outputs[secret]) is (who == reader)
    assert not stack.may(who, "secretsmanager:PutSecretValue", stack.outputs[secret])


@pytest.mark.parametrize("who", FUNCTIONS)
def test_mail_is_sent_by_one_worker_from_one_address(stack: Deployed, who: str) -> None:
    identity = "arn:aws:ses:us-east-1:123456789012:identity/example.com"
    ours = {"ses__FromAddress": "twokeys@example.com"}
    assert stack.may(who, "ses:SendEmail", identity, **ours) is (who == "notices")
    assert not stack.may(who, "ses:SendEmail", identity, ses__FromAddress="ann@example.com")
    assert not stack.may(who, "ses:SendRawEmail", identity, **ours)


@pytest.mark.parametrize("who", FUNCTIONS)
def test_a_function_writes_its_own_log_and_no_other(stack: Deployed, who: str) -> None:
    def log(name: str) -> str:
        return f"arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/twokeys-prod{name}:log-stream:x"

    names = {"api_handler": "", **{name: f"-{name}" for name in FUNCTIONS[1:]}}
    for name, suffix in names.items():
        assert stack.may(who, "logs:PutLogEvents", log(suffix)) is (name == who)
    assert not stack.may(who, "logs:DeleteLogStream", log(names[who]))


@pytest.mark.parametrize("who", FUNCTIONS)
@pytest.mark.parametrize(
    "action",
    ["iam:PutRolePolicy", "iam:PassRole", "lambda:UpdateFunctionCode", "lambda:InvokeFunction", "kms:CreateKey"],
)
def test_no_function_changes_functions_or_roles(stack: Deployed, who: str, action: str) -> None:
    assert not stack.may(who, action, "*")


@pytest.mark.parametrize("who", FUNCTIONS)
def test_policies_fit_into_a_role_and_name_actions_that_exist(stack: Deployed, who: str) -> None:
    document = stack.functions[who]
    assert len(json.dumps(document, separators=(",", ":"))) < MAX_POLICY_CHARACTERS
    template = {
        "Resources": {
            "Policy": {
                "Type": "AWS::IAM::RolePolicy",
                "Properties": {"RoleName": "twokeys-prod-x", "PolicyName": "x", "PolicyDocument": document},
            }
        }
    }
    assert findings(json.dumps(template), "us-east-1") == []


def test_only_what_has_no_resource_is_allowed_on_everything(stack: Deployed) -> None:
    without = {"states:SendTaskSuccess", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}
    for document in stack.functions.values():
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            assert not any("*" in action for action in statement["Action"])
            if "*" in statement["Resource"]:
                assert set(statement["Action"]) <= without


def test_the_machine_is_run_by_step_functions_for_itself_alone(stack: Deployed) -> None:
    trust = stack.policy_of(stack.role("timer"))
    assert trust is not None
    (statement,) = trust["Statement"]
    assert statement["Principal"] == {"Service": "states.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": stack.outputs["StateMachine"]},
    }
