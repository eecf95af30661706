"""Read a client's messages: constants, values, decoders. Encoders are in `encode`, a server's in `server_messages`.

Rules:
  1. A decoder is total: any bytes give a value or InvalidInput.
  2. It reads `data[start:end]`, a whole message from its type byte on, as `Splitter` reports it; the message must
     end exactly where it says. Strings end at their NUL and have none inside.
  3. Names and texts stay bytes: what is forwarded is what was sent.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from typing import Final, NoReturn

import msgspec

from edge_agent.protocols.postgres.limits import HEADER_BYTES
from twokeys.errors import InvalidInput

PROTOCOL_MAJOR: Final = 3
PROTOCOL_3_0: Final = 3 << 16
PROTOCOL_3_2: Final = 3 << 16 | 2
"""Since PostgreSQL 18: cancel keys of up to 256 bytes."""
CANCEL_REQUEST: Final = 1234 << 16 | 5678
SSL_REQUEST: Final = 1234 << 16 | 5679
GSSENC_REQUEST: Final = 1234 << 16 | 5680

MAX_CANCEL_KEY_BYTES: Final = 256
"""Longest cancel key of protocol 3.2 (BackendKeyData); 3.0 has exactly 4 bytes."""
MIN_CANCEL_KEY_BYTES: Final = 4

QUERY, PARSE, BIND, DESCRIBE, EXECUTE, CLOSE = b"QPBDEC"
FLUSH, SYNC, TERMINATE, FUNCTION_CALL, PASSWORD = b"HSXFp"
COPY_DATA, COPY_DONE, COPY_FAIL = b"dcf"

_WORD: Final = struct.Struct("!I").unpack_from
_SIGNED_WORD: Final = struct.Struct("!i").unpack_from
_SHORT: Final = struct.Struct("!H").unpack_from


class Parse(msgspec.Struct, frozen=True):
    """Parse ('P'): prepare `sql` as statement `name` (empty: the unnamed one); type 0 is left to the server."""

    name: bytes
    sql: bytes
    types: tuple[int, ...]


class Bind(msgspec.Struct, frozen=True):
    """Bind ('B'): make a portal of a statement and its values; None is NULL. Formats: 0 text, 1 binary.

    `formats` and `result_formats` are as sent: none (all text), one (for all), or one for each.
    """

    portal: bytes
    statement: bytes
    formats: tuple[int, ...]
    values: tuple[bytes | None, ...]
    result_formats: tuple[int, ...]


class Describe(msgspec.Struct, frozen=True):
    """Describe ('D') or Close ('C') of a statement (kind b"S") or portal (b"P")."""

    kind: bytes
    name: bytes


class Execute(msgspec.Struct, frozen=True):
    """Execute ('E') of a portal; `max_rows` 0 is no limit."""

    portal: bytes
    max_rows: int


class CancelRequest(msgspec.Struct, frozen=True):
    """CancelRequest: a connection of its own that asks to stop what session (`pid`, `key`) runs."""

    pid: int
    key: bytes


class SSLRequest(msgspec.Struct, frozen=True):
    """SSLRequest: may we speak TLS?"""


class GSSENCRequest(msgspec.Struct, frozen=True):
    """GSSENCRequest: may we speak GSSAPI encryption?"""


class StartupMessage(msgspec.Struct, frozen=True):
    """StartupMessage: protocol version and parameters, in the order sent, names distinct."""

    major: int
    minor: int
    parameters: dict[str, str]


FirstPacket = CancelRequest | SSLRequest | GSSENCRequest | StartupMessage


def malformed(message: str) -> NoReturn:
    """Raise the one protocol error. `message` names the message's type."""
    raise InvalidInput(
        f"A malformed {message} message came.",
        not_done="It was not read, and nothing after it.",
        advice="Check that the peer speaks PostgreSQL's protocol 3.",
        code="malformed_message",
    )


def read_query(data: bytes, start: int, end: int) -> bytes:
    """The text of a Query ('Q'). Raises InvalidInput."""
    if data.find(b"\0", start + HEADER_BYTES, end) != end - 1:
        malformed("Query")
    return data[start + HEADER_BYTES : end - 1]


def read_parse(data: bytes, start: int, end: int) -> Parse:
    """Read a Parse. Raises InvalidInput."""
    name_at = start + HEADER_BYTES
    name_end = data.find(b"\0", name_at, end)
    text_end = data.find(b"\0", name_end + 1, end)
    if name_end < 0 or text_end < 0 or text_end + 3 > end:
        malformed("Parse")
    count = _SHORT(data, text_end + 1)[0]
    if text_end + 3 + 4 * count != end:
        malformed("Parse")
    types = struct.unpack_from(f"!{count}I", data, text_end + 3) if count else ()
    return Parse(data[name_at:name_end], data[name_end + 1 : text_end], types)


