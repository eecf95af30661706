"""Slack: one post to one channel, without buttons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SlackPost:
    """A post.

    Args:
        text: Plain text; the adapter escapes it.
        link: Where its one link leads.
    """

    text: str
    link: str


class Slack(Protocol):
    """Posts."""

    def post(self, post: SlackPost) -> None:
        """Post once. Raises Unavailable when it was not taken."""
