"""A verdict found by its shape is the one that a walk gives."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.classify.cache import SqlClassifier
from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.parser import tree_json
from edge_agent.classify.shape import (
    MAX_SHAPES,
    MAX_TEXT_BYTES,
    Shapes,
    has_shapes,
    other_values,
    skeleton,
    without_values,
)
from edge_agent.classify.sql import classify_sql
from tests.edge_agent.classify import cases

PATH = ("app", "public")
TEXTS = [*cases.READS, *cases.WRITES, *cases.UNCERTAIN]
NUMBERS = ("0", "1", "7", "65", "2147483647", "2147483648", "99999999999999999999", "007")
STRINGS = (
    "''",
    "'a'",
    "'role'",
    "'search_path'",
    "'transaction_read_only'",
    "'t'",
    "'it''s'",
    "'--'",
    "'/*'",
    "'é'",
    "'A_Const'",
)
LITERAL = re.compile(r"'[^']*'|(?<![\w.$])\d+(?![\w.])")


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_other_literals_get_the_verdict_of_a_walk(text: str, data: st.DataObject) -> None:
    classifier = SqlClassifier()
    classifier.classify(text.encode(), PATH)

    def other(found: re.Match[str]) -> str:
        choices = STRINGS if found[0].startswith("'") else NUMBERS
        return str(data.draw(st.sampled_from((found[0], *choices))))

    changed = LITERAL.sub(other, text).encode()
    assert classifier.classify(changed, PATH) == classify_sql(changed, PATH)


def test_every_case_after_every_other_of_its_skeleton() -> None:
    classifier = SqlClassifier()
    for text in (*TEXTS, *reversed(TEXTS)):
        assert classifier.classify(text.encode(), PATH) == classify_sql(text.encode(), PATH)


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ("SELECT 1", "SELECT '1'"),
        ("SELECT set_config('jit', 'off', false)", "SELECT set_config('role', 'off', false)"),
        ("SELECT repeat('x', 100)", "SELECT repeat('x', 999999999)"),
        ("SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t WHERE b = 'x' FOR UPDATE"),
        ("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 1; DELETE FROM t"),
        ("SELECT 'a' FROM t", "SELECT 'a' INTO t2 FROM t"),
        ("BEGIN READ ONLY", "BEGIN READ WRITE"),
        ("SELECT b'1'", "SELECT x'1'"),
    ],
)
def test_a_text_that_does_something_else_is_judged_anew(known: str, asked: str) -> None:
    classifier = SqlClassifier()
    classifier.classify(known.encode(), PATH)
    assert classifier.classify(asked.encode(), PATH) == classify_sql(asked.encode(), PATH)


def test_a_new_literal_costs_no_walk_and_is_not_remembered_by_its_bytes() -> None:
    classifier = SqlClassifier()
    first = classifier.classify(b"SELECT a FROM t WHERE a = 1 AND b = 'x'", PATH)
    assert classifier.classify(b"SELECT a FROM t WHERE a = 22 AND b = ''", PATH) is first
    assert len(classifier) == 1


def test_the_other_values_are_those_of_a_text_with_the_same_shape() -> None:
    text = b"SELECT a FROM t WHERE a = 1 AND b = 'x' LIMIT 5"
    assert skeleton(other_values(text)) == skeleton(text)
    assert without_values(tree_json(other_values(text))) == without_values(tree_json(text))


def test_the_search_path_and_the_catalogue_are_part_of_a_shape() -> None:
    shapes, verdict = Shapes(), classify_sql(b"SELECT a FROM t WHERE a = 1", PATH)
    bones = skeleton(b"SELECT a FROM t WHERE a = 1")
    assert bones is not None
    shapes.remember(bones, b"SELECT a FROM t WHERE a = 1", PATH, 3, verdict)
    asked = b"SELECT a FROM t WHERE a = 2"
    assert shapes.find(bones, asked, PATH, 3) is verdict
    assert shapes.find(bones, asked, ("public",), 3) is None
    assert shapes.find(bones, asked, PATH, 4) is None


@pytest.mark.parametrize("text", [b"SELECT 1 -- x", b"SELECT /* */ 1", b'SELECT "a"', b"SELECT $1", b"SELECT E'\\x'"])
def test_texts_whose_words_may_not_be_seen_have_no_shape(text: bytes) -> None:
    assert skeleton(text) is None


def test_long_texts_have_no_shape() -> None:
    assert skeleton(b"SELECT '" + b"x" * MAX_TEXT_BYTES + b"'") is None
    assert not has_shapes(SqlLimits(unscanned_bytes=100))


@pytest.mark.parametrize("bad", [b"SELECT a FROM t WHERE b = '\0'", b"SELECT a FROM t WHERE b = '\xff'"])
def test_bytes_that_are_no_text_are_refused_all_the_same(bad: bytes) -> None:
    classifier = SqlClassifier()
    assert classifier.classify(b"SELECT a FROM t WHERE b = 'x'", PATH).is_read
    assert classifier.classify(bad, PATH).refusal


@given(st.text(alphabet='"\\:,{}[]0123456789locatinA_Cvs ', max_size=60))
def test_a_string_cannot_look_like_the_parser_s_words(inner: str) -> None:
    quoted = inner.replace("'", "''").replace('"', '""')
    if not quoted:
        return
    one = tree_json(f'SELECT 1 AS "{quoted}"'.encode())
    two = tree_json(f'SELECT 1 AS "{quoted}x"'.encode())
    assert without_values(one) != without_values(two)


def test_shapes_are_bounded() -> None:
    shapes = Shapes()
    for number in range(MAX_SHAPES + 10):
        text = b"SELECT a%d FROM t" % number
        bones = skeleton(text)
        assert bones is not None
        shapes.remember(bones, text, PATH, 0, classify_sql(text, PATH))
    assert len(shapes) == MAX_SHAPES
