"""What an Edge gets of AWS: an hour of polling its own queue, and nothing else."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.wake_access import StsWakeAccess
from control_plane.chalicelib.adapters.aws.wake_queues import WakeQueues
from tests.infra.deployed import Deployed
from tests.support.cfn_patches import ACCOUNT, REGION

EDGES = ("edge-1", "edge-11", "edge-1*", "edge-?", "edge-2.eu", "e" * 120)
"""Ids that are like each other, that are patterns, and that are no queue names."""


def clients() -> Clients:
    def make(service: str, **more: Any) -> Any:
        return boto3.client(service, region_name=REGION, **more)

    return Clients(make)


def session_policy(stack: Deployed, edge_id: str) -> dict[str, Any]:
    access = StsWakeAccess(clients(), stack.outputs["WakeRole"], stack.outputs["WakeQueuePrefix"])
    return access.session_policy(edge_id)


def queue_of(stack: Deployed, edge_id: str) -> str:
    name = WakeQueues(clients(), stack.outputs["WakeQueuePrefix"]).name(edge_id)
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_polls_its_own_queue_and_no_other(stack: Deployed, edge: str) -> None:
    session = session_policy(stack, edge)
    for other in EDGES:
        for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage"):
            assert stack.may_within(session, "wake", action, queue_of(stack, other)) is (other == edge)


@pytest.mark.parametrize(
    "action",
    [
        "sqs:SendMessage", "sqs:DeleteQueue", "sqs:PurgeQueue", "sqs:SetQueueAttributes", "sqs:AddPermission",
        "sqs:CreateQueue", "sqs:ListQueues",
    ],
)  # fmt: skip
def test_an_edge_does_nothing_else_with_its_queue(stack: Deployed, action: str) -> None:
    assert not stack.may_within(session_policy(stack, "edge-1"), "wake", action, queue_of(stack, "edge-1"))
    assert not stack.may("wake", action, queue_of(stack, "edge-1")), "not even without the session's policy"


@pytest.mark.parametrize("output", ["DueQueueArn", "NoticesQueueArn"])
def test_the_role_polls_no_queue_of_the_control_plane(stack: Deployed, output: str) -> None:
    assert not stack.may("wake", "sqs:ReceiveMessage", stack.outputs[output])


def test_polling_needs_tls(stack: Deployed) -> None:
    session = session_policy(stack, "edge-1")
    queue = queue_of(stack, "edge-1")
    assert not stack.may_within(session, "wake", "sqs:ReceiveMessage", queue, aws__SecureTransport="false")


@pytest.mark.parametrize(
    "who", ["api_handler", "due", "notices", "export", "reconcile", "auditor", "wake", "timer", "administrator"]
)
def test_the_role_is_lent_by_the_routes_alone(stack: Deployed, who: str) -> None:
    assert stack.may(who, "sts:AssumeRole", stack.outputs["WakeRole"]) is (who == "api_handler")


def test_the_role_is_lent_for_an_hour_at_most(stack: Deployed) -> None:
    role = stack.client("iam").get_role(RoleName="twokeys-prod-wake")["Role"]
    assert role["MaxSessionDuration"] == 3600
