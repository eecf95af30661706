"""Suites of `ports.mailer` and `ports.slack`."""

from __future__ import annotations

from typing import Protocol

import pytest

from control_plane.chalicelib.ports.mailer import Mail, Mailer
from control_plane.chalicelib.ports.slack import Slack, SlackPost
from twokeys.errors import InvalidInput, Unavailable

MAIL = Mail("rob@example.com", "agent-7 asks: größer", "agent-7 asks for a write.\nLook at it.\n")
POST = SlackPost("agent-7 asks <!channel> & more", "https://twokeys.example.com/r/req_x")


class MailSite(Protocol):
    """A mailer, and what came out of it."""

    @property
    def mailer(self) -> Mailer:
        """The adapter."""

    def sent(self) -> list[Mail]:
        """Every message that was taken over, oldest first, without `link`."""

    def break_down(self) -> None:
        """From now on no message is taken."""


class MailerSuite:
    """Subclass it with a fixture `site`."""

    def test_a_message_goes_to_its_one_person(self, site: MailSite) -> None:
        site.mailer.send(MAIL)
        assert site.sent() == [MAIL]

    @pytest.mark.parametrize(
        "to", ["", "rob", "rob@", "a@example.com, b@example.com", "rob@example.com\r\nBcc: b@example.com",
               "Rob <rob@example.com>"],
    )  # fmt: skip
    def test_a_malformed_address_gets_nothing(self, site: MailSite, to: str) -> None:
        with pytest.raises(InvalidInput):
            site.mailer.send(Mail(to, MAIL.subject, MAIL.text))
        assert site.sent() == []

    @pytest.mark.parametrize("subject", ["a\r\nBcc: b@example.com", "a\nb", "a\rb"])
    def test_a_subject_adds_no_header(self, site: MailSite, subject: str) -> None:
        with pytest.raises(InvalidInput):
            site.mailer.send(Mail(MAIL.to, subject, MAIL.text))
        assert site.sent() == []

    def test_what_is_not_taken_is_unavailable(self, site: MailSite) -> None:
        site.break_down()
        with pytest.raises(Unavailable):
            site.mailer.send(MAIL)
        assert site.sent() == []


class SlackSite(Protocol):
    """A poster, and what came out of it."""

    @property
    def slack(self) -> Slack:
        """The adapter."""

    def posted(self) -> list[dict[str, object]]:
        """Every body that arrived."""

    def answer(self, body: bytes) -> None:
        """What the other side says from now on."""


class SlackSuite:
    """Subclass it with a fixture `slack_site`."""

    def test_a_post_is_one_call_where_nothing_is_markup(self, slack_site: SlackSite) -> None:
        slack_site.slack.post(POST)
        (body,) = slack_site.posted()
        assert "&lt;!channel&gt; &amp; more" in str(body["text"])
        assert "<!channel>" not in str(body["text"])
        assert POST.link in str(body["blocks"])

    @pytest.mark.parametrize("answer", [b'{"ok": false, "error": "ratelimited"}', b"", b"[]", b"<html>"])
    def test_a_no_is_unavailable(self, slack_site: SlackSite, answer: bytes) -> None:
        slack_site.answer(answer)
        with pytest.raises(Unavailable):
            slack_site.slack.post(POST)
