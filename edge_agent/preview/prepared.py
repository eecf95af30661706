"""EXECUTE, read as the statement that was prepared under its name, with its values where the parameters stand.

    PREPARE p (int) AS DELETE FROM t WHERE id = $1      EXECUTE p (7)
    ─▶ DELETE FROM t WHERE id = CAST((7) AS integer)

What comes out is taken only when the grammar reads in it the nodes of what was prepared, a value's for each parameter.
It is asked as any statement's queries are; it is never run.

https://www.postgresql.org/docs/current/sql-prepare.html, sql-execute.html
"""

from __future__ import annotations

import json
from typing import Any

from edge_agent.classify.libpg_query import TOKENS
from edge_agent.classify.limits import DEFAULT_LIMITS as SQL_LIMITS
from edge_agent.classify.parser import Tree
from edge_agent.preview.clauses import PAREN, NotRewritten, Words, words_of
from edge_agent.preview.limits import PreviewLimits
from edge_agent.preview.same import only_statement, require, same
from edge_agent.preview.statement import Statement, read_statement
from edge_agent.preview.target import literal


def prepared_sql(node: Tree) -> bytes:
    """One row: the text prepared under an EXECUTE's name, and its parameters' types as a JSON array; or no row."""
    # Without a modifier: "character" alone would mean one character.
    types = (
        "SELECT pg_catalog.jsonb_agg(pg_catalog.format_type(u.t::pg_catalog.oid, -1) ORDER BY u.n)"
        " FROM pg_catalog.unnest(p.parameter_types) WITH ORDINALITY u (t, n)"
    )
    return (
        f"SELECT p.statement, ({types})::pg_catalog.text FROM pg_catalog.pg_prepared_statements p "  # noqa: S608
        f"WHERE p.from_sql AND p.name OPERATOR(pg_catalog.=) {literal(node['name'])}::pg_catalog.text"
    ).encode()


def read_prepared(text: str, limits: PreviewLimits) -> Statement:
    """The one PREPARE of a text. Raises NotRewritten."""
    found = read_statement(text.encode(), limits)
    if found.kind != "PrepareStmt":
        raise NotRewritten("what was prepared is no PREPARE by itself")
    return found


def executed(execute: Statement, prepare: Statement, types: str, limits: PreviewLimits) -> Statement:
    """What an EXECUTE runs, as one statement.

    Args:
        execute: The EXECUTE.
        prepare: The PREPARE of its name.
        types: The parameters' types by the server's word: a JSON array of names.
        limits: The named ones.

    Raises:
        NotRewritten: for values that don't fit the parameters, and what the grammar reads in another way.
    """
    values = _values(words_of(execute.text, execute.raw, SQL_LIMITS.tokens), execute.node)
    names = json.loads(types)
    if len(values) != len(names):
        raise NotRewritten(f"it gives {len(values)} values, and {len(names)} were prepared for")
    pairs = zip(values, names, strict=True)
    casts = [b"CAST((" + value + b") AS " + str(name).encode() + b")" for value, name in pairs]
    made = read_statement(_body(words_of(prepare.text, prepare.raw, SQL_LIMITS.tokens), casts), limits)
    wanted = _replaced(prepare.node["query"], _nodes(casts, execute.node))
    require(same(made.raw["stmt"], wanted))
    return made


def _values(words: Words, node: Tree) -> list[bytes]:
    if not node.get("params"):
        return []
    opens = next((at for at in range(len(words)) if words.kind(at) == PAREN), len(words))
    found = [words.slice(*each) for each in words.split(opens + 1, words.after_group(opens) - 1, 1)]
    require(len(found) == len(node["params"]))
    return found


def _body(words: Words, casts: list[bytes]) -> bytes:
    """The text behind PREPARE … AS, with a cast for each parameter."""
    start = words.need(0, "AS") + 1
    text = words.slice(start, len(words))
    base = words.tokens[start][1]
    for at in range(len(words) - 1, start - 1, -1):
        kind, begin, end = words.tokens[at]
        if kind == TOKENS["PARAM"]:
            number = int(words.text[begin + 1 : end])
            require(0 < number <= len(casts))
            text = text[: begin - base] + casts[number - 1] + text[end - base :]
    return text


def _nodes(casts: list[bytes], execute: Tree) -> list[Any]:
    """The nodes of the casts; each holds its value as the EXECUTE has it."""
    if not casts:
        return []
    targets = only_statement(b"SELECT " + b", ".join(casts), "SelectStmt")["targetList"]
    nodes = [target["ResTarget"]["val"] for target in targets]
    require(len(nodes) == len(casts))
    for node, value in zip(nodes, execute["params"], strict=True):
        require("TypeCast" in node and same(node["TypeCast"]["arg"], value))
    return nodes


def _replaced(node: Any, values: list[Any]) -> Any:
    """A copy of a tree with these nodes for its parameters. It is as deep as the text may be: see `check_depth`."""
    if isinstance(node, dict):
        if "ParamRef" in node:
            number = node["ParamRef"].get("number", 0)
            require(0 < number <= len(values))
            return values[number - 1]
        return {key: _replaced(each, values) for key, each in node.items()}
    if isinstance(node, list):
        return [_replaced(each, values) for each in node]
    return node
