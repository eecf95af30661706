"""Colour follows the server's lexical rules, and never changes the text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.chalicelib.pages.lexer import Token, tokens


@given(st.text(alphabet=st.sampled_from("aE'\"$/*-\\\n 1;xé\u202e")))
def test_the_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(part for _, part in tokens(text)) == text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("/* a /* b */ c */ DROP", "/* a /* b */ c */"),
        ("-- a\nDROP", "-- a"),
        ("/* open DROP", "/* open DROP"),
    ],
)
def test_a4_comments_end_where_the_server_ends_them(text: str, hidden: str) -> None:
    assert [part for token, part in tokens(text) if token is Token.COMMENT] == [hidden]


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        (r"'\' DROP '", [r"'\'", "'"]),
        (r"E'\' x' DROP", [r"E'\' x'"]),
        ("'it''s' DROP", ["'it''s'"]),
        ("$a$ $b$ ' $a$ DROP", ["$a$ $b$ ' $a$"]),
        ("$$ open", ["$$ open"]),
        ("x$a$ DROP", []),
    ],
)
def test_a4_strings_end_where_the_server_ends_them(text: str, strings: list[str]) -> None:
    assert [part for token, part in tokens(text) if token is Token.STRING] == strings


@pytest.mark.parametrize("text", ["'" * 60_001, "/*" * 30_000, "E'\\" * 20_000, "$a$b" * 15_000, '"' * 60_001])
def test_hostile_texts_take_linear_time(text: str) -> None:
    before = time.process_time()
    assert "".join(part for _, part in tokens(text)) == text
    assert time.process_time() - before < 2
