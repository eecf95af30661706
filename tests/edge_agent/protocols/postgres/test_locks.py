"""What a transaction keeps locked is told in bounds, whatever the server answers."""

from __future__ import annotations

import json

import pytest

from edge_agent.protocols.postgres.locks import MAX_LOCK_CHARACTERS, read_locks
from twokeys.messages import MAX_LOCKS


def test_many_locks_are_cut_and_it_is_said() -> None:
    locks = read_locks(json.dumps([f"shop.t{number} RowShareLock" for number in range(MAX_LOCKS + 1)]))
    assert len(locks) == MAX_LOCKS and locks[-1] == "and more"
    assert len(read_locks(json.dumps([f"shop.t{number} RowShareLock" for number in range(MAX_LOCKS)]))) == MAX_LOCKS


@pytest.mark.parametrize("answer", ["", "null", "{}", "x", "[" * 100_000])
def test_without_a_list_there_are_none(answer: str) -> None:
    assert read_locks(answer) == ()


def test_a_long_name_is_cut() -> None:
    assert [len(one) for one in read_locks(json.dumps(["x" * 1000]))] == [MAX_LOCK_CHARACTERS]
