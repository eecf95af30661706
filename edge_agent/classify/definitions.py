"""Statements that define, drop, maintain or grant: DDL and what is worse."""

from __future__ import annotations

from typing import Final

from edge_agent.classify.findings import Findings
from edge_agent.classify.names import words
from edge_agent.classify.parser import Tree
from edge_agent.classify.walk import walk
from twokeys.effect import DATABASE, Effect

DEFINITIONS: Final = {
    "AlterCollationStmt": "ALTER COLLATION",
    "AlterDomainStmt": "ALTER DOMAIN",
    "AlterEnumStmt": "ALTER TYPE",
    "AlterFunctionStmt": "ALTER FUNCTION",
    "AlterObjectDependsStmt": "ALTER DEPENDS ON EXTENSION",
    "AlterObjectSchemaStmt": "ALTER SET SCHEMA",
    "AlterOperatorStmt": "ALTER OPERATOR",
    "AlterSeqStmt": "ALTER SEQUENCE",
    "AlterStatsStmt": "ALTER STATISTICS",
    "AlterTSConfigurationStmt": "ALTER TEXT SEARCH CONFIGURATION",
    "AlterTSDictionaryStmt": "ALTER TEXT SEARCH DICTIONARY",
    "AlterTableStmt": "ALTER TABLE",
    "AlterTypeStmt": "ALTER TYPE",
    "ClusterStmt": "CLUSTER",
    "CommentStmt": "COMMENT",
    "CompositeTypeStmt": "CREATE TYPE",
    "CreateDomainStmt": "CREATE DOMAIN",
    "CreateEnumStmt": "CREATE TYPE",
    "CreateFunctionStmt": "CREATE FUNCTION",
    "CreateRangeStmt": "CREATE TYPE",
    "CreateSchemaStmt": "CREATE SCHEMA",
    "CreateSeqStmt": "CREATE SEQUENCE",
    "CreateStatsStmt": "CREATE STATISTICS",
    "CreateStmt": "CREATE TABLE",
    "CreateTrigStmt": "CREATE TRIGGER",
    "DefineStmt": "CREATE",
    "DropStmt": "DROP",
    "IndexStmt": "CREATE INDEX",
    "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "ReindexStmt": "REINDEX",
    "RenameStmt": "ALTER RENAME",
    "RuleStmt": "CREATE RULE",
    "TruncateStmt": "TRUNCATE",
    "VacuumStmt": "VACUUM",
    "ViewStmt": "CREATE VIEW",
}
"""SQL's words by node name. What these do to an object is DDL, but for `_WRITES`."""

_WRITES: Final = frozenset({"TruncateStmt", "RefreshMatViewStmt", "VacuumStmt"})
"""They change rows, or what is kept about rows, and no definition."""

_RUN: Final = frozenset({"AlterTableStmt", "IndexStmt"})
"""They run expressions over the rows at once (USING, DEFAULT, index expressions)."""

