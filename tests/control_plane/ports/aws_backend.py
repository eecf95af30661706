"""The AWS adapters over moto, for the port suites."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.settings import Settings
from control_plane.chalicelib.adapters.aws.table import Table
from control_plane.chalicelib.bootstrap import Ports
from tests.control_plane.ports.backend import NOTE, add_person
from tests.control_plane.world import ManualClock
from tests.support.aws import REGION, make_resources
from tests.support.moto_patches import EXECUTING, patch_moto
from twokeys.policy import STARTER_TEXT


class AwsBackend:
    """Implements `backend.Backend`; must live inside `moto.mock_aws`."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_795_379_462_000)
        self.clients = _clients()
        self.settings: Settings = make_resources(self.clients)
        self._ports = self._open()
        if self._ports.policies is not None:
            self._ports.policies.install(STARTER_TEXT, "test", NOTE)
            add_person(self, "rob", "reviewers")

    @property
    def ports(self) -> Ports:
        return self._ports

    def reopen(self) -> None:
        self.clients = _clients()
        self._ports = self._open()

    def _open(self) -> Ports:
        clients, settings, clock = self.clients, self.settings, self.clock
        table = Table(clients, settings.table, lambda seconds: None)
        blobs = _made("blobs", "S3Blobs", clients, settings.incoming_bucket)
        return Ports(
            clock=clock,
            requests=_made("requests", "DynamoRequests", table, clock),
            people=_made("people", "DynamoPeople", table, clock),
            policies=_made("policies", "DynamoPolicies", table, clock),
            edges=_made("edges", "DynamoEdges", table, clock),
            records=_made("records", "DynamoRecords", table, clock),
            workflow=_made("workflow", "StepFunctionsWorkflow", table, clients, settings.state_machine, clock),
            waker=_made("waker", "SqsWaker", table, clients, settings.wake_queue_prefix, clock),
            blobs=blobs,
            recordings=_made("recordings", "S3Recordings", clients, settings, table, blobs),
            session_keys=_made("session_keys", "DynamoSessionKeys", table, clock),
            signer=_made("signer", "KmsSigner", clients, settings.approval_keys, settings.seal_keys),
            wrapping=_made("wrapping", "KmsWrapping", clients, settings.wrapping_key),
            wake_access=_made("wake_access", "StsWakeAccess", clients, settings.wake_role, settings.wake_queue_prefix),
        )


def _clients() -> Clients:
    def make(service: str, **more: Any) -> Any:
        return boto3.client(service, region_name=REGION, **more)

    return Clients(make)


def _made(module: str, name: str, *arguments: Any) -> Any:
    """One adapter; None while it is not written yet."""
    try:
        found: Callable[..., Any] = getattr(
            importlib.import_module(f"control_plane.chalicelib.adapters.aws.{module}"), name
        )
    except (ImportError, AttributeError):
        return None
    return found(*arguments)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsBackend]:
    """A deployment of its own in moto."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    patch_moto(monkeypatch)
    with mock_aws(config=EXECUTING):
        yield AwsBackend()
