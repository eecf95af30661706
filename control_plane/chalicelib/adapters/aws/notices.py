"""Telling people of a new Request, apart from opening it: the id goes into a queue, a worker mails and posts.

    open ──id──▶ notices queue ──worker──▶ who may approve? ──▶ SES, Slack

A message that comes twice may tell twice; `workers.MAX_DELIVERIES` bounds it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

import msgspec

from twokeys.errors import TwokeysError, Unavailable
from twokeys.request import State

from ...ports.clock import Clock
from ...ports.mailer import Mail, Mailer
from ...ports.people import People
from ...ports.requests import Requests, Stored
from ...ports.slack import Slack, SlackPost
from ...services.desk import RequestDesk
from ...services.notify import Failure, Notifier
from ...services.telling import Telling
from .clients import Clients
from .errors import told
from .secret_values import SecretValues

TRYING_SECONDS: Final = 15.0
"""After which a message that was not taken is not tried again: the function's own time is 29 s."""


class NoticesQueue:
    """Puts ids of new Requests into the queue."""

    def __init__(self, clients: Clients, url: str, failed: Callable[[str, str], None]) -> None:
        """Args: clients: of AWS; url: the queue's; failed: told the id and the fault when nobody will be told."""
        self._clients, self._url, self._failed = clients, url, failed

    def opened(self, stored: Stored) -> None:
        """Let people be told. Never raises: the Request stands, and is on the list."""
        try:
            with told("SQS", "Nobody was told of the request."):
                body = json.dumps({"id": stored.asked.id})
                # Whoever opens a Request waits for this: rather nobody told than the opening cut off.
                self._clients.of("sqs", quick=True).send_message(QueueUrl=self._url, MessageBody=body)
        except TwokeysError as error:
            self._failed(stored.asked.id, error.code)


class NoMail:
    """Implements `ports.mailer.Mailer` where no sender is configured: people look at the list, or at Slack."""

    def send(self, mail: Mail) -> None:
        """Nothing."""


class _SlackSecret(msgspec.Struct, frozen=True):
    token: str
    channel: str


class SecretSlack:
    """Implements `ports.slack.Slack` with token and channel from a secret: ``{"token": "xoxb-…", "channel": "C…"}``."""

    def __init__(self, secrets: SecretValues, name: str, poster: Callable[[str, str], Slack] | None = None) -> None:
        """Args: secrets: fetches; name: the secret's; poster: of channel and token; the default posts to Slack."""
        self._secrets, self._name, self._poster = secrets, name, poster or _slack_poster

    def post(self, post: SlackPost) -> None:
        try:
            found = msgspec.json.decode(self._secrets.text(self._name), type=_SlackSecret)
        except msgspec.DecodeError as error:
            raise Unavailable("The secret for Slack has no token and channel.", not_done="It was not posted.",
                              advice="Put both into it, as JSON.", code="bad_secret") from error  # fmt: skip
        self._poster(found.channel, found.token).post(post)


def _slack_poster(channel: str, token: str) -> Slack:
    from ..slack import SlackConfig, SlackPoster

    return SlackPoster(SlackConfig(channel, token))


class Teller:
    """Works one notice."""

    def __init__(self, requests: Requests, people: People, clock: Clock, desk: RequestDesk,
                 notifier: Callable[[Callable[[float], bool]], Notifier]) -> None:  # fmt: skip
        """Args: notifier: makes the one that sends, with what it pauses by."""
        self._requests, self._people, self._clock, self._desk = requests, people, clock, desk
        self._notifier = notifier

    def tell(self, request_id: str) -> int:
        """Tell who may approve, unless it is decided or over; return how many people."""
        stored = self._requests.find(request_id)
        if stored is None or stored.state is not State.PENDING or stored.due_at <= self._clock.now():
            return 0
        telling = Telling(self._desk, self._people, self._clock, self._notifier(pauses_until(time.monotonic())))
        return len(telling.opened(stored))


def pauses_until(begun: float, seconds: float = TRYING_SECONDS) -> Callable[[float], bool]:
    """A pause that waits, until waiting would pass the time there is: then it says that trying ends."""

    def pause(wanted: float) -> bool:
        if time.monotonic() + wanted > begun + seconds:
            return True
        time.sleep(wanted)
        return False

    return pause


def failure_reason(failure: Failure) -> str:
    """A failure for the record: channel and problem, no text of the message."""
    return f"{failure.channel}: {failure.problem}"[:512]


def mailer_of(clients: Clients, mail_from: str, configuration: str) -> Mailer:
    """SES, or none."""
    if not mail_from:
        return NoMail()
    from .ses import SesMailer

    return SesMailer(clients, mail_from, configuration)
