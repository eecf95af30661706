"""What a session appends for each statement: the same lines, however often a statement came before."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from edge_agent.protocols.postgres.door import Judgement
from edge_agent.protocols.postgres.events import Forwarded, Written
from edge_agent.session_records import MAX_FORMS, SessionFacts, SessionRecords
from tests.edge_agent.protocols.postgres.doors import ALLOW_ALL, CALLER, TestDoor
from tests.edge_agent.recorder.journals import journal_in, session_key
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.digest import MAX_INTEGER
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


WRITE = b"UPDATE shop.orders SET total = 1 WHERE id = $1"


def results(folder: Path, times: int, *told: dict[str, object], outcome: str = "done") -> list[dict[str, object]]:
    """The headers of the results of one write, each told so, after `times` others like the first."""

    async def write() -> None:
        journal = journal_in(folder)
        records = SessionRecords(journal, session_key(FACTS.id), FACTS)
        begun = Written(
            1, TestDoor(ALLOW_ALL).judge(QueryProtocol.EXTENDED, WRITE), PostgresCommand(QueryProtocol.EXTENDED, WRITE)
        )
        for one in (*told[:1] * times, *told):
            records.ended(records.written(begun), outcome, one)
        await journal.close()

    asyncio.run(write())
    (path,) = folder.glob("*.journal")
    found = [json.loads(line[65:]) for line in path.read_bytes().split(b"\n")[1:-1]]
    return [header for header in found if header["type"] == "result"][times:]


@pytest.mark.parametrize(
    "told",
    [{"rows": 3, "xid": "777"}, {"rows": 0, "xid": "18446744073709551615"}, {"xid": "777"}, {"rows": 3},
     {"rows": MAX_INTEGER, "xid": "1"}, {"rows": 3, "xid": "not digits"}, {"rows": 3, "xid": "7", "reason": "odd"}],
)  # fmt: skip
@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_a_result_that_comes_again_is_recorded_as_the_first_time(
    tmp_path: Path, told: dict[str, object], outcome: str
) -> None:
    (first,) = results(tmp_path / "first", 0, told, outcome=outcome)
    (later,) = results(tmp_path / "later", 3, told, outcome=outcome)
    own = {*OWN, "forward_seq"}
    assert {k: v for k, v in later.items() if k not in own} == {k: v for k, v in first.items() if k not in own}
    assert (first["forward_seq"], later["forward_seq"]) == (1, 7)
    assert (first["seq"], later["seq"]) == (2, 8)
    assert {"rows": first.get("rows"), "xid": first.get("xid")} == {"rows": told.get("rows"), "xid": told.get("xid")}
    assert first["outcome"] == outcome and first["in_transaction"] is True
