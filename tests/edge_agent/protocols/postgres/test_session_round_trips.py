"""The second witness costs no round trip: what is sent for a read is one write, and one answer ends it."""

from __future__ import annotations

import pytest

from edge_agent.protocols.postgres import encode
from tests.edge_agent.protocols.postgres.doors import TestDoor
from tests.edge_agent.protocols.postgres.script import GUARD_BYTES, SYNC, Script, bound, kinds

READ = encode.query(b"SELECT 1")
PREPARED = encode.bind(b"", b"s", []) + encode.execute(b"") + SYNC


class CountingScript(Script):
    """Counts how often the session had something for the server, each time the server had answered all before."""

    trips = 0

    def _server_gets(self, out: bytes, split: int = 0) -> None:
        self.trips += bool(out)
        super()._server_gets(out, split)


def begun(*, transaction: bool) -> CountingScript:
    script = CountingScript(TestDoor())
    script.client(encode.parse(b"s", b"SELECT 1"), SYNC)
    if transaction:
        script.client(encode.query(b"BEGIN"))
    script.trips, script.sent = 0, b""
    return script


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("message", [READ, PREPARED, bound(b"SELECT 1") + SYNC], ids=["simple", "prepared", "extended"])
def test_a_read_is_one_round_trip_inside_and_outside_of_transactions(message: bytes, transaction: bool) -> None:
    script = begun(transaction=transaction)
    for trips in (1, 2, 3):
        assert kinds(script.client(message)).endswith("CZT" if transaction else "CZI")
        assert script.trips == trips
    # Opened with BEGIN, and open for them all.
    assert GUARD_BYTES not in script.sent
    assert [read_only for _, _, read_only in script.server.ran] == [True] * 3


def test_a_pipeline_of_reads_in_a_transaction_is_one_round_trip_with_one_guard() -> None:
    script = begun(transaction=True)
    script.client(*(bound(b"SELECT %d" % number) for number in range(50)), SYNC)
    assert script.trips == 1
    assert GUARD_BYTES not in script.sent
    assert all(read_only for _, _, read_only in script.server.ran)


def test_a_read_outside_of_transactions_is_forwarded_byte_for_byte() -> None:
    script = begun(transaction=False)
    script.client(READ)
    assert script.sent == READ
    script.client(PREPARED)
    assert script.sent == READ + PREPARED


def test_lifting_a_transaction_is_in_the_flight_of_its_begin() -> None:
    script = CountingScript(TestDoor())
    script.client(encode.query(b"BEGIN"))
    assert script.trips == 1
    script.client(encode.query(b"COMMIT"))
    assert script.trips == 2


@pytest.mark.parametrize("prepared", [False, True])
def test_a_transaction_of_reads_is_one_round_trip_for_each_message(prepared: bool) -> None:
    script = CountingScript(TestDoor())
    texts = [b"BEGIN", b"SELECT 1", b"SELECT 2", b"COMMIT"]
    groups = [encode.query(text) for text in texts]
    if prepared:
        script.client(*(encode.parse(b"s%d" % number, text) for number, text in enumerate(texts)), SYNC)
        groups = [encode.bind(b"", b"s%d" % number) + encode.execute(b"") + SYNC for number in range(len(texts))]
    script.trips = 0
    for number, group in enumerate(groups):
        script.client(group)
        assert script.trips == number + 1
    assert script.ran == [b"SELECT 1", b"SELECT 2"]
    assert all(read_only for _, _, read_only in script.server.ran)
