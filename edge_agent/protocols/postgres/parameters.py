"""Which start-up parameters a client may bring, and why the others are refused.

A parameter of the StartupMessage sets a server setting before the first statement, past every judgement of text:
`default_transaction_read_only`, `role` or `search_path` here would undo what the session core relies on. So there is
a list of what passes, and anything else is refused by name (attack class P7). The parameter `options` is taken apart
into such settings.

https://www.postgresql.org/docs/current/protocol-message-formats.html (StartupMessage)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from edge_agent.classify.settings import is_narrower
from twokeys.errors import InvalidInput, Refused

MAX_PARAMETERS: Final = 32
"""Most parameters of one StartupMessage."""
MAX_VALUE_BYTES: Final = 256
"""Longest value; PostgreSQL cuts names at 63."""
MAX_NAME_BYTES: Final = 63
"""Longest name of a user or database (NAMEDATALEN - 1)."""

ALLOWED: Final = {
    name.casefold(): name
    for name in (
        "application_name",
        "DateStyle",
        "TimeZone",
        "IntervalStyle",
        "extra_float_digits",
        "bytea_output",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    )
}
"""Settings that change how values look or how long one waits, never what is written. By casefolded name."""

SEARCH_PATH: Final = "search_path"

PROTOCOL_OPTION: Final = "_pq_."
"""Prefix of protocol options; unknown ones are named in NegotiateProtocolVersion and otherwise passed over."""

_UTF8: Final = frozenset({"utf8", "unicode"})


@dataclass(frozen=True, slots=True)
class Requested:
    """What a StartupMessage asks for, checked.

    Args:
        user: Who it says it is; nothing is proven yet.
        database: By its name at the server.
        settings: Allowed settings in their canonical spelling, to be passed on to the server.
        protocol_options: Options that we don't know.
    """

    user: str
    database: str
    settings: Mapping[str, str]
    protocol_options: tuple[str, ...]


def requested(parameters: Mapping[str, str], default_database: str = "", schemas: tuple[str, ...] = ()) -> Requested:
    """Check the parameters of a StartupMessage.

    Args:
        parameters: Name to value, as sent.
        default_database: Where no database is named; empty: the user's name, as PostgreSQL has it.
        schemas: Of every session's search_path, which a client may narrow; empty: it may not.

    Raises:
        InvalidInput: There is no user, or too many or too long parameters, or one twice in another case.
        Refused: A parameter that may not be set here; the code is `replication` or `parameter`.
    """
    if len(parameters) > MAX_PARAMETERS:
        raise InvalidInput("The start-up has too many parameters.", not_done="No session was begun.")
    user = _name(parameters.get("user", ""), "user")
    database = _name(parameters.get("database", "") or default_database or user, "database")
    settings: dict[str, str] = {}
    options: list[str] = []
    for name, value in parameters.items():
        if name.startswith(PROTOCOL_OPTION):
            options.append(name)
        elif name not in ("user", "database"):
            _setting(name, value, settings, schemas)
    return Requested(user, database, settings, tuple(options))


def _setting(name: str, value: str, settings: dict[str, str], schemas: tuple[str, ...]) -> None:
    folded = name.casefold()
    if len(value.encode()) > MAX_VALUE_BYTES:
        raise InvalidInput(
            f"The start-up parameter {name[:MAX_NAME_BYTES]!r} is too long.", not_done="No session was begun."
        )
    if folded == "replication":
        raise Refused(
            "Replication connections are not supported through this edge.",
            not_done="No session was begun.",
            advice="Connect without the replication parameter, or replicate from the server directly.",
            code="replication",
        )
    if folded == "options":
        for inner, given in _options(value):
            _setting(inner, given, settings, schemas)
        return
    if folded == "default_transaction_read_only" and value.casefold() == "on":
        return
    if folded == "client_encoding" and is_utf8(value):
        return
    if folded == "standard_conforming_strings" and value.casefold() == "on":
        return
    narrower = folded == SEARCH_PATH and is_narrower(value, schemas)
    canonical = SEARCH_PATH if narrower else ALLOWED.get(folded)
    if canonical is None:
        raise Refused(
            f"The start-up parameter {name[:MAX_NAME_BYTES]!r} can't be set through this edge.",
            not_done="No session was begun.",
            advice=_ADVICE.get(folded, _OTHERWISE),
            code="parameter",
        )
    if canonical in settings:
        raise InvalidInput(f"The start-up parameter {name!r} comes twice.", not_done="No session was begun.")
    settings[canonical] = value


_WORD: Final = re.compile(r"(?:\\.|[^\\\s])+", re.ASCII | re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def _options(value: str) -> Iterator[tuple[str, str]]:
    """The settings in a parameter `options`, as the server reads it: words of ``-c name=value`` or ``--name=value``,
    with a backslash before each space or backslash that belongs to the value. Nothing is passed on as it came.

    Source: `pg_split_opts` and `process_postgres_switches` of PostgreSQL; libpq's documentation of `options`.
    """
    if len(_WORD.sub("", value).strip(_SPACES)):
        _not_an_option()
    words = iter([_ESCAPE.sub(r"\1", word) for word in _WORD.findall(value)])
    for word in words:
        said = next(words, "") if word == "-c" else word[2:] if word.startswith(("-c", "--")) else ""
        name, equals, given = said.partition("=")
        if not equals or not _PLAIN_NAME.fullmatch(name) or name.casefold() == "options":
            _not_an_option()
        yield name.replace("-", "_"), given


_SPACES: Final = " \t\n\r\f\v"
_PLAIN_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_-]*", re.ASCII)


def _not_an_option() -> NoReturn:
    raise Refused(
        "The start-up parameter 'options' holds what can't be read here.",
        not_done="No session was begun.",
        advice=_ADVICE["options"],
        code="parameter",
    )


def is_utf8(encoding: str) -> bool:
    """Whether it is one of PostgreSQL's spellings of UTF-8 (quotes, dashes and case don't count there)."""
    return "".join(char for char in encoding.casefold() if char.isalnum()) in _UTF8


_OTHERWISE: Final = "Leave it out; settings that are allowed can be set by SET after signing in."
_ADVICE: Final = {
    "options": "Write each as `-c name=value`, or leave PGOPTIONS empty.",
    "client_encoding": "Use client_encoding=UTF8: it is the only one here.",
    "standard_conforming_strings": "Leave it on: it is the only value here.",
    SEARCH_PATH: "Name schemas of this edge's own search_path alone, in any order.",
    "default_transaction_read_only": "Leave it on: writes are let through one by one.",
}


def _name(text: str, noun: str) -> str:
    if not text or len(text.encode()) > MAX_NAME_BYTES:
        raise InvalidInput(
            f"The start-up names no {noun}, or one over {MAX_NAME_BYTES} bytes.",
            not_done="No session was begun.",
            advice=f"Name the {noun}.",
        )
    return text
