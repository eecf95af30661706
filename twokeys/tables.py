"""The audit schema: one place, from which DuckDB's tables and Glue's are generated.

`records` holds every Record of every Edge and of the control plane; a row is one line of a Segment.
Times are ISO 8601 text in UTC with milliseconds and ``Z``; absent values are NULL.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class ColumnType(enum.StrEnum):
    """Types that both engines have."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT_LIST = "text_list"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name, type, and what it says (shown by `twokeys audit tables`)."""

    name: str
    type: ColumnType
    comment: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table and its partition key."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    partition: str = "dt"

    @property
    def names(self) -> frozenset[str]:
        """The column names."""
        return frozenset(column.name for column in self.columns)


_T, _I, _B, _L = ColumnType.TEXT, ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.TEXT_LIST

RECORDS: Final = Table(
    "records",
    "Every step of every command, of every edge and of the control plane.",
    (
        Column("seq", _I, "Position in the chain of its source, from 1."),
        Column("source", _T, "Edge id, or control-plane."),
        Column("time", _T, "When it was recorded, by its source's estimate of the control plane's clock."),
        Column("type", _T, "What happened: session_start, command, hold, decision, forward, result, …"),
        Column("session", _T, "Session id."),
        Column("target", _T, "Target id."),
        Column("database", _T, "Database name."),
        Column("caller", _T, "Caller id."),
        Column("caller_kind", _T, "person or machine."),
        Column("sponsor", _T, "Who answers for a machine."),
        Column("client", _T, "The client's own name for itself, unverified."),
        Column("request", _T, "Request id, for anything that was held."),
        Column("kind", _T, "The command in the protocol's words: SELECT, UPDATE, …"),
        Column("effect", _T, "read, write, ddl or privileged."),
        Column("objects", _L, "Objects touched, as effect:kind:name."),
        Column("statement", _T, "Normalised statement, without literals and comments."),
        Column("command_digest", _T, "What an approval binds."),
        Column("text_digest", _T, "SHA-256 of the exact text."),
        Column("outcome", _T, "allow, hold, deny; approved, denied, expired, …; done, failed, in_doubt."),
        Column("policies", _L, "Ids of the policies that caused it."),
        Column("bundle", _I, "Revision of the bundle under which it was decided."),
        Column("person", _T, "Who decided, changed or read, for records of the control plane."),
        Column("approvers", _L, "Who approved."),
        Column("reason", _T, "Why, in words."),
        Column("sqlstate", _T, "PostgreSQL's error code, for a failed command."),
        Column("forward_seq", _I, "Of a result without a request: the seq of the forward whose outcome it is."),
        Column("rows", _I, "Rows affected, by the server's command tag."),
        Column("xid", _T, "The write's transaction id, for settling doubts."),
        Column("in_transaction", _B, "Whether it ran in the caller's own transaction."),
        Column("policy_revision", _I, "Policy revision, for policy changes."),
        Column("masked", _L, "Data classes that the caller saw masked, in what the command shows."),
        Column("body_sha256", _T, "SHA-256 of the encrypted body, where there is one."),
    ),
)

SEALS: Final = Table(
    "seals",
    "Signed heads of the chains, one for each segment.",
    (
        Column("source", _T, "Edge id, or control-plane."),
        Column("segment", _T, "Segment id."),
        Column("first_seq", _I, "First record of the segment."),
        Column("last_seq", _I, "Last record of the segment."),
        Column("previous_hash", _T, "Chain hash before the segment."),
        Column("last_hash", _T, "Chain hash after the segment."),
        Column("lines_sha256", _T, "SHA-256 of the segment's uncompressed lines."),
        Column("bodies_sha256", _T, "SHA-256 of the segment's bodies file; absent without bodies."),
        Column("sealed_at", _T, "When the control plane signed it."),
        Column("key_id", _T, "Which seal key signed."),
        Column("signature", _T, "Base64 of the signature over the seal."),
    ),
)

TABLES: Final = (RECORDS, SEALS)

_DUCKDB: Final = {_T: "VARCHAR", _I: "BIGINT", _B: "BOOLEAN", _L: "VARCHAR[]"}


def duckdb_columns(table: Table) -> dict[str, str]:
    """Column names and DuckDB types, in order, without the partition."""
    return {column.name: _DUCKDB[column.type] for column in table.columns}
