from __future__ import annotations

import subprocess
import sys
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.classify import sql
from edge_agent.classify.depth import chain_bound
from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.parser import Unparsable, parse, scan
from edge_agent.classify.sql import SqlVerdict, classify_sql
from twokeys.effect import Effect


def verdict(text: str, limits: SqlLimits = SqlLimits()) -> SqlVerdict:  # noqa: B008
    return classify_sql(text.encode(), ("public",), limits)


def depth_of(tree: Any) -> int:
    """How deep objects nest in a parsed tree."""
    deepest, stack = 0, [(tree, 0)]
    while stack:
        held, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(held, dict):
            stack.extend((value, depth + 1) for value in held.values())
        elif isinstance(held, list):
            stack.extend((value, depth) for value in held)
    return deepest


_DEEP = """
import sys
from edge_agent.classify.sql import classify_sql
texts = [
    b"SELECT 1" + b"+1" * 200_000,
    b"SELECT 1" + b"+1" * 500_000,
    b"SELECT 1" + b"::a" * 200_000,
    b"TABLE a" + b" UNION TABLE a" * 60_000,
    b"SELECT 1,2" + b" UNION SELECT 1,2" * 50_000,
    b"SELECT FROM a" + b" CROSS JOIN a" * 70_000,
    b"SELECT a" + b" COLLATE b" * 90_000,
    b"SELECT (" + b"1,(" * 200_000,
    b"SELECT " + b"(" * 400_000,
    b"SELECT " + b"- " * 400_000 + b"1",
    b"SELECT " + b"[" * 400_000,
    b"SELECT " + b"f(" * 4_900 + b"1" + b"+1" * 7_000 + b")" * 4_900,
    b"SELECT(" * 3_300 + b"SELECT 1" + b")" * 3_300,
    b"SELECT (1" + b"+1" * 200_000,
    b"(" + b"SELECT 1 UNION " * 60_000,
    b"SELECT 1" + b"+1" * 8_180,
    b"SELECT 1;" * 100_000,
    b"SELECT 1" + b",1" * 500_000,
]
for text in texts:
    judged = classify_sql(text, ("public",))
    assert judged.refusal, text[:40]
    print(judged.sqlstate, end=" ")
"""


def test_p8_no_text_ends_the_process() -> None:
    # In a process of its own: what this is about is a crash.
    said = subprocess.run([sys.executable, "-c", _DEEP], capture_output=True, text=True, timeout=150, check=False)
    assert said.returncode == 0, said.stderr[-500:]
    assert set(said.stdout.split()) <= {"54001", "54000", "42601"}


def test_p8_a_deep_text_never_reaches_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse_it(text: bytes) -> NoReturn:
        raise AssertionError("a text that ends the process was parsed")

    monkeypatch.setattr(sql, "parse", parse_it)
    for text in (
        b"SELECT 1" + b"+1" * 200_000,
        b"TABLE a" + b" UNION TABLE a" * 60_000,
        b"SELECT (" + b"1,(" * 200_000,
    ):
        assert classify_sql(text, ("public",)).sqlstate in ("54001", "54000")


def test_large_but_flat_texts_are_judged() -> None:
    rows = ",".join(f"({number}, 'text {number}', now())" for number in range(5_000))
    judged = verdict(f"INSERT INTO t VALUES {rows}")
    assert judged.classification.effect is Effect.WRITE
    assert not judged.refusal
    terms = " OR ".join(f"a = {number}" for number in range(2_500))
    assert verdict(f"SELECT * FROM t WHERE {terms}").is_read
    assert verdict(f"SELECT {'+'.join('1' * 300)}").is_read


_CHAINS = [
    "SELECT 1{+1}",
    "SELECT 1{::a}",
    "SELECT 1, 2{ UNION SELECT 1, 2}",
    "SELECT a, b FROM t{ EXCEPT SELECT a, (b), c FROM t, u}",
    "VALUES (1, 2), (3, 4){ INTERSECT VALUES (1, 2), (3, 4)}",
    "SELECT FROM a, b{ CROSS JOIN a}, c",
    "SELECT FROM a{ JOIN b ON f(1, 2, 3)}",
    "SELECT FROM a{ JOIN b USING (c, d, e)}",
    "SELECT a{ AT LOCAL}, b",
    "SELECT a{ AND (b, c) = (d, e) OR f(1, 2)}",
    "SELECT a{ || f(1, 2, 3)}, 1",
    "SELECT 1, a{ COLLATE b}",
    "WITH a AS (SELECT 1, 2), b AS (SELECT 1) SELECT 1, 2{ UNION SELECT 1, 2 FROM a, b}",
    "INSERT INTO t (a, b) SELECT 1, 2{ UNION ALL SELECT 1, 2} ON CONFLICT DO NOTHING",
    "SELECT 1; SELECT 1, 2{ UNION SELECT 1, 2 ORDER BY 1, 2 LIMIT 1};SELECT 1",
    "SELECT CASE WHEN a THEN b{ + 1} END, CASE a WHEN 1, 2 THEN 3 END",
    "MERGE INTO t USING u ON a{ + 1} = 1 WHEN MATCHED THEN UPDATE SET a = 1, b = 2",
    "UPDATE t SET a = 1, b = 2{ - 1}, c = 3",
]


@pytest.mark.parametrize("pattern", _CHAINS)
def test_the_bound_grows_with_the_depth(pattern: str) -> None:
    # Commas inside a repeated part are the danger: they must not make a chain look short.
    before, _, rest = pattern.partition("{")
    part, _, after = rest.partition("}")
    for count in (10, 80):
        text = f"{before}{part * count}{after}".encode()
        tokens, _more = scan(text, 100_000)
        try:
            depth = depth_of(parse(text))
        except Unparsable:
            continue
        assert chain_bound(tokens) * 2 + 20 >= depth


_REPEATED = [pattern[pattern.index("{") + 1 : pattern.index("}")] for pattern in _CHAINS]
_PARTS = st.sampled_from([*_REPEATED, "(", ")", ",", "1"])


@settings(max_examples=200, deadline=None)
@given(st.lists(_PARTS, max_size=60).map("".join))
def test_the_bound_is_never_below_the_depth(parts: str) -> None:
    text = f"SELECT 1{parts}".encode()
    tokens, _more = scan(text, 100_000)
    try:
        depth = depth_of(parse(text))
    except Unparsable:
        return
    assert chain_bound(tokens) * 2 + 20 >= depth


def test_too_many_tokens_are_refused() -> None:
    limits = SqlLimits(unscanned_bytes=10, tokens=10)
    assert verdict("SELECT 1, 2, 3, 4, 5, 6", limits).sqlstate == "54001"
    assert verdict("SELECT 1, 2, 3", limits).is_read
    assert verdict("SELECT 1+1+1+1+1", SqlLimits(unscanned_bytes=10, chain_tokens=5)).sqlstate == "54001"
