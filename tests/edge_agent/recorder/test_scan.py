"""The journal at start: a torn end is cut and told; anything else that does not verify stops the start, located."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.recorder.growing import RESERVED_BYTES
from edge_agent.recorder.scan import Damaged, scan
from edge_agent.recorder.segments import list_segments
from tests.edge_agent.recorder.journals import EDGE, READ, journal_in, session_key
from twokeys.record import ChainHead, extend, genesis
from twokeys.segment_files import pack_body

FIRST = "edge-1-000000000001"
SECOND = "edge-1-000000000004"


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a killed process left: one closed segment of three records, one open one of three, with bodies."""

    async def play() -> None:
        journal, key = journal_in(tmp_path / "alive"), session_key()
        for _ in range(3):
            await journal.append_durable(READ, b"first", key)
        journal.close_segment()
        other = session_key("ses-2")
        journal.append(READ)
        journal.append(READ, b"second", other)
        await journal.append_durable(READ, b"third", other)
        shutil.copytree(tmp_path / "alive", tmp_path / "reserved")
        await journal.close()

    asyncio.run(play())
    shutil.copytree(tmp_path / "reserved", tmp_path / "killed")
    for part in ("journal.open", "bodies", "keys"):
        # As where no room can be reserved: a file ends with what was written.
        path = tmp_path / "killed" / f"{SECOND}.{part}"
        path.write_bytes(path.read_bytes()[: written(path)])
    assert (tmp_path / "killed" / f"{FIRST}.journal").exists()
    assert (tmp_path / "killed" / f"{SECOND}.journal.open").exists()
    return tmp_path / "killed"


def written(path: Path) -> int:
    """How many bytes of a file were written; what was reserved after them reads as zeros."""
    data, at = path.read_bytes(), 0
    if path.suffix != ".bodies":
        return len(data.rstrip(b"\0"))
    while length := int.from_bytes(data[at + 8 : at + 12], "big"):
        at += 12 + length
    return at


