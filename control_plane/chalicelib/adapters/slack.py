"""Slack by its Web API, method `chat.postMessage`: one post with one link, no buttons.

Source: https://docs.slack.dev/reference/methods/chat.postMessage, "Formatting message text".
"""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass, field
from typing import Final

from twokeys.errors import Unavailable

from ..ports.slack import SlackPost

TIMEOUT_SECONDS: Final = 10.0
"""Longest wait for each answer."""

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Most that is read of an answer."""

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class SlackConfig:
    """Where posts go: a bot token with `chat:write`, and a channel id."""

    channel: str
    token: str = field(repr=False)
    host: str = "slack.com"
    port: int = 443


class SlackPoster:
    """Implements `ports.slack.Slack`."""

    def __init__(self, config: SlackConfig, tls: ssl.SSLContext | None = None) -> None:
        """Args: config: token and channel; tls: the default verifies by the system's roots."""
        self._config = config
        self._tls = tls or ssl.create_default_context()

    def post(self, post: SlackPost) -> None:
        body = json.dumps(message(post, self._config.channel)).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "Authorization": f"Bearer {self._config.token}"}
        connection = http.client.HTTPSConnection(
            self._config.host, self._config.port, timeout=TIMEOUT_SECONDS, context=self._tls
        )
        try:
            connection.request("POST", "/api/chat.postMessage", body, headers)
            answer = json.loads(connection.getresponse().read(MAX_ANSWER_BYTES))
            problem = "" if answer["ok"] else str(answer.get("error", "refused"))[:80]
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
            problem = type(error).__name__
        finally:
            connection.close()
        if problem:
            raise Unavailable(f"Slack did not take a post ({problem}).", not_done="It was not posted.",
                              advice="Look at the token's scopes and the channel.")  # fmt: skip


def message(post: SlackPost, channel: str) -> dict[str, object]:
    """The method's arguments. What others wrote stands in plain text, where no markup and no mention works."""
    return {
        "channel": channel,
        "text": post.text.translate(_ESCAPES),
        "blocks": [
            {"type": "section", "text": {"type": "plain_text", "text": post.text[:2900], "emoji": False}},
            {"type": "section", "text": {"type": "mrkdwn", "text": f"<{post.link.translate(_ESCAPES)}|Look at it>"}},
        ],
        "parse": "none",
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }
