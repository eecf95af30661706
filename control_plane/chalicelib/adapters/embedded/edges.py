"""Edges in SQLite: tokens, keys, nonces and chain heads."""

from __future__ import annotations

import hmac
import sqlite3
from typing import Final

import msgspec

from twokeys.edge_call import EdgeCall
from twokeys.errors import Conflict, Refused
from twokeys.record import ChainHead, same_hash

from ...ports.edges import HEAD_SLACK_MILLISECONDS, Edge, Token
from ...ports.records import Note
from .database import Database, raise_bundle_revision
from .records import append

MAX_TOLD_HEADS: Final = 100_000
"""Heads kept of one Edge until a Seal covers them; beyond, the oldest go (the highest stays)."""


class SqliteEdges:
    """Implements `ports.edges.Edges`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_token(self, token: Token, note: Note) -> None:
        with self._database.write() as connection:
            word = "revoked" if _is_revoked(connection, token.edge_id) else "enrolled"
            if word == "revoked" or _edge(connection, token.edge_id):
                raise Conflict(f"The edge {token.edge_id} is {word}.", not_done="No token was made.",
                               advice="Choose another id.", code=word)  # fmt: skip
            connection.execute("DELETE FROM tokens WHERE edge_id = ? AND used_by IS NULL", (token.edge_id,))
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, NULL)",
                (token.token_sha256, token.edge_id, msgspec.json.encode(token.targets), token.expires_at),
            )
            append(connection, note, self._database.clock.now())

    def enrol(self, token_sha256: str, key: bytes, note: Note) -> Edge:
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT edge_id, targets, expires_at, used_by FROM tokens WHERE token_sha256 = ?", (token_sha256,)
            ).fetchone()
            if row is None:
                raise _bad_token()
            edge_id, targets, expires_at, used_by = row
            if used_by is not None:
                # A lost answer may be asked for again, by whoever holds the very key.
                known = _edge(connection, edge_id)
                if known is not None and hmac.compare_digest(used_by, key):
                    return known
                raise _bad_token()
            now = self._database.clock.now()
            if expires_at <= now or _edge(connection, edge_id) or _is_revoked(connection, edge_id):
                raise _bad_token()
            connection.execute("UPDATE tokens SET used_by = ? WHERE token_sha256 = ?", (key, token_sha256))
            connection.execute("INSERT INTO edges VALUES (?, ?, ?)", (edge_id, targets, key))
            raise_bundle_revision(connection)
            append(connection, {**note, "outcome": "enrolled", "reason": f"Edge {edge_id} enrolled."}, now)
            return Edge(edge_id=edge_id, targets=msgspec.json.decode(targets, type=list[str]), key=key)

    def edge(self, edge_id: str) -> Edge | None:
        return _edge(self._database.read(), edge_id)

    def edges(self) -> list[Edge]:
        rows = self._database.read().execute("SELECT edge_id, targets, key FROM edges ORDER BY edge_id")
        return [
            Edge(edge_id=edge_id, targets=msgspec.json.decode(targets, type=list[str]), key=key)
            for edge_id, targets, key in rows
        ]

    def revoke(self, edge_id: str, note: Note) -> bool:
        with self._database.write() as connection:
            enrolled = connection.execute("DELETE FROM edges WHERE edge_id = ?", (edge_id,)).rowcount
            unused = connection.execute("DELETE FROM tokens WHERE edge_id = ? AND used_by IS NULL", (edge_id,)).rowcount
            if not enrolled and not unused:
                return False
            now = self._database.clock.now()
            connection.execute("INSERT OR IGNORE INTO revoked_edges VALUES (?, ?)", (edge_id, now))
            raise_bundle_revision(connection)
            append(connection, note, now)
            return True

    def admit(self, call: EdgeCall, forget_nonces_before: int) -> ChainHead:
        with self._database.write() as connection:
            connection.execute("DELETE FROM nonces WHERE at < ?", (forget_nonces_before,))
            fresh = connection.execute(
                "INSERT OR IGNORE INTO nonces VALUES (?, ?, ?)", (call.edge_id, call.nonce, call.time)
            )
            if fresh.rowcount != 1:
                raise Refused("This very call was answered before.", not_done="It was not answered again.",
                              code="replayed_call")  # fmt: skip
            return _admit_head(connection, call)

    def head(self, source: str) -> ChainHead | None:
        row = self._database.read().execute("SELECT seq, hash FROM top_heads WHERE edge_id = ?", (source,)).fetchone()
        return ChainHead(*row) if row else None

    def told_heads(self, source: str, first: int, last: int) -> list[ChainHead]:
        rows = self._database.read().execute(
            "SELECT seq, hash FROM heads WHERE edge_id = ? AND seq BETWEEN ? AND ?", (source, first, last)
        )
        return [ChainHead(*row) for row in rows]

    def forget_heads(self, source: str, up_to: int) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM heads WHERE edge_id = ? AND seq <= ?", (source, up_to))

    def bundle_revision(self) -> int:
        row = self._database.read().execute("SELECT value FROM meta WHERE name = 'bundle_revision'").fetchone()
        return int(row[0])


def _admit_head(connection: sqlite3.Connection, call: EdgeCall) -> ChainHead:
    head = call.head
    top = connection.execute("SELECT seq, hash, signed_at FROM top_heads WHERE edge_id = ?", (call.source,)).fetchone()
    told = connection.execute(
        "SELECT hash FROM heads WHERE edge_id = ? AND seq = ?", (call.source, head.sequence)
    ).fetchone()
    known = told[0] if told else top[1] if top and top[0] == head.sequence else head.hash
    if not same_hash(known, head.hash):
        raise _fork(f"The edge told another chain head at record {head.sequence} before.")
    if top and head.sequence < top[0]:
        if call.time > top[2] + HEAD_SLACK_MILLISECONDS:
            raise _fork(f"The edge's chain went back from record {top[0]} to {head.sequence}.")
        if told is None:
            connection.execute("INSERT INTO heads VALUES (?, ?, ?)", (call.source, head.sequence, head.hash))
        return ChainHead(top[0], top[1])
    if told is None:
        connection.execute("INSERT INTO heads VALUES (?, ?, ?)", (call.source, head.sequence, head.hash))
        connection.execute(
            "DELETE FROM heads WHERE edge_id = ?1 AND seq <= (SELECT seq FROM heads WHERE edge_id = ?1"
            " ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            (call.source, MAX_TOLD_HEADS),
        )
    if top is None or head.sequence > top[0]:
        connection.execute(
            "INSERT OR REPLACE INTO top_heads VALUES (?, ?, ?, ?)", (call.source, head.sequence, head.hash, call.time)
        )
    return head


def _edge(connection: sqlite3.Connection, edge_id: str) -> Edge | None:
    row = connection.execute("SELECT targets, key FROM edges WHERE edge_id = ?", (edge_id,)).fetchone()
    return Edge(edge_id=edge_id, targets=msgspec.json.decode(row[0], type=list[str]), key=row[1]) if row else None


def _is_revoked(connection: sqlite3.Connection, edge_id: str) -> bool:
    return connection.execute("SELECT 1 FROM revoked_edges WHERE edge_id = ?", (edge_id,)).fetchone() is not None


def _bad_token() -> Refused:
    return Refused("The enrolment token is unknown, used or expired.", not_done="The edge was not enrolled.",
                   advice="Ask an owner for a fresh one.", code="bad_token")  # fmt: skip


def _fork(happened: str) -> Refused:
    return Refused(happened, not_done="The call was not answered.", code="chain_fork",
                   advice="Two edges may run with one identity, or its journal was restored from a copy.")  # fmt: skip
