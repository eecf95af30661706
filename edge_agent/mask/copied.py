"""COPY TO STDOUT: the SELECT that shows the same columns, and the fields of its rows.

CopyData does not say what it holds; the server says it of the SELECT. Text, CSV and binary are read, with HEADER,
FORCE_QUOTE, one of `DELIMITERS`, of `NULLS`, of `QUOTES` and of `ESCAPES`; any other form is refused where masks are
owed. https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from edge_agent.classify.limits import DEFAULT_LIMITS
from edge_agent.classify.parser import Tree, Unparsable, Unscannable, parse, scan

_OPEN, _CLOSE = b"()"
_COMMENTS: Final = frozenset({275, 276})
"""SQL_COMMENT and C_COMMENT of the scanner."""

_ESCAPES: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\"}
_LETTERS: Final = {value: b"\\" + letter for letter, value in _ESCAPES.items()}
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_SPECIAL: Final = re.compile(rb"[\b\f\n\r\t\v\\]")
_CSV_FIELD: Final = re.compile(rb'("(?:[^"]|"")*"|[^",\n\r]*)(,|\n)')

DELIMITERS: Final = frozenset(",;|:\t~^!#")
"""What may stand between two fields."""

NULLS: Final = frozenset({"", "\\N", "NULL", "null", "-"})
"""How NULL may be spelled. A text that is spelled like it, in the text format, is shown as NULL is: so that nobody asks
by it which rows hold a value of their choice."""

QUOTES: Final = frozenset("\"'`$*^|~#")
"""What may stand round a field of CSV."""

ESCAPES: Final = QUOTES | {"\\"}
"""What may stand before a quote in a field of CSV."""

Field = Callable[[int, bytes], bytes | None]
"""What is shown instead of a column's value."""


