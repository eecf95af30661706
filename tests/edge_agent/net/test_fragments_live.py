"""Messages in pieces and at their largest: cut anywhere, they are the same messages."""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from edge_agent.classify.limits import DEFAULT_LIMITS
from edge_agent.protocols.postgres.limits import WireLimits
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.edge_agent.net.test_attacks_live import (
    SYNC,
    RawCaller,
    bind,
    execute,
    kinds,
    message,
    parse,
    reset,
    rows,
    states,
    value,
)
from tests.support.postgres import RealPostgres

READ = parse("SELECT 'one'", "r") + bind("", "r") + execute() + message(b"C", b"Sr\0") + SYNC
WRITE = parse("UPDATE orders SET total = total + 1 WHERE id = 195", "w") + bind("p", "w") + execute("p") + SYNC
TWO = message(b"Q", b"SELECT 'two'\0") + message(b"Q", b"SELECT 'three'\0")
CLOSED = message(b"C", b"Sw\0") + SYNC


@pytest.fixture
def edge(tmp_path: Path, postgres: RealPostgres) -> Iterator[InProcessEdge]:
    with edge_in_process(tmp_path, postgres) as running:
        reset(running, 195)
        yield running


@pytest.fixture
def raw(edge: InProcessEdge) -> Iterator[RawCaller]:
    caller = RawCaller(edge.dsn)
    yield caller
    caller.close()


def answers(raw: RawCaller, count: int) -> bytes:
    """Kinds of what is answered up to this many ReadyForQuery, without what a hold says meanwhile."""
    found = b"".join(kinds(raw.until(b"Z")) for _ in range(count))
    return found.replace(b"N", b"").replace(b"S", b"")


def write_all(raw: RawCaller, data: bytes) -> None:
    """Write as the connection takes it."""
    view = memoryview(data)
    while view:
        assert select.select([], [raw.socket], [], 15)[1], "the Edge reads no more"
        try:
            view = view[os.write(raw.socket, view) :]
        except BlockingIOError:
            continue


@pytest.mark.parametrize("script", [READ + TWO, TWO + WRITE + CLOSED], ids=["reads", "a write"])
def test_w1_byte_by_byte_a_script_is_the_same_script(edge: InProcessEdge, raw: RawCaller, script: bytes) -> None:
    readies = script.count(SYNC) + 2
    write_all(raw, script)
    whole = answers(raw, readies)
    for byte in script:
        raw.send(bytes([byte]))
    assert answers(raw, readies) == whole
    if script != READ + TWO:
        assert (len(edge.control.opened), value(edge, 195)) == (2, 3)


def test_w1_cut_at_each_boundary_nothing_is_lost_or_read_twice(edge: InProcessEdge, raw: RawCaller) -> None:
    script = READ + TWO
    write_all(raw, script)
    whole = answers(raw, 3)
    for at in range(1, len(script)):
        raw.send(script[:at])
        # What is whole so far is answered before the rest comes.
        early = answers(raw, done) if (done := sum(at >= end for end in ends(script))) else b""
        raw.send(script[at:])
        assert early + answers(raw, 3 - done) == whole


def ends(script: bytes) -> list[int]:
    """Where the messages end that ask for ReadyForQuery."""
    found, at = [], 0
    while at < len(script):
        size = 1 + int(struct.unpack(">I", script[at + 1 : at + 5])[0])
        if script[at : at + 1] in b"QS":
            found.append(at + size)
        at += size
    return found


def test_w1_a_write_cut_at_each_boundary_of_its_execute_is_asked_for_once(edge: InProcessEdge, raw: RawCaller) -> None:
    group = parse("UPDATE orders SET total = 2 WHERE id = 195") + bind() + execute() + SYNC
    start = len(group) - len(execute() + SYNC)
    for count, at in enumerate(range(start, len(group)), 1):
        raw.send(group[:at])
        raw.send(group[at:])
        raw.until(b"Z")
        assert len(edge.control.opened) == count


def test_p8_the_longest_text_passes_and_one_byte_more_is_refused(edge: InProcessEdge, raw: RawCaller) -> None:
    longest = DEFAULT_LIMITS.text_bytes
    for extra in (0, 1):
        text = b"SELECT '" + b"x" * (longest - 9 + extra) + b"'"
        write_all(raw, message(b"Q", text + b"\0"))
        found = raw.until(b"Z")
        assert states(found) == (["54000"] if extra else []) and len(rows(found)) == 1 - extra
    assert rows(say(raw, b"SELECT 'alive'"))


def test_p8_the_longest_write_is_held_with_all_its_bytes(edge: InProcessEdge, raw: RawCaller) -> None:
    text = b"UPDATE orders SET total = 2 WHERE id = 195 AND '" + b"x" * (DEFAULT_LIMITS.text_bytes - 60) + b"' <> ''"
    write_all(raw, message(b"Q", text + b"\0"))
    raw.until(b"Z")
    (opened,) = edge.control.opened
    assert opened.command is None and opened.command_bytes > len(text) and value(edge, 195) == 2


@pytest.mark.parametrize("kind", [b"Q", b"P", b"B", b"E", b"D", b"C"])
def test_w1_a_length_over_the_limit_ends_the_session_before_its_bytes_come(edge: InProcessEdge, kind: bytes) -> None:
    raw = RawCaller(edge.dsn)
    over = WireLimits().client_table[kind[0]] + 1
    raw.send(kind + struct.pack(">I", over))
    found = raw.until(b"")
    assert states(found) == ["08P01"]
    raw.close()
    with psycopg.connect(edge.dsn) as caller:
        assert caller.execute("SELECT 1").fetchone() == (1,)


def say(raw: RawCaller, text: bytes) -> list[tuple[bytes, bytes]]:
    """A simple Query's answer."""
    raw.send(message(b"Q", text + b"\0"))
    return raw.until(b"Z")
