"""Mail, one message to one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """A message.

    Args:
        to: Address of one person.
        subject: One line.
        text: Plain text.
        link: The address that the text points to, apart for those who show mail.
    """

    to: str
    subject: str
    text: str
    link: str = ""


class Mailer(Protocol):
    """Sends, or keeps what it would have sent."""

    def send(self, mail: Mail) -> None:
        """Send one message.

        Raises:
            InvalidInput: when it can't be written as one (an address or header that isn't one line).
            Unavailable: when it was not taken over; trying again may help.
        """
