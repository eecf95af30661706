"""A plugin of pytest that takes one guard away before anything is collected: `--without-guard NAME`.

What is left must let an attack through, or the test named after the attack proves nothing. See `test_guards`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from edge_agent.classify import sql
from edge_agent.gate import Pass
from edge_agent.protocols.postgres import (
    client,
    control,
    core,
    front,
    hidden,
    lane,
    link,
    steps,
    transaction,
    upstream_rules,
    write_step,
)
from edge_agent.protocols.postgres.expect import Expected
from tests.attacks.unguard_wire import WIRE_GUARDS
from twokeys.effect import Access, Classification, Effect

_classify, _refusal, _reported = sql.classify_sql, write_step._refusal, link.Link._reported
_before_read, _before_write = front.before_read, front.before_write


def _fooled(text: bytes, *rest: Any) -> sql.SqlVerdict:
    found = _classify(text, *rest)
    if found.actions and not found.refusal:
        return found
    was = found.classification
    reads = tuple(sorted({Access(access.object, Effect.READ) for access in was.accesses}))
    return sql.SqlVerdict(Classification(was.kind, reads, was.normalised))


def _swap(where: object, name: str, instead: object) -> None:
    setattr(where, name, instead)


def _classifier() -> None:
    _swap(sql, "classify_sql", _fooled)


def _savepoint() -> None:
    _swap(core.Core, "may_be_written", property(lambda self: False))
    lift = (b"SET transaction_read_only = off",)
    _swap(hidden.Hidden, "lift_and_guard", property(lambda self: lift, lambda self, value: None))


def _lowering() -> None:
    _swap(control, "_LOWER", b"SET transaction_isolation = 'read committed'")


def _holding() -> None:
    _swap(core.Core, "note_read", core.Core.forget_names)


def _holding_in_ours() -> None:
    _swap(core.Core, "would_be_held", lambda self, verdict: False)


def _left_savepoints() -> None:
    _swap(transaction.Transaction, "releases", lambda self: ())


def _alarm() -> None:
    def reported(self: link.Link, status: Any) -> bool:
        return False if status.name == link.READ_ONLY_DEFAULT else _reported(self, status)

    _swap(link.Link, "_reported", reported)


def _names() -> None:
    _swap(client.Client, "_is_no_name", lambda self, name: False)


def _function_call() -> None:
    def forward(self: client.Client, buffer: bytes, start: int, end: int) -> None:
        self._link.send(buffer[start:end], Expected(b"V", b"Z"))

    _swap(client.Client, "_function_call", forward)


def _replaced() -> None:
    _swap(client.Client, "_is_replaced", lambda self, portal: False)


def _trust() -> None:
    _swap(core.Core, "trust", lambda self, statement: None)
    _swap(lane, "before_read", lambda core, statement, *, simple: _before_read(core, None, simple=simple))


def _opened_by_the_lane() -> None:
    _swap(lane, "before_read", lambda core, statement, *, simple: None)


def _written_by_the_lane() -> None:
    _swap(lane, "before_write", lambda core, statement, *, simple: _before_write(core, None, simple=simple))


def _forgetting() -> None:
    _swap(core.Core, "forget_names", lambda self, verdict: None)


def _portals_of_sql() -> None:
    _swap(client.Client, "_names_portal", lambda self, judgement, text: False)


def _rest_of_a_portal() -> None:
    _swap(core, "close_rest", lambda session, portal: None)


def _search_path() -> None:
    from edge_agent import door

    _swap(door.SessionDoor, "confirm", lambda self, search_path: True)


def _single_use() -> None:
    _swap(Pass, "spend", lambda self: None)


def _start_up() -> None:
    _swap(upstream_rules, "FORCED", {"standard_conforming_strings": "on"})
    _alarm()
    _swap(link.Link, "read_only_default", property(lambda self: True, lambda self, value: None))


def _started() -> None:
    def never(portal: Any) -> None:
        return None

    _swap(steps, "cannot_be_run", never)
    _swap(write_step, "cannot_be_run", never)


GUARDS: Final[dict[str, Callable[[], None]]] = {
    "the classifier": _classifier,
    "the savepoint round what is not approved": _savepoint,
    "read-only again before a commit without writes": _lowering,
    "savepoints are left before that": _left_savepoints,
    "read-only before a commit with a cursor WITH HOLD": _holding,
    "no cursor WITH HOLD after a write in a pipeline": _holding_in_ours,
    "read-only from the start of the session": _start_up,
    "the alarm on a default that was undone": _alarm,
    "names that clients may not use": _names,
    "the refusal of FunctionCall": _function_call,
    "portals end with their statement": _replaced,
    "statements are parsed anew after code of users": _trust,
    "the guard before reads of the lane": _opened_by_the_lane,
    "allowed writes are parsed anew by the lane": _written_by_the_lane,
    "names that SQL moves are forgotten": _forgetting,
    "portals of the protocol are closed to SQL": _portals_of_sql,
    "a portal that wrote in part is closed": _rest_of_a_portal,
    "a search path that moved": _search_path,
    "a Pass is spent once": _single_use,
    "a portal that ran is not run again": _started,
    **WIRE_GUARDS,
}
"""What each takes away."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options."""
    parser.addoption("--without-guard", action="append", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Take it away before any test module is imported, so that all of them see it gone."""
    for name in config.getoption("--without-guard"):
        GUARDS[name]()
