"""Records and session keys in DynamoDB: the port suites, two exporters at once, and what comes late."""

from __future__ import annotations

import json

import pytest

from control_plane.chalicelib.adapters.aws.records import MAX_CHAINED, DynamoRecords, outbox
from control_plane.chalicelib.adapters.aws.session_keys import DynamoSessionKeys
from control_plane.chalicelib.adapters.aws.table import Table
from control_plane.chalicelib.ports.records import SOURCE, Run
from control_plane.chalicelib.ports.session_keys import KeptKey
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.backend import NOTE
from tests.control_plane.ports.registry_suites import SessionKeysSuite
from tests.control_plane.ports.storage_suites import RecordsSuite
from tests.control_plane.ports.test_aws_requests import (
    at_once,
    before_write,
    isolated,
    lose_answer,
)
from tests.control_plane.world import ManualClock
from twokeys.errors import Conflict, Unavailable
from twokeys.record import ChainHead, extend, genesis

__all__ = ["backend", "isolated"]


class TestRecords(RecordsSuite):
    """DynamoDB."""


class TestSessionKeys(SessionKeysSuite):
    """DynamoDB."""


@pytest.fixture
def table(backend: AwsBackend) -> Table:
    return Table(backend.clients, backend.settings.table, lambda seconds: None)


@pytest.fixture
def chain(backend: AwsBackend, table: Table) -> DynamoRecords:
    return DynamoRecords(table, backend.clock)


def told(run: Run) -> list[str]:
    return [str(json.loads(line).get("reason")) for line in run.lines]


def whole(chain: DynamoRecords) -> Run:
    """Everything; that it is one chain from its beginning is checked."""
    run, head = chain.after(0, 10_000), genesis(SOURCE)
    for number, line in enumerate(run.lines, start=1):
        assert json.loads(line)["seq"] == number
        assert chain.after(number - 1, 1) == Run(head, (line,))
        head = extend(head, line)
    assert chain.head() == head
    return run


def add(table: Table, backend: AwsBackend, reason: str, at: int = 0) -> None:
    table.write(outbox({**NOTE, "reason": reason}, at or backend.clock.now()))


def test_two_exporters_number_each_note_once(backend: AwsBackend, table: Table, chain: DynamoRecords) -> None:
    wanted = {f"{number}" for number in range(2 * MAX_CHAINED)}
    actions = [outbox({**NOTE, "reason": one}, backend.clock.now()) for one in wanted]
    table.write(*actions)
    at_once(*(lambda: DynamoRecords(table, backend.clock).after(0, 10_000) for _ in range(3)))
    reasons = told(whole(chain))
    assert {one for one in reasons if one in wanted} == wanted
    assert len(reasons) == len(wanted) + 2


def test_an_exporter_that_was_overtaken_reads_again(backend: AwsBackend, table: Table, chain: DynamoRecords) -> None:
    count = len(chain.after(0, 10_000).lines)
    add(table, backend, "mine")

    def overtake() -> None:
        add(table, backend, "late", backend.clock.now() - 5000)
        DynamoRecords(table, backend.clock).after(count, 9)

    before_write(backend, overtake)
    assert told(chain.after(count, 9)) == ["late", "mine"]
    whole(chain)


def test_a_note_that_shows_late_is_chained_next(backend: AwsBackend, table: Table, chain: DynamoRecords) -> None:
    add(table, backend, "early")
    count = len(chain.after(0, 10_000).lines)
    add(table, backend, "late", backend.clock.now() - 5000)
    add(table, backend, "new")
    assert told(chain.after(count, 10_000)) == ["late", "new"]
    whole(chain)


def test_notes_come_in_the_order_of_their_time_at_most_so_many(
    backend: AwsBackend, table: Table, chain: DynamoRecords
) -> None:
    head = chain.after(0, 10_000)
    for number in range(12):
        add(table, backend, f"{number}", backend.clock.now() + 100 - number % 4)
    wanted = sorted((f"{number}" for number in range(12)), key=lambda one: (-(int(one) % 4), int(one)))
    before = len(head.lines)
    assert told(chain.after(before, 5)) == wanted[:5]
    assert chain.head().sequence == before + 5
    assert told(chain.after(before, 99)) == wanted


def test_long_notes_fit_into_their_transactions(backend: AwsBackend, table: Table, chain: DynamoRecords) -> None:
    sizes = list[int]()
    backend.clients.of("dynamodb").meta.events.register(
        "before-call.dynamodb.TransactWriteItems", lambda params, **_: sizes.append(len(params["body"]))
    )
    for number in range(60):
        add(table, backend, f"{number}" + "x" * 60_000)
    assert len(chain.after(0, 10_000).lines) == 62
    # Bytes travel as base64, a third longer.
    assert max(sizes) * 3 // 4 < 2_000_000


def test_a10_a_chaining_without_an_answer_is_not_done_again(
    backend: AwsBackend, table: Table, chain: DynamoRecords
) -> None:
    add(table, backend, "one")
    lose_answer(backend)
    with pytest.raises(Unavailable):
        chain.after(0, 10_000)
    assert told(whole(chain)).count("one") == 1


def test_forgotten_lines_leave_the_others_with_what_came_before(
    backend: AwsBackend, table: Table, chain: DynamoRecords
) -> None:
    for number in range(120):
        add(table, backend, f"{number}")
    run = chain.after(0, 10_000)
    head = genesis(SOURCE)
    for line in run.lines[:110]:
        head = extend(head, line)
    chain.forget(110)
    chain.forget(110)
    assert chain.after(110, 10_000) == Run(head, run.lines[110:])
    assert chain.after(0, 10_000).lines == run.lines[110:]
    chain.forget(10_000)
    assert chain.after(0, 10_000) == Run(ChainHead(0, ""), ())
    add(table, backend, "after")
    assert told(chain.after(len(run.lines), 9)) == ["after"]


def test_of_two_keys_of_one_session_at_once_one_is_kept(table: Table) -> None:
    keys = [KeptKey(edge_id="e", session="s", wrapping_key_id="w", wrapped=one) for one in (b"x", b"y")]
    results = at_once(*(lambda key=key: DynamoSessionKeys(table, ManualClock(1)).put(key) for key in keys))
    kept = DynamoSessionKeys(table, ManualClock(1)).get("s")
    assert sum(isinstance(one, Conflict) for one in results) == 1
    assert kept in keys


def test_a_session_that_can_be_no_key_has_none(table: Table) -> None:
    keys = DynamoSessionKeys(table, ManualClock(1))
    for bad in ("", "x" * 5000, "\ud800"):
        assert (keys.get(bad), keys.erase(bad, "ann", {}), keys.erased(bad)) == (None, False, None)
