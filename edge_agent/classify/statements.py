"""One statement of a text: what it is, what it touches, and what the session core must know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from edge_agent.classify.definitions import DEFINITIONS, PRIVILEGED, define, privileged
from edge_agent.classify.findings import Findings
from edge_agent.classify.limits import RESERVED_PREFIX
from edge_agent.classify.parser import Tree
from edge_agent.classify.settings import (
    RESETTABLE,
    constant,
    hides_builtins,
    is_harmless_value,
    narrows,
    text_of,
)
from edge_agent.classify.transaction import (
    PREPARED,
    Contradiction,
    TxnAction,
    set_transaction_action,
    transaction_action,
)
from edge_agent.classify.walk import walk
from twokeys.effect import DATABASE, Effect


@dataclass(frozen=True, slots=True)
class Statement:
    """What the session core needs of one statement; what it touches is in the Findings.

    Args:
        kind: In SQL's words, upper case.
        action: Its transaction control.
        in_transaction: Whether it can run inside a transaction block.
        is_copy_in: It waits for CopyData from the client.
        is_copy_out: It answers with CopyData.
        resets_session: It drops every prepared statement, hidden ones too.
        prepared: Name of the prepared statement that it makes or drops.
        cursor: Name of the cursor that it makes, fetches from or drops.
        closes_cursors: It drops every cursor.
        refusal: Why it must be refused, with advice; empty when it need not.
        executes: Name of the prepared statement that it runs with plain constants.
        holds: It declares a cursor WITH HOLD, whose query runs once more at COMMIT.
    """

    kind: str
    action: TxnAction | None = None
    in_transaction: bool = True
    is_copy_in: bool = False
    is_copy_out: bool = False
    resets_session: bool = False
    prepared: str = ""
    cursor: str = ""
    closes_cursors: bool = False
    refusal: str = ""
    executes: str = ""
    holds: bool = False


_Judge: TypeAlias = Callable[[Findings, Tree, int], Statement]


def judge(findings: Findings, kind: str, node: Tree, at: int = 0) -> Statement:
    """Judge the statement `node` of the node name `kind`, the text's `at`-th, noting into `findings`."""
    special = _JUDGES.get(kind)
    if special is not None:
        return special(findings, node, at)
    if kind in _QUERIES:
        walk(findings, kind, node)
        return Statement(_QUERIES[kind])
    if kind in PRIVILEGED:
        word, in_transaction = privileged(findings, kind, node)
        return Statement(word, in_transaction=in_transaction)
    if kind in DEFINITIONS:
        word, in_transaction = define(findings, kind, node)
        return Statement(word, in_transaction=in_transaction)
    findings.doubt(f"is a statement that the classifier doesn't know ({kind})")
    return Statement("UNKNOWN", in_transaction=False)


_QUERIES: Final = {
    "SelectStmt": "SELECT",
    "InsertStmt": "INSERT",
    "UpdateStmt": "UPDATE",
    "DeleteStmt": "DELETE",
    "MergeStmt": "MERGE",
}


def _reserved(kind: str, name: str) -> Statement:
    """A statement about something that a client named; names of the Edge's own are refused."""
    if name.lower().startswith(RESERVED_PREFIX):
        return Statement(kind, refusal=f"Names that begin with {RESERVED_PREFIX} are the Edge's own; choose another.")
    return Statement(kind)


def _transaction(findings: Findings, node: Tree, at: int) -> Statement:
    try:
        action = transaction_action(node, at)
    except Contradiction:
        return Statement("BEGIN", refusal="BEGIN says both READ ONLY and READ WRITE; say one.")
    except KeyError:
        findings.doubt("is transaction control that the classifier doesn't know")
        return Statement("TRANSACTION", in_transaction=False)
    if action.kind in PREPARED:
        findings.privileged("takes part in a two-phase commit")
    findings.touch(DATABASE, Effect.READ)
    return replace(_reserved(action.kind.value, action.name), action=action, in_transaction=action.kind not in PREPARED)


