"""Whom the Edge is at the server, what it asks of a session, and what the server must report of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edge_agent.classify.settings import hides_builtins, is_narrower, schemas_of
from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.parameters import ALLOWED, SEARCH_PATH, is_utf8
from edge_agent.protocols.postgres.server_messages import BackendKeyData
from twokeys.errors import InvalidInput, Refused

MAX_REPORTED: Final = 200
"""Most settings that a server reports; PostgreSQL 18 has 15 of its own."""
MIN_MAJOR: Final = 14
"""The first major version that reports default_transaction_read_only, our second witness."""

FORCED: Final[Mapping[str, str]] = {
    "default_transaction_read_only": "on",
    "standard_conforming_strings": "on",
}
"""Settings of every session. At start-up, because RESET ALL and DISCARD ALL come back to these."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ESCAPED: Final = re.compile(r"([\\\s])")


@dataclass(frozen=True, slots=True)
class UpstreamRules:
    """How to sign in at a target.

    Args:
        user: The Edge's own role; callers never see it.
        password: Its password.
        tls: Required (True) or off.
        require_binding: Refuse a server that can't bind SCRAM to its certificate.
        by_certificate: We show a certificate by TLS, with which the server may be content.
        unsafe_trust: Accept a server that asks for no proof (`trust` in its pg_hba.conf).
        search_path: For every session; empty: the server's own.
        settings: More settings for every session. By default an idle transaction may wait: a held write is one.
        limits: Sizes.
    """

    user: str
    password: str = field(repr=False)
    tls: bool
    require_binding: bool = False
    by_certificate: bool = False
    unsafe_trust: bool = False
    search_path: str = ""
    settings: Mapping[str, str] = field(default_factory=lambda: {"idle_in_transaction_session_timeout": "0"})
    limits: WireLimits = field(default_factory=WireLimits)

    def __post_init__(self) -> None:
        if not self.user or ((self.require_binding or self.by_certificate) and not self.tls):
            raise InvalidInput(
                "A target needs a user, and channel binding needs TLS.", not_done="The target was not configured."
            )
        if any(name.casefold() in FORCED or is_encoding(name) for name in self.settings):
            raise InvalidInput(
                "A target's settings may not name default_transaction_read_only, "
                "standard_conforming_strings or client_encoding.",
                not_done="The target was not configured.",
                advice="Leave them out: they are fixed.",
            )
        path = next((value for name, value in self.settings.items() if name.casefold() == "search_path"), "")
        if hides_builtins(self.search_path) or hides_builtins(path):
            raise InvalidInput(
                "A target's search_path may not put pg_catalog after other schemas: they could hide built-in names.",
                not_done="The target was not configured.",
                advice="Leave pg_catalog out: then it is searched first.",
            )
        options(self.settings)


@dataclass(frozen=True, slots=True)
class StartTls:
    """Begin TLS as the client, verify the certificate, then call `tls_started`."""


@dataclass(frozen=True, slots=True)
class UpstreamReady:
    """The session stands, read-only and idle.

    Args:
        parameters: What the server reported, by name.
        key: What a CancelRequest for it must show; pid 0 and no key where the server gave none.
        rest: Bytes that followed; the first for the session core.
    """

    parameters: Mapping[str, str]
    key: BackendKeyData
    rest: bytes


UpstreamStep = StartTls | UpstreamReady


def is_encoding(name: str) -> bool:
    """Whether it is client_encoding by one of its names (``names`` is the SQL word)."""
    return name.casefold() in ("client_encoding", "names")


def options(settings: Mapping[str, str]) -> str:
    """The `options` parameter: ``-c name=value`` words, with backslashes before spaces and backslashes.

    Source: `pg_split_opts` of PostgreSQL; libpq's documentation of the parameter `options`.

    Raises:
        InvalidInput: A name is no setting's name, or a value has a NUL.
    """
    for name, value in settings.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise InvalidInput(f"The setting {name!r} can't be sent.", not_done="The target was not configured.")
    return " ".join(f"-c {name}=" + _ESCAPED.sub(r"\\\1", value) for name, value in settings.items())


def startup_packet(rules: UpstreamRules, database: str, settings: Mapping[str, str]) -> bytes:
    """The StartupMessage for one client's session.

    Args:
        rules: The target's.
        database: The client's.
        settings: The client's, allowed ones only; those that the target fixes are left out.

    Raises:
        InvalidInput: A setting is not an allowed one, or something can't be sent.
    """
    wanted = settings.get(SEARCH_PATH)
    narrower = wanted is not None and is_narrower(wanted, schemas_of(rules.search_path, rules.user))
    if not database or any(
        ALLOWED.get(name.casefold()) != name and not (name == SEARCH_PATH and narrower) for name in settings
    ):
        raise InvalidInput("A session's database or settings are not legal.", not_done="No session was begun.")
    path = {SEARCH_PATH: rules.search_path if wanted is None else wanted} if rules.search_path else {}
    ours = {**rules.settings, **path, **FORCED}
    # A parameter would override an option of the same name: what the target fixes is left out of the client's.
    fixed = {name.casefold() for name in ours}
    theirs = {name: value for name, value in settings.items() if name.casefold() not in fixed}
    return encode.startup_message(
        {
            "user": rules.user,
            "database": database,
            "client_encoding": "UTF8",
            **theirs,
            "options": options(ours),
        }
    )


def check_reported(reported: Mapping[str, str]) -> None:
    """See that the session is what we asked for, by the server's own report.

    Raises:
        Refused: The server is older than 14, or reports another value than the one that was asked for.
    """
    version = reported.get("server_version", "")
    found = re.match(r"[0-9]+", version)
    if found is None or int(found[0][:6]) < MIN_MAJOR:
        raise Refused(
            f"The server is PostgreSQL {version[:40] or 'of unknown version'}; {MIN_MAJOR} is the oldest "
            "that reports a change of default_transaction_read_only.",
            not_done="The session was not begun.",
            advice="Upgrade the server.",
            code="old_server",
        )
    wanted = {"client_encoding": is_utf8(reported.get("client_encoding", ""))}
    wanted |= {name: reported.get(name) == value for name, value in FORCED.items()}
    for name, fits in wanted.items():
        if not fits:
            raise Refused(
                f"The server reports {name}={reported.get(name, 'nothing')[:40]}.",
                not_done="The session was not begun.",
                code="upstream_settings",
                advice="Something on the way dropped our start-up options (a pooler?), or a role's or a "
                "database's setting overrides them: connect to the server itself.",
            )
