"""Timers on Step Functions: the suite on the real state machine, and how its executions end."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from control_plane.chalicelib.adapters.aws.clock import LambdaClock
from control_plane.chalicelib.adapters.aws.table import Key, Table, Update
from control_plane.chalicelib.adapters.aws.workflow import StepFunctionsWorkflow
from control_plane.chalicelib.ports.clock import Clock
from control_plane.chalicelib.ports.workflow import Workflow
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.timer_suites import ClockSuite, WorkflowSuite
from tests.control_plane.world import fresh_id
from twokeys.errors import InvalidInput, Unavailable

__all__ = ["backend"]

DEFINITION = Path(__file__).parents[3] / "infra" / "state_machine.asl.json"


class AwsTimers:
    """Implements `timer_suites.TimerBackend`, inside `moto.mock_aws`."""

    def __init__(self, backend: AwsBackend) -> None:
        self._backend, self._clock = backend, LambdaClock()
        self.table = Table(backend.clients, backend.settings.table, lambda seconds: None)
        self.machines = backend.clients.of("stepfunctions")
        self.arn = self.machine(backend.settings.state_machine.rpartition(":")[2], backend.settings.table)
        self._reminded: list[str] = []
        self._workflow = self._open()

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def workflow(self) -> Workflow:
        return self._workflow

    def reminded(self) -> list[str]:
        sqs, url = self._backend.clients.of("sqs"), self._backend.settings.due_queue
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            body = json.loads(message["Body"])
            assert list(body) == ["id"]
            self._reminded.append(body["id"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return list(self._reminded)

    def reopen(self) -> None:
        self._workflow = self._open()

    def is_kept(self, request_id: str, due_at: int) -> None:
        """The machine remembers by itself."""

    def machine(self, name: str, table: str) -> str:
        """Make a machine of the real definition; its ARN."""
        text = DEFINITION.read_text().replace("${Table}", table)
        made = self.machines.create_state_machine(
            name=name,
            definition=text.replace("${DueQueue}", self._backend.settings.due_queue),
            roleArn="arn:aws:iam::123456789012:role/timer",
        )
        return str(made["stateMachineArn"])

    def timer(self, request_id: str) -> dict[str, Any] | None:
        """The item."""
        return self.table.get(Key(f"REQ#{request_id}", "TIMER"))

    def token(self, request_id: str) -> str:
        """The token, as soon as the machine has left it."""
        end = time.monotonic() + 45
        while not (item := self.timer(request_id) or {}).get("token"):
            assert time.monotonic() < end, "no token was left"
            time.sleep(0.01)
        return str(item["token"])

    def executions(self, status: str = "") -> list[dict[str, Any]]:
        """Those of this status, or all."""
        more = {"statusFilter": status} if status else {}
        found: list[dict[str, Any]] = self.machines.list_executions(stateMachineArn=self.arn, **more)["executions"]
        return found

    def ended(self) -> list[str]:
        """How each execution ended, when all have; well before any of their times."""
        end = time.monotonic() + 45
        while self.executions("RUNNING"):
            assert time.monotonic() < end, "an execution still runs"
            time.sleep(0.02)
        return [one["status"] for one in self.executions()]

    def only_one_runs(self) -> str:
        """The name of the one execution that is left, once the others have ended."""
        end = time.monotonic() + 45
        while len(running := self.executions("RUNNING")) != 1:
            assert time.monotonic() < end, f"{len(running)} executions run"
            time.sleep(0.02)
        return str(running[0]["name"])

    def states(self, name: str) -> list[str]:
        """The states that an execution entered."""
        arn = self.arn.replace(":stateMachine:", ":execution:") + f":{name}"
        events = self.machines.get_execution_history(executionArn=arn)["events"]
        return [one["stateEnteredEventDetails"]["name"] for one in events if "stateEnteredEventDetails" in one]

    def close(self) -> None:
        for one in self.executions("RUNNING"):
            told = self.machines.describe_execution(executionArn=one["executionArn"])
            self._workflow.cancel(json.loads(told["input"])["id"])
        self.ended()

    def _open(self) -> StepFunctionsWorkflow:
        return StepFunctionsWorkflow(self.table, self._backend.clients, self.arn, self._clock)


@pytest.fixture
def timers(backend: AwsBackend) -> Iterator[AwsTimers]:
    made = AwsTimers(backend)
    yield made
    made.close()


@pytest.fixture
def running_clock() -> Clock:
    return LambdaClock()


class TestWorkflow(WorkflowSuite):
    """Executions."""


class TestLambdaClock(ClockSuite):
    """The function's."""


