"""Records, the chain over them, and its sealed head.

A Record has a plain header, which auditors query, and an optional body (exact text, values, output), which is
encrypted before it gets here. The chain covers the header and the digest of the ciphertext: verifying needs no
secret, and erasing a key erases the bodies while the chain still verifies.

    hash[0]  = SHA-256("twokeys/chain/v1\\n" + edge_id)
    hash[n]  = SHA-256(hash[n-1] + "\\n" + line[n])      line = canonical JSON of {...header, seq, body_sha256?}

A line is flat, so that it is one row of the auditors' `records` table (see `twokeys.tables`).
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from twokeys.digest import Json, canonical

MAX_LINE_BYTES: Final = 64 * 1024
"""Longest canonical header line; the normalised statement is cut long before."""

MAX_STATEMENT_CHARACTERS: Final = 8192
"""Longest normalised statement kept in a header."""


class RecordType(enum.StrEnum):
    """What happened. Every step of a Command has its own Record."""

    EDGE_START = "edge_start"
    SESSION_START = "session_start"
    SESSION_END = "session_end"
    SIGN_IN_FAILED = "sign_in_failed"
    COMMAND = "command"
    HOLD = "hold"
    DECISION = "decision"
    SPEND_INTENT = "spend_intent"
    FORWARD = "forward"
    RESULT = "result"
    REFUSED = "refused"
    ALARM = "alarm"
    GAP = "gap"
    # Of the control plane's own chain, beside decision, result, refused and alarm:
    OPEN = "open"
    END = "end"
    SPEND = "spend"
    SETTLEMENT = "settlement"
    POLICY = "policy"
    PEOPLE = "people"
    CREDENTIAL = "credential"
    ENROLMENT = "enrolment"
    BODY_READ = "body_read"
    KEY_ERASED = "key_erased"
    BOOTSTRAP = "bootstrap"
    NOTICE_FAILED = "notice_failed"


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How far a chain has come: the sequence of the last Record and the hash over all of them."""

    sequence: int
    hash: str


def genesis(edge_id: str) -> ChainHead:
    """The head of an empty chain: sequence 0, no Record."""
    return ChainHead(0, hashlib.sha256(f"twokeys/chain/v1\n{edge_id}".encode()).hexdigest())


def line(sequence: int, header: Mapping[str, Json], body_sha256: str = "") -> bytes:
    """The canonical line of one Record, without newline."""
    value: dict[str, Json] = {**header, "seq": sequence}
    if body_sha256:
        value["body_sha256"] = body_sha256
    return canonical(value)


def extend(head: ChainHead, record_line: bytes) -> ChainHead:
    """The head after one more Record whose canonical line is given."""
    return ChainHead(head.sequence + 1, chained(head.hash.encode(), record_line).decode())


def chained(before: bytes, record_line: bytes) -> bytes:
    """The hash over a chain and one more Record; both hashes as hexadecimal digits."""
    return hashlib.sha256(b"%b\n%b" % (before, record_line)).hexdigest().encode()


def same_hash(left: str, right: str) -> bool:
    """Compare two hashes in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())
