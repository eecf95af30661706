"""Mail that isn't sent: kept as `.eml` files (RFC 5322) in a folder, for the outbox page and for people who look."""

from __future__ import annotations

import datetime
import email
import email.policy
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from twokeys.errors import InvalidInput, Unavailable

from ...ports.mailer import Mail

MAX_MESSAGES: Final = 500
"""Messages kept; the oldest go."""

_NAME = re.compile(r"[0-9]{20}-[0-9a-f]{16}\.eml")
_LINK_HEADER = "X-Twokeys-Link"


@dataclass(frozen=True, slots=True)
class KeptMail:
    """A message of the folder; `sent_at` is ISO 8601."""

    mail: Mail
    sent_at: str


class Outbox:
    """Implements `ports.mailer.Mailer` on a folder."""

    def __init__(self, folder: Path, sender: str, clock: Callable[[], float]) -> None:
        """Args: folder: made when missing; sender: address of the deployment; clock: seconds since the epoch."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._sender = sender
        self._clock = clock

    def send(self, mail: Mail) -> None:
        now = self._clock()
        message = written(mail, self._sender, now)
        name = f"{int(now * 1_000_000):020d}-{secrets.token_hex(8)}"
        try:
            partial = self._folder / f"{name}.part"
            partial.write_bytes(message.as_bytes(policy=email.policy.SMTP))
            # Whoever lists the folder sees whole messages only.
            partial.replace(self._folder / f"{name}.eml")
            for old in self._names()[MAX_MESSAGES:]:
                (self._folder / old).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable("The outbox folder can't be written.", not_done="The message was not kept.",
                              advice="Look at the disk and the folder's owner.") from error  # fmt: skip

    def newest(self, most: int = 50) -> list[KeptMail]:
        """The newest messages, newest first."""
        kept = []
        for name in self._names()[:most]:
            message = email.message_from_bytes((self._folder / name).read_bytes(), policy=email.policy.default)
            body = message.get_body(("plain",)) if isinstance(message, EmailMessage) else None
            text = body.get_content().replace("\r\n", "\n") if body else ""
            mail = Mail(str(message["To"]), str(message["Subject"]), text, str(message.get(_LINK_HEADER, "")))
            at = datetime.datetime.fromtimestamp(int(name[:20]) / 1_000_000, datetime.UTC)
            kept.append(KeptMail(mail, at.isoformat()))
        return kept

    def _names(self) -> list[str]:
        return sorted((path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def written(mail: Mail, sender: str, now: float) -> EmailMessage:
    """A mail as a message.

    Raises:
        InvalidInput: when an address is none, or a header would hold more than one line.
    """
    message = EmailMessage(policy=email.policy.SMTP)
    try:
        message["From"] = Address("Twokeys", addr_spec=sender)
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        message["Date"] = datetime.datetime.fromtimestamp(now, datetime.UTC)
        message["Message-ID"] = f"<{secrets.token_hex(16)}@twokeys>"
        # RFC 3834: an out-of-office answer to this helps nobody.
        message["Auto-Submitted"] = "auto-generated"
        if mail.link:
            message[_LINK_HEADER] = mail.link
        message.set_content(mail.text)
    except (ValueError, IndexError, email.errors.MessageError) as error:
        raise InvalidInput("A message can't be written: an address or a header is malformed.",
                           not_done="It was not sent.", advice="Look at the person's address.") from error  # fmt: skip
    return message