def test_an_execution_knows_ids_and_times_only(timers: AwsTimers) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 60_000
    timers.workflow.start(one, due_at)
    (execution,) = timers.executions()
    assert execution["name"] == f"{one}-{due_at}"
    told = json.loads(timers.machines.describe_execution(executionArn=execution["executionArn"])["input"])
    assert (told["id"], told["due_at"], list(told)) == (one, str(due_at), ["id", "due_at", "seconds"])
    assert isinstance(told["seconds"], int)
    assert timers.clock.now() + told["seconds"] * 1000 >= due_at


def test_a_cancel_ends_the_execution_long_before_its_time(timers: AwsTimers) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 600_000
    timers.workflow.start(one, due_at)
    timers.token(one)
    timers.workflow.cancel(one)
    assert timers.ended() == ["SUCCEEDED"]
    assert timers.states(f"{one}-{due_at}") == ["Ask", "Ended"]
    assert (timers.timer(one), timers.reminded()) == (None, [])


def test_a_decision_before_the_token_is_left_ends_the_execution(timers: AwsTimers) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 600_000
    refusing = Refusing(timers)
    refusing.workflow.start(one, due_at)
    timers.workflow.cancel(one)
    refusing.now_start()
    assert timers.ended() == ["SUCCEEDED"]
    assert timers.states(f"{one}-{due_at}") == ["Ask", "Replaced"]
    assert timers.timer(one) is None


def test_a_replaced_timer_ends_and_only_the_new_one_reminds(timers: AwsTimers) -> None:
    one, now = fresh_id(), timers.clock.now()
    timers.workflow.start(one, now + 600_000)
    timers.token(one)
    timers.workflow.start(one, now + 601_000)
    timers.token(one)
    assert timers.only_one_runs() == f"{one}-{now + 601_000}"
    assert timers.states(f"{one}-{now + 600_000}") == ["Ask", "Ended"]


def test_a_timer_replaced_before_its_token_is_left_ends_by_the_condition(timers: AwsTimers) -> None:
    one, now = fresh_id(), timers.clock.now()
    refusing = Refusing(timers)
    refusing.workflow.start(one, now + 600_000)
    timers.workflow.start(one, now + 601_000)
    timers.token(one)
    refusing.now_start()
    assert timers.only_one_runs() == f"{one}-{now + 601_000}"
    assert timers.states(f"{one}-{now + 600_000}") == ["Ask", "Replaced"]


def test_a_timer_replaced_while_it_ends_does_not_remind(timers: AwsTimers) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 1000
    timers.workflow.start(one, due_at)
    timers.token(one)
    timers.table.write(
        Update(Key(f"REQ#{one}", "TIMER"), "SET due_at = :later REMOVE #t", values={":later": 1}, names={"#t": "token"})
    )
    assert timers.ended() == ["SUCCEEDED"]
    assert timers.states(f"{one}-{due_at}") == ["Ask", "Note", "Replaced"]
    assert timers.reminded() == []


def test_one_started_twice_is_one_execution(timers: AwsTimers) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 60_000
    timers.workflow.start(one, due_at)
    token = timers.token(one)
    timers.reopen()
    timers.workflow.start(one, due_at)
    assert len(timers.executions()) == 1
    assert timers.token(one) == token


def test_a_token_of_a_wait_that_is_over_is_no_fault(timers: AwsTimers) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 600_000
    timers.workflow.start(one, due_at)
    timers.machines.send_task_success(taskToken=timers.token(one), output="{}")
    timers.ended()
    timers.workflow.cancel(one)
    assert timers.timer(one) is None


def test_a_wait_that_can_not_be_ended_fails_no_caller_and_does_not_remind(
    timers: AwsTimers, backend: AwsBackend
) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 1000
    timers.workflow.start(one, due_at)
    timers.token(one)
    refuse_once(backend, "before-call.stepfunctions.SendTaskSuccess", "ThrottlingException")
    timers.workflow.cancel(one)
    assert timers.ended() == ["SUCCEEDED"]
    assert timers.reminded() == []


