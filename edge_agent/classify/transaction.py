"""Transaction control: what a text asks of the transaction, for the session core to track.

https://www.postgresql.org/docs/current/sql-begin.html, sql-set-transaction.html
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from edge_agent.classify.parser import Tree
from edge_agent.classify.settings import ISOLATION_LEVELS, constant, is_on


class TxnKind(enum.Enum):
    """What a statement does to the transaction."""

    BEGIN = "BEGIN"
    COMMIT = "COMMIT"
    ROLLBACK = "ROLLBACK"
    SAVEPOINT = "SAVEPOINT"
    RELEASE = "RELEASE"
    ROLLBACK_TO = "ROLLBACK TO"
    SET_TRANSACTION = "SET TRANSACTION"
    PREPARE = "PREPARE TRANSACTION"
    COMMIT_PREPARED = "COMMIT PREPARED"
    ROLLBACK_PREPARED = "ROLLBACK PREPARED"


LEADING: Final = frozenset({TxnKind.BEGIN, TxnKind.SAVEPOINT, TxnKind.RELEASE})
"""Control that begins something, or ends no more than a savepoint."""


@dataclass(frozen=True, slots=True)
class TxnAction:
    """One statement of transaction control.

    Args:
        kind: What it does.
        name: The savepoint's name; empty for the other kinds.
        read_only: For BEGIN and SET TRANSACTION: True for READ ONLY, False for READ WRITE, None when it says neither.
        chain: AND CHAIN: a new transaction of the same mode begins at once.
        at: Which statement of the text it is, from 0.
    """

    kind: TxnKind
    name: str = ""
    read_only: bool | None = None
    chain: bool = False
    at: int = 0

    @property
    def asks_for_writing(self) -> bool:
        """Whether it says READ WRITE."""
        return self.read_only is False


class Contradiction(Exception):
    """The statement says READ ONLY and READ WRITE."""


_KINDS: Final = {
    "TRANS_STMT_BEGIN": TxnKind.BEGIN,
    "TRANS_STMT_START": TxnKind.BEGIN,
    "TRANS_STMT_COMMIT": TxnKind.COMMIT,
    "TRANS_STMT_ROLLBACK": TxnKind.ROLLBACK,
    "TRANS_STMT_SAVEPOINT": TxnKind.SAVEPOINT,
    "TRANS_STMT_RELEASE": TxnKind.RELEASE,
    "TRANS_STMT_ROLLBACK_TO": TxnKind.ROLLBACK_TO,
    "TRANS_STMT_PREPARE": TxnKind.PREPARE,
    "TRANS_STMT_COMMIT_PREPARED": TxnKind.COMMIT_PREPARED,
    "TRANS_STMT_ROLLBACK_PREPARED": TxnKind.ROLLBACK_PREPARED,
}

PREPARED: Final = frozenset({TxnKind.PREPARE, TxnKind.COMMIT_PREPARED, TxnKind.ROLLBACK_PREPARED})
"""Two-phase commit: a transaction that outlives the session."""


def transaction_action(node: Tree, at: int) -> TxnAction:
    """The action of a TransactionStmt.

    Raises:
        Contradiction: As it says.
        KeyError: The grammar has a kind that is not known here.
    """
    return TxnAction(
        _KINDS[node["kind"]],
        node.get("savepoint_name", ""),
        _read_only(node.get("options", [])),
        bool(node.get("chain")),
        at,
    )


def set_transaction_action(node: Tree, at: int) -> TxnAction | None:
    """The action of a VariableSetStmt that sets the current transaction; None when it sets something else.

    `SET transaction_read_only = on` is `SET TRANSACTION READ ONLY` in other words; every value but a plain on counts
    as READ WRITE.
    """
    name = node.get("name", "")
    if node.get("kind") == "VAR_SET_MULTI" and name in ("TRANSACTION", "TRANSACTION SNAPSHOT"):
        options = node.get("args", []) if name == "TRANSACTION" else []
        return TxnAction(TxnKind.SET_TRANSACTION, read_only=_read_only(options), at=at)
    if node.get("kind") != "VAR_SET_VALUE":
        return None
    values = node.get("args", [])
    value = constant(values[0]) if len(values) == 1 else None
    match name.lower():
        case "transaction_read_only":
            return TxnAction(TxnKind.SET_TRANSACTION, read_only=is_on(value), at=at)
        case "transaction_isolation" if value is not None and value.lower() in ISOLATION_LEVELS:
            return TxnAction(TxnKind.SET_TRANSACTION, at=at)
        case "transaction_deferrable":
            return TxnAction(TxnKind.SET_TRANSACTION, at=at)
    return None


def _read_only(options: list[Tree]) -> bool | None:
    said = set()
    for option in options:
        if option["DefElem"]["defname"] == "transaction_read_only":
            # Zero is left out of the JSON: READ WRITE is an `ival` without a value.
            said.add(constant(option["DefElem"]["arg"]) == "1")
    if len(said) > 1:
        raise Contradiction
    return said.pop() if said else None
