"""The functions beside the routes: queues and clocks call them, people don't.

    due queue     ──due──▶        a Request's time may be over: look           (one message, one Request)
    notices queue ──notices──▶    a Request was opened: tell who may approve
    each minute   ──export──▶     our own Records become sealed Segments
    each minute   ──reconcile──▶  what the timers missed, and sealed Segments whose publishing was cut off

A message that can never be worked (not ours, or of no Request) is recorded once and raised: the queue hands it over
again a few times and then to its dead letters, where an alarm looks. A message is never dropped in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from chalice.app import Blueprint, CloudWatchEvent, Rate, SQSEvent, SQSRecord

from twokeys.errors import InvalidInput, Unavailable

from .ports.recordings import Published
from .services.reconciling import Reconciled

MAX_MESSAGE_CHARACTERS: Final = 1024
"""Longest message that is ours: an id."""

MAX_DELIVERIES: Final = 3
"""How often one notice is worked at most: a person may get a mail so many times, whatever the queue is set to."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


@dataclass(frozen=True, slots=True)
class Queues:
    """Names of the queues; Chalice subscribes to them when it deploys."""

    due: str
    notices: str


@dataclass(frozen=True, slots=True)
class Work:
    """What the functions do.

    Args:
        exists: Whether there is such a Request.
        remind: Ends a Request whose time is over.
        tell: Tells who may approve a Request; returns how many were told.
        export: Seals our own Records; returns how many.
        reconcile: Mends what the timers missed.
        silent_edges: How many enrolled Edges have not called for too long.
        publish: Puts sealed Segments in place whose publishing was cut off.
        poisoned: Keeps a record of a message that can't be worked: queue, message id, what is wrong.
    """

    exists: Callable[[str], bool]
    remind: Callable[[str], None]
    tell: Callable[[str], int]
    export: Callable[[], int]
    reconcile: Callable[[], Reconciled]
    silent_edges: Callable[[], int]
    publish: Callable[[], Published]
    poisoned: Callable[[str, str, str], None]


def blueprint(queues: Queues, work: Work, logger: Logger, metrics: Metrics) -> Blueprint:
    """The functions, named as their policies and logs are."""
    # Lambda looks for them in `app.py`, and Chalice writes where from this name.
    workers = Blueprint("app")
    messages = _Messages(work, logger)

    def began() -> None:
        # First of all: a function that fails has a figure too.
        metrics.add_metric(name="Runs", unit=MetricUnit.Count, value=1)

    @workers.on_sqs_message(queue=queues.due, batch_size=1, name="due")
    def due(event: SQSEvent) -> None:
        began()
        for record in event:
            work.remind(messages.request_of(queues.due, record))
            metrics.add_metric(name="Reminders", unit=MetricUnit.Count, value=1)

    @workers.on_sqs_message(queue=queues.notices, batch_size=1, name="notices")
    def notices(event: SQSEvent) -> None:
        began()
        for record in event:
            request_id = messages.request_of(queues.notices, record)
            if deliveries(record) > MAX_DELIVERIES:
                raise Unavailable(f"The notice of {request_id} was worked {MAX_DELIVERIES} times.",
                                  not_done="Nobody was told again.", code="too_many")  # fmt: skip
            metrics.add_metric(name="Told", unit=MetricUnit.Count, value=work.tell(request_id))

    @workers.schedule(Rate(1, unit=Rate.MINUTES), name="export")
    def export(event: CloudWatchEvent) -> None:
        began()
        metrics.add_metric(name="RecordsSealed", unit=MetricUnit.Count, value=work.export())

    @workers.schedule(Rate(1, unit=Rate.MINUTES), name="reconcile")
    def reconcile(event: CloudWatchEvent) -> None:
        began()
        done = work.reconcile()
        metrics.add_metric(name="ExpiryLagSeconds", unit=MetricUnit.Seconds, value=done.lag_milliseconds / 1000)
        metrics.add_metric(name="TimersMissing", unit=MetricUnit.Count, value=done.started)
        metrics.add_metric(name="SilentEdges", unit=MetricUnit.Count, value=work.silent_edges())
        if done.reminded or done.started or done.failed or not done.finished:
            logger.warning("timers were missed", reminded=done.reminded, started=done.started, failed=done.failed,
                           finished=done.finished)  # fmt: skip
        # Before the faults below: Requests that can't be looked at must not keep recordings from auditors.
        published = work.publish()
        metrics.add_metric(name="SegmentsPublished", unit=MetricUnit.Count, value=published.count)
        if done.failed:
            raise Unavailable(f"{done.failed} requests could not be looked at.", not_done="They are tried again.",
                              code="reconcile_failed")  # fmt: skip
        if published.failed:
            raise Unavailable(f"{published.failed} sealed segments could not be published.",
                              not_done="They are tried again.", code="publish_failed")  # fmt: skip

    return workers


class _Messages:
    def __init__(self, work: Work, logger: Logger) -> None:
        self._work, self._logger = work, logger

    def request_of(self, queue: str, record: SQSRecord) -> str:
        """The Request that a message names. Raises InvalidInput, after having recorded it at its first delivery."""
        request_id = read_message(record.body)
        if request_id and self._work.exists(request_id):
            return request_id
        problem = "It names no request of ours." if request_id else "It is no message of ours."
        message_id = str(_fields(record).get("messageId", ""))[:128]
        self._logger.error("a message can't be worked", queue=queue, delivery=message_id, problem=problem)
        if deliveries(record) <= 1:
            self._work.poisoned(queue, message_id, problem)
        raise InvalidInput(f"A message of {queue} can't be worked. {problem}", not_done="It goes to the dead letters.",
                           code="poisoned_message")  # fmt: skip


def read_message(body: str) -> str:
    """The Request id in ``{"id": "req_…"}``; empty for anything else."""
    try:
        value = json.loads(body) if len(body) <= MAX_MESSAGE_CHARACTERS else None
    except (ValueError, RecursionError):
        return ""
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) and _REQUEST_ID.fullmatch(found) else ""


def deliveries(record: SQSRecord) -> int:
    """How often the queue handed this message over, this time included; 1 when it does not say."""
    attributes = _fields(record).get("attributes")
    count = str(attributes.get("ApproximateReceiveCount", "1")) if isinstance(attributes, dict) else "1"
    return int(count) if count.isascii() and count.isdecimal() and len(count) < 10 else 1


def _fields(record: SQSRecord) -> dict[str, Any]:
    return dict(record.to_dict())
