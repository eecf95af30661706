"""Where notices go on one machine: `notify.toml` in the state folder, mode 0600. Without it, mail stays in the outbox.

    [smtp]                          [slack]
    host = "mail.example.com"       channel = "C0123456789"
    port = 587                      token = "xoxb-…"
    sender = "twokeys@example.com"
    user = "twokeys"
    password = "…"

Unknown sections and keys are refused: a mistyped one would leave people untold.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from twokeys.errors import InvalidInput, Refused

from ..slack import SlackConfig
from .smtp import SmtpConfig

FILE_NAME: Final = "notify.toml"
MAX_FILE_BYTES: Final = 64 * 1024


class _Smtp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    sender: str
    port: int = 587
    user: str = ""
    password: str = ""


class _Slack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channel: str
    token: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    smtp: _Smtp | None = None
    slack: _Slack | None = None


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """What is configured; None where nothing is."""

    smtp: SmtpConfig | None = None
    slack: SlackConfig | None = None


def read_notify_config(folder: Path) -> NotifyConfig:
    """Read `notify.toml` of a state folder; without one nothing is configured.

    Raises:
        Refused: when others can read the file: it holds a password and a token.
        InvalidInput: when it is malformed, or names something unknown.
    """
    path = folder / FILE_NAME
    try:
        if path.stat().st_mode & 0o077:
            raise Refused(f"{FILE_NAME} can be read by others.", not_done="The control plane was not started.",
                          advice=f"Run: chmod 600 {path}", code="open_secret")  # fmt: skip
        data = path.read_bytes()[: MAX_FILE_BYTES + 1]
    except FileNotFoundError:
        return NotifyConfig()
    try:
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"it is over {MAX_FILE_BYTES} bytes")
        found = msgspec.convert(tomllib.loads(data.decode("utf-8")), _File)
    except (ValueError, msgspec.ValidationError) as error:
        raise InvalidInput(f"{FILE_NAME} can't be used: {error}.", not_done="The control plane was not started.",
                           advice="Mend it, or remove it to keep mail in the outbox.") from error  # fmt: skip
    smtp, slack = found.smtp, found.slack
    return NotifyConfig(
        SmtpConfig(smtp.host, smtp.port, smtp.sender, smtp.user, smtp.password) if smtp else None,
        SlackConfig(slack.channel, slack.token) if slack else None,
    )
