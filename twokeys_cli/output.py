"""What the commands print: tables, JSON, CSV, and text of others made harmless for a terminal.

Everything that a caller, a database or a recording wrote goes through `visible` first: an escape sequence could
redraw the screen, a bidi mark could turn a statement round, and a reviewer would approve what was never shown.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

MARK: Final = "bold reverse"
"""How a made-visible character looks, so that it can't be confused with the same letters typed out."""

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_LOOKS_EMPTY: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800\u00a0")


def console(*, stderr: bool = False) -> Console:
    """A console that interprets no markup and no links in what it is given."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def is_hidden(character: str) -> bool:
    """Whether a character could act on a terminal, or be there without being seen."""
    if character in "\n\t":
        return False
    return (
        unicodedata.category(character) in _HIDDEN
        or character in _LOOKS_EMPTY
        or (unicodedata.category(character) == "Zs" and character != " ")
        or "VARIATION SELECTOR" in unicodedata.name(character, "")
    )


def visible(text: str, *, one_line: bool = False) -> Text:
    """Text in which every hidden character is written out as `<U+001B>`, marked.

    Args:
        text: Anything.
        one_line: Also write out line breaks and tabs.
    """
    shown = Text()
    plain: list[str] = []
    for character in text:
        if is_hidden(character) or (one_line and character in "\n\t"):
            shown.append("".join(plain))
            plain.clear()
            shown.append(f"<U+{ord(character):04X}>", MARK)
        else:
            plain.append(character)
    shown.append("".join(plain))
    return shown


def plain(text: str) -> str:
    """`visible` without marks, for one line of a pipe."""
    return visible(text, one_line=True).plain


def cell(value: Any) -> Text:
    """One value in a table: NULL dimmed, lists joined."""
    match value:
        case None:
            return Text("NULL", "dim")
        case bool():
            return Text("true" if value else "false")
        case list() | tuple():
            return Text(", ").join(cell(one) for one in value)
        case dict():
            return visible(json.dumps(value, ensure_ascii=False), one_line=True)
        case _:
            return visible(str(value), one_line=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> Table:
    """A table of values, none of which can act on the terminal."""
    made = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(visible(column, one_line=True), overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def as_json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An array of objects; other than ASCII is escaped, so that a terminal sees no control character."""
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1)


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """RFC 4180. A text that a spreadsheet would run as a formula is given a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_csv_cell(column) for column in columns])
    writer.writerows([[_csv_cell(value) for value in row] for row in rows])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            text = visible(value).plain
            return "'" + text if text[:1] in ("=", "+", "-", "@", "\t") else text
        case _:
            return json.dumps(value)


def facts(pairs: Mapping[str, Any]) -> Table:
    """Names and values below each other; empty values are left out."""
    made = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        if value not in (None, "", [], ()):
            made.add_row(Text(name, "dim"), cell(value) if not isinstance(value, Text) else value)
    return made


def write(text: str) -> None:
    """To standard output, as it is."""
    click.echo(text, nl=not text.endswith("\n"))
