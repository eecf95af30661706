"""Tells the people who may approve that a Request waits: a pointer by mail and Slack, no values, no authority.

    Notice ──compose──▶ mails, post ──deliver──▶ sent, or a Failure for the log          never an approval

A message tells who asks, where, what kind of command and which objects, how long there is, and the link. It holds no
statement and no value: mail and chat are read by more people and machines than the page is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twokeys.errors import TwokeysError, Unavailable

from ..pages.render import duration
from ..pages.visible import plain
from ..ports.mailer import Mail, Mailer
from ..ports.slack import Slack, SlackPost

MAX_TRIES: Final = 3
"""How often one message is tried."""

PAUSES: Final = (1.0, 5.0)
"""Seconds between the tries."""

MAX_RECIPIENTS: Final = 50
"""Most people mailed about one Request."""

MAX_OBJECTS: Final = 8
"""Most objects named."""

MAX_WORD: Final = 80
"""Longest name in a message."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person who may approve."""

    person_id: str
    email: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What a message may say of a Request; there is no field for a statement or a value.

    Args:
        request_id: The Request.
        requester: Who asks.
        requester_kind: ``person`` or ``machine``.
        sponsor: Who answers for a machine.
        target: Target id.
        kind: The Command in the protocol's words.
        objects: Names of what it touches, as ``effect name``.
        seconds_left: Until it is denied.
        in_transaction: Locks are held meanwhile.
    """

    request_id: str
    requester: str
    requester_kind: str
    sponsor: str
    target: str
    kind: str
    objects: tuple[str, ...]
    seconds_left: int
    in_transaction: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that was given up: for the log and the record, no text of it."""

    request_id: str
    channel: str
    recipient: str
    problem: str


class Notifier:
    """Composes and delivers. Failing to notify changes nothing about the Request: silence stays a denial."""

    def __init__(
        self,
        public_url: str,
        mailer: Mailer,
        slack: Slack | None,
        pause: Callable[[float], bool],
        failed: Callable[[Failure], None],
    ) -> None:
        """Wire it.

        Args:
            public_url: Our own origin, for the link.
            mailer: Takes mail.
            slack: Takes the post; None where Slack isn't configured.
            pause: Waits so many seconds; True when the process ends meanwhile and trying should too.
            failed: Told of each message that was given up.
        """
        self._public_url = public_url
        self._mailer = mailer
        self._slack = slack
        self._pause = pause
        self._failed = failed

    def notify(self, notice: Notice, recipients: Sequence[Recipient]) -> int:
        """Tell everybody once; return how many messages were taken."""
        sent = 0
        for person in list(recipients)[:MAX_RECIPIENTS]:
            mail = compose_mail(notice, person, self._public_url)
            sent += self._deliver(notice, "mail", person.person_id, functools.partial(self._mailer.send, mail))
        if self._slack is not None:
            slack, post = self._slack, compose_post(notice, self._public_url)
            sent += self._deliver(notice, "slack", "", lambda: slack.post(post))
        return sent

    def _deliver(self, notice: Notice, channel: str, recipient: str, send: Callable[[], None]) -> bool:
        problem = ""
        for attempt in range(MAX_TRIES):
            if attempt and self._pause(PAUSES[attempt - 1]):
                break
            try:
                send()
            except Unavailable as error:
                problem = error.happened
            except TwokeysError as error:
                problem = error.happened
                break
            else:
                return True
        self._failed(Failure(notice.request_id, channel, recipient, problem))
        return False


def compose_mail(notice: Notice, person: Recipient, public_url: str) -> Mail:
    """The mail to one person."""
    link = _link(notice, public_url)
    text = "\n".join((
        *_sentences(notice), "",
        "Look at it, and decide there:", link, "",
        "The link only shows the request, to people who are signed in.",
            "Answering or forwarding this mail decides nothing.",
    ))  # fmt: skip
    return Mail(person.email, _subject(notice), text, link)


def compose_post(notice: Notice, public_url: str) -> SlackPost:
    """The post."""
    return SlackPost("\n".join(_sentences(notice)), _link(notice, public_url))


def one_line(text: str, limit: int = MAX_WORD) -> str:
    """A name as one visible line of limited length."""
    shown = plain(" ".join(text.split()))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _subject(notice: Notice) -> str:
    return f"{one_line(notice.requester)} asks: {one_line(notice.kind)} in {one_line(notice.target)}"


def _sentences(notice: Notice) -> Sequence[str]:
    who = one_line(notice.requester)
    sponsor = f", sponsor {one_line(notice.sponsor)}" if notice.sponsor else ""
    objects = ", ".join(one_line(name) for name in notice.objects[:MAX_OBJECTS])
    more = len(notice.objects) - MAX_OBJECTS
    sentences = [
        f"{who} ({one_line(notice.requester_kind)}{sponsor}) asks to run {one_line(notice.kind)}"
        f" in {one_line(notice.target)}.",
        f"It touches: {objects}{f' and {more} more' if more > 0 else ''}.",
        f"It is denied in {duration(notice.seconds_left)} if nobody answers.",
    ]
    if notice.in_transaction:
        sentences.append("Its transaction is open meanwhile, and holds its locks.")
    return sentences


def _link(notice: Notice, public_url: str) -> str:
    return f"{public_url}/r/{notice.request_id}"
