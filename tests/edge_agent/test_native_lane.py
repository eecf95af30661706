"""The compiled twins of the lane and of its records do what their oracles in Python do."""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.plain import complete_purely, group_purely
from edge_agent.recorder import open_segment
from edge_agent.recorder.growing import RESERVED_BYTES
from edge_agent.recorder.header import Form
from edge_agent.recorder.scan import scan
from tests.edge_agent.protocols.postgres.script import data_row
from tests.edge_agent.recorder.journals import EDGE, READ, journal_in, session_key

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


BODIES = st.binary(min_size=1, max_size=300)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(BODIES, st.booleans()), min_size=1, max_size=6))
def test_records_are_chained_alike(
    native: ModuleType, tmp_path_factory: pytest.TempPathFactory, bodies: list[tuple[bytes, bool]]
) -> None:
    written: list[dict[str, bytes]] = []
    for twin in (native.chain_record, None):
        folder = tmp_path_factory.mktemp("journal")
        _records(folder, twin, bodies)
        written.append({path.suffix: path.read_bytes() for path in folder.iterdir() if path.suffix != ".keys"})
    assert written[0] == written[1]
    assert scan(folder, EDGE).head.sequence == len(bodies)


def _records(folder: Path, twin: object, bodies: list[tuple[bytes, bool]]) -> None:
    key = session_key()
    key._cipher = _Same()  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_segment, "chain_record", twin)
        journal = journal_in(folder)
        form = journal.form({**READ, "session": key.session})
        for body, by_form in bodies:
            if by_form:
                journal.append_line(form.of(hashlib.sha256(body).hexdigest()), body, key)
            else:
                journal.append({**READ, "session": key.session}, body, key)
        journal.close_segment()
        for segment in journal._closing:
            segment.finish()


class _Same:
    """Encrypts the same each time."""

    def encrypt(self, nonce: bytes, plain: bytes, place: bytes) -> bytes:
        return plain[::-1] + nonce


LINE = Form({"type": "command"}, EDGE).of("0" * 64)


def test_nothing_is_written_where_there_is_no_room(native: ModuleType) -> None:
    cipher, time, before = b"c" * 50, "2026-11-22T20:00:00.000Z", b"0" * 64
    for body_room, line_room in ((61, 4096), (4096, 120)):
        bodies, lines = bytearray(body_room), bytearray(line_room)
        said = native.chain_record(
            hashlib.sha256, LINE.pieces, cipher, 7, time, before, b"", bodies, 0, lines, 0
        )  # fmt: skip
        assert said is None
        assert not any(bodies) and not any(lines)
    bodies, lines = bytearray(62), bytearray(4096)
    hashed, body_size, line_size = native.chain_record(
        hashlib.sha256, LINE.pieces, cipher, 7, time, before, b"x\n", bodies, 0, lines, 0
    )
    assert body_size == 62 and bytes(bodies).endswith(cipher)
    assert bytes(lines[:line_size]).startswith(b"x\n" + hashed + b" {") and lines[line_size - 1] == ord("\n")
    assert not any(lines[line_size:])


@pytest.mark.parametrize(
    "wrong",
    [{"before": b"0" * 63}, {"cipher": b""}, {"body_at": -1}, {"line_at": -1}, {"pieces": (b"a",) * 3},
     {"pieces": ("a",) * 4}, {"digest": lambda data: hashlib.md5(data, usedforsecurity=False)},
     {"lines": bytes(500)}],
)  # fmt: skip
def test_what_is_no_record_is_refused(native: ModuleType, wrong: dict[str, object]) -> None:
    given = {
        "digest": hashlib.sha256, "pieces": LINE.pieces, "cipher": b"c", "sequence": 1, "time": "now",
        "before": b"0" * 64, "first": b"", "bodies": bytearray(500), "body_at": 0, "lines": bytearray(900),
        "line_at": 0,
    } | wrong  # fmt: skip
    with pytest.raises((ValueError, TypeError, BufferError)):
        native.chain_record(*given.values())
    assert not any(bytes(given["bodies"])) and not any(bytes(given["lines"]))  # type: ignore[call-overload]


def test_a_mapped_file_takes_it(native: ModuleType) -> None:
    with mmap.mmap(-1, RESERVED_BYTES) as bodies, mmap.mmap(-1, RESERVED_BYTES) as lines:
        said = native.chain_record(
            hashlib.sha256, LINE.pieces, b"c", 1, "now", b"0" * 64, b"", bodies, RESERVED_BYTES - 13, lines, 8
        )
        assert said is not None and bodies[-1:] == b"c" and lines[:8] == bytes(8)
        assert (
            native.chain_record(
                hashlib.sha256, LINE.pieces, b"c", 1, "now", b"0" * 64, b"", bodies, RESERVED_BYTES - 12, lines, 8
            )
            is None
        )
        assert (
            native.chain_record(hashlib.sha256, LINE.pieces, b"c", 1, "now", b"0" * 64, b"", bodies, 2**40, lines, 8)
            is None
        )
