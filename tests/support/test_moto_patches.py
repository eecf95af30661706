"""Each patch of moto does what it says, and ends with its test."""

from __future__ import annotations

import json
import threading
from typing import Any

import boto3
import moto.stepfunctions.parser.asl.utils.boto_client as asl_clients
import pytest
from moto import mock_aws
from moto.kms.utils import RSAPrivateKey

from control_plane.chalicelib.adapters.aws.clients import Clients
from tests.support.aws import REGION, make_table
from tests.support.moto_patches import (
    EXECUTING,
    KEEPING_THREADS,
    forget_threads,
    keep_clients,
    patch_moto,
    reuse_rsa_keys,
)

MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}
STACK = {
    "Resources": {
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": "of-a-stack",
                "RoleArn": "arn:aws:iam::123456789012:role/x",
                "DefinitionString": json.dumps(MACHINE),
            },
        }
    }
}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


def test_a_transaction_that_fails_undoes_nothing_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_moto(monkeypatch)
    with mock_aws():
        client = boto3.client("dynamodb", REGION)
        make_table(Clients(lambda service, **more: client), "t")
        line = threading.Barrier(2)

        def key(name: str) -> dict[str, dict[str, str]]:
            return {"pk": {"S": name}, "sk": {"S": name}}

        # What a transaction copies takes time, in which others write.
        for number in range(200):
            client.put_item(TableName="t", Item=key(f"before{number}"))

        def fail() -> None:
            line.wait()
            absent = {"TableName": "t", "Key": key("none"), "ConditionExpression": "attribute_exists(pk)"}
            for _ in range(20):
                with pytest.raises(client.exceptions.TransactionCanceledException):
                    client.transact_write_items(
                        TransactItems=[{"Put": {"TableName": "t", "Item": key("x")}}, {"ConditionCheck": absent}]
                    )

        def write() -> None:
            line.wait()
            for number in range(100):
                client.put_item(TableName="t", Item=key(f"w{number}"))

        threads = [threading.Thread(target=task) for task in (fail, write)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert client.scan(TableName="t")["Count"] == 300


def test_a_machine_made_by_a_stack_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_moto(monkeypatch)
    with mock_aws(config=EXECUTING):
        boto3.client("cloudformation", REGION).create_stack(StackName="s", TemplateBody=json.dumps(STACK))
        machines = boto3.client("stepfunctions", REGION)
        (machine,) = machines.list_state_machines()["stateMachines"]
        started = machines.start_execution(stateMachineArn=machine["stateMachineArn"], name="once", input="{}")
        assert started["executionArn"].endswith(":of-a-stack:once")
        while machines.describe_execution(executionArn=started["executionArn"])["status"] == "RUNNING":
            pass


def test_threads_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [module.TMP_THREADS for module in KEEPING_THREADS]
    with monkeypatch.context() as patched:
        forget_threads(patched)
        for module in KEEPING_THREADS:
            module.TMP_THREADS.append(object())
            assert len(module.TMP_THREADS) == 0
    assert [module.TMP_THREADS for module in KEEPING_THREADS] == before


def test_the_interpreter_keeps_one_client_per_service(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_clients(monkeypatch)
    with mock_aws():
        made: list[Any] = [asl_clients.boto_client_for(REGION, name) for name in ("sqs", "sqs", "dynamodb")]
        elsewhere = asl_clients.boto_client_for("eu-west-1", "sqs")
    assert made[0] is made[1]
    assert made[2] is not made[0]
    assert elsewhere is not made[0]


def test_rsa_keys_come_again_in_the_next_test_but_never_twice_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def two() -> list[int]:
        with monkeypatch.context() as patched:
            reuse_rsa_keys(patched)
            return [RSAPrivateKey(2048).private_key.private_numbers().d for _ in range(2)]

    first, second = two(), two()
    assert first == second
    assert first[0] != first[1]
