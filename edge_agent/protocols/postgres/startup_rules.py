"""What the client's start-up is given and what it answers: who may sign in, the rules, the steps."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.messages import CancelRequest
from edge_agent.protocols.postgres.scram import MIN_MOCK_SECRET_BYTES
from twokeys.caller import Caller
from twokeys.errors import InvalidInput
from twokeys.issuer_keys import IssuerKeys
from twokeys.verifier import ScramVerifier


@dataclass(frozen=True, slots=True)
class ScramUser:
    """A user with a credential of ours, and who that is."""

    verifier: ScramVerifier
    caller: Caller


@dataclass(frozen=True, slots=True)
class OidcUser:
    """A user who shows a token of one of these issuers.

    Args:
        issuers: To be trusted.
        registered: The caller as registered; None: a machine that its issuer vouches for.
        listed: Whether its subject may be a caller, by its name; a session ends when that is over. At sign-in the
            claim itself is compared, so that an unlisted name is asked for a token like any other.
    """

    issuers: Sequence[IssuerKeys]
    registered: Caller | None = None
    listed: bool = True


class Directory(Protocol):
    """Who may sign in, by the Bundle in force."""

    def lookup(self, user: str) -> ScramUser | OidcUser | None:
        """The user of this name at our target, or None."""


class Plaintext(enum.StrEnum):
    """From where a client may sign in without TLS."""

    NEVER = "never"
    LOOPBACK = "loopback"
    ANYWHERE = "anywhere"


@dataclass(frozen=True, slots=True)
class StartupRules:
    """What an Edge demands of those who connect.

    Args:
        target: Whom tokens must be for.
        tls: Whether we have a certificate.
        binding: `end_point` of that certificate; None: no channel binding is offered.
        mock_secret: Of this Edge, at least 16 random bytes: hides which users exist.
        plaintext: From where SCRAM without TLS is accepted.
        default_database: Where the client names none; empty: its user name.
        limits: Sizes.
        schemas: Of every session's search_path, which a client may narrow; empty: it may not.
    """

    target: str
    tls: bool
    mock_secret: bytes = field(repr=False)
    binding: bytes | None = None
    plaintext: Plaintext = Plaintext.LOOPBACK
    default_database: str = ""
    limits: WireLimits = field(default_factory=WireLimits)
    schemas: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.mock_secret) < MIN_MOCK_SECRET_BYTES:
            raise InvalidInput(
                f"The secret that hides which users exist has at least {MIN_MOCK_SECRET_BYTES} bytes.",
                not_done="The listener was not configured.",
            )
        if self.binding is not None and not self.tls:
            raise InvalidInput("Channel binding needs TLS.", not_done="The listener was not configured.")


@dataclass(frozen=True, slots=True)
class StartTls:
    """Write what `take_to_client` has, begin TLS as the server, then call `tls_started`."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A CancelRequest came: act on it if its key is known, answer nothing, close."""

    request: CancelRequest


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The client has proven who it is, and was told so; now the server's ParameterStatus and so on must follow.

    Args:
        caller: Who it is.
        database: What it asked for.
        parameters: Allowed settings, to be passed to the server.
        protocol_minor: 0 or 2; a cancel key longer than 4 bytes is for 2 alone.
        expires_at: Seconds since the epoch when the proof ends (a token's `exp`); None: it does not.
    """

    caller: Caller
    database: str
    parameters: Mapping[str, str]
    protocol_minor: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Write what `take_to_client` has and close.

    Args:
        code: Why, for the record; the client is told less.
        user: The name that was tried, or empty.
    """

    code: str
    user: str = ""


Step = StartTls | Cancel | Authenticated | Ended