_HIDES_BUILTINS: Final = (
    "pg_catalog may not come after other schemas in a search_path here: built-in names would mean something else. "
    "Leave it out: then it is searched first."
)


def _set(findings: Findings, node: Tree, at: int) -> Statement:
    kind, name = node.get("kind", ""), node.get("name", "").lower()
    findings.touch(DATABASE, Effect.READ)
    try:
        action = set_transaction_action(node, at)
    except Contradiction:
        return Statement("SET TRANSACTION", refusal="SET TRANSACTION says both READ ONLY and READ WRITE; say one.")
    if action is not None:
        return Statement("SET TRANSACTION", action)
    values = node.get("args", [])
    match kind:
        case "VAR_RESET_ALL":
            return Statement("RESET ALL")
        case "VAR_RESET" | "VAR_SET_DEFAULT":
            if name not in RESETTABLE:
                findings.privileged(f"resets the setting {name}")
            return Statement("RESET" if kind == "VAR_RESET" else "SET")
        case "VAR_SET_VALUE":
            value = constant(values[0]) if len(values) == 1 else None
            if name == "search_path" and hides_builtins(", ".join(constant(each) or "?" for each in values)):
                return Statement("SET", refusal=_HIDES_BUILTINS)
            if name == "search_path":
                harmless = narrows([text_of(each) for each in values], findings.search_path)
            else:
                harmless = is_harmless_value(name, value)
            if not harmless:
                findings.privileged(f"changes the setting {name}")
        case "VAR_SET_MULTI" if name == "session characteristics":
            options = [option["DefElem"] for option in values]
            if any(o["defname"] == "transaction_read_only" and constant(o["arg"]) != "1" for o in options):
                findings.privileged("makes the session's transactions writable")
        case _:
            findings.doubt("is a form of SET that the classifier doesn't know")
    return Statement("SET")


def _read(kind: str) -> _Judge:
    def judged(findings: Findings, node: Tree, at: int) -> Statement:
        findings.touch(DATABASE, Effect.READ)
        return Statement(kind)

    return judged


def _fetch(findings: Findings, node: Tree, at: int) -> Statement:
    findings.touch(DATABASE, Effect.READ)
    name = node.get("portalname", "")
    return replace(_reserved("FETCH", name), cursor=name)


def _close(findings: Findings, node: Tree, at: int) -> Statement:
    findings.touch(DATABASE, Effect.READ)
    name = node.get("portalname", "")
    return replace(_reserved("CLOSE", name), cursor=name, closes_cursors="portalname" not in node)


def _write(kind: str, reason: str) -> _Judge:
    def judged(findings: Findings, node: Tree, at: int) -> Statement:
        findings.touch(DATABASE, Effect.WRITE)
        findings.because(reason)
        return Statement(kind)

    return judged


def _discard(findings: Findings, node: Tree, at: int) -> Statement:
    target = node.get("target", "").removeprefix("DISCARD_")
    everything = target == "ALL"
    # Temporary tables too: ALL drops them as well, no code runs, and PostgreSQL calls it the session's own business.
    findings.touch(DATABASE, Effect.READ)
    return Statement(
        f"DISCARD {target}", in_transaction=not everything, resets_session=everything, closes_cursors=everything
    )


def _deallocate(findings: Findings, node: Tree, at: int) -> Statement:
    findings.touch(DATABASE, Effect.READ)
    name = node.get("name", "")
    return replace(_reserved("DEALLOCATE", name), prepared=name, resets_session="name" not in node)


def _body(findings: Findings, node: Tree, at: int) -> Statement:
    """Judge the one statement in `node`'s query field."""
    query: Tree = node.get("query", {})
    for kind, fields in query.items():
        if kind in _BODIES:
            return judge(findings, kind, fields, at)
    findings.doubt("holds a statement that the classifier doesn't know")
    return Statement("UNKNOWN")


_BODIES: Final = frozenset({*_QUERIES, "CreateTableAsStmt", "DeclareCursorStmt", "RefreshMatViewStmt", "ExecuteStmt"})


