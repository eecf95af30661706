from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.normalise import CUT, normalise
from edge_agent.classify.sql import classify_sql
from tests.edge_agent.classify import cases


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT a FROM t WHERE b = 'x' AND c > 1.5", "SELECT a FROM t WHERE b = ? AND c > ?"),
        ("SELECT\n\t1 /* secret */ + -- more\n 2", "SELECT ? + ?"),
        ("SELECT/**/1", "SELECT ?"),
        (
            "SELECT $1, $$secret$$, $x$ se$$cret $x$, E'a\\'secret', U&'secret', b'101', x'1f'",
            "SELECT $1, ?, ?, ?, ?, ?, ?",
        ),
        ("SELECT 'secret'\n  'secret'", "SELECT ?"),
        ("SELECT -1, 1e10, 0x1F, 1_000", "SELECT -?, ?, ?, ?"),
        ("CREATE ROLE x PASSWORD 'secret' VALID UNTIL 'secret'", "CREATE ROLE x PASSWORD ? VALID UNTIL ?"),
        ("ALTER USER x ENCRYPTED PASSWORD 'secret'", "ALTER USER x ENCRYPTED PASSWORD ?"),
        ("DO $secret$ BEGIN secret(); END $secret$", "DO ?"),
        (
            "CREATE FUNCTION f() RETURNS int AS 'secret' LANGUAGE sql",
            "CREATE FUNCTION f() RETURNS int AS ? LANGUAGE sql",
        ),
        ('SELECT "Ä b" FROM "x"', 'SELECT "Ä b" FROM "x"'),
        ("", ""),
    ],
)
def test_only_words_operators_and_parameters_remain(text: str, expected: str) -> None:
    assert normalise(text.encode(), "KIND") == expected


def test_a_text_that_can_not_be_scanned_shows_its_kind_only() -> None:
    for text in ("SELECT 'secret", "SELECT $$secret", "SELECT /* secret", 'SELECT "secret', "SELECT E'\\uD800secret'"):
        assert normalise(text.encode(), "KIND") == "KIND"


def test_a_long_text_is_cut_at_a_whole_character_and_marked() -> None:
    limits = SqlLimits(normalised_chars=20)
    shown = normalise('SELECT "ääääääääääääääääää" FROM t'.encode(), "KIND", limits)
    assert len(shown) == 20
    assert shown.endswith(CUT)
    exact = "SELECT abcdefghijklm"
    assert normalise(exact.encode(), "KIND", limits) == exact


def test_many_tokens_are_cut_and_marked() -> None:
    limits = SqlLimits(normalised_tokens=5)
    assert normalise(b"SELECT a, b, c, d" + b", e" * 10, "KIND", limits) == f"SELECT a, b,{CUT}"[:12] + CUT


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_no_literal_survives_however_it_is_spelled(secret: str) -> None:
    marked = f"QZX{secret}QZX"
    for literal in (
        "'" + marked.replace("'", "''") + "'",
        "E'" + marked.replace("\\", "\\\\").replace("'", "\\'") + "'",
        f"$tag${marked.replace('$', '')}$tag$",
        f"/* {marked.replace('*', '').replace('/', '')} */ 1",
    ):
        assert "QZX" not in normalise(f"SELECT {literal}".encode(), "KIND")


@pytest.mark.parametrize("text", [*cases.READS, *cases.WRITES, *cases.DDL, *cases.PRIVILEGED])
def test_a_normalised_text_normalises_to_itself(text: str) -> None:
    once = classify_sql(text.encode(), ("public",)).classification.normalised
    assert len(once) <= SqlLimits().normalised_chars
    if "?" not in once:
        assert normalise(once.encode(), "KIND") == once
