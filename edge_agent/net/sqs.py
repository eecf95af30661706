"""One queue of Amazon SQS: its JSON protocol over our own HTTP, signed by botocore (SigV4).

boto3 would bring a thread per long poll and 30 MB; two calls need neither.
Source: Amazon SQS API reference, "Making query API requests using AWS JSON protocol".
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from edge_agent.control.exchange import HttpAnswer
from edge_agent.control.queue_polls import Received
from twokeys.errors import Refused, Unavailable
from twokeys.messages import WakeAccess

MAX_ANSWER_BYTES: Final = 2 * 1024 * 1024
"""Longest answer read: ten messages of at most 256 KB in JSON would be more, hints are a hundred bytes."""

MAX_MESSAGES: Final = 10
"""Messages of one receive, and entries of one delete; as SQS has it."""

GRACE_SECONDS: Final = 8.0
"""How long past the end of a receive its answer may take."""

CALL_SECONDS: Final = 15.0


class Sends(Protocol):
    """What is needed of `edge_agent.net.http.ControlHttp`."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float, limit: int) -> HttpAnswer:
        """POST to an https address."""


class SqsQueue:
    """Implements `edge_agent.control.queue_polls.Queue`."""

    def __init__(self, http: Sends, access: WakeAccess) -> None:
        """Make it ready.

        Args:
            http: The socket's side.
            access: Address and credentials.

        Raises:
            Unavailable: when botocore is not installed (`pip install twokeys[aws]`).
        """
        self._http, self._access = http, access
        parts = urlsplit(access.queue_url)
        self._endpoint = f"{parts.scheme}://{parts.netloc}/"
        self._sign = _signer(access)

    async def receive(self, seconds: int) -> Sequence[Received]:
        """See `Queue`."""
        asked = {"MaxNumberOfMessages": MAX_MESSAGES, "WaitTimeSeconds": seconds}
        answer = await self._call("ReceiveMessage", asked, seconds + GRACE_SECONDS)
        found = answer.get("Messages") or []
        if not isinstance(found, list):
            raise _malformed()
        return [_received(one) for one in found[:MAX_MESSAGES]]

    async def delete(self, receipts: Sequence[str]) -> None:
        """See `Queue`."""
        for receipt in receipts:
            await self._call("DeleteMessage", {"ReceiptHandle": receipt}, CALL_SECONDS)

    async def _call(self, action: str, fields: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        body = json.dumps({"QueueUrl": self._access.queue_url, **fields}).encode()
        headers = self._sign(
            self._endpoint,
            {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{action}"},
            body,
        )
        answer = await self._http.post(self._endpoint, headers, body, seconds, MAX_ANSWER_BYTES)
        if answer.status != 200:
            kind = Refused if 400 <= answer.status < 500 else Unavailable
            raise kind(f"The queue answered {answer.status}.", not_done="Nothing was received.", code="queue_refused")
        try:
            value = json.loads(answer.body or b"{}")
        except ValueError as error:
            raise _malformed() from error
        if not isinstance(value, dict):
            raise _malformed()
        return value


def _signer(access: WakeAccess) -> Any:
    try:
        auth = importlib.import_module("botocore.auth")
        request = importlib.import_module("botocore.awsrequest").AWSRequest
        credentials = importlib.import_module("botocore.credentials").Credentials
    except ImportError as error:
        raise Unavailable("The edge can't sign calls to its queue.", not_done="The control plane is polled instead.",
                          advice="Install twokeys[aws].", code="no_botocore") from error  # fmt: skip
    signer = auth.SigV4Auth(credentials(access.access_key, access.secret, access.token), "sqs", access.region)

    def sign(url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        asked = request(method="POST", url=url, data=body, headers=dict(headers))
        signer.add_auth(asked)
        return dict(asked.headers.items())

    return sign


def _received(value: Any) -> Received:
    if isinstance(value, dict):
        receipt, body = value.get("ReceiptHandle"), value.get("Body")
        if isinstance(receipt, str) and isinstance(body, str):
            return Received(receipt, body.encode())
    raise _malformed()


def _malformed() -> Unavailable:
    return Unavailable("The queue's answer can't be read.", not_done="It was not used.", code="bad_answer")
