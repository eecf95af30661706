"""The SQLite tables. Strict, so that a value of another type is an error; foreign keys are on.

`requests.state` is only ever changed by an UPDATE whose WHERE names the states that the event may leave.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 3
"""Kept in `PRAGMA user_version`; an older file is brought up to date, a newer one is not opened."""

MIGRATIONS: Final = {
    # Requests had no fingerprint; nothing is computed from it once a Request is open.
    1: """
CREATE TABLE revoked_edges (edge_id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
UPDATE requests SET asked = CAST(json_insert(CAST(asked AS TEXT), '$.opened.fingerprint',
    '0000000000000000000000000000000000000000000000000000000000000000') AS BLOB);
""",
    2: """
CREATE TABLE erasures (session TEXT PRIMARY KEY, entry BLOB NOT NULL) STRICT;
""",
}
"""By version: what makes the next version of it."""

SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES ('bundle_revision', 1);

CREATE TABLE chain (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TABLE records (seq INTEGER PRIMARY KEY, before TEXT NOT NULL, line BLOB NOT NULL) STRICT;

CREATE TABLE requests (
    id TEXT PRIMARY KEY, edge_id TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('pending', 'approved',
        'spending', 'done', 'failed', 'in_doubt', 'denied', 'expired', 'withdrawn', 'lapsed')),
    due_at INTEGER NOT NULL, moved_at INTEGER NOT NULL, opened_at INTEGER NOT NULL,
    command_digest TEXT NOT NULL, content_sha256 TEXT NOT NULL, asked BLOB NOT NULL, spending BLOB, outcome BLOB
) STRICT;
CREATE INDEX requests_due ON requests (due_at) WHERE due_at > 0;
CREATE INDEX requests_state ON requests (state, opened_at);
CREATE INDEX requests_opened ON requests (opened_at);
CREATE INDEX requests_unfinished ON requests (edge_id, opened_at)
    WHERE state IN ('pending', 'approved', 'spending', 'in_doubt');
CREATE TABLE votes (
    request_id TEXT NOT NULL REFERENCES requests, person_id TEXT NOT NULL, approve INTEGER NOT NULL,
    reason TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (request_id, person_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE persons (id TEXT PRIMARY KEY, entry BLOB NOT NULL, revision INTEGER NOT NULL) STRICT;
CREATE TABLE accounts (subject TEXT PRIMARY KEY, person_id TEXT NOT NULL REFERENCES persons) STRICT;
CREATE TABLE machines (id TEXT PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE edits (editor TEXT NOT NULL, subject TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX edits_at ON edits (at);
CREATE TABLE issuers (issuer TEXT PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE verifiers (
    caller TEXT NOT NULL, target TEXT NOT NULL, verifier TEXT NOT NULL, PRIMARY KEY (caller, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE policy_versions (revision INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE proposals (
    id TEXT PRIMARY KEY, state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'denied', 'outdated')),
    created_at INTEGER NOT NULL, entry BLOB NOT NULL
) STRICT;

CREATE TABLE tokens (
    token_sha256 TEXT PRIMARY KEY, edge_id TEXT NOT NULL, targets BLOB NOT NULL, expires_at INTEGER NOT NULL,
    used_by BLOB
) STRICT;
CREATE TABLE edges (edge_id TEXT PRIMARY KEY, targets BLOB NOT NULL, key BLOB NOT NULL) STRICT;
CREATE TABLE revoked_edges (edge_id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE nonces (
    edge_id TEXT NOT NULL, nonce TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (edge_id, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_at ON nonces (at);
CREATE TABLE heads (
    edge_id TEXT NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (edge_id, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE top_heads (
    edge_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL, signed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE wakes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, edge_id TEXT NOT NULL, request_id TEXT NOT NULL,
    UNIQUE (edge_id, request_id)
) STRICT;

CREATE TABLE seals (
    segment TEXT PRIMARY KEY, source TEXT NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    entry BLOB NOT NULL, published INTEGER NOT NULL DEFAULT 0, UNIQUE (source, first_seq)
) STRICT;
CREATE TABLE session_segments (
    session TEXT NOT NULL, segment TEXT NOT NULL REFERENCES seals, PRIMARY KEY (session, segment)
) STRICT, WITHOUT ROWID;
CREATE TABLE session_keys (
    session TEXT PRIMARY KEY, edge_id TEXT NOT NULL, wrapping_key_id TEXT NOT NULL, wrapped BLOB
) STRICT;
CREATE TABLE erasures (session TEXT PRIMARY KEY, entry BLOB NOT NULL) STRICT;
"""
