"""Which relations a DDL statement locks, in which mode, and who waits for it meanwhile.

By PostgreSQL's manual: the table of modes in explicit-locking (13.3.1), and the pages of ALTER TABLE, CREATE TABLE,
CREATE INDEX, REINDEX and VACUUM. What is not in these tables has no lock told, and says so.
https://www.postgresql.org/docs/18/explicit-locking.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from edge_agent.classify.parser import Tree
from twokeys.preview import MAX_LINES, Lock

ROW_SHARE: Final = "ROW SHARE"
ROW_EXCLUSIVE: Final = "ROW EXCLUSIVE"
SHARE_UPDATE_EXCLUSIVE: Final = "SHARE UPDATE EXCLUSIVE"
SHARE: Final = "SHARE"
SHARE_ROW_EXCLUSIVE: Final = "SHARE ROW EXCLUSIVE"
EXCLUSIVE: Final = "EXCLUSIVE"
ACCESS_EXCLUSIVE: Final = "ACCESS EXCLUSIVE"

BLOCKS: Final = {
    "ACCESS SHARE": "Only DROP, TRUNCATE and other statements that take ACCESS EXCLUSIVE wait.",
    ROW_SHARE: "Reads and writes go on; statements that take EXCLUSIVE or ACCESS EXCLUSIVE wait.",
    ROW_EXCLUSIVE: "Reads and other writes go on; CREATE INDEX and most DDL on it wait.",
    SHARE_UPDATE_EXCLUSIVE: "Reads and writes go on; VACUUM, ANALYZE and DDL on it wait.",
    SHARE: "Reads go on; every INSERT, UPDATE and DELETE on it waits.",
    SHARE_ROW_EXCLUSIVE: "Reads go on; every write on it waits, and other DDL.",
    EXCLUSIVE: "Plain SELECTs go on; every write and SELECT FOR UPDATE on it waits.",
    ACCESS_EXCLUSIVE: "Everybody waits, plain SELECTs too.",
}
"""What waits while a mode is held, by the table of conflicting modes."""

_MODES: Final = ("ACCESS SHARE", ROW_SHARE, ROW_EXCLUSIVE, SHARE_UPDATE_EXCLUSIVE, SHARE, SHARE_ROW_EXCLUSIVE,
                 EXCLUSIVE, ACCESS_EXCLUSIVE)  # fmt: skip
"""By number, from 1: as the grammar gives LOCK's (storage/lockdefs.h)."""

_ALTER: Final = {
    "AT_SetStatistics": SHARE_UPDATE_EXCLUSIVE,
    "AT_SetOptions": SHARE_UPDATE_EXCLUSIVE,
    "AT_ResetOptions": SHARE_UPDATE_EXCLUSIVE,
    "AT_ClusterOn": SHARE_UPDATE_EXCLUSIVE,
    "AT_DropCluster": SHARE_UPDATE_EXCLUSIVE,
    "AT_ValidateConstraint": SHARE_UPDATE_EXCLUSIVE,
    "AT_AttachPartition": SHARE_UPDATE_EXCLUSIVE,
    "AT_EnableTrig": SHARE_ROW_EXCLUSIVE,
    "AT_EnableAlwaysTrig": SHARE_ROW_EXCLUSIVE,
    "AT_EnableReplicaTrig": SHARE_ROW_EXCLUSIVE,
    "AT_EnableTrigAll": SHARE_ROW_EXCLUSIVE,
    "AT_EnableTrigUser": SHARE_ROW_EXCLUSIVE,
    "AT_DisableTrig": SHARE_ROW_EXCLUSIVE,
    "AT_DisableTrigAll": SHARE_ROW_EXCLUSIVE,
    "AT_DisableTrigUser": SHARE_ROW_EXCLUSIVE,
}
"""Sub-commands of ALTER TABLE that take less than ACCESS EXCLUSIVE, whatever their arguments."""

