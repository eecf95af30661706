"""What a COPY FROM STDIN expects of its data: into which columns of which relation, and in which format.

https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.classify.parser import Tree, parse
from twokeys.copy_data import CopyFormat
from twokeys.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class CopyFrom:
    """One COPY FROM STDIN.

    Args:
        schema: As written; empty where the search_path finds it.
        relation: As written.
        columns: As written; empty for all of them.
        format: Of the data.
        header: The first row has names, or must be skipped.
        plain_quotes: Quote and escape of CSV are the usual ones, so that rows can be counted.
    """

    schema: str
    relation: str
    columns: tuple[str, ...]
    format: CopyFormat
    header: bool = False
    plain_quotes: bool = True


def read_copy_from(text: bytes) -> CopyFrom:
    """Read a text that the classifier found to be one COPY FROM STDIN.

    Raises:
        InvalidInput: It is something else.
    """
    trees = parse(text)
    node = trees[0]["stmt"].get("CopyStmt") if len(trees) == 1 else None
    if node is None or "is_from" not in node or "filename" in node or "relation" not in node:
        raise InvalidInput("The text is no single COPY FROM STDIN.", not_done="Nothing was run.", code="no_copy")
    options: dict[str, Tree] = {}
    for option in node.get("options", ()):
        options[option["DefElem"]["defname"]] = option["DefElem"].get("arg", {})
    word = _word(options.get("format")) or "text"
    if word not in _FORMATS:
        raise InvalidInput(f"COPY format {word[:40]!r} is not known.", not_done="Nothing was run.", code="copy_format")
    relation = node["relation"]
    return CopyFrom(
        relation.get("schemaname", ""),
        relation["relname"],
        tuple(name["String"].get("sval", "") for name in node.get("attlist", ())),
        CopyFormat(word),
        "header" in options and _word(options["header"]).lower() not in _OFF,
        _word(options.get("quote")) in ("", '"') and _word(options.get("escape")) in ("", '"'),
    )


_FORMATS = frozenset(one.value for one in CopyFormat)
_OFF = ("false", "off", "0")


def _word(node: Tree | None) -> str:
    """An option's value as a word; empty without one."""
    if not node:
        return ""
    ((kind, fields),) = node.items()
    match kind:
        case "String":
            return str(fields.get("sval", ""))
        case "Integer":
            return str(fields.get("ival", 0))
        case "Boolean":
            return "true" if fields.get("boolval") else "false"
        case _:
            return kind.lower()
