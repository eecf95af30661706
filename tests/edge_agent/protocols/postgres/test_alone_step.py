"""An allowed write by itself: begun and recorded first, then forwarded with its COMMIT, in one flight."""

from __future__ import annotations

import pytest

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Allowed, Ending, Outcome
from tests.edge_agent.protocols.postgres.doors import TestDoor
from tests.edge_agent.protocols.postgres.script import SYNC, Script, Server, bound, kinds
from twokeys.policy import STARTER_TEXT

WRITE, LATE = b"UPDATE orders SET total = 1", b"UPDATE orders SET total = 1 -- late"
WRITES = '@id("writes") permit(principal, action in [Action::"read", Action::"write"], resource);'


class Counting(Script):
    flights: tuple[bytes, ...] = ()

    def _server_gets(self, out: bytes, split: int = 0) -> None:
        if out:
            self.flights = (*self.flights, out)
        super()._server_gets(out, split)


def script(policies: str = WRITES, answers: list[bool] | None = None) -> Counting:
    whole = Counting(TestDoor(policies), answers=answers or [])
    for name, text in ((b"w", WRITE), (b"l", LATE), (b"b", b"UPDATE boom SET total = 1"), (b"r", b"SELECT 1")):
        whole.client(encode.parse(name, text), SYNC)
    whole.flights = ()
    return whole


def group(name: bytes) -> bytes:
    return encode.bind(b"", name) + encode.execute(b"") + SYNC


def endings(script: Script) -> list[tuple[Ending, int | None, str]]:
    return [
        (effect.ending, effect.rows, effect.sqlstate) for effect in script.of(Outcome) if isinstance(effect, Outcome)
    ]


@pytest.mark.parametrize(("message", "shown"), [(encode.query(WRITE), "CZI"), (group(b"w"), "2CZI")])
def test_it_is_two_flights_and_on_disk_before_the_second(message: bytes, shown: str) -> None:
    whole = script()
    assert kinds(whole.client(message)) == shown
    # The script asks for a fingerprint first, which the shell does for people alone.
    _, first, second = whole.flights
    hidden = whole.session._core.hidden
    assert first == hidden.begin + hidden.lift + hidden.xid_and_path + SYNC
    assert WRITE in second and second.endswith(hidden.commit + SYNC)
    assert [type(effect) for effect in whole.held] == [Allowed]
    assert whole.server.ran[-1][1:] == (WRITE, False)
    assert endings(whole) == [(Ending.COMMITTED, 3, "")]
    assert kinds(whole.client(encode.query(b"SELECT 1"))) == "DDCZI"
    assert whole.server.ran[-1][1:] == (b"SELECT 1", True)


@pytest.mark.parametrize(
    ("message", "shown"), [(encode.query(b"UPDATE boom SET total = 1"), "E(22012)ZI"), (group(b"b"), "2E(22012)ZI")]
)
def test_one_that_fails_is_rolled_back_by_its_commit(message: bytes, shown: str) -> None:
    whole = script()
    assert kinds(whole.client(message)) == shown
    assert len(whole.flights) == 3
    assert endings(whole) == [(Ending.FAILED, None, "22012")]
    assert kinds(whole.client(encode.query(WRITE))) == "CZI"


@pytest.mark.parametrize(("message", "shown"), [(encode.query(LATE), "E(23503)ZI"), (group(b"l"), "2CE(23503)ZI")])
def test_an_error_of_the_commit_is_the_writes(message: bytes, shown: str) -> None:
    whole = script()
    assert kinds(whole.client(message)) == shown
    assert endings(whole) == [(Ending.FAILED, 3, "23503")]
    assert kinds(whole.client(encode.query(WRITE))) == "CZI"


@pytest.mark.parametrize(("message", "shown"), [(encode.query(WRITE), "E(57014)ZI"), (group(b"w"), "2CE(57014)ZI")])
def test_a_late_cancel_that_hits_the_commit_undoes_it(message: bytes, shown: str) -> None:
    whole = script()
    whole.server = CancelledCommit(whole.server)
    assert kinds(whole.client(message)) == shown
    assert endings(whole) == [(Ending.FAILED, 3, "57014")]
    assert whole.server.status == ord("I") and not whole.session.over


class CancelledCommit(Server):
    """The same server, whose next COMMIT is cancelled."""

    def __init__(self, same: Server) -> None:
        super().__init__()
        self.__dict__.update(same.__dict__)
        self.cancels = True

    def _control(self, word: bytes, text: bytes) -> bytes | None:
        if word != b"COMMIT" or not self.cancels:
            return super()._control(word, text)
        self.cancels = False
        return self._error("57014")


def test_a_group_of_more_than_it_is_committed_at_its_end() -> None:
    whole = script()
    message = encode.bind(b"", b"w") + encode.execute(b"")
    assert kinds(whole.client(message + message + SYNC)) == "2C2CZI"
    hidden = whole.session._core.hidden
    assert sum(flight.count(hidden.commit) for flight in whole.flights) == 1
    assert not any(WRITE in flight and hidden.commit in flight for flight in whole.flights)
    assert endings(whole) == [(Ending.COMMITTED, 3, "")] * 2


def test_what_comes_after_a_read_of_its_group_is_its_own_transaction_too() -> None:
    whole = script()
    read = encode.bind(b"", b"r") + encode.execute(b"")
    assert kinds(whole.client(read + group(b"w"))) == "2DDC2CZI"
    assert endings(whole) == [(Ending.COMMITTED, 3, "")]


def test_w4_what_people_approved_is_looked_at_before_its_commit() -> None:
    whole = script(STARTER_TEXT, [True])
    before = len(whole.flights)
    whole.client(encode.query(WRITE))
    hidden = whole.session._core.hidden
    assert not any(WRITE in flight and hidden.commit in flight for flight in whole.flights[before:])


def test_a10_when_the_server_is_lost_its_outcome_is_not_known() -> None:
    whole = script()
    whole.session.client_bytes(encode.query(WRITE))
    flight = b""
    while WRITE not in flight:
        for effect in whole.session.take_effects():
            whole._act(effect)
        flight = whole.session.take_to_server()
        if flight and WRITE not in flight:
            whole.session.server_bytes(whole.server.feed(flight))
    whole.session.server_gone()
    (outcome,) = (effect for effect in whole.session.take_effects() if isinstance(effect, Outcome))
    assert outcome.ending is Ending.UNKNOWN


def test_unnamed_statements_of_the_same_group_take_one_flight_more() -> None:
    whole = script()
    assert kinds(whole.client(bound(WRITE) + SYNC)) == "12TCZI"
    assert len(whole.flights) == 4