_LIGHT_OPTIONS: Final = ("fillfactor", "toast", "autovacuum", "log_autovacuum", "vacuum", "parallel_workers")
"""Storage parameters, by their beginning, that ALTER TABLE SET changes under SHARE UPDATE EXCLUSIVE."""

_DROPPED: Final = frozenset(
    ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_INDEX", "OBJECT_SEQUENCE", "OBJECT_FOREIGN_TABLE")
)

Held = tuple[str, str]
"""A relation, and a mode."""


def locks_of(kind: str, node: Tree) -> list[Lock]:
    """The locks of a statement, by the name of its node; empty where none is known."""
    finder = _FINDERS.get(kind)
    found: dict[str, str] = {}
    for name, mode in finder(node) if finder else ():
        if name not in found or _MODES.index(found[name]) < _MODES.index(mode):
            found[name] = mode
    return [Lock(on=name[:1024], mode=mode, blocks=BLOCKS[mode]) for name, mode in found.items()][:MAX_LINES]


def relation_name(node: Tree) -> str:
    """A RangeVar as it is spelled, unquoted."""
    return ".".join(str(node[part]) for part in ("catalogname", "schemaname", "relname") if part in node)


def _names(node: Any) -> str:
    return ".".join(part["String"]["sval"] for part in node["List"]["items"])


def _option(options: list[Any], name: str) -> bool:
    """Whether an option is on, as PostgreSQL's defGetBoolean reads it."""
    for option in options:
        element = option["DefElem"]
        if element["defname"].lower() == name:
            value = element.get("arg", {})
            word = value.get("String", {}).get("sval", value.get("Boolean", {}).get("boolval", "true"))
            return str(word).lower() not in ("false", "off", "no") and value.get("Integer") != {}
    return False


def _alter(node: Tree) -> Iterator[Held]:
    on = relation_name(node["relation"])
    for command in node.get("cmds", ()):
        part = command["AlterTableCmd"]
        yield on, _alter_mode(part)
        definition = part.get("def", {})
        if part["subtype"] in ("AT_AttachPartition", "AT_DetachPartition") and "PartitionCmd" in definition:
            yield relation_name(definition["PartitionCmd"]["name"]), ACCESS_EXCLUSIVE
        yield from _references([definition])
        yield from _references(definition.get("ColumnDef", {}).get("constraints", ()))


def _alter_mode(part: Tree) -> str:
    subtype, definition = part["subtype"], part.get("def", {})
    if subtype in ("AT_SetRelOptions", "AT_ResetRelOptions"):
        names = [item["DefElem"]["defname"] for item in definition.get("List", {}).get("items", ())]
        light = bool(names) and all(name.startswith(_LIGHT_OPTIONS) for name in names)
        return SHARE_UPDATE_EXCLUSIVE if light else ACCESS_EXCLUSIVE
    if subtype == "AT_AddConstraint" and definition.get("Constraint", {}).get("contype") == "CONSTR_FOREIGN":
        return SHARE_ROW_EXCLUSIVE
    if subtype == "AT_DetachPartition" and definition.get("PartitionCmd", {}).get("concurrent"):
        return SHARE_UPDATE_EXCLUSIVE
    return _ALTER.get(subtype, ACCESS_EXCLUSIVE)


def _references(constraints: Any) -> Iterator[Held]:
    """A foreign key locks the table that it refers to."""
    for constraint in constraints:
        key = constraint.get("Constraint", {})
        if key.get("contype") == "CONSTR_FOREIGN":
            yield relation_name(key["pktable"]), SHARE_ROW_EXCLUSIVE


def _create_table(node: Tree) -> Iterator[Held]:
    parent_mode = ACCESS_EXCLUSIVE if "partbound" in node else SHARE_UPDATE_EXCLUSIVE
    for parent in node.get("inhRelations", ()):
        yield relation_name(parent["RangeVar"]), parent_mode
    for element in node.get("tableElts", ()):
        yield from _references([element])
        yield from _references(element.get("ColumnDef", {}).get("constraints", ()))


