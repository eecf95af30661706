"""Mail by SES, API version 2: plain text to one person.

Source: SES API v2 reference, "SendEmail". A retry after a lost answer may send a message twice.
"""

from __future__ import annotations

from email.headerregistry import Address
from typing import Any, Final

from twokeys.errors import InvalidInput

from ...ports.mailer import Mail
from .clients import Clients
from .errors import told

MAX_SUBJECT: Final = 998
"""Longest subject, in characters (RFC 5322 section 2.1.1: a line)."""


class SesMailer:
    """Implements `ports.mailer.Mailer`."""

    def __init__(self, clients: Clients, mail_from: str, configuration: str) -> None:
        """Args: clients: of AWS; mail_from: a verified address; configuration: set of SES, empty for none."""
        self._clients, self._from, self._configuration = clients, mail_from, configuration

    def send(self, mail: Mail) -> None:
        more = {"ConfigurationSetName": self._configuration} if self._configuration else {}
        message = {
            "Subject": {"Data": _one_line(mail.subject), "Charset": "UTF-8"},
            "Body": {"Text": {"Data": mail.text, "Charset": "UTF-8"}},
            # RFC 3834: an out-of-office answer to this helps nobody.
            "Headers": [{"Name": "Auto-Submitted", "Value": "auto-generated"}],
        }
        asked: dict[str, Any] = {
            "FromEmailAddress": self._from, "Destination": {"ToAddresses": [_address(mail.to)]},
            "Content": {"Simple": message}, **more,
        }  # fmt: skip
        with told("SES", "The message was not sent."):
            self._clients.of("sesv2").send_email(**asked)


def _one_line(subject: str) -> str:
    if len(subject) > MAX_SUBJECT or any(ord(one) < 32 or ord(one) == 127 for one in subject):
        raise _unwritable("its subject is not one line")
    return subject


def _address(text: str) -> str:
    """The address alone; SES reads a list, names and comments into anything else."""
    try:
        parsed = Address(addr_spec=text)
    except (ValueError, IndexError) as error:
        raise _unwritable("its address is none") from error
    if parsed.addr_spec != text or not parsed.domain or not text.isascii():
        raise _unwritable("its address is none that SES takes")
    return text


def _unwritable(why: str) -> InvalidInput:
    return InvalidInput(f"A message can't be written: {why}.", not_done="It was not sent.", code="bad_mail")
