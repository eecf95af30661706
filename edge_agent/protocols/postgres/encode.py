"""Write the messages that the Edge itself makes, for a client and for a server.

A name or a text with a NUL can't be written (InvalidInput): it would end early and smuggle what follows. The texts of
errors and notices, which may come from a person, have NULs replaced instead and are cut to `MAX_ERROR_TEXT_BYTES`.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from edge_agent.protocols.postgres.messages import CANCEL_REQUEST, PROTOCOL_3_0, SSL_REQUEST
from edge_agent.protocols.postgres.server_messages import (
    AUTH_CLEARTEXT,
    AUTH_OK,
    AUTH_SASL,
    AUTH_SASL_CONTINUE,
    AUTH_SASL_FINAL,
)
from twokeys.errors import InvalidInput

MAX_ERROR_TEXT_BYTES: Final = 8 * 1024
"""Longest single field of an error or notice that we write."""

_HEADER: Final = struct.Struct("!cI").pack
_WORD: Final = struct.Struct("!I").pack
_SIGNED_WORD: Final = struct.Struct("!i").pack
_SHORT: Final = struct.Struct("!H").pack

SYNC_MESSAGE: Final = b"S\0\0\0\4"
FLUSH_MESSAGE: Final = b"H\0\0\0\4"
TERMINATE_MESSAGE: Final = b"X\0\0\0\4"
PARSE_COMPLETE_MESSAGE: Final = b"1\0\0\0\4"
BIND_COMPLETE_MESSAGE: Final = b"2\0\0\0\4"
CLOSE_COMPLETE_MESSAGE: Final = b"3\0\0\0\4"
COPY_DONE_MESSAGE: Final = b"c\0\0\0\4"
NO_DATA_MESSAGE: Final = b"n\0\0\0\4"
SSL_REQUEST_PACKET: Final = b"\0\0\0\x08" + _WORD(SSL_REQUEST)


def message(kind: bytes, body: bytes = b"") -> bytes:
    """One message: type byte, length, body."""
    return _HEADER(kind, len(body) + 4) + body


def text(value: bytes | str) -> bytes:
    """A NUL-terminated string. Raises InvalidInput when it has a NUL or no UTF-8 form."""
    try:
        data = value.encode() if isinstance(value, str) else value
    except UnicodeEncodeError as error:
        raise InvalidInput("A text has no UTF-8 form.", not_done="It was not sent.", code="bad_text") from error
    if b"\0" in data:
        raise InvalidInput("A text has a NUL inside.", not_done="It was not sent.", code="nul_in_text")
    return data + b"\0"


# to a client


def error_response(
    sqlstate: str,
    happened: str,
    *,
    severity: str = "ERROR",
    detail: str = "",
    hint: str = "",
) -> bytes:
    """ErrorResponse ('E').

    Args:
        sqlstate: Five characters (appendix A of PostgreSQL's manual).
        happened: The primary message.
        severity: ERROR, or FATAL when the connection ends with it.
        detail: More, or empty.
        hint: What to try, or empty.
    """
    return message(b"E", _fields(severity, sqlstate, happened, detail, hint))


def notice_response(
    happened: str,
    *,
    severity: str = "NOTICE",
    sqlstate: str = "00000",
    detail: str = "",
    hint: str = "",
) -> bytes:
    """NoticeResponse ('N'); arguments as for `error_response`."""
    return message(b"N", _fields(severity, sqlstate, happened, detail, hint))


def _fields(severity: str, sqlstate: str, happened: str, detail: str, hint: str) -> bytes:
    parts = {"S": severity, "V": severity, "C": sqlstate, "M": happened, "D": detail, "H": hint}
    return b"".join(code.encode() + _shown(part) for code, part in parts.items() if part) + b"\0"


def fields_message(kind: bytes, fields: Mapping[str, bytes]) -> bytes:
    """ErrorResponse (b"E") or NoticeResponse (b"N") with these fields, as a server sent them."""
    return message(kind, b"".join(code.encode() + value + b"\0" for code, value in fields.items()) + b"\0")


def _shown(part: str) -> bytes:
    data = part.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
    if len(data) > MAX_ERROR_TEXT_BYTES:
        data = data[:MAX_ERROR_TEXT_BYTES].decode("utf-8", "ignore").encode()
    return data + b"\0"


def parameter_status(name: bytes | str, value: bytes | str) -> bytes:
    """ParameterStatus ('S')."""
    return message(b"S", text(name) + text(value))


def backend_key_data(pid: int, key: bytes) -> bytes:
    """BackendKeyData ('K'): 4 bytes of key in protocol 3.0, up to 256 in 3.2."""
    return message(b"K", _WORD(pid) + key)


def ready_for_query(status: int) -> bytes:
    """ReadyForQuery ('Z') with the status byte I, T or E."""
    return b"Z\0\0\0\5" + bytes((status,))


def command_complete(tag: bytes) -> bytes:
    """CommandComplete ('C')."""
    return message(b"C", text(tag))


def copy_in_response(columns: int, *, binary: bool) -> bytes:
    """CopyInResponse ('G'): we take CopyData, of so many columns, all in one format."""
    return message(b"G", struct.pack(f"!bH{columns}H", binary, columns, *(int(binary),) * columns))


def negotiate_protocol_version(newest_minor: int, unknown_options: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion ('v'): our newest version of protocol 3, and options that we don't know."""
    names = b"".join(text(name) for name in unknown_options)
    return message(b"v", _WORD(PROTOCOL_3_0 | newest_minor) + _WORD(len(unknown_options)) + names)


def authentication_ok() -> bytes:
    """AuthenticationOk."""
    return message(b"R", _WORD(AUTH_OK))


def authentication_cleartext() -> bytes:
    """AuthenticationCleartextPassword."""
    return message(b"R", _WORD(AUTH_CLEARTEXT))


def authentication_sasl(mechanisms: Sequence[str]) -> bytes:
    """AuthenticationSASL: the mechanisms that we take, the preferred first."""
    return message(b"R", _WORD(AUTH_SASL) + b"".join(text(name) for name in mechanisms) + b"\0")


def authentication_sasl_continue(data: bytes) -> bytes:
    """AuthenticationSASLContinue with the mechanism's own data."""
    return message(b"R", _WORD(AUTH_SASL_CONTINUE) + data)


def authentication_sasl_final(data: bytes) -> bytes:
    """AuthenticationSASLFinal with the mechanism's own data."""
    return message(b"R", _WORD(AUTH_SASL_FINAL) + data)


# to a server


def startup_message(parameters: Mapping[str, str], version: int = PROTOCOL_3_0) -> bytes:
    """StartupMessage, which has no type byte."""
    pairs = b"".join(text(name) + text(value) for name, value in parameters.items())
    body = _WORD(version) + pairs + b"\0"
    return _WORD(len(body) + 4) + body


def cancel_request(pid: int, key: bytes) -> bytes:
    """CancelRequest, which has no type byte and a connection of its own."""
    body = _WORD(CANCEL_REQUEST) + _WORD(pid) + key
    return _WORD(len(body) + 4) + body


def sasl_initial_response(mechanism: str, data: bytes) -> bytes:
    """SASLInitialResponse ('p')."""
    return message(b"p", text(mechanism) + _WORD(len(data)) + data)


def sasl_response(data: bytes) -> bytes:
    """SASLResponse ('p')."""
    return message(b"p", data)


def query(sql: bytes) -> bytes:
    """Query ('Q')."""
    return message(b"Q", text(sql))


def parse(name: bytes, sql: bytes, types: Sequence[int] = ()) -> bytes:
    """Parse ('P')."""
    return message(b"P", text(name) + text(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(
    portal: bytes,
    statement: bytes,
    values: Sequence[bytes | None] = (),
    formats: Sequence[int] = (),
    result_formats: Sequence[int] = (),
) -> bytes:
    """Bind ('B')."""
    parts = [
        text(portal),
        text(statement),
        struct.pack(f"!H{len(formats)}H", len(formats), *formats),
        _SHORT(len(values)),
    ]
    for value in values:
        parts.append(_SIGNED_WORD(-1) if value is None else _SIGNED_WORD(len(value)) + value)
    parts.append(struct.pack(f"!H{len(result_formats)}H", len(result_formats), *result_formats))
    return message(b"B", b"".join(parts))


def copy_data(data: bytes) -> bytes:
    """CopyData ('d')."""
    return message(b"d", data)


def copy_fail(reason: str) -> bytes:
    """CopyFail ('f')."""
    return message(b"f", _shown(reason))


def describe(kind: bytes, name: bytes) -> bytes:
    """Describe ('D') a statement (kind b"S") or a portal (b"P")."""
    return message(b"D", kind + text(name))


def execute(portal: bytes, max_rows: int = 0) -> bytes:
    """Execute ('E'); 0 rows is no limit."""
    return message(b"E", text(portal) + _SIGNED_WORD(max_rows))


def close(kind: bytes, name: bytes) -> bytes:
    """Close ('C') a statement (kind b"S") or a portal (b"P")."""
    return message(b"C", kind + text(name))
