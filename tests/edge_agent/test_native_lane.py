"""The compiled twins of the lane and of its records do what their oracles in Python do."""

from __future__ import annotations

import hashlib
import math
import mmap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.plain import complete_purely, group_purely
from edge_agent.recorder import journal as journals
from edge_agent.recorder.chain import LAST_MOMENT, ChainPurely
from edge_agent.recorder.growing import RESERVED_BYTES
from edge_agent.recorder.header import Form
from edge_agent.recorder.scan import scan
from tests.edge_agent.protocols.postgres.script import data_row
from tests.edge_agent.recorder.journals import EDGE, READ, journal_in, session_key
from twokeys.record import chained
from twokeys.segment_files import pack_body

DESCRIBE = encode.message(b"D", b"P\0")
READY = encode.ready_for_query(ord("I"))
BIND = st.builds(
    encode.bind, st.sampled_from([b"", b"", b"", b"p"]), st.sampled_from([b"", b"P_0", b"s\xc3\xa9"]),
    st.lists(st.one_of(st.none(), st.binary(max_size=9)), max_size=3),
)  # fmt: skip
CHUNK = st.builds(
    lambda parts: b"".join(parts),
    st.tuples(
        st.sampled_from([b"", b"", encode.parse(b"", b"SELECT 1")]), BIND, st.sampled_from([b"", DESCRIBE]),
        st.sampled_from([encode.execute(b""), encode.execute(b"", 5), encode.execute(b"p")]),
        st.sampled_from([encode.SYNC_MESSAGE, encode.SYNC_MESSAGE, b"", encode.SYNC_MESSAGE * 2]),
    ),
)  # fmt: skip


def broken(draw: st.DrawFn, data: bytes) -> bytes:
    """With some bytes changed, or cut off."""
    changed = bytearray(data)
    for at, value in draw(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=2)):
        if at < len(changed):
            changed[at] = value
    return bytes(changed[: len(changed) - draw(st.sampled_from([0, 0, 0, 0, 1, 5, 30]))])


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    return broken(draw, draw(CHUNK))


@settings(max_examples=1000, deadline=None)
@given(chunks(), st.integers(0, 40), st.sampled_from([4, 12, 30, 0x3FFFFFFF]))
def test_groups_are_read_alike(native: ModuleType, data: bytes, start: int, most: int) -> None:
    for at in (0, min(start, len(data))):
        assert native.group(data, at, most) == group_purely(data, at, most)


def test_a_group_is_read(native: ModuleType) -> None:
    bind = encode.bind(b"", b"P_0", [b"7"])
    whole = bind + DESCRIBE + encode.execute(b"") + encode.SYNC_MESSAGE
    assert native.group(whole, 0, 1000) == (b"P_0", len(bind), True)
    assert native.group(whole[: len(bind)] + whole[len(bind) + len(DESCRIBE) :], 0, 1000) == (b"P_0", len(bind), False)


COLUMN = encode.message(b"T", b"\0\1a\0" + bytes(18))
ANSWER = st.builds(
    lambda parts: b"".join(parts),
    st.tuples(
        st.sampled_from([b"", b"", encode.BIND_COMPLETE_MESSAGE]),
        st.sampled_from([b"", COLUMN, encode.NO_DATA_MESSAGE]),
        st.lists(st.builds(data_row, st.binary(max_size=9)), max_size=3).map(b"".join),
        st.sampled_from([encode.command_complete(b"SELECT 1"), encode.command_complete(b"INSERT 0 1"), b""]),
        st.sampled_from([READY, READY, b"", encode.command_complete(b"SELECT 1") + READY]),
    ),
)  # fmt: skip


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    return broken(draw, draw(ANSWER))


@settings(max_examples=1000, deadline=None)
@given(answers(), st.booleans(), st.booleans(), st.sampled_from([(0x3FFFFFFF,) * 3, (12, 40, 12), (12, 20, 4)]))
def test_answers_are_found_alike(
    native: ModuleType, data: bytes, described: bool, no_data: bool, limits: tuple[int, int, int]
) -> None:
    end = len(data) - len(READY)
    for at in (0, min(5, len(data))):
        found = native.complete(data, at, end, described, no_data, limits)
        assert found == complete_purely(data, at, end, described, no_data, limits)