def tear(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def lose(path: Path, start: int, end: int) -> None:
    """What is there after a power cut where a page was not on disk: zeros."""
    data = bytearray(path.read_bytes())
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


@pytest.fixture
def reserved(killed: Path) -> Path:
    """As `killed`, with the room that was reserved in the open segment's files."""
    folder = killed.with_name("reserved")
    assert (folder / f"{SECOND}.journal.open").stat().st_size == RESERVED_BYTES
    return folder


def test_reserved_room_is_cut_off_after_a_kill_and_nothing_is_missed(reserved: Path, killed: Path) -> None:
    found = scan(reserved, EDGE)
    assert (found.head, found.cut) == (scan(killed, EDGE).head, [])
    for path in killed.iterdir():
        assert (reserved / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("part", ["journal.open", "bodies"])
@pytest.mark.parametrize("lost", [1, 20, 40])
def test_a_page_that_did_not_reach_the_disk_is_a_tear(reserved: Path, part: str, lost: int) -> None:
    path = reserved / f"{SECOND}.{part}"
    lose(path, written(path) - lost, RESERVED_BYTES)
    found = scan(reserved, EDGE)
    assert found.head.sequence == 5 and found.cut
    assert scan(reserved, EDGE).head == found.head


def long_journal(folder: Path) -> None:
    """A killed process's, of one open segment that is several pages long."""

    async def play() -> None:
        journal, key = journal_in(folder / "alive"), session_key()
        for _ in range(60):
            await journal.append_durable(READ, b"x" * 400, key)
        shutil.copytree(folder / "alive", folder / "killed")
        await journal.close()

    asyncio.run(play())


@pytest.mark.parametrize("part", ["journal.open", "bodies"])
def test_a_lost_page_in_the_middle_cuts_what_follows_it(tmp_path: Path, part: str) -> None:
    long_journal(tmp_path)
    lose(tmp_path / "killed" / f"{FIRST}.{part}", 4096, 8192)
    found = scan(tmp_path / "killed", EDGE)
    assert 0 < found.head.sequence < 60 and found.cut
    assert scan(tmp_path / "killed", EDGE).head == found.head


@pytest.mark.parametrize("part", ["journal.open", "bodies"])
def test_a_byte_changed_in_the_middle_of_reserved_files_stops_the_start(tmp_path: Path, part: str) -> None:
    long_journal(tmp_path)
    path = tmp_path / "killed" / f"{FIRST}.{part}"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged):
        scan(tmp_path / "killed", EDGE)


def test_a_closed_segment_with_zeros_at_its_end_stops_the_start(killed: Path) -> None:
    scan(killed, EDGE)
    for part in ("journal", "bodies"):
        path = killed / f"{SECOND}.{part}"
        before = path.read_bytes()
        path.write_bytes(before + bytes(4096))
        with pytest.raises(Damaged):
            scan(killed, EDGE)
        path.write_bytes(before)


def test_a_killed_process_leaves_a_whole_journal(killed: Path) -> None:
    found = scan(killed, EDGE)
    assert (found.head.sequence, found.cut) == (6, [])
    assert [sorted(one.parts) for one in list_segments(killed, EDGE)] == [["bodies", "journal", "keys"]] * 2
    assert scan(killed, EDGE).head == found.head


@pytest.mark.parametrize("by", [1, 2, 100])
def test_a_torn_last_line_is_cut_with_its_body_and_a_gap_says_how_many_bytes(killed: Path, by: int) -> None:
    lines, bodies = killed / f"{SECOND}.journal.open", killed / f"{SECOND}.bodies"
    last = len(lines.read_bytes().splitlines()[-1]) + 1
    tear(lines, by)
    cut = (last - by) + len(bodies.read_bytes()) // 2 - (len(b"second") - len(b"third") + 1) // 2
    journal = journal_in(killed)
    assert journal.head.sequence == 6, "record 6 was torn, the gap record took its place"
    asyncio.run(journal.close())
    gap = json.loads((killed / "edge-1-000000000006.journal").read_bytes().splitlines()[1][65:])
    assert gap["type"] == "gap"
    assert abs(int(gap["reason"].split()[4]) - cut) <= 2, gap["reason"]
    assert scan(killed, EDGE).cut == []


def test_a_line_whose_body_never_reached_the_disk_is_cut_too(killed: Path) -> None:
    for by in (1, 33, 34 + 11):
        folder = killed.parent / f"copy-{by}"
        shutil.copytree(killed, folder)
        tear(folder / f"{SECOND}.bodies", by)
        found = scan(folder, EDGE)
        assert found.head.sequence == 5 and found.cut
        assert scan(folder, EDGE).head == found.head


def test_a_body_without_its_line_and_an_unfinished_key_are_cut(killed: Path) -> None:
    for name, extra in (
        (f"{SECOND}.bodies", pack_body(7, b"x" * 40)),
        (f"{SECOND}.keys", b'{"session":'),
        (f"{SECOND}.journal.open", b"\0" * 300_000),
    ):
        with (killed / name).open("ab") as file:
            file.write(extra)
        found = scan(killed, EDGE) if name.endswith("open") else None
        if found:
            assert found.head.sequence == 6
            assert str(len(pack_body(7, b"x" * 40)) + len(b'{"session":')) in found.cut[0]


def test_an_open_segment_after_a_tear_is_set_aside(killed: Path) -> None:
    (killed / f"{FIRST}.journal").rename(killed / f"{FIRST}.journal.open")
    tear(killed / f"{FIRST}.journal.open", 5)
    found = scan(killed, EDGE)
    assert found.head.sequence == 2 and len(found.cut) == 2
    assert sorted(path.name for path in killed.glob("*.cut")) == [
        f"{SECOND}.bodies.cut",
        f"{SECOND}.journal.open.cut",
        f"{SECOND}.keys.cut",
    ]
    assert scan(killed, EDGE).head == found.head


def test_an_empty_open_segment_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / f"{FIRST}.journal.open").touch()
    (tmp_path / f"{FIRST}.keys").touch()
    assert scan(tmp_path, EDGE).head == genesis(EDGE)
    assert list(tmp_path.iterdir()) == []


def test_bodies_whose_lines_file_never_got_a_name_are_set_aside(killed: Path) -> None:
    (killed / f"{SECOND}.journal.open").unlink()
    assert scan(killed, EDGE).head.sequence == 3
    assert not list(killed.glob(f"{SECOND}.bodies"))


