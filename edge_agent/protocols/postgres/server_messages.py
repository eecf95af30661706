"""Read a server's messages. The rules of `messages` hold here too: total, exact, bytes stay bytes.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from edge_agent.protocols.postgres.limits import HEADER_BYTES
from edge_agent.protocols.postgres.messages import MAX_CANCEL_KEY_BYTES, MIN_CANCEL_KEY_BYTES, malformed

AUTHENTICATION, PARAMETER_STATUS, BACKEND_KEY_DATA, READY_FOR_QUERY, NEGOTIATE_PROTOCOL_VERSION = b"RSKZv"
PARSE_COMPLETE, BIND_COMPLETE, CLOSE_COMPLETE, NO_DATA, PORTAL_SUSPENDED, EMPTY_QUERY = b"123nsI"
ROW_DESCRIPTION, PARAMETER_DESCRIPTION, DATA_ROW, COMMAND_COMPLETE = b"TtDC"
ERROR_RESPONSE, NOTICE_RESPONSE, NOTIFICATION_RESPONSE = b"ENA"
COPY_IN, COPY_OUT, COPY_BOTH, FUNCTION_CALL_RESPONSE = b"GHWV"

AUTH_OK: Final = 0
AUTH_CLEARTEXT: Final = 3
AUTH_MD5: Final = 5
AUTH_SASL: Final = 10
AUTH_SASL_CONTINUE: Final = 11
AUTH_SASL_FINAL: Final = 12

_WORD: Final = struct.Struct("!I").unpack_from
_SIGNED_WORD: Final = struct.Struct("!i").unpack_from
_SHORT: Final = struct.Struct("!H").unpack_from
_COLUMN: Final = struct.Struct("!IhIhiH")


class Authentication(msgspec.Struct, frozen=True):
    """Authentication… ('R'): a code (`AUTH_…`) and what follows it."""

    code: int
    rest: bytes


class ParameterStatus(msgspec.Struct, frozen=True):
    """ParameterStatus ('S'): a reported setting."""

    name: bytes
    value: bytes


class BackendKeyData(msgspec.Struct, frozen=True):
    """BackendKeyData ('K'): what a CancelRequest for this session must show."""

    pid: int
    key: bytes


class Column(msgspec.Struct, frozen=True):
    """One column of a RowDescription; table 0 and attribute 0 for an expression. Format: 0 text, 1 binary."""

    name: bytes
    table: int
    attribute: int
    type: int
    size: int
    modifier: int
    format: int


def read_authentication(data: bytes, start: int, end: int) -> Authentication:
    """Read an authentication request. Raises InvalidInput."""
    if start + HEADER_BYTES + 4 > end:
        malformed("Authentication")
    return Authentication(_WORD(data, start + HEADER_BYTES)[0], data[start + HEADER_BYTES + 4 : end])


def read_parameter_status(data: bytes, start: int, end: int) -> ParameterStatus:
    """Read a reported setting. Raises InvalidInput."""
    name_end = data.find(b"\0", start + HEADER_BYTES, end)
    if name_end < 0 or data.find(b"\0", name_end + 1, end) != end - 1:
        malformed("ParameterStatus")
    return ParameterStatus(data[start + HEADER_BYTES : name_end], data[name_end + 1 : end - 1])


def read_backend_key(data: bytes, start: int, end: int) -> BackendKeyData:
    """Read the cancel key. Raises InvalidInput."""
    at = start + HEADER_BYTES + 4
    if not MIN_CANCEL_KEY_BYTES <= end - at <= MAX_CANCEL_KEY_BYTES:
        malformed("BackendKeyData")
    return BackendKeyData(_WORD(data, start + HEADER_BYTES)[0], data[at:end])


def read_ready(data: bytes, start: int, end: int) -> int:
    """The transaction status of a ReadyForQuery: the byte I, T or E. Raises InvalidInput."""
    if end - start != HEADER_BYTES + 1 or data[end - 1] not in b"ITE":
        malformed("ReadyForQuery")
    return data[end - 1]


def read_command_complete(data: bytes, start: int, end: int) -> bytes:
    """The tag of a CommandComplete, such as ``UPDATE 3``. Raises InvalidInput."""
    if data.find(b"\0", start + HEADER_BYTES, end) != end - 1:
        malformed("CommandComplete")
    return data[start + HEADER_BYTES : end - 1]


def rows_of_tag(tag: bytes) -> int | None:
    """Rows that a command tag counts; None where it counts none (``BEGIN``, ``CREATE TABLE``)."""
    last = tag.rpartition(b" ")[2]
    return int(last) if len(last) <= 20 and last.isdigit() else None


def read_fields(data: bytes, start: int, end: int) -> dict[str, bytes]:
    """The fields of an ErrorResponse or NoticeResponse by their one-letter code (Error and Notice Message Fields).

    Raises:
        InvalidInput: The list is not closed by its NUL, or a code comes twice.
    """
    fields: dict[str, bytes] = {}
    at = start + HEADER_BYTES
    while at < end and data[at]:
        stop = data.find(b"\0", at + 1, end)
        code = chr(data[at])
        if stop < 0 or code in fields:
            malformed("ErrorResponse or NoticeResponse")
        fields[code] = data[at + 1 : stop]
        at = stop + 1
    if at != end - 1:
        malformed("ErrorResponse or NoticeResponse")
    return fields


def read_parameter_description(data: bytes, start: int, end: int) -> tuple[int, ...]:
    """The type OIDs of a statement's parameters. Raises InvalidInput."""
    at = start + HEADER_BYTES
    count = _SHORT(data, at)[0] if at + 2 <= end else -1
    if at + 2 + 4 * count != end:
        malformed("ParameterDescription")
    return struct.unpack_from(f"!{count}I", data, at + 2)


