"""Tickets used over HTTP against moto as a process of its own, as an Edge uses them."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import pytest

from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.objects import Bucket
from tests.support.aws import CREDENTIALS, REGION
from twokeys.digest import sha256

SERVER: Final = """
import os, sys
import pytest
from moto.server import ThreadedMotoServer
from tests.support.moto_s3 import guard_writes
guard_writes(pytest.MonkeyPatch())
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""
"""Ends when its standard input does."""

BUCKET: Final = "incoming"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()
        server.wait(10)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> Iterator[Bucket]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)

    def make(service: str, **more: Any) -> Any:
        # Only here are buckets part of the path: no name server knows bucket.127.0.0.1.
        more["config"].s3["addressing_style"] = "path"
        return boto3.client(service, region_name=REGION, endpoint_url=endpoint, **more)

    clients = Clients(make)
    clients.of("s3").create_bucket(Bucket=BUCKET)
    yield Bucket(clients, BUCKET)
    clients.of("s3").close()


def put(url: str, headers: dict[str, str], data: bytes) -> int:
    """The answer's status."""
    there = urlsplit(url)
    connection = http.client.HTTPConnection(there.hostname or "", there.port, timeout=10)
    try:
        connection.request("PUT", f"{there.path}?{there.query}", data, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_a_ticket_stores_once(bucket: Bucket) -> None:
    url, headers = bucket.upload_address("lines/once", sha256(b"lines"), 5, 60)
    assert put(url, headers, b"lines") == 200
    assert put(url, headers, b"lines") == 412
    found = bucket.find("lines/once")
    assert found is not None
    assert (found.sha256, found.length) == (sha256(b"lines"), 5)


def test_a_ticket_takes_no_other_bytes(bucket: Bucket) -> None:
    url, headers = bucket.upload_address("lines/other", sha256(b"lines"), 5, 60)
    assert put(url, headers, b"lying") == 400
    assert bucket.find("lines/other") is None


def test_a_bucket_reads_back_by_a_map(bucket: Bucket) -> None:
    data = bytes(range(256)) * 8192
    assert bucket.create("bodies/long", data)
    assert not bucket.create("bodies/long", b"x")
    mapped = bucket.mapped("bodies/long")
    assert mapped is not None
    assert bytes(mapped) == data
    assert bucket.mapped("bodies/none") is None