def test_a_start_that_failed_is_made_good_by_the_next(timers: AwsTimers, backend: AwsBackend) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 60_000
    refuse_once(backend, "before-call.stepfunctions.StartExecution", "ThrottlingException")
    with pytest.raises(Unavailable) as caught:
        timers.workflow.start(one, due_at)
    assert caught.value.code == "busy"
    timers.workflow.start(one, due_at)
    assert timers.token(one)


def test_a_start_whose_answer_was_lost_is_one_execution(timers: AwsTimers, backend: AwsBackend) -> None:
    one, due_at = fresh_id(), timers.clock.now() + 60_000
    refuse_once(backend, "after-call.stepfunctions.StartExecution", "ServiceUnavailable")
    with pytest.raises(Unavailable):
        timers.workflow.start(one, due_at)
    timers.workflow.start(one, due_at)
    assert len(timers.executions()) == 1


def test_an_id_that_names_no_execution_is_refused(timers: AwsTimers) -> None:
    for bad in ("req x", "req:1", "x" * 80, ""):
        with pytest.raises(InvalidInput):
            timers.workflow.start(bad + "\n", 1)
    assert timers.executions() == []


def test_starts_and_cancels_at_once_leave_at_most_the_timer_of_the_item(timers: AwsTimers) -> None:
    one, now = fresh_id(), timers.clock.now()
    line = threading.Barrier(5)

    def run(place: int) -> None:
        line.wait()
        if place == 4:
            timers.workflow.cancel(one)
        else:
            timers.workflow.start(one, now + 600_000 + place)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    wanted = [f"{one}-{item['due_at']}"] if (item := timers.timer(one)) else []
    end = time.monotonic() + 45
    while [running["name"] for running in timers.executions("RUNNING")] != wanted:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_machine_that_can_not_leave_its_token_reminds_all_the_same(timers: AwsTimers) -> None:
    one, arn = fresh_id(), timers.machine("without-table", "no-such-table")
    asked = json.dumps({"id": one, "due_at": "1", "seconds": 1})
    timers.machines.start_execution(stateMachineArn=arn, name="one", input=asked)
    WorkflowSuite.until(timers, one)


def test_the_machine_uses_only_what_it_may_and_decides_nothing() -> None:
    text = DEFINITION.read_text()
    assert set(re.findall(r"\$\{(\w+)\}", text)) == {"Table", "DueQueue"}
    machine = json.loads(text)
    assert "QueryLanguage" not in machine
    assert ":lambda:" not in text
    tasks = [one for one in machine["States"].values() if one["Type"] == "Task"]
    updates = [one["Parameters"] for one in tasks if "dynamodb" in one["Resource"]]
    assert len(updates) == 2
    for update in updates:
        assert update["Key"]["sk"] == {"S": "TIMER"}
        assert update["ConditionExpression"] == "due_at = :due_at"
        assert set(update["ExpressionAttributeNames"].values()) == {"token"}
        assert set(re.findall(r"(?<![:#\w])[a-z]\w*", update["UpdateExpression"])) <= {"due_at"}
    assert not any("Assign" in one for one in machine["States"].values())


def refuse_once(backend: AwsBackend, event: str, code: str) -> None:
    """The next call fails so."""
    events = backend.clients.of("stepfunctions").meta.events

    def refuse(**_: object) -> None:
        events.unregister(event, refuse)
        raise ClientError({"Error": {"Code": code}}, event)

    events.register(event, refuse)


class Refusing:
    """A workflow whose executions begin only when the test says so: Step Functions may take its time."""

    def __init__(self, timers: AwsTimers) -> None:
        self._timers = timers
        self._asked: list[dict[str, Any]] = []
        self.workflow = StepFunctionsWorkflow(timers.table, _Clients(self), timers.arn, timers.clock)  # type: ignore[arg-type]

    def start_execution(self, **asked: Any) -> None:
        self._asked.append(asked)

    def now_start(self) -> None:
        for one in self._asked:
            self._timers.machines.start_execution(**one)


class _Clients:
    """Hands out one client."""

    def __init__(self, client: Refusing) -> None:
        self._client = client

    def of(self, service: str) -> Any:
        assert service == "stepfunctions"
        return self._client