RECORDS = st.tuples(st.binary(max_size=300), st.none() | st.binary(max_size=90))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(RECORDS, st.booleans()), min_size=1, max_size=8))
def test_a_journal_is_written_alike(
    native: ModuleType, tmp_path_factory: pytest.TempPathFactory, records: list[tuple[tuple[bytes, bytes], bool]]
) -> None:
    written: list[dict[str, bytes]] = []
    for twin in (native.Chain, ChainPurely):
        folder = tmp_path_factory.mktemp("journal")
        _write(folder, twin, records)
        written.append({path.suffix: path.read_bytes() for path in folder.iterdir() if path.suffix != ".keys"})
    assert written[0] == written[1]
    assert scan(folder, EDGE).head.sequence == len(records)


def _write(folder: Path, twin: object, records: list[tuple[tuple[bytes, bytes], bool]]) -> None:
    key = session_key()
    key.cipher = _same  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journals, "Chain", twin)
        journal = journal_in(folder)
        form = journal.form({**READ, "session": key.session})
        for (text, bind), by_form in records:
            if by_form:
                journal.append_line(form.of(hashlib.sha256(text).hexdigest()), text, bind, key)
            else:
                journal.append({**READ, "session": key.session}, text, key)
        journal.close_segment()
        for segment in journal._closing:
            segment.finish()


def _same(nonce: bytes, plain: bytes, place: bytes) -> bytes:
    """Encrypts the same each time, and differently for each argument."""
    return plain + hashlib.md5(nonce + plain + place, usedforsecurity=False).digest()


LINE = Form({"type": "command"}, EDGE).of("0" * 64)
NOW = 1_763_900_000_123
MOMENTS = st.integers(-2, LAST_MOMENT + 2) | st.integers(NOW, NOW + 3000)


class ChainsAlike(RuleBasedStateMachine):
    """Whatever is asked of both twins, in whatever order, they say and write the same."""

    native: ClassVar[ModuleType]

    def __init__(self) -> None:
        super().__init__()
        self.twins = [twin(hashlib.sha256, 7, b"a" * 64) for twin in (self.native.Chain, ChainPurely)]
        self.files = [(bytearray(3000), bytearray(3000)) for _ in self.twins]
        self.count = 0

    def both(self, ask: Callable[[Any, int], object]) -> object:
        said = []
        for at, twin in enumerate(self.twins):
            try:
                said.append(ask(twin, at))
            except ValueError:
                said.append(ValueError)
        assert said[0] == said[1]
        return said[0]

    @rule(
        ats=st.tuples(st.integers(-1, 3001), st.integers(-1, 3001)), left=st.integers(-1, 5000),
        until=st.floats(0, 10), most=st.integers(-1, 400),
    )  # fmt: skip
    def open(self, ats: tuple[int, int], left: int, until: float, most: int) -> None:
        self.both(lambda chain, at: chain.open(self.files[at][0], ats[0], self.files[at][1], ats[1], left, until, most))

    @rule()
    def open_widely(self) -> None:
        self.both(lambda chain, at: chain.open(self.files[at][0], 0, self.files[at][1], 0, 6000, 10.0, 4000))

    @rule(record=RECORDS, moment=MOMENTS, now=st.sampled_from([0.0, 5.0, 20.0, math.nan]), pieces=st.booleans())
    def append(self, record: tuple[bytes, bytes], moment: int, now: float, pieces: bool) -> None:
        self.count += 1
        text, bind = record
        line = LINE.pieces if pieces else LINE.pieces[:3]
        self.both(lambda chain, _: chain.append(line, _same, b"place", self.count, text, bind, moment, now))

    @rule()
    def shut(self) -> None:
        self.both(lambda chain, _: chain.shut())

    @rule(sequence=st.integers(0, 2**53), digits=st.sampled_from([b"b" * 64, b"c" * 63]))
    def move(self, sequence: int, digits: bytes) -> None:
        self.both(lambda chain, _: chain.move(sequence, digits))

    @invariant()
    def are_alike(self) -> None:
        assert self.files[0] == self.files[1]
        left, right = self.twins
        assert (left.sequence, left.hash) == (right.sequence, right.hash)


def test_chains_are_alike(native: ModuleType) -> None:
    wanted = settings(max_examples=150, stateful_step_count=30, deadline=None)
    ChainsAlike.native = native
    run_state_machine_as_test(ChainsAlike, settings=wanted)


def test_what_is_written_is_exactly_a_frame_and_a_line(native: ModuleType) -> None:
    bodies, lines = bytearray(b"." * 200), bytearray(b"." * 900)
    chain = native.Chain(hashlib.sha256, 7, b"0" * 64)
    chain.open(bodies, 3, lines, 5, 2000, 1.0, 100)
    assert chain.append(LINE.pieces, _same, b"p", 2**33 + 1, b'{"bind":"', b"ab", NOW, 0.0)
    body_size, line_size = chain.shut()
    nonce, plain = (2**33 + 1).to_bytes(12, "big"), b'{"bind":"YWI="}'
    cipher = nonce + _same(nonce, plain, b"p8")
    line = LINE.fill(hashlib.sha256(cipher).hexdigest(), 8, "2025-11-23T12:13:20.123Z")
    hashed = chained(b"0" * 64, line)
    assert bytes(bodies) == b"..." + pack_body(8, cipher) + b"." * (197 - body_size)
    assert bytes(lines) == b"....." + hashed + b" " + line + b"\n" + b"." * (895 - line_size)
    assert (chain.sequence, chain.hash) == (8, hashed)