def _explain(findings: Findings, node: Tree, at: int) -> Statement:
    """As its body, with ANALYZE or without: planning too runs functions, and one rule for both has no hole."""
    body = _body(findings, node, at)
    findings.touch(DATABASE, Effect.READ)
    return replace(body, kind="EXPLAIN", is_copy_in=False, is_copy_out=False)


def _prepare(findings: Findings, node: Tree, at: int) -> Statement:
    _body(findings, node, at)
    name = node.get("name", "")
    return replace(_reserved("PREPARE", name), prepared=name)


def _execute(findings: Findings, node: Tree, at: int) -> Statement:
    name = node.get("name", "")
    plain = all("A_Const" in argument for argument in node.get("params", []))
    findings.doubt("runs a statement that was prepared before")
    return replace(_reserved("EXECUTE", name), executes=name if plain else "")


_HOLD: Final = 0x0020
"""CURSOR_OPT_HOLD of PostgreSQL's parsenodes.h."""


def _declare(findings: Findings, node: Tree, at: int) -> Statement:
    _body(findings, node, at)
    name = node.get("portalname", "")
    return replace(_reserved("DECLARE CURSOR", name), cursor=name, holds=bool(node.get("options", 0) & _HOLD))


def _copy(findings: Findings, node: Tree, at: int) -> Statement:
    into = "is_from" in node
    if "filename" in node or "is_program" in node:
        findings.privileged("copies to or from a file or program of the server")
    if "relation" in node:
        findings.relation(node["relation"], Effect.WRITE if into else Effect.READ)
    for held in (node.get("query", {}), node.get("whereClause", {})):
        for kind, fields in held.items():
            walk(findings, kind, fields)
    streams = "filename" not in node
    return Statement("COPY", is_copy_in=into and streams, is_copy_out=not into and streams)


_LOCK_MODES: Final = {1: Effect.READ, 8: Effect.PRIVILEGED}
"""ACCESS SHARE is what a SELECT takes; ACCESS EXCLUSIVE keeps everybody out. Modes of lockdefs.h; others write."""


def _lock(findings: Findings, node: Tree, at: int) -> Statement:
    effect = _LOCK_MODES.get(node.get("mode", 0), Effect.WRITE)
    if effect is not Effect.READ:
        findings.because("locks tables")
    for held in node.get("relations", ()):
        findings.relation(held["RangeVar"], effect)
    return Statement("LOCK")


def _create_as(findings: Findings, node: Tree, at: int) -> Statement:
    findings.relation(node.get("into", {}).get("rel", {}), Effect.DDL)
    body = _body(findings, node, at)
    view = node.get("objtype") == "OBJECT_MATVIEW"
    return replace(body, kind="CREATE MATERIALIZED VIEW" if view else "CREATE TABLE AS")


_JUDGES: Final[dict[str, _Judge]] = {
    "TransactionStmt": _transaction,
    "VariableSetStmt": _set,
    "VariableShowStmt": _read("SHOW"),
    "FetchStmt": _fetch,
    "ClosePortalStmt": _close,
    "UnlistenStmt": _read("UNLISTEN"),
    "ListenStmt": _write("LISTEN", "listens for notifications"),
    "NotifyStmt": _write("NOTIFY", "notifies other sessions"),
    "ConstraintsSetStmt": _write("SET CONSTRAINTS", "may run deferred triggers"),
    "DiscardStmt": _discard,
    "DeallocateStmt": _deallocate,
    "ExplainStmt": _explain,
    "PrepareStmt": _prepare,
    "ExecuteStmt": _execute,
    "DeclareCursorStmt": _declare,
    "CopyStmt": _copy,
    "LockStmt": _lock,
    "CreateTableAsStmt": _create_as,
}

STATEMENTS: Final = frozenset({*_JUDGES, *_QUERIES, *DEFINITIONS, *PRIVILEGED})
"""Node names of statements that are known."""