def _drop(node: Tree) -> Iterator[Held]:
    removed = node["removeType"]
    for item in node["objects"]:
        if removed in _DROPPED and "List" in item:
            yield _names(item), SHARE_UPDATE_EXCLUSIVE if node.get("concurrent") else ACCESS_EXCLUSIVE
        elif removed in ("OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY") and "List" in item:
            on = item["List"]["items"][:-1]
            yield ".".join(part["String"]["sval"] for part in on), ACCESS_EXCLUSIVE


def _index(node: Tree) -> Iterator[Held]:
    yield relation_name(node["relation"]), SHARE_UPDATE_EXCLUSIVE if node.get("concurrent") else SHARE


def _reindex(node: Tree) -> Iterator[Held]:
    if "relation" not in node:
        return
    concurrent = _option(node.get("params", []), "concurrently")
    full = ACCESS_EXCLUSIVE if node["kind"] == "REINDEX_OBJECT_INDEX" else SHARE
    yield relation_name(node["relation"]), SHARE_UPDATE_EXCLUSIVE if concurrent else full


def _vacuum(node: Tree) -> Iterator[Held]:
    full = _option(node.get("options", []), "full")
    for each in node.get("rels", ()):
        if "relation" in each["VacuumRelation"]:
            yield (
                relation_name(each["VacuumRelation"]["relation"]),
                ACCESS_EXCLUSIVE if full else SHARE_UPDATE_EXCLUSIVE,
            )


def _truncate(node: Tree) -> Iterator[Held]:
    for relation in node["relations"]:
        yield relation_name(relation["RangeVar"]), ACCESS_EXCLUSIVE


def _lock(node: Tree) -> Iterator[Held]:
    mode = int(node.get("mode", len(_MODES)))
    for relation in node["relations"]:
        yield relation_name(relation["RangeVar"]), _MODES[mode - 1] if 0 < mode <= len(_MODES) else ACCESS_EXCLUSIVE


def _refresh(node: Tree) -> Iterator[Held]:
    yield relation_name(node["relation"]), EXCLUSIVE if node.get("concurrent") else ACCESS_EXCLUSIVE


def _comment(node: Tree) -> Iterator[Held]:
    if node["objtype"] in _DROPPED and "List" in node.get("object", {}):
        yield _names(node["object"]), SHARE_UPDATE_EXCLUSIVE


def _on(mode: str) -> Callable[[Tree], Iterator[Held]]:
    def find(node: Tree) -> Iterator[Held]:
        # The grammar has another word for it in policies.
        relation = node.get("relation", node.get("table"))
        if relation is not None:
            yield relation_name(relation), mode

    return find


_FINDERS: Final[dict[str, Callable[[Tree], Iterator[Held]]]] = {
    "AlterTableStmt": _alter,
    "CreateStmt": _create_table,
    "DropStmt": _drop,
    "IndexStmt": _index,
    "ReindexStmt": _reindex,
    "VacuumStmt": _vacuum,
    "TruncateStmt": _truncate,
    "LockStmt": _lock,
    "RefreshMatViewStmt": _refresh,
    "CommentStmt": _comment,
    "ClusterStmt": _on(ACCESS_EXCLUSIVE),
    "RenameStmt": _on(ACCESS_EXCLUSIVE),
    "AlterObjectSchemaStmt": _on(ACCESS_EXCLUSIVE),
    "CreateTrigStmt": _on(SHARE_ROW_EXCLUSIVE),
    "RuleStmt": _on(ACCESS_EXCLUSIVE),
    "CreatePolicyStmt": _on(ACCESS_EXCLUSIVE),
    "AlterPolicyStmt": _on(ACCESS_EXCLUSIVE),
    "CopyStmt": _on(ROW_EXCLUSIVE),
}
