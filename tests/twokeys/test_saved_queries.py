"""The saved queries find what was planted, on DuckDB; and their text is what Athena and DuckDB read alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from control_plane.chalicelib.adapters.embedded import audit_sql
from tests.twokeys.saved_queries_world import CONTROL, START, Who, World, iso, noise
from twokeys.errors import InvalidInput
from twokeys.saved_queries import ALL, find
from twokeys.saved_query import SavedQuery, positional
from twokeys.tables import RECORDS, duckdb_columns

AGENT = Who("agent-7", "ann", "ses_agent")
DEPLOY = Who("ci-deploy", "rob", "ses_deploy", "edge-db-2", "stage-db")
ANN = Who("ann", "", "ses_ann")
NOON = START + timedelta(days=30, hours=12)  # 2026-10-31
WINDOW = {"since": "2026-10-01", "until": "2026-12-01"}


@cache
def _world() -> tuple[World, dict[str, str]]:
    world, named = World(), {}
    noise(world)
    for who in (AGENT, DEPLOY):
        world.session(who, NOON - timedelta(minutes=5), 7200)
    world.session(ANN, NOON, None)
    named["done"] = world.held(AGENT, NOON, "public.orders")
    named["failed"] = world.held(AGENT, NOON + timedelta(minutes=3), "public.orders", end="failed")
    named["ddl"] = world.held(AGENT, NOON + timedelta(minutes=6), "public.orders", kind="ALTER TABLE", effect="ddl")
    # A name that a pattern would confuse with orders, and one that has a colon in it.
    world.held(AGENT, NOON + timedelta(minutes=9), "public.order_")
    named["colon"] = world.held(AGENT, NOON + timedelta(minutes=12), 'public."a:b"')
    world.read(AGENT, NOON + timedelta(minutes=13), "public.orders")
    for second in range(2):
        world.read(AGENT, NOON + timedelta(minutes=13, seconds=second), "public.customers", ("pii.email", "pii.phone"))
    named["doubt"] = world.held(AGENT, NOON + timedelta(minutes=15), "public.stock", end="in_doubt")
    named["settled"] = world.held(AGENT, NOON + timedelta(minutes=18), "public.stock", end="settled")
    named["denied"] = world.held(AGENT, NOON + timedelta(minutes=21), "public.stock", end="denied")
    named["expired"] = world.held(AGENT, NOON + timedelta(minutes=24), "public.stock", end="expired", looked=None)
    named["quick"] = world.held(AGENT, NOON + timedelta(minutes=40), "public.stock", took=3.2, looked=1.1)
    named["glance"] = world.held(AGENT, NOON + timedelta(minutes=43), "public.stock", took=100.0, looked=98.5)
    named["unseen"] = world.held(AGENT, NOON + timedelta(minutes=46), "public.stock", took=100.0, looked=None)
    world.allowed(DEPLOY, NOON, "public.build")
    world.allowed(DEPLOY, NOON + timedelta(minutes=1), "public.build")
    world.declined(DEPLOY, NOON + timedelta(minutes=2), "public.build")
    _people(world, named)
    return world, named


def _people(world: World, named: dict[str, str]) -> None:
    own = {**AGENT.header, "request": named["done"], "statement": "UPDATE public.orders $1"}
    world.say(CONTROL, NOON + timedelta(seconds=50), "refused", **own, person="ann", outcome="excluded",
              reason="You answer for agent-7: somebody else must decide.")  # fmt: skip
    world.say(CONTROL, NOON, "refused", outcome="bad_call", reason="The signature is wrong. It said it was edge-x.")
    later = START + timedelta(days=35)
    world.say(CONTROL, START, "bootstrap", person="bootstrap", outcome="policy", reason="The starter policy.")
    world.say(CONTROL, later - timedelta(days=20), "policy", person="ann", outcome="proposed", policy_revision=3,
              reason="pol_abc: hold more: all of it", text_digest="d1", policies=["policy:hold-write"])  # fmt: skip
    world.say(CONTROL, later, "policy", person="rob", outcome="approved", policy_revision=4,
              reason="pol_abc: good", text_digest="d1", policies=["policy:hold-write"])  # fmt: skip
    world.say(CONTROL, later, "people", person="ann", caller="agent-7", caller_kind="machine", sponsor="ann",
              outcome="added")  # fmt: skip
    world.say(CONTROL, later, "body_read", person="rob", session="ses_agent", reason="Read after 0.")
    world.say(CONTROL, later, "key_erased", person="ann", session="ses_deploy", reason="A password was in it.")
    world.say("edge-old", START + timedelta(days=2), "edge_start")
    world.say("edge-db-1", START + timedelta(days=60, hours=11), "edge_start")
    world.say("edge-db-1", START + timedelta(days=3), "gap", reason="Cut off at start: 12 bytes.")
    world.say("edge-db-1", START + timedelta(days=3), "alarm", reason="a result was smuggled")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _world()[0].store(tmp_path_factory.mktemp("recordings"))


def ask(recordings: Path, name: str, **given: str) -> list[dict[str, Any]]:
    query = find(name)
    known = {parameter.name for parameter in query.parameters}
    values = query.values({key: value for key, value in {**WINDOW, **given}.items() if key in known})
    answer = audit_sql.query(recordings, query.sql, values)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def test_writes_to_finds_the_table_and_no_other(recordings: Path) -> None:
    named = _world()[1]
    found = ask(recordings, "writes_to", object="public.orders")
    assert [(row["request"], row["kind"], row["outcome"], row["approvers"], row["rows"]) for row in found] == [
        (named["done"], "UPDATE", "done", ["rob"], 3),
        (named["failed"], "UPDATE", "failed", ["rob"], 3),
        (named["ddl"], "ALTER TABLE", "done", ["rob"], 3),
    ]
    assert [row["request"] for row in ask(recordings, "writes_to", object='public."a:b"')] == [named["colon"]]
    assert ask(recordings, "writes_to", object="public.order%") == []
    assert ask(recordings, "writes_to", object="x' OR '1'='1") == []


def test_the_window_is_of_records_not_of_seals(recordings: Path) -> None:
    named = _world()[1]
    edges = {"since": "2026-10-31T12:03", "until": "2026-10-31T12:05:30.000Z"}
    assert [row["request"] for row in ask(recordings, "writes_to", object="public.orders", **edges)] == [
        named["failed"]
    ]


def test_writes_says_the_approver_and_how_each_ended(recordings: Path) -> None:
    named = _world()[1]
    rows = ask(recordings, "writes")
    found = {row["request"]: row for row in rows if row["request"]}
    assert (found[named["doubt"]]["outcome"], found[named["doubt"]]["settled_by"]) == ("in_doubt", None)
    assert (found[named["settled"]]["outcome"], found[named["settled"]]["settled_by"]) == ("done", "ann")
    assert found[named["quick"]]["held_seconds"] == pytest.approx(3.29)
    assert named["denied"] not in found
    outright = [row for row in rows if row["request"] is None]
    assert [(row["outcome"], row["approvers"], row["policies"]) for row in outright] == [
        ("done", None, ["allow-staging"])
    ] * 2
    forwards = [
        header for told in _world()[0].told.values() for _, header in told
        if header["type"] == "forward" and iso(START) <= header["time"] < "2026-12-01"
    ]  # fmt: skip
    assert len(rows) == len(forwards)


def test_writes_without_approval_names_the_policy(recordings: Path) -> None:
    (row,) = ask(recordings, "writes_without_approval")
    assert (row["caller"], row["policies"], row["writes"]) == ("ci-deploy", ["allow-staging"], 2)


def test_own_votes_are_refused_and_one_that_counted_would_show(recordings: Path, tmp_path: Path) -> None:
    named = _world()[1]
    (row,) = ask(recordings, "own_votes")
    assert (row["vote"], row["person"], row["caller"], row["request"]) == ("refused", "ann", "agent-7", named["done"])
    forged = World()
    forged.held(AGENT, NOON, by="ann")
    assert [row["vote"] for row in ask(forged.store(tmp_path), "own_votes")] == ["counted"]


def test_not_run_counts_each_request_once(recordings: Path) -> None:
    found = Counter(
        {(row["target"], row["caller"], row["outcome"]): row["commands"] for row in ask(recordings, "not_run")}
    )
    expected: Counter[tuple[str, str, str]] = Counter()
    for source, told in _world()[0].told.items():
        for _, header in told:
            who = str(header.get("target")), str(header.get("caller"))
            ended = header["type"] in ("decision", "end") and header["outcome"] in (
                "denied", "expired", "withdrawn", "lapsed",
            )  # fmt: skip
            if source == CONTROL and ended:
                expected[(*who, header["outcome"])] += 1
            elif source != CONTROL and header["type"] == "refused":
                expected[(*who, "refused")] += 1
    assert found == expected
    assert found["prod-db", "agent-7", "denied"] == 1


def test_in_doubt_leaves_out_what_was_settled(recordings: Path) -> None:
    (row,) = ask(recordings, "in_doubt")
    assert (row["request"], row["state"], row["xid"]) == (_world()[1]["doubt"], "in_doubt", "771")


def test_in_doubt_shows_a_spend_that_nobody_ended(tmp_path: Path) -> None:
    world = World()
    world.say(CONTROL, NOON, "spend", request="req_1", outcome="spending")
    assert [row["state"] for row in ask(world.store(tmp_path), "in_doubt")] == ["spending"]


def test_policy_changes_name_both_people_even_when_it_was_proposed_before(recordings: Path) -> None:
    rows = ask(recordings, "policy_changes", since="2026-11-01")
    assert [(row["outcome"], row["proposed_by"], row["person"], row["policy_revision"]) for row in rows] == [
        ("approved", "ann", "rob", 4)
    ]
    assert [row["outcome"] for row in ask(recordings, "policy_changes")] == ["policy", "proposed", "approved"]


def test_people_changes(recordings: Path) -> None:
    (row,) = ask(recordings, "people_changes")
    assert (row["subject"], row["sponsor"], row["changed_by"]) == ("agent-7", "ann", "ann")


def test_breaks_finds_a_missing_record_and_a_reported_gap(recordings: Path, tmp_path: Path) -> None:
    (row,) = ask(recordings, "breaks")
    assert (row["source"], row["what"]) == ("edge-db-1", "Cut off at start: 12 bytes.")
    world = World()
    for minute in range(9):
        world.read(AGENT, NOON + timedelta(minutes=minute))
    (row,) = ask(world.store(tmp_path, frozenset({("edge-db-1", 4)})), "breaks")
    assert (row["after_seq"], row["next_seq"], row["what"]) == (3, 5, "records are missing")


def test_bodies_read_tells_requests_and_sessions_apart(recordings: Path) -> None:
    rows = ask(recordings, "bodies_read")
    sessions = [row for row in rows if row["what"] == "session"]
    assert [(row["person"], row["session"], row["caller"]) for row in sessions] == [("rob", "ses_agent", "agent-7")]
    reads = [header for _, header in _world()[0].told[CONTROL] if header["type"] == "body_read"]
    assert len(rows) == len(reads)


def test_erased_names_who_made_which_session_unreadable(recordings: Path) -> None:
    (row,) = ask(recordings, "erased")
    assert (row["erased_by"], row["session"], row["caller"]) == ("ann", "ses_deploy", "ci-deploy")
    assert row["reason"] == "A password was in it."


def test_busiest_callers_counts_as_python_does(recordings: Path) -> None:
    rows = {row["caller"]: row for row in ask(recordings, "busiest_callers")}
    heard = [
        header for source, told in _world()[0].told.items() for _, header in told
        if source != CONTROL and "caller" in header
    ]  # fmt: skip
    for caller in {header["caller"] for header in heard}:
        own = [header for header in heard if header["caller"] == caller]
        assert rows[caller]["reads"] == sum(header["type"] == "command" for header in own)
        assert rows[caller]["writes"] == sum(header["type"] == "forward" for header in own)
        assert rows[caller]["held"] == sum(header["type"] == "hold" for header in own)
        assert rows[caller]["sessions"] == len({header["session"] for header in own})
    assert rows["ann"]["caller_kind"] == "person"


def test_quick_approvals_are_by_the_clock_and_by_the_look(recordings: Path) -> None:
    named = _world()[1]
    found = {row["request"]: row for row in ask(recordings, "quick_approvals", seconds="5")}
    assert set(found) == {named["quick"], named["glance"], named["unseen"]}
    assert found[named["quick"]]["open_seconds"] == pytest.approx(3.16)
    assert found[named["glance"]]["first_look_seconds"] == pytest.approx(1.5)
    assert found[named["unseen"]]["first_look_seconds"] is None
    assert named["glance"] not in {row["request"] for row in ask(recordings, "quick_approvals", seconds="1")}


def test_sessions_of_a_caller(recordings: Path) -> None:
    (row,) = ask(recordings, "sessions_of", caller="agent-7")
    assert (row["session"], row["peer"], row["end_reason"]) == ("ses_agent", "from 10.0.0.7", "the client left")
    (open_still,) = ask(recordings, "sessions_of", caller="ann")
    assert open_still["ended_at"] is None
    assert len(ask(recordings, "sessions_of", caller="bot-a")) == 30


def test_masked_reads_counts_each_class_of_each_reader(recordings: Path) -> None:
    found = ask(recordings, "masked_reads")
    assert [(row["caller"], row["data_class"], row["times"]) for row in found] == [
        (AGENT.caller, "pii.email", 2),
        (AGENT.caller, "pii.phone", 2),
    ]


def test_writes_of_one_text_in_one_transaction_have_each_its_own_end(tmp_path: Path) -> None:
    world = World()
    world.session(AGENT, NOON)
    facts = {**AGENT.header, **world.facts("INSERT", "write", "public.orders"), "in_transaction": True}
    for second in (1, 2):
        world.say(AGENT.edge, NOON + timedelta(seconds=second), "forward", **facts, outcome="allow")
    # The second was undone by ROLLBACK TO, before the first was committed. (session_start is 1.)
    for second, outcome, forward, rows in ((3, "failed", 3, 7), (4, "done", 2, 5)):
        at = NOON + timedelta(seconds=second)
        world.say(AGENT.edge, at, "result", **facts | {"outcome": outcome}, forward_seq=forward, rows=rows)
    found = ask(world.store(tmp_path), "writes")
    assert [(row["outcome"], row["rows"]) for row in found] == [("done", 5), ("failed", 7)]


def test_silent_edges_are_told_with_their_hours(recordings: Path) -> None:
    rows = ask(recordings, "silent_edges", hours="48")
    assert [row["source"] for row in rows] == ["edge-old", "edge-db-2"]
    assert rows[0]["silent_hours"] == pytest.approx(24 * 59)
    assert [row["source"] for row in ask(recordings, "silent_edges", hours="1416")] == ["edge-old"]
    assert ask(recordings, "silent_edges", hours="1417") == []


def test_alarms_have_the_control_planes_refusals_too(recordings: Path) -> None:
    assert Counter(row["type"] for row in ask(recordings, "alarms")) == {"alarm": 1, "refused": 2}


def test_one_request_is_told_from_both_sides(recordings: Path) -> None:
    rows = ask(recordings, "one_request", request=_world()[1]["settled"])
    assert [row["type"] for row in rows] == [
        "hold", "open", "body_read", "decision", "decision", "spend_intent", "spend", "forward", "result",
        "settlement",
    ]  # fmt: skip


# What both engines read alike


def _tree(query: SavedQuery) -> Any:
    return sqlglot.parse_one(positional(query.sql)[0], read="athena")


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_athena_reads_it_as_one_select_of_known_columns(query: SavedQuery) -> None:
    tree = _tree(query)
    assert isinstance(tree, exp.Select | exp.Union)
    named = {cte.alias for cte in tree.find_all(exp.CTE)}
    assert {table.name for table in tree.find_all(exp.Table)} <= named | {"records", "touched", "masks"}
    made = {one.alias for one in tree.find_all(exp.Alias)} | {"object", "data_class"}
    assert {column.name for column in tree.find_all(exp.Column)} <= RECORDS.names | {"dt"} | made


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_no_trap_between_the_engines_is_stepped_into(query: SavedQuery) -> None:
    tree = _tree(query)
    for node in tree.walk():
        match node:
            case exp.DateDiff() | exp.TimestampDiff():
                assert str(node.args["unit"]).upper() == "MILLISECOND", "others are counted differently"
            case exp.Div():
                assert re.fullmatch(r"[\d.]+e\d", node.expression.sql(), re.IGNORECASE), (
                    "integers are divided differently"
                )
            case exp.JSONExtract() | exp.JSONExtractScalar() | exp.RegexpReplace() | exp.RegexpLike() | exp.Like():
                raise AssertionError(f"{node.sql()} differs, or takes a value for a pattern")
            case exp.Cast():
                assert node.to.sql().upper() in ("TIMESTAMP", "DATE", "VARCHAR", "TEXT", "BIGINT"), node.sql()
            case exp.Anonymous():
                raise AssertionError(f"{node.sql()} is no function that sqlglot knows in both")
    for select in tree.find_all(exp.Select):
        aliases = {one.alias for one in select.expressions if isinstance(one, exp.Alias)}
        group = select.args.get("group")
        used = {column.name for part in (group.expressions if group else []) for column in part.find_all(exp.Column)}
        assert not (used & aliases) - RECORDS.names, "Athena knows no alias in GROUP BY"


@pytest.fixture(scope="module")
def loaded(recordings: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The records in a plain DuckDB, for many queries at once."""
    with duckdb.connect(":memory:") as connection:
        lines = str(recordings / "lines" / "*" / "*.jsonl.gz")
        connection.execute(
            "CREATE TABLE records AS SELECT *, regexp_extract(filename, 'dt=([0-9-]{10})', 1) AS dt FROM "
            "read_json($lines, format = 'newline_delimited', columns = $columns, filename = true, "
            "hive_partitioning = false)",
            {"lines": lines, "columns": duckdb_columns(RECORDS)},
        )
        yield connection


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_what_sqlglot_makes_of_it_for_duckdb_answers_the_same(
    query: SavedQuery, loaded: duckdb.DuckDBPyConnection
) -> None:
    text, names = positional(query.sql)
    given = {parameter.name: WINDOW.get(parameter.name, parameter.example) for parameter in query.parameters}
    values = query.values(given)
    transpiled = sqlglot.transpile(text, read="athena", write="duckdb")[0]
    found = loaded.execute(transpiled, [values[name] for name in names]).fetchall()
    assert found == loaded.execute(query.sql, values).fetchall()
    assert found or query.name == "one_request"


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.name)
def test_every_scan_of_records_is_bounded_by_the_partition(query: SavedQuery) -> None:
    for select in _tree(query).find_all(exp.Select):
        source = select.args.get("from_") or select.args.get("from")
        if source is not None and source.this.name == "records":
            where = select.args["where"].sql()
            assert re.search(r"\bdt >= ", where), "Athena would read everything, and charge for it"


def test_an_unknown_name_is_told_its_neighbours() -> None:
    with pytest.raises(InvalidInput, match="writes_to"):
        find("writes_too")