PRIVILEGED: Final = {
    "AlterDatabaseRefreshCollStmt": "ALTER DATABASE",
    "AlterDatabaseSetStmt": "ALTER DATABASE SET",
    "AlterDatabaseStmt": "ALTER DATABASE",
    "AlterDefaultPrivilegesStmt": "ALTER DEFAULT PRIVILEGES",
    "AlterEventTrigStmt": "ALTER EVENT TRIGGER",
    "AlterExtensionContentsStmt": "ALTER EXTENSION",
    "AlterExtensionStmt": "ALTER EXTENSION",
    "AlterFdwStmt": "ALTER FOREIGN DATA WRAPPER",
    "AlterForeignServerStmt": "ALTER SERVER",
    "AlterOpFamilyStmt": "ALTER OPERATOR FAMILY",
    "AlterOwnerStmt": "ALTER OWNER",
    "AlterPolicyStmt": "ALTER POLICY",
    "AlterPublicationStmt": "ALTER PUBLICATION",
    "AlterRoleSetStmt": "ALTER ROLE SET",
    "AlterRoleStmt": "ALTER ROLE",
    "AlterSubscriptionStmt": "ALTER SUBSCRIPTION",
    "AlterSystemStmt": "ALTER SYSTEM",
    "AlterTableMoveAllStmt": "ALTER TABLE ALL",
    "AlterTableSpaceOptionsStmt": "ALTER TABLESPACE",
    "AlterUserMappingStmt": "ALTER USER MAPPING",
    "CallStmt": "CALL",
    "CheckPointStmt": "CHECKPOINT",
    "CreateAmStmt": "CREATE ACCESS METHOD",
    "CreateCastStmt": "CREATE CAST",
    "CreateConversionStmt": "CREATE CONVERSION",
    "CreateEventTrigStmt": "CREATE EVENT TRIGGER",
    "CreateExtensionStmt": "CREATE EXTENSION",
    "CreateFdwStmt": "CREATE FOREIGN DATA WRAPPER",
    "CreateForeignServerStmt": "CREATE SERVER",
    "CreateForeignTableStmt": "CREATE FOREIGN TABLE",
    "CreateOpClassStmt": "CREATE OPERATOR CLASS",
    "CreateOpFamilyStmt": "CREATE OPERATOR FAMILY",
    "CreatePLangStmt": "CREATE LANGUAGE",
    "CreatePolicyStmt": "CREATE POLICY",
    "CreatePublicationStmt": "CREATE PUBLICATION",
    "CreateRoleStmt": "CREATE ROLE",
    "CreateSubscriptionStmt": "CREATE SUBSCRIPTION",
    "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "CreateTransformStmt": "CREATE TRANSFORM",
    "CreateUserMappingStmt": "CREATE USER MAPPING",
    "CreatedbStmt": "CREATE DATABASE",
    "DoStmt": "DO",
    "DropOwnedStmt": "DROP OWNED",
    "DropRoleStmt": "DROP ROLE",
    "DropSubscriptionStmt": "DROP SUBSCRIPTION",
    "DropTableSpaceStmt": "DROP TABLESPACE",
    "DropUserMappingStmt": "DROP USER MAPPING",
    "DropdbStmt": "DROP DATABASE",
    "GrantRoleStmt": "GRANT ROLE",
    "GrantStmt": "GRANT",
    "ImportForeignSchemaStmt": "IMPORT FOREIGN SCHEMA",
    "LoadStmt": "LOAD",
    "ReassignOwnedStmt": "REASSIGN OWNED",
    "SecLabelStmt": "SECURITY LABEL",
}
"""Statements about roles, rights, files, other servers, the server itself, or with code that nobody saw run."""

_NEVER_IN_TRANSACTION: Final = words(
    """
    AlterSystemStmt CallStmt CreateSubscriptionStmt CreateTableSpaceStmt CreatedbStmt DoStmt DropSubscriptionStmt
    DropTableSpaceStmt DropdbStmt AlterSubscriptionStmt AlterDatabaseStmt
    """
)
"""The server refuses them in a transaction block, wholly or in some forms; CALL and DO may commit."""

_PRIVILEGED_DROPS: Final = words(
    """
    OBJECT_EXTENSION OBJECT_FDW OBJECT_FOREIGN_SERVER OBJECT_POLICY OBJECT_EVENT_TRIGGER OBJECT_LANGUAGE OBJECT_CAST
    OBJECT_ACCESS_METHOD OBJECT_PUBLICATION OBJECT_TRANSFORM OBJECT_OPCLASS OBJECT_OPFAMILY OBJECT_CONVERSION
    """
)
_PRIVILEGED_OBJECTS: Final = _PRIVILEGED_DROPS | words("OBJECT_ROLE OBJECT_DATABASE OBJECT_TABLESPACE")
"""Kinds of object that nobody renames or moves unnoticed."""

_NAMED_DROPS: Final = words("OBJECT_TABLE OBJECT_VIEW OBJECT_MATVIEW OBJECT_SEQUENCE OBJECT_INDEX OBJECT_FOREIGN_TABLE")
_DROPS_ON_TABLE: Final = frozenset({"OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"})

_PRIVILEGED_CHANGES: Final = ("AT_ChangeOwner", "RowSecurity", "Trig", "Rule")
"""Parts of names of ALTER TABLE's subcommands that take away a guard, or give the table away."""

_TRUSTED_LANGUAGES: Final = frozenset({"sql", "plpgsql"})


def privileged(findings: Findings, kind: str, node: Tree) -> tuple[str, bool]:
    """Judge a statement of `PRIVILEGED`. Returns its words, and whether it can run in a transaction block."""
    word = PRIVILEGED[kind]
    if kind in ("GrantStmt", "GrantRoleStmt") and "is_grant" not in node:
        word = word.replace("GRANT", "REVOKE")
    findings.privileged(f"runs {word}")
    for relation in _relations_in(node, findings):
        findings.relation(relation, Effect.PRIVILEGED)
    return word, kind not in _NEVER_IN_TRANSACTION