def read_bind(data: bytes, start: int, end: int) -> Bind:
    """Read a Bind. Raises InvalidInput."""
    portal_at = start + HEADER_BYTES
    portal_end = data.find(b"\0", portal_at, end)
    name_end = data.find(b"\0", portal_end + 1, end)
    if portal_end < 0 or name_end < 0:
        malformed("Bind")
    formats, at = _formats(data, name_end + 1, end)
    values, at = _values(data, at, end)
    result_formats, at = _formats(data, at, end)
    if at != end or (len(formats) > 1 and len(formats) != len(values)):
        malformed("Bind")
    return Bind(data[portal_at:portal_end], data[portal_end + 1 : name_end], formats, values, result_formats)


def _formats(data: bytes, at: int, end: int) -> tuple[tuple[int, ...], int]:
    if at + 2 > end:
        malformed("Bind")
    count = _SHORT(data, at)[0]
    at += 2
    if not count:
        return (), at
    stop = at + 2 * count
    if stop > end:
        malformed("Bind")
    formats = struct.unpack_from(f"!{count}H", data, at)
    if max(formats) > 1:
        malformed("Bind")
    return formats, stop


def _values(data: bytes, at: int, end: int) -> tuple[tuple[bytes | None, ...], int]:
    if at + 2 > end:
        malformed("Bind")
    count = _SHORT(data, at)[0]
    at += 2
    values: list[bytes | None] = []
    for _ in range(count):
        if at + 4 > end:
            malformed("Bind")
        length = _SIGNED_WORD(data, at)[0]
        at += 4
        if length == -1:
            values.append(None)
            continue
        if length < 0 or at + length > end:
            malformed("Bind")
        values.append(data[at : at + length])
        at += length
    return tuple(values), at


def read_describe(data: bytes, start: int, end: int) -> Describe:
    """Read a Describe, or a Close, which has the same form. Raises InvalidInput."""
    kind = data[start + HEADER_BYTES : start + HEADER_BYTES + 1]
    if kind not in (b"S", b"P") or data.find(b"\0", start + HEADER_BYTES + 1, end) != end - 1:
        malformed("Describe or Close")
    return Describe(kind, data[start + HEADER_BYTES + 1 : end - 1])


def read_execute(data: bytes, start: int, end: int) -> Execute:
    """Read an Execute. A negative row limit, which the server would take for none, is refused. Raises InvalidInput."""
    name_end = data.find(b"\0", start + HEADER_BYTES, end)
    if name_end < 0 or name_end + HEADER_BYTES != end:
        malformed("Execute")
    max_rows = _SIGNED_WORD(data, name_end + 1)[0]
    if max_rows < 0:
        malformed("Execute")
    return Execute(data[start + HEADER_BYTES : name_end], max_rows)


def read_empty(data: bytes, start: int, end: int) -> None:
    """Check a message that has no body: Sync, Flush, Terminate, CopyDone. Raises InvalidInput."""
    if end - start != HEADER_BYTES:
        malformed(f"{chr(data[start])!r}")


def read_first(packet: bytes) -> FirstPacket:
    """Read a packet that has no type byte: what a client says first.

    Args:
        packet: The whole packet, its length word included.

    Raises:
        InvalidInput: It is none of the four, or has the wrong size, a name twice, or text that is not UTF-8.
    """
    if len(packet) < 8 or _WORD(packet)[0] != len(packet):
        malformed("start-up")
    code = _WORD(packet, 4)[0]
    if code == SSL_REQUEST and len(packet) == 8:
        return SSLRequest()
    if code == GSSENC_REQUEST and len(packet) == 8:
        return GSSENCRequest()
    if code == CANCEL_REQUEST and MIN_CANCEL_KEY_BYTES <= len(packet) - 12 <= MAX_CANCEL_KEY_BYTES:
        return CancelRequest(_WORD(packet, 8)[0], packet[12:])
    major, minor = code >> 16, code & 0xFFFF
    if major == PROTOCOL_MAJOR:
        return StartupMessage(major, minor, _parameters(packet))
    if major != CANCEL_REQUEST >> 16:
        # Another major version may have any form: it is told ours, unread.
        return StartupMessage(major, minor, {})
    malformed("start-up")


def _parameters(packet: bytes) -> dict[str, str]:
    """Name and value pairs, each NUL-terminated, then one NUL (StartupMessage)."""
    if packet[-1:] != b"\0" or len(packet) < 9:
        malformed("start-up")
    words = packet[8:-1].split(b"\0")
    # A terminated list splits into its words and one empty rest.
    if words.pop() != b"" or len(words) % 2:
        malformed("start-up")
    try:
        texts = [word.decode() for word in words]
    except UnicodeDecodeError:
        malformed("start-up")
    parameters = dict(zip(texts[::2], texts[1::2], strict=True))
    if len(parameters) * 2 != len(words) or "" in parameters:
        malformed("start-up")
    return parameters
