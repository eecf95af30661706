"""What the Edge's journal writes is what the auditor's verifier reads, byte for byte."""

from __future__ import annotations

import asyncio
from pathlib import Path

from control_plane.chalicelib.adapters.embedded.audit_sql import query
from tests.edge_agent.recorder.journals import EDGE, journal_in, session_key
from tests.twokeys.recording import TRUST, Recording, seal_file, store
from twokeys.digest import sha256
from twokeys.record import extend, genesis
from twokeys.seal import Seal, segment_id
from twokeys.segment_files import pack_lines
from twokeys.verify_chain import StoredSegment, verify_source

ODD = '\x00\x1b\x7f\u0080\u2028 é ﬀ 😀 \\ " / \ufffe'


def test_a_journal_s_segments_verify_and_answer(tmp_path: Path) -> None:
    journal = journal_in(tmp_path / "journal")
    key = session_key("ses-1")
    for number in range(20):
        header = {"type": "command", "statement": ODD * number, "objects": [ODD, "b"], "rows": number,
                  "in_transaction": number % 2 == 0}  # fmt: skip
        journal.append(header, b"body %d" % number if number % 3 else None, key)
        if number % 7 == 6:
            journal.close_segment()
    head = journal.head
    asyncio.run(journal.close())

    recording = Recording(EDGE, "2026-11-18")
    for path in sorted((tmp_path / "journal").glob("*.journal")):
        recording.segments.append(_sealed(recording, path))
    result = verify_source(EDGE, recording.segments, TRUST)
    assert result.whole, result.flaw
    assert (result.head, result.records, result.bodies) == (head, 20, 13)

    answer = query(
        store(tmp_path / "recordings", recording), "SELECT rows, objects[1], statement FROM records ORDER BY seq"
    )
    assert answer.rows == tuple((number, ODD, ODD * number) for number in range(20))


def _sealed(recording: Recording, path: Path) -> StoredSegment:
    """Upload and seal by hand what a control plane would."""
    before, *rest = path.read_bytes().splitlines(keepends=True)
    lines = [one[65:] for one in rest]
    head = recording.head
    assert before.strip().decode() == head.hash
    for one in lines:
        head = extend(head, one[:-1])
    bodies = path.with_suffix(".bodies")
    data = bodies.read_bytes() if bodies.exists() else b""
    first = recording.head.sequence + 1
    seal = Seal(EDGE, segment_id(EDGE, first), first, head.sequence, recording.head.hash, head.hash,
                sha256(b"".join(lines)), sha256(data) if data else "", f"{recording.day}T12:00:00.000Z")  # fmt: skip
    recording.head = head
    name = f"{EDGE}-{first:012d}"
    return StoredSegment(name, seal_file(seal.to_json()), pack_lines(b"".join(lines)), data or None, recording.day)


def test_an_empty_chain_is_the_source_s_own() -> None:
    assert verify_source(EDGE, (), TRUST).head == genesis(EDGE)
