"""The control plane as Lambda runs it, in one process: `python -m tests.support.lambda_process CONFIG STAGE PORT`.

HTTP ──waitress, Chalice's local gateway──▶ the application that AWS gets, its adapters speaking to moto
queues due and notices ──pumps──▶ their functions, a failed message comes again     (the event source mappings)
each second ──▶ export, reconcile                                                   (the schedules, once a minute)
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from aws_lambda_powertools import Logger
from chalice.app import Chalice

from control_plane.aws.stage import stage_settings
from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.clock import LambdaClock
from control_plane.chalicelib.adapters.aws.deployment import deploy
from control_plane.chalicelib.adapters.embedded.gateway import Gateway, Server, make_server
from tests.support.no_uploads import no_uploads

SCHEDULE_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 1
"""After which a message that failed is handed over again; the stack says minutes."""


class Context:
    """As much of Lambda's context as is asked for."""

    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = log_group_name = "test"
    log_stream_name = "test"

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


def pump(app: Chalice, name: str, queue: str, ended: threading.Event) -> None:
    """The event source mapping of one queue: one message at a time, deleted when its function returns."""
    sqs = Clients().of("sqs")
    while not ended.is_set():
        try:
            found = sqs.receive_message(
                QueueUrl=queue, WaitTimeSeconds=1, VisibilityTimeout=AGAIN_SECONDS, MaxNumberOfMessages=1,
                AttributeNames=["ApproximateReceiveCount"],
            )  # fmt: skip
            for message in found.get("Messages", []):
                app.handler_map[name](_sqs_event(message, queue), Context())
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        except Exception as error:
            # As Lambda does: said, and the message comes again.
            print(f"{name} failed: {error!r}", file=sys.stderr, flush=True)
            ended.wait(0.2)


def _sqs_event(message: dict[str, Any], queue: str) -> dict[str, Any]:
    record = {
        "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
        "attributes": message.get("Attributes", {}), "messageAttributes": {}, "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs", "awsRegion": "us-east-1",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{queue.rpartition('/')[2]}",
    }  # fmt: skip
    return {"Records": [record]}


def tick(app: Chalice, name: str, ended: threading.Event) -> None:
    """The schedule of one function."""
    event = {
        "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "id": "1", "version": "0",
        "account": "123456789012", "region": "us-east-1", "resources": [], "time": "2026-11-22T00:00:00Z",
    }  # fmt: skip
    while not ended.wait(SCHEDULE_SECONDS):
        try:
            app.handler_map[name](event, Context())
        except Exception as error:
            print(f"{name} failed: {error!r}", file=sys.stderr, flush=True)


def main() -> None:
    """Serve until SIGTERM."""
    config, stage, port = sys.argv[1:]
    settings = stage_settings(Path(config), stage)
    clock = LambdaClock()
    app = deploy(settings, Clients(), clock).app
    server = make_server(
        Gateway(app, no_uploads(), clock, Logger(service="twokeys")), no_uploads(), Server(port=int(port), threads=32)
    )
    ended = threading.Event()
    work: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (pump, (app, "due", settings.due_queue, ended)),
        (pump, (app, "notices", settings.notices_queue, ended)),
        (tick, (app, "export", ended)),
        (tick, (app, "reconcile", ended)),
    ]
    if os.environ.get("TWOKEYS_TEST_WORKERS", "on") == "on":
        for target, arguments in work:
            threading.Thread(target=target, args=arguments, daemon=True).start()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print(f"listening on http://127.0.0.1:{server.effective_port} at {time.time():.0f}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