def read_row_description(data: bytes, start: int, end: int) -> tuple[Column, ...]:
    """The columns of a result. Raises InvalidInput."""
    at = start + HEADER_BYTES + 2
    if at > end:
        malformed("RowDescription")
    columns: list[Column] = []
    for _ in range(_SHORT(data, at - 2)[0]):
        name_end = data.find(b"\0", at, end)
        stop = name_end + 1 + _COLUMN.size
        if name_end < 0 or stop > end:
            malformed("RowDescription")
        columns.append(Column(data[at:name_end], *_COLUMN.unpack_from(data, name_end + 1)))
        at = stop
    if at != end:
        malformed("RowDescription")
    return tuple(columns)


def read_data_row(data: bytes, start: int, end: int) -> tuple[bytes | None, ...]:
    """The values of a DataRow; None is NULL. Raises InvalidInput."""
    at = start + HEADER_BYTES + 2
    if at > end:
        malformed("DataRow")
    values: list[bytes | None] = []
    for _ in range(_SHORT(data, at - 2)[0]):
        length = _SIGNED_WORD(data, at)[0] if at + 4 <= end else -2
        at += 4
        if length == -1:
            values.append(None)
            continue
        if length < 0 or at + length > end:
            malformed("DataRow")
        values.append(data[at : at + length])
        at += length
    if at != end:
        malformed("DataRow")
    return tuple(values)


def read_negotiate(data: bytes, start: int, end: int) -> tuple[int, tuple[bytes, ...]]:
    """The newest minor version that a server speaks, and the options that it does not (NegotiateProtocolVersion).

    Raises:
        InvalidInput: The count and the names don't fit.
    """
    at = start + HEADER_BYTES + 8
    if at > end:
        malformed("NegotiateProtocolVersion")
    names = data[at:end].split(b"\0")
    if names.pop() != b"" or len(names) != _WORD(data, at - 4)[0]:
        malformed("NegotiateProtocolVersion")
    return _WORD(data, at - 8)[0] & 0xFFFF, tuple(names)
