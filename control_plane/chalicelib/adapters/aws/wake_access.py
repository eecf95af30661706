"""Credentials by which one Edge polls its own queue, and can do nothing else."""

from __future__ import annotations

import json
from typing import Any, Final

from ...ports.wake_access import WakeCredentials
from .clients import Clients
from .errors import told
from .wake_queues import WakeQueues

LIFETIME_SECONDS: Final = 3600
"""How long they are good for: from a Lambda's role the longest that there is (role chaining)."""

MAX_SESSION_NAME: Final = 64
"""Longest name of a role's session."""


class StsWakeAccess:
    """Implements `ports.wake_access.WakeAccess`."""

    def __init__(self, clients: Clients, wake_role: str, prefix: str) -> None:
        """Args: clients: of AWS; wake_role: ARN of the role; prefix: of the queues' names."""
        self._clients, self._role = clients, wake_role
        self._queues = WakeQueues(clients, prefix)

    def credentials(self, edge_id: str) -> WakeCredentials:
        """Credentials for this Edge's queue, which is made when there is none; who asks must be this Edge.

        Raises:
            Unavailable: when SQS or STS does not answer.
        """
        # Once an hour: somebody may have removed the queue that this process remembers.
        self._queues.forget(edge_id)
        url = self._queues.ensure(edge_id)
        with told("STS", "No credentials were made."):
            answer = self._clients.of("sts").assume_role(
                RoleArn=self._role,
                RoleSessionName=f"edge-{edge_id}"[:MAX_SESSION_NAME],
                DurationSeconds=LIFETIME_SECONDS,
                Policy=json.dumps(self.session_policy(edge_id)),
            )["Credentials"]
        return WakeCredentials(
            queue_url=url,
            region=str(self._clients.of("sts").meta.region_name),
            access_key=answer["AccessKeyId"],
            secret=answer["SecretAccessKey"],
            token=answer["SessionToken"],
            expires_at=int(answer["Expiration"].timestamp() * 1000),
        )

    def forget(self, edge_id: str) -> None:
        self._queues.remove(edge_id)

    def session_policy(self, edge_id: str) -> dict[str, Any]:
        """What the session may do: the role's permissions *and* this, which names one queue."""
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"],
                    "Resource": self._queue_arn(edge_id),
                }
            ],
        }

    def _queue_arn(self, edge_id: str) -> str:
        # arn:<partition>:iam::<account>:role/…: the queue is in the role's account and the client's region.
        _, partition, _, _, account, _ = self._role.split(":", 5)
        region = self._clients.of("sqs").meta.region_name
        return f"arn:{partition}:sqs:{region}:{account}:{self._queues.name(edge_id)}"
