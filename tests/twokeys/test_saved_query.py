"""Values of parameters never become part of a text, and each lands in its own place."""

from __future__ import annotations

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from twokeys.errors import InvalidInput
from twokeys.saved_query import (
    MAX_VALUE_CHARACTERS,
    Parameter,
    ParameterType,
    SavedQuery,
    execution_parameters,
    literal,
    positional,
)


def test_each_dollar_name_becomes_a_mark_in_its_place() -> None:
    assert positional("SELECT $a, $b, $a") == ("SELECT ?, ?, ?", ("a", "b", "a"))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '$a', 'it''s $b ?'",
        'SELECT "$path", "?" FROM t',
        "SELECT 1 -- $a ?\n",
        "SELECT /* $a ? \n */ 1",
        "SELECT $1",
    ],
)
def test_texts_names_and_comments_stay_as_they_are(text: str) -> None:
    assert positional(text) == (text, ())


def test_a_mark_of_the_auditors_own_is_refused() -> None:
    with pytest.raises(InvalidInput):
        positional("SELECT $a, ?")


@given(st.text(min_size=1, max_size=60).filter(lambda text: "\0" not in text))
def test_a_literal_is_one_text_whatever_is_in_it(value: str) -> None:
    tree = sqlglot.parse_one(f"SELECT {literal(value)}", read="athena")
    (found,) = tree.expressions
    assert isinstance(found, exp.Literal)
    assert found.is_string
    assert found.this == value


@pytest.mark.parametrize("value", ["", "a\0b", "x" * (MAX_VALUE_CHARACTERS + 1)])
def test_what_athena_would_not_take_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput):
        literal(value)


def test_each_place_has_its_value_and_each_value_a_place() -> None:
    assert execution_parameters(("a", "b", "a"), {"a": "1", "b": "o'x"}) == ["'1'", "'o''x'", "'1'"]
    with pytest.raises(InvalidInput, match="not given"):
        execution_parameters(("a",), {})
    with pytest.raises(InvalidInput, match="not in the query"):
        execution_parameters((), {"a": "1"})


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("2026-11-01", "2026-11-01T00:00:00.000Z"),
        ("2026-11-01T09:05", "2026-11-01T09:05:00.000Z"),
        ("2026-11-01T09:05:07.5Z", "2026-11-01T09:05:07.500Z"),
    ],
)
def test_a_time_is_written_out_as_records_have_it(text: str, full: str) -> None:
    assert Parameter("since", "", "", ParameterType.TIME).check(text) == full


@pytest.mark.parametrize(
    "text",
    ["2026-11-01 09:05", "2026-13-01", "2026-11-01T24:00", "yesterday", "2026-11-01T09:05+02:00", "2026-11-01\n"],
)
def test_a_time_that_would_compare_wrongly_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as told:
        Parameter("since", "", "2026-11-01", ParameterType.TIME).check(text)
    assert "since=2026-11-01" in told.value.advice


def test_values_are_asked_for_checked_and_filled_in() -> None:
    query = SavedQuery("q", "", "", "SELECT $a, $n", (Parameter("a", "What.", "x"), Parameter("n", "", "1",
                       ParameterType.INTEGER, "10")))  # fmt: skip
    assert query.values({"a": "v"}) == {"a": "v", "n": "10"}
    for given_values, told in (
        ({}, "needs a"),
        ({"a": "v", "z": "1"}, "no parameter 'z'"),
        ({"a": "v", "n": "x"}, "'x'"),
    ):
        with pytest.raises(InvalidInput, match=told):
            query.values(given_values)


def test_a_query_declares_exactly_what_it_uses() -> None:
    with pytest.raises(ValueError, match="declares other"):
        SavedQuery("q", "", "", "SELECT $a", ())
