"""Where moto differs from AWS, or is slow, and the tests need it not to. Each patch ends with its test.

What moto does not do and no patch mends: IAM is not enforced, TTL deletes nothing, a late task token is InvalidToken
(AWS: TaskTimedOut or TaskDoesNotExist), StopExecution does not end a wait for a token.
"""

from __future__ import annotations

import copy
import logging
import threading
from types import SimpleNamespace
from typing import Any, Final

import boto3
import moto.dynamodb.models
import moto.kms.utils
import moto.stepfunctions.models
import moto.stepfunctions.parser.asl.component.program.program as program
import moto.stepfunctions.parser.asl.component.state.exec.execute_state as execute_state
import moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback as callback
import moto.stepfunctions.parser.asl.utils.boto_client as asl_clients
import moto.stepfunctions.parser.backend.execution_worker as execution_worker
import moto.stepfunctions.parser.models
import pytest
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric import rsa
from moto.core.config import DefaultConfig
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

from tests.support.moto_kms import decrypt_by_rsa
from tests.support.moto_s3 import guard_writes

EXECUTING: Final[DefaultConfig] = {"stepfunctions": {"execute_state_machine": True}}
"""For `mock_aws(config=…)`: state machines really run."""

KEEPING_THREADS: Final = (program, execute_state, callback, execution_worker)
"""Modules that remember every thread they ever started."""


def patch_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apply all of them until the test ends; before `mock_aws`."""
    isolate_transactions(monkeypatch)
    run_machines_of_stacks(monkeypatch)
    forget_threads(monkeypatch)
    keep_clients(monkeypatch)
    reuse_rsa_keys(monkeypatch)
    decrypt_by_rsa(monkeypatch)
    guard_writes(monkeypatch)
    # It logs inputs and payloads of states that fail, which a test of a failure makes on purpose.
    monkeypatch.setattr(logging.getLogger("moto.stepfunctions"), "level", logging.CRITICAL)


def isolate_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that fails puts back copies of the tables, and with them undoes what others wrote meanwhile.

    One call to DynamoDB at a time: each is then as isolated as AWS has it. The copy is made for each action of the
    transaction, of the whole table; once will do.
    """
    lock = threading.RLock()
    copied: dict[int, Table] = {}
    act = DynamoHandler.call_action

    def call_action(handler: DynamoHandler) -> Any:
        with lock:
            copied.clear()
            return act(handler)

    def deepcopy(value: Any) -> Any:
        if not isinstance(value, Table):
            return copy.deepcopy(value)
        if id(value) not in copied:
            copied[id(value)] = copy.deepcopy(value)
        return copied[id(value)]

    monkeypatch.setattr(DynamoHandler, "call_action", call_action)
    monkeypatch.setattr(moto.dynamodb.models, "copy", SimpleNamespace(copy=copy.copy, deepcopy=deepcopy))


def run_machines_of_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that CloudFormation makes lands in the backend that executes nothing; give it the other one."""
    monkeypatch.setattr(
        moto.stepfunctions.models,
        "stepfunctions_backends",
        moto.stepfunctions.parser.models.stepfunctions_parser_backends,
    )


class _Forgetful(list[Any]):
    """Takes, and keeps nothing."""

    def append(self, item: Any) -> None:
        """Drop it."""


def forget_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto appends each thread to one list for ever: memory of a whole test run."""
    for module in KEEPING_THREADS:
        monkeypatch.setattr(module, "TMP_THREADS", _Forgetful())


def keep_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter makes a client per call (about 30 ms of CPU); keep one per service, region and endpoint."""
    lock = threading.Lock()
    made: dict[tuple[Any, ...], Any] = {}

    def client(*, service_name: str, config: Config, **more: Any) -> Any:
        key = (service_name, *sorted(more.items()))
        with lock:
            if key not in made:
                wide = config.merge(Config(max_pool_connections=200))
                made[key] = boto3.client(service_name=service_name, config=wide, **more)
            return made[key]

    monkeypatch.setattr(asl_clients, "boto3", SimpleNamespace(client=client))


_POOL: dict[int, list[rsa.RSAPrivateKey]] = {}


def reuse_rsa_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding an RSA key takes a second: the nth key of a test is the nth of the test before. Never one twice."""
    lock = threading.Lock()
    used: dict[int, int] = {}

    def generate(public_exponent: int, key_size: int) -> rsa.RSAPrivateKey:
        with lock:
            keys, place = _POOL.setdefault(key_size, []), used.get(key_size, 0)
            used[key_size] = place + 1
            if place == len(keys):
                keys.append(rsa.generate_private_key(public_exponent, key_size))
            return keys[place]

    monkeypatch.setattr(moto.kms.utils, "rsa", SimpleNamespace(generate_private_key=generate))
