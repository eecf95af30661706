"""A session as a state machine: clients that send, cancel and hang up, people who approve and deny, in any order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import Held
from tests.edge_agent.protocols.postgres.script import SYNC, Script, bound
from tests.fuzz.observer import executed

TEXTS = (
    b"SELECT 1", b"SELECT boom", b"UPDATE a SET b = 1", b"UPDATE boom SET b = 1", b"DELETE FROM a", b"BEGIN", b"COMMIT",
    b"ROLLBACK", b"SAVEPOINT s", b"ROLLBACK TO s", b"PREPARE q AS SELECT 1", b"PREPARE q AS DELETE FROM a",
    b"EXECUTE q", b"DEALLOCATE q", b"DISCARD ALL", b"SELECT 1; DELETE FROM a", b"VACUUM a", b"trap",
)  # fmt: skip
NAMES = st.sampled_from([b"", b"q", b"p"])
WRITES = (b"UPDATE", b"DELETE", b"VACUUM")


class SessionMachine(RuleBasedStateMachine):
    """Drives one session; `answers` are what people say to the next holds."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[bool] = deque()
        self.approved = 0
        self.gone = False
        self.run = Script(answers=self._said())

    def _said(self) -> Iterator[bool]:
        while True:
            answer = self.answers.popleft() if self.answers else False
            self.approved += answer
            yield answer

    @property
    def open(self) -> bool:
        """Whether the client can still say something."""
        return not self.gone and not self.run.session.over

    @rule(answer=st.booleans())
    def people_will_say(self, answer: bool) -> None:
        self.answers.append(answer)

    @precondition(lambda self: self.open)
    @rule(text=st.sampled_from(TEXTS), split=st.integers(0, 9))
    def query(self, text: bytes, split: int) -> None:
        self.run.client(encode.query(text), split=split)

    @precondition(lambda self: self.open)
    @rule(text=st.sampled_from(TEXTS), sync=st.booleans(), split=st.integers(0, 9))
    def extended(self, text: bytes, sync: bool, split: int) -> None:
        self.run.client(bound(text) + SYNC * sync, split=split)

    @precondition(lambda self: self.open)
    @rule(name=NAMES, text=st.sampled_from(TEXTS))
    def parse(self, name: bytes, text: bytes) -> None:
        self.run.client(encode.parse(name, text))

    @precondition(lambda self: self.open)
    @rule(portal=NAMES, name=NAMES, rows=st.integers(0, 1), sync=st.booleans())
    def execute(self, portal: bytes, name: bytes, rows: int, sync: bool) -> None:
        self.run.client(encode.bind(portal, name), encode.execute(portal, rows), SYNC * sync)

    @precondition(lambda self: self.open)
    @rule(kind=st.sampled_from([b"S", b"P"]), name=NAMES)
    def close(self, kind: bytes, name: bytes) -> None:
        self.run.client(encode.close(kind, name), SYNC)

    @precondition(lambda self: self.open)
    @rule()
    def cancel(self) -> None:
        self.run.session.cancel()
        self.run.run()

    @precondition(lambda self: self.open)
    @rule()
    def hang_up(self) -> None:
        self.gone = True
        self.run.session.client_gone()
        self.run.run()

    @invariant()
    def no_more_writes_run_than_were_approved(self) -> None:
        writable = [text for _, text, read_only in self.run.server.ran if not read_only]
        assert len(writable) <= self.approved
        assert all(any(word in text for word in WRITES) or text.startswith(b"EXECUTE") for text in writable)

    @invariant()
    def without_approval_nothing_held_runs(self) -> None:
        if not self.approved:
            held = {effect.command.text for effect in self.run.of(Held) if isinstance(effect, Held)}
            assert not {text for text in held if text != b"EXECUTE q"} & set(executed(self.run.sent))

    @invariant()
    def the_client_sees_nothing_of_ours(self) -> None:
        assert b"_tk" not in self.run.told


SessionMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=20, deadline=None)
TestSessionMachine = SessionMachine.TestCase