@dataclass(frozen=True, slots=True)
class CopyOut:
    """A COPY whose rows can be read.

    Args:
        select: Shows the same columns in the same order.
        csv: CSV; else the text format.
        header: Its first row holds the columns' names.
        delimiter: Between two fields.
        null: How NULL is spelled.
        quote: Round a field of CSV.
        escape: Before a quote, and before itself, in a quoted field of CSV.
        binary: Binary; neither text nor CSV.
    """

    select: bytes
    csv: bool
    header: bool
    delimiter: bytes = b"\t"
    null: bytes = b"\\N"
    quote: bytes = b'"'
    escape: bytes = b'"'
    binary: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether rows are spelled as by default."""
        default = (b",", b"") if self.csv else (b"\t", b"\\N")
        return (self.delimiter, self.null) == default and self.quote == self.escape == b'"'


class UnreadableCopy(ValueError):
    """A row is not as COPY writes rows."""


def copy_out(text: bytes) -> CopyOut | None:
    """Read a text that is one COPY TO STDOUT; None when it is anything else, or in a form that is not read here."""
    try:
        trees = parse(text)
        node: Tree | None = trees[0]["stmt"].get("CopyStmt") if len(trees) == 1 else None
        if node is None or {"is_from", "is_program", "filename"} & set(node):
            return None
        options = _options(node.get("options", []))
        select = _of_query(text) if "query" in node else _of_table(node)
    except (Unparsable, Unscannable, ValueError, KeyError):
        return None
    return None if options is None or select is None else CopyOut(select, *options)


_TAKES: Final = {
    "format": frozenset({"text", "csv", "binary"}),
    "delimiter": DELIMITERS,
    "null": NULLS,
    "quote": QUOTES,
    "escape": ESCAPES,
}
"""Options by name, with what each may say."""


def _options(given: list[Tree]) -> tuple[bool, bool, bytes, bytes, bytes, bytes, bool] | None:
    """What `CopyOut` says beside the SELECT. None where there is more to it."""
    header, said = False, dict[str, str]()
    for option in given:
        name, value = option["DefElem"]["defname"], option["DefElem"].get("arg")
        text = None if value is None else value.get("String", {}).get("sval", "" if "String" in value else None)
        match name:
            case "header" if value is None or value == {"Boolean": {"boolval": True}}:
                header = True
            case "force_quote":
                # Whether a field is quoted or not, it is read alike.
                pass
            case "encoding" if text is not None and text.lower().replace("-", "") == "utf8":
                pass
            case _ if text is not None and text in _TAKES.get(name, ()):
                said[name] = text
            case _:
                return None
    csv, binary = said.get("format") == "csv", said.get("format") == "binary"
    delimiter = said.get("delimiter", "," if csv else "\t")
    null = said.get("null", "" if csv else "\\N")
    quote = said.get("quote", '"')
    escape = said.get("escape", quote)
    if csv and delimiter in (quote, escape):
        return None
    return csv, header, delimiter.encode(), null.encode(), quote.encode(), escape.encode(), binary


def _of_table(node: Tree) -> bytes:
    relation: Tree = node["relation"]
    names = [_quoted(part["String"]["sval"]) for part in node.get("attlist", [])]
    place = [_quoted(relation[key]) for key in ("schemaname", "relname") if key in relation]
    return " ".join(("SELECT", ", ".join(names) or "*", "FROM", ".".join(place))).encode()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _of_query(text: bytes) -> bytes | None:
    """What stands in the first pair of parentheses."""
    tokens, more = scan(text, DEFAULT_LIMITS.tree_nodes)
    real = [token for token in tokens if token[0] not in _COMMENTS]
    if more or len(real) < 3 or real[1][0] != _OPEN:
        return None
    depth = 0
    for number, start, _ in real[1:]:
        depth += (number == _OPEN) - (number == _CLOSE)
        if depth == 0:
            return text[real[1][2] : start]
    return None


def mask_text(row: bytes, width: int, field: Field, columns: Collection[int]) -> bytes:
    """Rewrite one row of the text format. Raises UnreadableCopy.

    Args:
        row: With its line feed.
        width: How many columns it must have.
        field: What is shown instead of a value.
        columns: Those that `field` is asked about, from 0; all others are shown as they are.
    """
    fields = row[:-1].split(b"\t") if width else []
    if not row.endswith(b"\n") or len(fields) != width:
        raise UnreadableCopy
    for at in columns:
        value = fields[at]
        if value != b"\\N":
            fields[at] = text_field(field, at, value)
    return b"\t".join(fields) + b"\n"


def text_field(field: Field, at: int, value: bytes) -> bytes:
    """What stands instead of a field of a row of the text format, as both are spelled there."""
    plain = value if b"\\" not in value else _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), value)
    shown = field(at, plain)
    if shown is None:
        return b"\\N"
    return value if shown == plain else _SPECIAL.sub(lambda found: _LETTERS[found[0]], shown)


def mask_csv(row: bytes, width: int, field: Field, columns: Collection[int]) -> bytes:
    """Rewrite one row of CSV; see `mask_text`. Raises UnreadableCopy."""
    out: list[bytes] = []
    at = 0
    while at < len(row):
        found = _CSV_FIELD.match(row, at)
        if found is None or (found[2] == b"\n") != (found.end() == len(row)):
            raise UnreadableCopy
        spelled, stop = found.groups()
        # What is empty is NULL: an empty text is quoted.
        out.append((csv_field(field, len(out), spelled) if spelled and len(out) in columns else spelled) + stop)
        at = found.end()
    if len(out) != width:
        raise UnreadableCopy
    return b"".join(out)


def csv_field(field: Field, at: int, value: bytes) -> bytes:
    """What stands instead of a field of CSV that is not NULL, as both are spelled there."""
    plain = value[1:-1].replace(b'""', b'"') if value.startswith(b'"') else value
    shown = field(at, plain)
    if shown is None:
        return b""
    return value if shown == plain else b'"' + shown.replace(b'"', b'""') + b'"'
