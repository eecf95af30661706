"""A Record's plain header: checked against the audit schema, and spelled canonically, in about two microseconds.

`twokeys.digest.canonical` is the definition; here the same bytes come from orjson, which sorts by code points. The
keys are column names, plain ASCII, for which that is RFC 8785's order too. A test proves both alike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

from twokeys.digest import MAX_INTEGER
from twokeys.errors import InvalidInput
from twokeys.record import MAX_LINE_BYTES
from twokeys.tables import RECORDS, ColumnType

OWN_FIELDS: Final = frozenset({"seq", "source", "time", "body_sha256"})
"""What the journal itself writes; nobody else may."""

SHORTENED_TEXT: Final = 1024
"""Characters left of each text of a header that was too long."""

SHORTENED_LIST: Final = 16
"""Items left of each list of such a header; the whole is in the encrypted body, and the digests cover it."""

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_PYTHON: Final[dict[ColumnType, type]] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.BOOLEAN: bool,
    ColumnType.TEXT_LIST: list,
}
_QUOTED: Final = (b'"', b'"')
_NUMBER: Final = (b"", b"", MAX_INTEGER)
_DIGEST: Final = (*_QUOTED, "0" * 64)
_TIME: Final = (*_QUOTED, "2026-11-22T20:00:00.000Z")
_BLANKS: Final = {"body_sha256": _DIGEST, "seq": _NUMBER, "text_digest": _DIGEST, "time": _TIME}
"""The blanks of a `Form` in their order, with what stands before and after their values, and a longest value."""

_RESULT_BLANKS: Final = {
    "forward_seq": _NUMBER, "rows": _NUMBER, "seq": _NUMBER, "text_digest": _DIGEST, "time": _TIME,
    "xid": (*_QUOTED, "0" * 20),
}  # fmt: skip
"""The same of a `ResultForm`."""

_TYPES: Final = {column.name: _PYTHON[column.type] for column in RECORDS.columns if column.name not in OWN_FIELDS}


def check(header: Mapping[str, object]) -> None:
    """Raise InvalidInput unless every field is a column of `records`, of its type, and there is a type."""
    for name, value in header.items():
        wanted = _TYPES.get(name)
        # The exact type first: this runs for every record, and almost every field is a plain text.
        if type(value) is wanted and wanted is str:
            continue
        if wanted is None or not _fits(value, wanted):
            raise InvalidInput(
                f"A record's field {name!r} is unknown, the journal's own, or of a wrong type.",
                not_done="It was not recorded.",
                code="bad_header",
            )
    if not header.get("type"):
        raise InvalidInput("A record has no type.", not_done="It was not recorded.", code="bad_header")


def _fits(value: object, wanted: type) -> bool:
    if wanted is str:
        return isinstance(value, str)
    if wanted is int:
        return type(value) is int and 0 <= value <= MAX_INTEGER
    if wanted is bool:
        return type(value) is bool
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def spell(header: Mapping[str, object], own: Mapping[str, object]) -> bytes:
    """The canonical line of a checked header and the journal's own fields; a long one is shortened.

    Raises:
        InvalidInput: when a text is not Unicode, or it is too long even then.
    """
    line = _dumps({**header, **own})
    if len(line) > MAX_LINE_BYTES:
        line = _dumps({**{name: _shorter(value) for name, value in header.items()}, **own})
        if len(line) > MAX_LINE_BYTES:
            raise InvalidInput("A record's header is too long.", not_done="It was not recorded.", code="bad_header")
    return line


class Form:
    """A statement's header spelled once, with blanks for what differs each time it runs, its literals' digest included.

    Args:
        header: Columns of `records`, without the blanks and without those the journal writes itself.
        source: The journal's.

    Raises:
        InvalidInput: for a header that can't be recorded.
    """

    __slots__ = ("_pieces",)

    def __init__(self, header: Mapping[str, object], source: str) -> None:
        self._pieces = _pieces(header, source, _BLANKS)

    def of(self, text_digest: str) -> Line:
        """The form of one text."""
        first, second, third, fourth, last = self._pieces
        return Line(first, second, b"%b%b%b" % (third, text_digest.encode(), fourth), last)


class ResultForm:
    """The same for the results of a statement that has done what it was to do: without a body, and with its counts.

    Args: as `Form`, without the blanks.
    """

    __slots__ = ("_pieces",)

    def __init__(self, header: Mapping[str, object], source: str) -> None:
        self._pieces = _pieces(header, source, _RESULT_BLANKS)

    def fill(self, forward_seq: int, rows: int, sequence: int, text_digest: str, time_text: str, xid: str) -> bytes:
        """The canonical line: what `spell` gives for the same. Numbers are from 0 to 2**53 - 1, `xid` is digits."""
        a, b, c, d, e, f, g = self._pieces
        values = a, forward_seq, b, rows, c, sequence, d, text_digest.encode(), e, time_text.encode(), f, xid.encode()
        return b"%b%d%b%d%b%d%b%b%b%b%b%b%b" % (*values, g)


def _pieces(
    header: Mapping[str, object], source: str, blanks: Mapping[str, tuple[bytes, bytes, object]]
) -> tuple[bytes, ...]:
    """What stands before, between and behind the blanks. Raises InvalidInput."""
    check(header)
    whole = {**header, "source": source, **{name: longest for name, (_, _, longest) in blanks.items()}}
    if len(spell(whole, {})) != len(_dumps(whole)):
        header = {name: _shorter(value) for name, value in header.items()}
    pieces, between = [], b"{"
    for name in sorted({*header, "source", *blanks}):
        if name in blanks:
            opens, closes, _ = blanks[name]
            pieces.append(between + b'"%b":%b' % (name.encode(), opens))
            between = closes + b","
        else:
            between += _dumps({name: source if name == "source" else header[name]})[1:-1] + b","
    return (*pieces, between[:-1] + b"}")


class Line:
    """A header that comes again and again, but for its body's digest, its sequence and its time."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        """What stands before, between and behind the blanks."""

    def fill(self, body_sha256: str, sequence: int, time_text: str) -> bytes:
        """The canonical line: what `spell` gives for the same."""
        first, second, third, last = self.pieces
        return b"%b%b%b%d%b%b%b" % (first, body_sha256.encode(), second, sequence, third, time_text.encode(), last)


def _dumps(value: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(
            f"A record's header can't be written ({error}).", not_done="It was not recorded.", code="bad_header"
        ) from error


def _shorter(value: Any) -> object:
    if isinstance(value, str):
        return value if len(value) <= SHORTENED_TEXT else value[:SHORTENED_TEXT] + " …"
    if isinstance(value, list | tuple):
        kept = [item[: SHORTENED_TEXT // 8] for item in value[:SHORTENED_LIST]]
        return kept if len(value) <= SHORTENED_LIST else [*kept, f"… and {len(value) - SHORTENED_LIST} more"]
    return value


class TimeText:
    """Milliseconds since the epoch as ISO 8601 UTC text; the second's part is remembered."""

    __slots__ = ("_last", "_second", "_text", "_whole")

    def __init__(self) -> None:
        self._second = self._last = -1
        self._text = self._whole = ""

    def __call__(self, milliseconds: int) -> str:
        """For example ``2026-11-22T20:00:00.000Z``."""
        if milliseconds == self._last:
            return self._whole
        second, rest = divmod(milliseconds, 1000)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        self._last, self._whole = milliseconds, f"{self._text}.{rest:03d}Z"
        return self._whole
