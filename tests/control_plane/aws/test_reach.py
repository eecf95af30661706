"""`check` says what of a stack can be reached, what is wrong with the rest, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from control_plane.aws.reach import check
from control_plane.aws.stage import stage_settings
from control_plane.chalicelib.adapters.aws.settings import PREFIX
from tests.control_plane.aws.test_oidc import Scripted, issuer
from tests.control_plane.aws.test_settings import WHOLE
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from twokeys.errors import InvalidInput, Refused

__all__ = ["backend", "issuer"]


def test_a_whole_stack_is_well(backend: AwsBackend, issuer: Scripted) -> None:
    found = check(*whole(backend, issuer))
    assert {one.what: one.problem for one in found if one.problem} == {}
    assert len(found) >= 14


def test_each_missing_resource_is_named(backend: AwsBackend, issuer: Scripted) -> None:
    settings, clients, clock = whole(backend, issuer)
    wrong = msgspec.structs.replace(
        settings, public_url="https://x.execute-api.us-east-1.amazonaws.com/api", table="gone",
        incoming_bucket="gone-incoming", due_queue=settings.due_queue + "-gone", cookie_secret="gone",
        wrapping_key=settings.wrapping_key[:-4] + "0000", wake_role="arn:aws:iam::123456789012:role/gone",
        recordings_bucket=settings.incoming_bucket, mail_from="twokeys@example.com", state_machine=settings.table,
    )  # fmt: skip
    issuer.answers["/jwks_uri"] = (200, {"keys": []})
    faults = {one.what for one in check(wrong, clients, clock) if one.problem}
    assert faults == {"public address", "table", "bucket", "object lock", "queue", "state machine", "key", "secret",
                      "role", "mail sender", "issuer"}  # fmt: skip


def whole(backend: AwsBackend, issuer: Scripted):  # type: ignore[no-untyped-def]
    """Settings, clients and clock of a stack that lacks nothing."""
    clients, settings = backend.clients, backend.settings
    clients.of("secretsmanager").create_secret(Name=settings.cookie_secret, SecretString="c" * 64)
    clients.of("s3").put_object_lock_configuration(
        Bucket=settings.recordings_bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 400}},
        },
    )  # fmt: skip
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    name = settings.state_machine.rpartition(":")[2]
    trusts = json.dumps({"Version": "2012-10-17"})
    role = clients.of("iam").create_role(RoleName="timer", AssumeRolePolicyDocument=trusts)["Role"]["Arn"]
    machine = clients.of("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=role)
    settings = msgspec.structs.replace(settings, issuer=issuer.url, state_machine=machine["stateMachineArn"])
    return settings, clients, backend.clock


def test_settings_are_those_that_were_rendered(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"version": "2.0", "stages": {"prod": {"environment_variables": WHOLE}}}))
    assert stage_settings(config, "prod").table == WHOLE[f"{PREFIX}TABLE"]
    with pytest.raises(InvalidInput, match="no stage test"):
        stage_settings(config, "test")
    config.write_text(json.dumps({"stages": {"prod": {}}}))
    with pytest.raises(Refused, match="TWOKEYS_TABLE"):
        stage_settings(config, "prod")
    for broken in ("", "[]", '{"stages": 7}'):
        config.write_text(broken)
        with pytest.raises(InvalidInput, match="can't be read"):
            stage_settings(config, "prod")
    with pytest.raises(InvalidInput):
        stage_settings(tmp_path / "none.json", "prod")
