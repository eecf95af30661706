"""A held Command laid out for reading: rows, and parts of rows that fit a page.

    blob (canonical JSON of the Command) ──lay_out──▶ Document ──▶ Part 1, Part 2, …      shown one after the other

The whole Command is in the parts: every character of its text, every bound value. A reviewer who has been shown all
parts has been shown all of it; nothing is cut.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twokeys.copy_data import CopyData, CopyFormat
from twokeys.digest import from_base64
from twokeys.errors import InvalidInput
from twokeys.grant import read_terms

from .lexer import MAX_COLOURED_CHARACTERS, Token, tokens
from .values import ShownValue, show
from .visible import Mark, imitation, pieces, plain

MAX_COMMAND_BYTES: Final = 1024 * 1024
"""Longest Command blob that is laid out: some 70 parts. Nobody reads a longer one, so nobody can approve it."""

PART_CHARACTERS: Final = 12_000
"""About how many characters one part shows."""

PART_ROWS: Final = 300
"""Most rows of one part."""

ROW_CHARACTERS: Final = 2_000
"""Longest row; a longer line goes on in the next row."""

MAX_EMPTY_LINES: Final = 4
"""Most empty lines shown one by one; more could push the rest out of sight and are counted instead."""

MAX_HINTS: Final = 20
"""Most hints about names; a statement with more says so in the last."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a row.

    Args:
        kind: A `lexer.Token` word, ``imitation`` (a name to look at twice), ``mark`` (a count or NULL) or ``danger``
            (a labelled character).
        text: What is printed.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        kind: ``heading``, ``line``, ``more`` (the line before goes on) or ``gap`` (counted empty lines).
        number: Line number in its text, from 1; 0 where there is one line only, or it is a heading.
        spans: What it shows.
    """

    kind: str
    number: int
    spans: tuple[Span, ...]

    @property
    def length(self) -> int:
        """Characters shown."""
        return sum(len(span.text) for span in self.spans)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that fit one page; `offset` is the first one's place in the Document."""

    index: int
    offset: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole Command, laid out.

    Args:
        parts: At least one.
        hints: What a reader could overlook, in sentences.
        lines: Lines of the text.
        values: Number of bound values.
    """

    parts: tuple[Part, ...]
    hints: tuple[str, ...]
    lines: int
    values: int

    def part_at(self, offset: int) -> Part:
        """The part that begins there.

        Raises:
            InvalidInput: when none does.
        """
        for part in self.parts:
            if part.offset == offset:
                return part
        raise InvalidInput(
            "No part of the statement begins there.",
            not_done="Nothing was shown.",
            advice="Go back to the request and page from its beginning.",
            code="no_such_part",
        )


@functools.lru_cache(maxsize=2)
def lay_out(blob: bytes, types: tuple[str, ...] = (), starts: tuple[int, ...] = ()) -> Document:
    """Lay a Command blob out.

    Args:
        blob: Canonical JSON of the Command.
        types: Names of its parameters' types as the server resolved them; used where Parse left one to the server.
        starts: Where in its text each of several statements begins, in bytes: each is numbered.

    Raises:
        InvalidInput: when it is too long or is no Command; then it can't be approved.
    """
    if len(blob) > MAX_COMMAND_BYTES:
        raise InvalidInput(
            f"The command is over {MAX_COMMAND_BYTES // 1024 // 1024} MB.",
            not_done="It can't be shown whole, so it can't be approved.",
            advice="Deny it, and ask for smaller statements.",
            code="too_long_to_review",
        )
    try:
        command = json.loads(blob)
        if command["kind"] == "grant":
            return _grant(command)
        text = from_base64(command["text"])
        values = _values(command)
        copied = CopyData.from_json(command["copy"]) if "copy" in command else None
    except (InvalidInput, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable() from error
    rows, hints = _statement_rows(text.decode("utf-8", "replace"))
    lines = rows[-1].number if rows else 0
    if len(starts) > 1:
        rows = list(_numbered(rows, text, starts))
    if values:
        rows.append(_heading(f"Values ({len(values)})"))
    for index, (oid, code, value) in enumerate(values, 1):
        rows.extend(_value_rows(index, show(oid, code, value, types[index - 1] if index <= len(types) else "")))
    if copied is not None:
        rows.extend(_copy_rows(copied))
    return Document(tuple(_parts(rows)), tuple(hints), lines, len(values))


def _grant(command: Mapping[str, Any]) -> Document:
    """A session grant: its terms in words, all of them."""
    told = read_terms(command).told
    rows = list(_rows([list(_spans(Token.PLAIN.value, line)) for line in told.split("\n")]))
    return Document(tuple(_parts(rows)), (), rows[-1].number, 0)


def _values(command: Mapping[str, Any]) -> list[tuple[int, int, bytes | None]]:
    if command["kind"] != "postgres":
        raise _unreadable()
    types: Sequence[str] = command["parameter_types"]
    formats: Sequence[int] = command["parameter_formats"]
    raw: Sequence[Mapping[str, str]] = command["parameter_values"]
    if len(raw) != len(formats):
        raise _unreadable()
    return [
        (int(types[index]) if index < len(types) else 0, formats[index], from_base64(item["bytes"]) if item else None)
        for index, item in enumerate(raw)
    ]


def _unreadable() -> InvalidInput:
    return InvalidInput(
        "The stored command can't be read.",
        not_done="It can't be shown, so it can't be approved.",
        advice="Deny it, and ask the caller to send it again.",
        code="unreadable_command",
    )


def _heading(text: str) -> Row:
    return Row("heading", 0, (Span("plain", text),))


def _statement_rows(text: str) -> tuple[list[Row], list[str]]:
    coloured = tokens(text) if len(text) <= MAX_COLOURED_CHARACTERS else iter([(Token.PLAIN, text)])
    hints: dict[str, None] = {}
    spans: list[Span] = []
    lines: list[list[Span]] = [spans]
    for token, part in coloured:
        kind = token.value
        if token in (Token.NAME, Token.QUOTED_NAME) and (why := imitation(part)):
            hints.setdefault(f"The name {part[:64]} (line {len(lines)}) {why}.")
            kind = "imitation"
        for index, piece in enumerate(part.split("\n")):
            if index:
                spans = []
                lines.append(spans)
            spans.extend(_spans(kind, piece))
    if any(span.kind == "danger" for line in lines for span in line):
        hints.setdefault("It holds characters that hide or move text. They are labelled where they stand.")
    told = list(hints)
    if len(told) > MAX_HINTS:
        told = [*told[: MAX_HINTS - 1], f"{len(told) - MAX_HINTS + 1} more names have letters outside ASCII."]
    return list(_rows(lines)), told


def _numbered(rows: Sequence[Row], text: bytes, starts: Sequence[int]) -> Iterator[Row]:
    """The rows, with a heading before each line in which statements begin. It adds; it takes nothing away."""
    begun: dict[int, list[int]] = {}
    for number, start in enumerate(starts, 1):
        begun.setdefault(text.count(b"\n", 0, start) + 1, []).append(number)
    for row in rows:
        if row.kind == "line" and (found := begun.pop(row.number, None)):
            which = f" {found[0]}" if len(found) == 1 else f"s {found[0]} to {found[-1]}"
            yield _heading(f"Statement{which} of {len(starts)}")
        yield row


def _spans(kind: str, text: str) -> Iterator[Span]:
    for piece in pieces(text):
        if isinstance(piece, Mark):
            yield Span("danger" if piece.danger else "mark", piece.label)
        else:
            yield Span(kind, piece)


def _rows(lines: Sequence[Sequence[Span]]) -> Iterator[Row]:
    number = 1
    while number <= len(lines):
        empty = 0
        while number + empty <= len(lines) and not lines[number + empty - 1]:
            empty += 1
        if empty > MAX_EMPTY_LINES:
            yield Row("gap", number, (Span("mark", f"{empty} empty lines"),))
            number += empty
            continue
        yield from _broken(number, lines[number - 1])
        number += 1


def _broken(number: int, spans: Sequence[Span]) -> Iterator[Row]:
    """One line as rows of limited length."""
    kind, room, row = "line", ROW_CHARACTERS, list[Span]()
    for span in spans:
        rest = span.text
        while rest:
            row.append(Span(span.kind, rest[:room]))
            room -= len(row[-1].text)
            rest = rest[len(row[-1].text) :]
            if room == 0:
                yield Row(kind, number, tuple(row))
                kind, room, row = "more", ROW_CHARACTERS, []
    if row or kind == "line":
        yield Row(kind, number, tuple(row))


def _value_rows(index: int, shown: ShownValue) -> Iterator[Row]:
    how = {"hex": ", bytes in hexadecimal", "decoded": ", sent as binary"}.get(shown.how, "")
    yield Row("value", index, (Span("parameter", f"${index}"), Span("type", f"{plain(shown.type_name)}{how}")))
    if shown.how == "null" or not shown.text:
        yield Row("line", 0, (Span("mark", "NULL" if shown.how == "null" else "empty text"),))
        return
    kind = Token.NUMBER if shown.how == "hex" else Token.STRING
    lines = [list(_spans(kind.value, line)) for line in shown.text.split("\n")]
    yield from _rows(lines) if len(lines) > 1 else _broken(0, lines[0])


_UNSEEN = "only their number and the digest above are approved"


def _copy_rows(copied: CopyData) -> Iterator[Row]:
    """What COPY brings along: its digest and size, its beginning, and how much is not shown."""
    yield _heading(copied.told)
    if copied.format is CopyFormat.BINARY:
        yield from _broken(0, [Span(Token.NUMBER.value, copied.head.hex(" ", 1))])
    else:
        head = copied.head.decode("utf-8", "replace")
        yield from _rows([list(_spans(Token.STRING.value, line)) for line in head.split("\n")])
    if copied.size > len(copied.head):
        yield Row("line", 0, (Span("mark", f"{copied.size - len(copied.head):,} more bytes, not shown: {_UNSEEN}"),))


def _parts(rows: Sequence[Row]) -> Iterator[Part]:
    taken: list[Row] = []
    index = offset = length = 0
    for place, row in enumerate(rows):
        if taken and (len(taken) >= PART_ROWS or length + row.length > PART_CHARACTERS):
            yield Part(index, offset, tuple(taken))
            index, offset, length, taken = index + 1, place, 0, []
        taken.append(row)
        length += row.length
    yield Part(index, offset, tuple(taken))
