"""Mail by SMTP submission (RFC 6409), always under TLS by STARTTLS (RFC 3207): no TLS, no mail."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twokeys.errors import Unavailable

from ...ports.mailer import Mail
from .outbox import written

TIMEOUT_SECONDS: Final = 10.0
"""Longest wait for each answer of the server."""


@dataclass(frozen=True, slots=True)
class SmtpConfig:
    """Where mail is submitted.

    Args:
        host: Server name; its certificate must be for it.
        port: Usually 587.
        sender: Address of the deployment.
        user: Empty where the server asks for none.
        password: Goes with the user.
    """

    host: str
    port: int
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)


class SmtpMailer:
    """Implements `ports.mailer.Mailer`."""

    def __init__(self, config: SmtpConfig, clock: Callable[[], float], tls: ssl.SSLContext | None = None) -> None:
        """Args: config: the server; clock: seconds since the epoch; tls: the default verifies by the system's roots."""
        self._config = config
        self._clock = clock
        self._tls = tls or ssl.create_default_context()

    def send(self, mail: Mail) -> None:
        message = written(mail, self._config.sender, self._clock())
        try:
            with smtplib.SMTP(self._config.host, self._config.port, timeout=TIMEOUT_SECONDS) as server:
                server.starttls(context=self._tls)
                if self._config.user:
                    server.login(self._config.user, self._config.password)
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"The mail server did not take a message ({type(error).__name__}).",
                              not_done="It was not sent.",
                              advice="Look at its name, port and login.") from error  # fmt: skip