def _relations_in(node: Tree, findings: Findings) -> list[Tree]:
    """Every RangeVar in a tree, whatever else it holds."""
    found, stack = [], [node]
    while stack:
        held = stack.pop()
        findings.count(1)
        if "relname" in held:
            found.append(held)
        for value in held.values():
            if value.__class__ is dict:
                stack.append(value)
            elif value.__class__ is list:
                stack.extend(each for each in value if each.__class__ is dict)
    return found


def define(findings: Findings, kind: str, node: Tree) -> tuple[str, bool]:
    """Judge a statement of `DEFINITIONS`. Returns its words, and whether it can run in a transaction block."""
    word, in_transaction = DEFINITIONS[kind], "concurrent" not in node or kind == "RefreshMatViewStmt"
    effect = Effect.WRITE if kind in _WRITES else Effect.DDL
    findings.definition = True
    findings.stored = kind not in _RUN
    match kind:
        case "AlterTableStmt":
            in_transaction = _alter_table(findings, node)
        case "CreateFunctionStmt":
            word = "CREATE PROCEDURE" if "is_procedure" in node else word
            _function(findings, node)
        case "DefineStmt":
            word = f"CREATE {_object_words(node)}"
        case "DropStmt":
            word = f"DROP {_object_words(node, 'removeType')}"
            _drop(findings, node)
        case "RenameStmt" | "AlterObjectSchemaStmt":
            if {node.get("renameType"), node.get("objectType")} & _PRIVILEGED_OBJECTS:
                findings.privileged("renames or moves a role, or something of the server's")
        case "CommentStmt":
            _comment(findings, node)
        case "ClusterStmt":
            in_transaction = "relation" in node
        case "ReindexStmt":
            in_transaction = "relation" in node and not _has_option(node, "concurrently", "params")
        case "VacuumStmt":
            in_transaction = "is_vacuumcmd" not in node
            word = "ANALYZE" if in_transaction else word
    walk(findings, kind, node, relations=effect)
    if all(before < effect for before in findings.accesses.values()):
        findings.touch(DATABASE, effect)
        findings.because(f"runs {word}")
    return word, in_transaction


def _object_words(node: Tree, field: str = "kind") -> str:
    return str(node.get(field, "")).removeprefix("OBJECT_").replace("_", " ").replace("MATVIEW", "MATERIALIZED VIEW")


def _has_option(node: Tree, name: str, field: str) -> bool:
    return any(option.get("DefElem", {}).get("defname") == name for option in node.get(field, ()))


def _alter_table(findings: Findings, node: Tree) -> bool:
    """Note what takes away a guard; returns whether the statement can run in a transaction block."""
    in_transaction = True
    for held in node.get("cmds", ()):
        command = held.get("AlterTableCmd", {})
        subtype = command.get("subtype", "")
        if any(part in subtype for part in _PRIVILEGED_CHANGES):
            findings.privileged("changes a table's owner, row security, triggers or rules")
        partition = command.get("def", {}).get("PartitionCmd", {})
        in_transaction = in_transaction and "concurrent" not in partition
    return in_transaction


def _function(findings: Findings, node: Tree) -> None:
    for held in node.get("options", ()):
        option = held.get("DefElem", {})
        if option.get("defname") == "language":
            language = option.get("arg", {}).get("String", {}).get("sval", "")
            if language not in _TRUSTED_LANGUAGES:
                findings.privileged("defines a function in a language that may do anything")
        elif option.get("defname") == "security":
            findings.because("runs with its owner's rights, if it says SECURITY DEFINER")


def _comment(findings: Findings, node: Tree) -> None:
    parts = [
        item["String"]["sval"] for item in node.get("object", {}).get("List", {}).get("items", ()) if "String" in item
    ]
    kind = node.get("objtype", "")
    if kind in _DROPS_ON_TABLE or kind in ("OBJECT_COLUMN", "OBJECT_TABCONSTRAINT"):
        parts = parts[:-1]
    elif kind not in _NAMED_DROPS:
        return
    if parts:
        findings.relation_named(parts[-2] if len(parts) > 1 else "", parts[-1], Effect.DDL)


def _drop(findings: Findings, node: Tree) -> None:
    kind = node.get("removeType", "")
    if kind in _PRIVILEGED_DROPS:
        findings.privileged("drops a guard, or something of the server's")
    for held in node.get("objects", ()):
        parts = [item["String"]["sval"] for item in held.get("List", {}).get("items", ()) if "String" in item]
        if kind in _DROPS_ON_TABLE:
            parts = parts[:-1]
        elif kind not in _NAMED_DROPS:
            continue
        if parts:
            findings.relation_named(parts[-2] if len(parts) > 1 else "", parts[-1], Effect.DDL)
