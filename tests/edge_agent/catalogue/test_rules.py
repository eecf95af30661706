"""The rules, on catalogues written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from edge_agent.catalogue.doubtful import Doubtful
from edge_agent.catalogue.limits import DEFAULT_LIMITS, CatalogueLimits
from edge_agent.catalogue.question import Overfull, read_snapshot
from edge_agent.catalogue.rules import Catalogue
from edge_agent.catalogue.snapshot import Cast, Function, Reader, Relation, Snapshot
from edge_agent.classify.cache import SqlClassifier
from edge_agent.classify.sql import classify_sql
from twokeys.errors import InvalidInput

PLAIN = Function(
    20_000, "app", "f", "f", "s", "sql", "ann", False, [], 0, "", [23], False, "SELECT 1", None, None, "", "",
    "d" * 64, [],
)  # fmt: skip


def function(**changes: Any) -> Function:
    return msgspec.structs.replace(PLAIN, **changes)


def is_read(text: str, *functions: Function, path: tuple[str, ...] = ("app",), **settings: Any) -> bool:
    known = Catalogue(Snapshot("v1", functions), **settings)
    return classify_sql(text.encode(), path, known=known).is_read


@pytest.mark.parametrize(
    "changes",
    [
        {"volatility": "v"}, {"language": "plpgsql"}, {"language": "internal"},
        {"language": "c", "library": "$libdir/own"}, {"body": "SET jit = on"},
        {"security_definer": True}, {"kind": "p"}, {"kind": "x"}, {"body": None}, {"body": ""},
        {"body": "DELETE FROM app.t"}, {"body": "SELECT 1; DELETE FROM app.t"}, {"body": "BEGIN; SELECT 1; COMMIT"},
        {"body": "SELECT nextval('s')"}, {"body": "SELECT app.unknown()"}, {"body": "not SQL"},
        {"body": "WITH w AS (INSERT INTO app.t VALUES (1) RETURNING *) SELECT * FROM w"},
        {"body": "SELECT 1 FOR UPDATE"}, {"body": "SELECT app.f()"}, {"defaults": "nextval('s')"},
        {"settings": ["role=root"]}, {"settings": ["session_replication_role=replica"]},
        {"standard_body": "SOMETHING new"}, {"standard_body": "RETURN nextval('s')"},
        {"name": "dblink_get", "body": "SELECT 1"},
    ],
)  # fmt: skip
def test_what_is_not_shown_to_read_is_held(changes: dict[str, Any]) -> None:
    found = function(**changes)
    assert not is_read(f"SELECT app.{found.name}()", found)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"volatility": "i"}, {"kind": "w"}, {"defaults": "1, 'x'::text"}, {"standard_body": "RETURN (1 + 2)"},
        {"standard_body": "BEGIN ATOMIC\n SELECT 1;\nEND"}, {"settings": ["search_path=app", "statement_timeout=5"]},
        {"language": "c", "library": "$libdir/citext", "body": None},
        {"kind": "a", "language": "internal", "parts": []},
    ],
)  # fmt: skip
def test_what_reads_by_its_body_is_a_read(changes: dict[str, Any]) -> None:
    assert is_read("SELECT app.f(), f()", function(**changes))


def test_an_overload_that_may_write_spoils_the_name() -> None:
    assert not is_read("SELECT app.f()", PLAIN, function(oid=20_001, volatility="v"))


def test_p3_a_users_function_of_a_builtins_name_is_asked_about() -> None:
    shadow = function(name="lower", volatility="v")
    assert not is_read("SELECT lower('X')", shadow)
    assert not is_read("SELECT (x).lower FROM (SELECT 1) x", shadow)
    assert is_read("SELECT pg_catalog.lower('X')", shadow)
    assert is_read("SELECT lower('X')", shadow, path=("public",))
    assert not is_read("SELECT lower('X')", shadow, path=())
    assert not is_read("SELECT pg_catalog.lower('X')", function(name="lower", schema="pg_catalog", volatility="v"))


def test_what_a_function_reads_is_asked_about_too() -> None:
    known = Catalogue(Snapshot("v1", (function(body="SELECT pay FROM hr.salaries"),)))
    found = classify_sql(b"SELECT app.f()", ("app",), known=known)
    assert "read:table:hr.salaries" in [one.spelled for one in found.classification.accesses]


def test_a_body_runs_in_the_path_of_its_session() -> None:
    outer = function(body="SELECT inner_one()")
    calm = function(oid=20_001, name="inner_one")
    sly = function(oid=20_002, name="inner_one", schema="other", volatility="v")
    assert is_read("SELECT app.f()", outer, calm, sly)
    assert not is_read("SELECT app.f()", outer, calm, sly, path=("other", "app"))
    fixed = function(body="SELECT inner_one()", settings=["search_path=app"])
    assert is_read("SELECT app.f()", fixed, calm, sly, path=("other", "app"))


def test_an_owners_word_counts_for_that_definition_alone() -> None:
    vouched = function(language="plpgsql", volatility="v", arguments="integer")
    assert is_read("SELECT app.f(1)", vouched, readers=[Reader("app.f(integer)", "d" * 64)])
    assert not is_read("SELECT app.f(1)", vouched, readers=[Reader("app.f(integer)", "e" * 64)])
    assert not is_read("SELECT app.f(1)", vouched, readers=[Reader("app.f(text)", "d" * 64)])


def test_functions_nested_too_deeply_are_held() -> None:
    chain = [function(oid=20_000 + at, name=f"f{at}", body=f"SELECT app.f{at + 1}()") for at in range(20)]
    chain.append(function(oid=20_020, name="f20"))
    assert not is_read("SELECT app.f0()", *chain)
    assert is_read("SELECT app.f16()", *chain)


def test_casts_between_builtin_types_that_run_code_spoil_every_query() -> None:
    known = Catalogue(Snapshot("v1", (function(volatility="v"),), casts=(Cast(25, 23, 20_000),)))
    assert not classify_sql(b"SELECT 'x'", ("app",), known=known).is_read
    assert classify_sql(b"SHOW search_path", ("app",), known=known).is_read


def test_a_view_that_stands_in_itself_is_held() -> None:
    view = Relation(30_000, "app", "v", "v", "SELECT a FROM app.v", [], [], [], False)
    known = Catalogue(Snapshot("v1", relations=(view,)))
    assert not classify_sql(b"SELECT * FROM app.v", ("app",), known=known).is_read


def test_verdicts_are_remembered_by_the_catalogues_revision() -> None:
    classifier = SqlClassifier()
    text = b"SELECT app.f()"
    calm, sly = (Catalogue(Snapshot("v1", (function(volatility=v),)), revision=at) for at, v in ((1, "s"), (2, "v")))
    assert [classifier.classify(text, ("app",), known).is_read for known in (calm, sly, calm, None)] == [
        True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row", [b"{}", b"[]", b'["z", 1]', b'["o", 1]', b'["c", 1, 2, "x"]', b"\xff", b'["c",1,2,3,4]']
)
def test_rows_that_nobody_expects_are_no_snapshot(row: bytes) -> None:
    with pytest.raises(Overfull):
        read_snapshot([b"v1 stamp", row], DEFAULT_LIMITS)


def test_limits_are_positive() -> None:
    with pytest.raises(InvalidInput):
        replace(DEFAULT_LIMITS, depth=0)
    assert CatalogueLimits(bodies=1).bodies == 1


def test_p3_while_it_may_have_moved_what_spoke_against_a_name_still_does_and_nothing_speaks_for_one() -> None:
    shadow = function(oid=20_001, name="lower", volatility="v")
    before = Catalogue(Snapshot("v1", (PLAIN, shadow, function(oid=20_002, name="upper"))))
    doubtful = Doubtful(before, 2)

    def reads(text: str, known: Catalogue | Doubtful | None) -> bool:
        return classify_sql(text.encode(), ("app",), known=known).is_read

    texts = ("SELECT app.f()", "SELECT lower('X')", "SELECT upper('X')", "SELECT length('X')", "SELECT app.g()")
    assert [reads(text, before) for text in texts] == [True, False, True, True, False]
    assert [reads(text, doubtful) for text in texts] == [False, False, True, True, False]
    # With nothing known at all, users' overloads of built-in names would pass.
    assert [reads(text, None) for text in texts] == [False, True, True, True, False]
    assert doubtful.revision != before.revision


def test_what_a_field_may_run_counts_as_read() -> None:
    told = function(name="told", takes_row=True, required=1, body="SELECT email FROM app.person")
    known = Catalogue(Snapshot("v1", (told,)))
    for each in (known, Doubtful(known, 2)):
        verdict = classify_sql(b"SELECT o.told FROM app.o", ("app",), known=each)
        assert {access.object.name for access in verdict.classification.accesses} == {"app.o", "app.person"}
        assert {ref.name for ref in verdict.code_reads} == {"app.person"}
