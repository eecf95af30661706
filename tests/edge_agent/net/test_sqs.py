"""One queue by the JSON protocol, against moto over a real socket, and against answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from edge_agent.control.exchange import HttpAnswer
from edge_agent.net.http import ControlHttp
from edge_agent.net.sqs import SqsQueue
from twokeys.errors import Refused, TwokeysError, Unavailable
from twokeys.messages import WakeAccess

ONE = "req_" + "a" * 26


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def access(url: str) -> WakeAccess:
    return WakeAccess(queue_url=url, region="us-east-1", access_key="key", secret="secret", token="token", seconds=3600)


def test_messages_are_received_deleted_and_waited_for(address: str) -> None:
    plain = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    sqs = boto3.client("sqs", endpoint_url=address, **plain)
    url = sqs.create_queue(QueueName="wake", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    url = address + "/" + url.split("/", 3)[3]
    sqs.send_message(QueueUrl=url, MessageBody=f'{{"wake":["{ONE}"]}}')

    async def play() -> None:
        http = ControlHttp(address, None, 2.0)
        queue = SqsQueue(http, access(url))
        (message,) = await queue.receive(1)
        assert message.body == f'{{"wake":["{ONE}"]}}'.encode()
        (again,) = await queue.receive(1)
        await queue.delete([again.receipt])
        assert await queue.receive(1) == []
        waiting = asyncio.create_task(queue.receive(10))
        await asyncio.to_thread(sqs.send_message, QueueUrl=url, MessageBody="x")
        assert len(await asyncio.wait_for(waiting, 5)) == 1
        await http.close()

    asyncio.run(play())
    sqs.close()


class Says:
    """Answers what the test says, and keeps what it was sent."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body
        self.headers: Mapping[str, str] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float, limit: int) -> HttpAnswer:
        self.headers = headers
        return HttpAnswer(self.status, {}, self.body)


def test_calls_are_signed_with_the_session_token() -> None:
    says = Says(200, b"{}")
    assert asyncio.run(SqsQueue(says, access("https://sqs.us-east-1.amazonaws.com/1/w")).receive(1)) == []
    assert "/us-east-1/sqs/aws4_request" in says.headers["Authorization"]
    assert says.headers["X-Amz-Security-Token"] == "token"
    assert "secret" not in str(says.headers)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, b'{"__type":"ExpiredToken"}', Refused),
        (400, b"", Refused),
        (503, b"", Unavailable),
        (200, b"[]", Unavailable),
        (200, b"{", Unavailable),
        (200, b'{"Messages":7}', Unavailable),
        (200, b'{"Messages":[{"Body":7}]}', Unavailable),
    ],
)
def test_what_is_no_answer_of_a_queue_is_said(status: int, body: bytes, error: type[TwokeysError]) -> None:
    with pytest.raises(error):
        asyncio.run(SqsQueue(Says(status, body), access("https://sqs.us-east-1.amazonaws.com/1/w")).receive(1))


@pytest.mark.parametrize("url", ["http://sqs.us-east-1.amazonaws.com/1/w", "ftp://127.0.0.1/1/w"])
def test_a_queue_without_tls_is_not_spoken_to(url: str) -> None:
    async def play() -> Any:
        http = ControlHttp("https://twokeys.example.com", None, 2.0)
        try:
            return await SqsQueue(http, access(url)).receive(1)
        finally:
            await http.close()

    with pytest.raises(Refused):
        asyncio.run(play())
