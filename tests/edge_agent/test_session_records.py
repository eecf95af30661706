"""What a session appends for each statement: the same lines, however often a statement came before."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from edge_agent.protocols.postgres.door import Judgement
from edge_agent.protocols.postgres.events import Forwarded
from edge_agent.session_records import MAX_FORMS, SessionFacts, SessionRecords
from tests.edge_agent.protocols.postgres.doors import CALLER, TestDoor
from tests.edge_agent.recorder.journals import journal_in, session_key
from twokeys.command import QueryProtocol
from twokeys.segment_files import split_bodies

FACTS = SessionFacts("ses_1", "sample-db", "sample", CALLER, 'a "client", {odd}')
OWN = {"seq", "time", "body_sha256"}


def written(folder: Path, *forwarded: Forwarded) -> list[dict[str, object]]:
    """The headers of these Records."""

    async def write() -> None:
        journal = journal_in(folder)
        records = SessionRecords(journal, session_key(FACTS.id), FACTS)
        for one in forwarded:
            records.command(one)
        await journal.close()

    asyncio.run(write())
    (path,) = folder.glob("*.journal")
    lines = path.read_bytes().split(b"\n")[1:-1]
    return [json.loads(line[65:]) for line in lines]


def judged(text: bytes) -> Judgement:
    return TestDoor().judge(QueryProtocol.EXTENDED, text)


def test_a_statement_that_comes_again_is_recorded_as_the_first_time(tmp_path: Path) -> None:
    text = b"SELECT id FROM shop.orders WHERE id = $1"
    one = Forwarded(judged(text), QueryProtocol.EXTENDED, text, b"B...")
    found = written(tmp_path, *[one] * 5)
    assert [header["seq"] for header in found] == [1, 2, 3, 4, 5]
    assert len({json.dumps({k: v for k, v in header.items() if k not in OWN}, sort_keys=True) for header in found}) == 1
    assert found[4]["client"] == FACTS.client
    assert found[4]["objects"] == ["read:table:shop.orders"]
    assert len({header["body_sha256"] for header in found}) == 5, "each has a body of its own"
    (bodies,) = tmp_path.glob("*.bodies")
    assert [frame.sequence for frame in split_bodies(bodies.read_bytes())] == [1, 2, 3, 4, 5]


def test_one_judgement_of_two_texts_is_recorded_by_its_text(tmp_path: Path) -> None:
    """An EXECUTE is judged by what it runs: its own text differs."""
    judgement = judged(b"SELECT 1")
    texts = [b"EXECUTE a", b"EXECUTE a", b"EXECUTE a", b"EXECUTE b", b"EXECUTE b"]
    found = written(tmp_path, *[Forwarded(judgement, QueryProtocol.SIMPLE, text, None) for text in texts])
    digests = [header["text_digest"] for header in found]
    assert digests[0] == digests[1] == digests[2]
    assert digests[3] == digests[4] != digests[0]


def test_more_statements_than_are_kept_spelled_are_recorded_all_the_same(tmp_path: Path) -> None:
    texts = [b"SELECT %d" % number for number in range(MAX_FORMS + 3)]
    judgements = {text: judged(text) for text in texts}
    twice = [Forwarded(judgements[text], QueryProtocol.SIMPLE, text, None) for text in texts for _ in range(2)]
    found = written(tmp_path, *twice)
    assert len(found) == 2 * len(texts)
    assert len({header["text_digest"] for header in found}) == len(texts)
