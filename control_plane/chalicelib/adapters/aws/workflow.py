"""Timers of Requests as executions of a Step Functions machine (`infra/state_machine.asl.json`).

    start ──▶ REQ#<id> / TIMER {due_at} ──▶ execution <id>-<due_at>: leaves its token there, waits
                                              ├─ time over ──▶ due_at = 0 ──▶ due queue ──▶ `Timeouts.remind`
    cancel, or start for another time ─ token ┘─ or the item is not this timer's any more ──▶ ends

An execution writes nothing of the Request and decides nothing (docs/adr/0011). One too many costs a look at most; that
is why ending one may fail, and beginning one may not.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, Final

from botocore.exceptions import ClientError

from twokeys.errors import InvalidInput, Unavailable

from ...ports.clock import Clock
from .clients import Clients
from .errors import code_of, told
from .table import TTL, ConditionFailed, Delete, Item, Key, Put, Table

MAX_ATTEMPTS: Final = 8
"""How often a timer's item is tried to be changed while its execution leaves its token there."""

KEPT_SECONDS: Final = 24 * 3600
"""For how long after its time a timer's item may stay."""

MAX_SECONDS: Final = 99_999_999
"""Longest TimeoutSeconds of a state."""

ENDED_ALREADY: Final = frozenset({"InvalidToken", "TaskDoesNotExist", "TaskTimedOut"})
"""What Step Functions says of the token of a wait that is over."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class StepFunctionsWorkflow:
    """Implements `ports.workflow.Workflow`."""

    def __init__(self, table: Table, clients: Clients, state_machine: str, clock: Clock) -> None:
        """Args: table: where timers are; clients: of AWS; state_machine: ARN; clock: the table's."""
        self._table, self._clients, self._clock = table, clients, clock
        self._machine = state_machine

    def start(self, request_id: str, due_at: int) -> None:
        name = f"{request_id}-{due_at}"
        if not _NAME.fullmatch(name):
            raise InvalidInput("The request's id names no timer.", not_done="No timer was started.", code="bad_id")
        before, new = self._replace(request_id, due_at)
        now = self._clock.now()
        seconds = min(max(1, -(-(due_at - now) // 1000)), MAX_SECONDS)
        asked = json.dumps({"id": request_id, "due_at": str(due_at), "seconds": seconds})
        if not self._begun(name, asked) and new:
            # One of that name was begun for a timer that was replaced since, or has reminded early: it is over.
            self._begun(f"{name}-{now}"[-80:], asked)
        if new and before is not None:
            self._end(before)

    def cancel(self, request_id: str) -> None:
        key = _key(request_id)
        for _ in range(MAX_ATTEMPTS):
            item = self._table.get(key)
            if item is None:
                return
            condition, values = _unchanged(item)
            try:
                self._table.write(Delete(key, condition, values, _NAMES))
            except ConditionFailed:
                continue
            self._end(item)
            return
        raise _busy()

    def _replace(self, request_id: str, due_at: int) -> tuple[Item | None, bool]:
        """Make the item this timer's, unless it is; what was there, and whether it is new. One that reminded has 0."""
        key = _key(request_id)
        for _ in range(MAX_ATTEMPTS):
            before = self._table.get(key)
            if before is not None and before["due_at"] == due_at:
                return before, False
            item = {"pk": key.pk, "sk": key.sk, "due_at": due_at, TTL: due_at // 1000 + KEPT_SECONDS}
            try:
                if before is None:
                    self._table.write(Put(item, "attribute_not_exists(pk)"))
                else:
                    self._table.write(Put(item, *_unchanged(before), _NAMES))
            except ConditionFailed:
                continue
            return before, True
        raise _busy()

    def _begun(self, name: str, asked: str) -> bool:
        """Start an execution; False when there was one of that name. Raises Unavailable."""
        with told("Step Functions", "No timer was started."):
            try:
                self._client.start_execution(stateMachineArn=self._machine, name=name, input=asked)
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":
                    raise
                return False
        return True

    def _end(self, timer: Item) -> None:
        """End the wait whose token is on the item. Without one it finds the item changed, and ends by itself."""
        if not timer.get("token"):
            return
        # Otherwise it ends at its time, when it finds the item changed.
        with suppress(Unavailable), told("Step Functions", "A timer was not ended."):
            try:
                self._client.send_task_success(taskToken=timer["token"], output="{}")
            except ClientError as error:
                if code_of(error) not in ENDED_ALREADY:
                    raise

    @property
    def _client(self) -> Any:
        return self._clients.of("stepfunctions")


_NAMES: Final = {"#token": "token"}


def _unchanged(item: Item) -> tuple[str, dict[str, Any]]:
    """The condition that the item is still this one."""
    if "token" in item:
        return "due_at = :seen AND #token = :token", {":seen": item["due_at"], ":token": item["token"]}
    return "due_at = :seen AND attribute_not_exists(#token)", {":seen": item["due_at"]}


def _key(request_id: str) -> Key:
    return Key(f"REQ#{request_id}", "TIMER")


def _busy() -> Unavailable:
    return Unavailable("The timer changes too often.", not_done="It was not changed.", advice="Try again shortly.",
                       code="busy")  # fmt: skip
