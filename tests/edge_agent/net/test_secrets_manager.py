"""A password in AWS Secrets Manager, against moto over a real socket; nothing of it is ever told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from edge_agent.net.secrets_manager import secret_from_aws
from twokeys.errors import Refused, TwokeysError, Unavailable

PLAIN = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-central-1"}


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("secretsmanager", endpoint_url=f"http://{host}:{port}", **PLAIN)
    yield client
    for one in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=one["Name"], ForceDeleteWithoutRecovery=True)
    client.close()
    server.stop()


def read(name: str) -> str:
    return asyncio.run(secret_from_aws(name, "twokeys_edge")).reveal()


def refusal(name: str) -> TwokeysError:
    with pytest.raises(TwokeysError) as caught:
        read(name)
    return caught.value


def test_a_text_and_the_json_of_a_database_secret_are_read(manager: Any) -> None:
    arn = manager.create_secret(Name="plain", SecretString="{s3cret")["ARN"]
    manager.create_secret(Name="json", SecretString='{"username":"twokeys_edge","password":"s3cret","port":5432}')
    assert (read(arn), read("plain"), read("json")) == ("{s3cret", "{s3cret", "s3cret")
    manager.put_secret_value(SecretId="plain", SecretString="rotated")
    assert read(arn) == "rotated"


@pytest.mark.parametrize(
    "value", ['{"username":"postgres","password":"s3cret"}', '{"user":"s3cret"}', '{"password":7}', "s3cret" * 1000]
)
def test_what_is_no_password_of_the_role_is_refused_and_not_told(manager: Any, value: str) -> None:
    manager.create_secret(Name="odd", SecretString=value)
    error = refusal("odd")
    assert isinstance(error, Refused) and error.code == "bad_secret"
    assert "s3cret" not in str(error) and "upstream_password_secret" in error.advice


def test_a_secret_that_is_not_there_is_refused_with_its_code(manager: Any) -> None:
    assert "ResourceNotFoundException" in refusal("nothing").happened


def test_without_a_way_to_aws_it_is_unavailable(monkeypatch: pytest.MonkeyPatch, manager: Any) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    error = refusal("plain")
    assert isinstance(error, Unavailable) and error.code == "secret_unreachable"