@pytest.mark.parametrize("name", [f"{FIRST}.journal", f"{FIRST}.bodies", f"{SECOND}.bodies", f"{FIRST}.keys"])
def test_a_closed_segment_that_is_cut_stops_the_start(killed: Path, name: str) -> None:
    scan(killed, EDGE)
    tear(killed / name, 1)
    with pytest.raises(Damaged) as caught:
        scan(killed, EDGE)
    assert name in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_anywhere_stops_the_start_and_is_located(killed: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(one for one in killed.glob(f"*{FIRST[:7]}*") if "keys" not in one.name)))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    flipped = bytearray(before)
    flipped[at] ^= data.draw(st.integers(1, 255))
    records = before[:at].count(b"\n")
    copy = killed.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(killed, copy)
    (copy / path.name).write_bytes(flipped)
    try:
        found = scan(copy, EDGE)
    except Damaged as damage:
        assert path.name in str(damage)
        assert damage.offset <= at
        if "journal" in path.name:
            assert damage.sequence <= int(path.name.split("-")[2][:12]) + records
        return
    # The one flip that looks like a tear: in the very last line's newline, or in the length of the last body.
    assert found.cut and found.head.sequence == 5, (path.name, at)


@pytest.mark.parametrize("record", [1, 2])
@pytest.mark.parametrize("part", [0.1, 0.9])
def test_a_zero_within_a_line_is_no_tear(killed: Path, record: int, part: float) -> None:
    """A power cut leaves zeros up to the end of a page. One alone, with records after it, was put there."""
    path = next(killed.glob("*.journal.open"))
    lines = path.read_bytes().split(b"\n")
    at = sum(len(line) + 1 for line in lines[:record]) + int(len(lines[record]) * part)
    changed = bytearray(path.read_bytes())
    changed[at] = 0
    path.write_bytes(changed)
    with pytest.raises(Damaged) as caught:
        scan(killed, EDGE)
    assert path.name in str(caught.value)


LINES = st.lists(
    st.one_of(
        st.just(b'{"seq":1}'),
        st.just(b'{"body_sha256":"a","seq":1}'),
        st.just(b"[]"),
        st.just(b'{"seq":"1"}'),
        st.binary(max_size=30),
    ),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=LINES, tail=st.binary(max_size=80), bodies=st.binary(max_size=60), keys=st.binary(max_size=60))
def test_any_bytes_are_a_journal_or_damaged(
    tmp_path: Path, lines: list[bytes], tail: bytes, bodies: bytes, keys: bytes
) -> None:
    head = genesis(EDGE)
    data = head.hash.encode() + b"\n"
    for line in lines:
        head = extend(head, line)
        data += head.hash.encode() + b" " + line + b"\n"
    for part, content in (("journal.open", data + tail), ("bodies", bodies), ("keys", keys)):
        (tmp_path / f"{FIRST}.{part}").write_bytes(content)
    try:
        found = scan(tmp_path, EDGE)
        assert found.head.sequence <= len(data + tail) // 66
        assert scan(tmp_path, EDGE).head == found.head
    except Damaged as damage:
        assert damage.offset <= len(data + tail + bodies + keys)
    for path in tmp_path.iterdir():
        path.unlink()


def test_a_missing_segment_stops_the_start(killed: Path) -> None:
    (killed / f"{FIRST}.journal").unlink()
    with pytest.raises(Damaged, match="missing"):
        scan(killed, EDGE)
    for path in killed.glob(f"{FIRST}*"):
        path.unlink()
    with pytest.raises(Damaged, match="records 1 to 3 are missing"):
        scan(killed, EDGE)


def test_another_chain_s_segment_stops_the_start(killed: Path) -> None:
    path = killed / f"{SECOND}.journal.open"
    data = path.read_bytes()
    path.write_bytes(b"0" * 64 + data[64:])
    with pytest.raises(Damaged, match="does not continue"):
        scan(killed, EDGE)


def test_a_new_folder_starts_at_the_genesis(tmp_path: Path) -> None:
    assert scan(tmp_path, EDGE).head == ChainHead(0, genesis(EDGE).hash)
