"""Notices: opening never waits long for the queue, and what can't be told is on record."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from control_plane.chalicelib.adapters.aws.clients import QUICK_ATTEMPTS, QUICK_READ_SECONDS, Clients
from control_plane.chalicelib.adapters.aws.notices import NoMail, NoticesQueue, SecretSlack, mailer_of, pauses_until
from control_plane.chalicelib.adapters.aws.secret_values import KEPT_SECONDS, SecretValues
from control_plane.chalicelib.ports.slack import SlackPost
from tests.control_plane.world import ManualClock, World
from twokeys.errors import Unavailable


class Answers:
    """Every service at once: keeps what it was asked, and answers what the test says."""

    def __init__(self) -> None:
        self.secret = ""
        self.asked: list[dict[str, Any]] = []
        self.configs: list[Any] = []
        self.fault: Exception | None = None

    def make(self, service: str, config: Any) -> Any:
        self.configs.append(config)
        return self

    def send_message(self, **asked: Any) -> None:
        self.asked.append(asked)
        if self.fault:
            raise self.fault

    def get_secret_value(self, **asked: Any) -> dict[str, str]:
        self.asked.append(asked)
        return {"SecretString": self.secret}


def test_only_the_id_goes_into_the_queue(a_world: World) -> None:
    sqs, stored = Answers(), a_world.stored(a_world.open().id)
    NoticesQueue(Clients(sqs.make), "https://sqs/notices", lambda *_: None).opened(stored)
    assert [json.loads(one["MessageBody"]) for one in sqs.asked] == [{"id": stored.asked.id}]
    assert sqs.configs[0].read_timeout * QUICK_ATTEMPTS < 10, "an opening has 29 s"
    assert sqs.configs[0].read_timeout == QUICK_READ_SECONDS


def test_a_queue_that_is_down_ends_no_opening_and_is_told(a_world: World) -> None:
    sqs, stored = Answers(), a_world.stored(a_world.open().id)
    sqs.fault = EndpointConnectionError(endpoint_url="https://sqs")
    failed: list[tuple[str, str]] = []
    NoticesQueue(Clients(sqs.make), "https://sqs/notices", lambda *told: failed.append(told)).opened(stored)
    assert failed == [(stored.asked.id, "aws_unreachable")]


def test_quick_and_patient_clients_are_two() -> None:
    clients = Clients(lambda service, config: object())
    assert clients.of("sqs") is clients.of("sqs")
    assert clients.of("sqs") is not clients.of("sqs", quick=True)


def test_token_and_channel_of_slack_are_fetched_when_needed(clock: ManualClock) -> None:
    secrets = Answers()
    posted: list[object] = []

    class Poster:
        def post(self, post: SlackPost) -> None:
            posted.append(post.text)

    def poster(channel: str, token: str) -> Poster:
        posted.append((channel, token))
        return Poster()

    slack = SecretSlack(SecretValues(Clients(secrets.make), clock), "twokeys-test/slack", poster)
    for broken in ("{}", "[]", "xoxb", '{"token": 7, "channel": "C1"}'):
        secrets.secret = broken
        clock.pass_seconds(KEPT_SECONDS)
        with pytest.raises(Unavailable, match="no token and channel"):
            slack.post(SlackPost("hello", "https://twokeys.example.com/r/1"))
    secrets.secret = '{"token": "xoxb-1", "channel": "C1"}'
    clock.pass_seconds(KEPT_SECONDS)
    slack.post(SlackPost("hello", "https://twokeys.example.com/r/1"))
    assert posted == [("C1", "xoxb-1"), "hello"]


def test_a_secret_is_kept_for_minutes_and_shown_by_nothing(clock: ManualClock) -> None:
    answers = Answers()
    answers.secret = "s" * 64
    secrets = SecretValues(Clients(answers.make), clock)
    assert (secrets.text("a"), secrets.text("a"), secrets.text("")) == ("s" * 64, "s" * 64, "")
    assert len(answers.asked) == 1
    clock.pass_seconds(KEPT_SECONDS)
    answers.secret = "t" * 64
    assert secrets.text("a") == "t" * 64
    assert "ttt" not in repr(secrets)
    assert len(secrets.cookie_key("a")) == 32
    for weak in ("", "short"):
        answers.secret = weak
        clock.pass_seconds(KEPT_SECONDS)
        with pytest.raises(Unavailable):
            secrets.cookie_key("a")


def test_trying_ends_before_the_function_does() -> None:
    now = time.monotonic()
    assert pauses_until(now - 14.5)(1.0), "waiting would pass the time"
    assert not pauses_until(now)(0.001)


def test_without_a_sender_nothing_is_mailed() -> None:
    assert isinstance(mailer_of(Clients(), "", ""), NoMail)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_795_379_462_000)