def test_a_file_is_let_go(native: ModuleType) -> None:
    with mmap.mmap(-1, RESERVED_BYTES) as bodies, mmap.mmap(-1, RESERVED_BYTES) as lines:
        chain = native.Chain(hashlib.sha256, 7, b"0" * 64)
        chain.open(bodies, RESERVED_BYTES - 60, lines, 8, 2000, 1.0, 100)
        with pytest.raises(BufferError):
            bodies.close()
        assert not chain.append(LINE.pieces, _same, b"p", 1, b"x" * 21, None, NOW, 0.0)
        assert chain.append(LINE.pieces, _same, b"p", 1, b"x" * 20, None, NOW, 0.0)
        assert chain.shut()[0] == 60 and lines[:8] == bytes(8)
        chain.open(bodies, 0, lines, 0, 2000, 1.0, 100)
        del chain


@pytest.mark.parametrize(
    "encrypt",
    [lambda nonce, plain, place: plain, lambda nonce, plain, place: "x" * 36, lambda nonce: b"", None],
)  # fmt: skip
def test_a_wrong_cipher_writes_nothing(native: ModuleType, encrypt: object) -> None:
    bodies, lines = bytearray(500), bytearray(900)
    chain = native.Chain(hashlib.sha256, 7, b"0" * 64)
    chain.open(bodies, 0, lines, 0, 2000, 1.0, 100)
    with pytest.raises((ValueError, TypeError)):
        chain.append(LINE.pieces, encrypt, b"p", 1, b"x" * 20, None, NOW, 0.0)
    assert not any(bodies) and not any(lines) and chain.sequence == 7 and chain.shut() == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [{0: (b"a",) * 3}, {0: ("a",) * 4}, {0: [b"a"] * 4}, {2: "p"}, {3: -1}, {3: 2**64}, {4: "text"}, {4: None},
     {5: "bind"}, {6: "now"}, {7: "now"}],
)  # fmt: skip
def test_what_is_no_record_is_refused(native: ModuleType, wrong: dict[int, object]) -> None:
    bodies, lines = bytearray(500), bytearray(900)
    chain = native.Chain(hashlib.sha256, 7, b"0" * 64)
    chain.open(bodies, 0, lines, 0, 2000, 1.0, 100)
    given = {**dict(enumerate([LINE.pieces, _same, b"p", 1, b"text", None, NOW, 0.0])), **wrong}
    with pytest.raises((ValueError, TypeError, OverflowError)):
        chain.append(*given.values())
    assert not any(bodies) and not any(lines)


def test_nobody_moves_the_chain_while_it_is_written(native: ModuleType) -> None:
    bodies, lines = bytearray(500), bytearray(900)
    chain = native.Chain(hashlib.sha256, 7, b"0" * 64)
    chain.open(bodies, 0, lines, 0, 2000, 1.0, 100)
    said: list[object] = []

    def meddle(nonce: bytes, plain: bytes, place: bytes) -> bytes:
        for ask in (chain.shut, lambda: chain.move(1, b"0" * 64), lambda: chain.open(bodies, 0, lines, 0, 9, 1.0, 9)):
            with pytest.raises(ValueError, match="chain"):
                ask()
        said.append(chain.append(LINE.pieces, meddle, b"p", 1, b"x", None, NOW, 0.0))
        return _same(nonce, plain, place)

    assert chain.append(LINE.pieces, meddle, b"p", 1, b"x", None, NOW, 0.0)
    assert said == [False] and chain.sequence == 8


@pytest.mark.parametrize("given", [(hashlib.sha256, 7), (hashlib.sha256, 7, b"0" * 63), (len, -1, b"0" * 64)])
def test_no_chain_begins_with_less(native: ModuleType, given: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        native.Chain(*given)
    chain = native.Chain.__new__(native.Chain)
    assert chain.append(LINE.pieces, _same, b"p", 1, b"x", None, NOW, 0.0) is False
    with pytest.raises(ValueError, match="chain"):
        chain.open(bytearray(500), 0, bytearray(900), 0, 2000, 1.0, 100)
