"""What is read without postgast's Python side is what its Python side says."""

from __future__ import annotations

import ctypes
import importlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.classify.libpg_query import FIELD_TYPES, TOKENS, Malformed, describe, fields, lib
from edge_agent.classify.parser import Unscannable, scan

messages: Any = importlib.import_module("postgast.pg_query_pb2")
native: Any = importlib.import_module("postgast.native")

WORDS = ["SELECT", "1.5", "'a'", "$1", "(", ")", ",", "--x\n", "/* */", "é", '"T"', "||"]


def test_the_description_is_the_one_that_protobuf_reads() -> None:
    described = {
        name: {field.json_name: field.message_type.name for field in message.fields if field.message_type is not None}
        for name, message in messages.DESCRIPTOR.message_types_by_name.items()
    }
    assert described == FIELD_TYPES
    assert dict(messages.Token.items()) == TOKENS


@given(
    st.one_of(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=300),
        st.lists(
            st.sampled_from(["SELECT", "1.5", "'a'", "$1", "(", ")", ",", "--x\n", "/* */", "é", '"T"', "||"])
        ).map(" ".join),
    ),
    st.integers(0, 40),
)
def test_tokens_are_those_that_protobuf_reads(text: str, most: int) -> None:
    data = text.encode()
    try:
        tokens, more = scan(data, most)
    except Unscannable:
        tokens, more = [], False
    result = native.lib.pg_query_scan(data)
    whole = b"" if result.error else ctypes.string_at(result.pbuf.data, result.pbuf.len)
    native.lib.pg_query_free_scan_result(result)
    expected = [(one.token, one.start, one.end) for one in messages.ScanResult.FromString(whole).tokens]
    assert (tokens, more) == (expected[:most], len(expected) > most)


def test_tokens_far_into_a_long_text_keep_their_place() -> None:
    data = b"x " * 40_000
    tokens, more = scan(data, 100_000)
    assert (tokens[-1][1:], more) == ((79_998, 79_999), False)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\xff" * 12, b"\x09" + bytes(8), b"\x0d" + bytes(4)])
def test_what_is_no_message_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(fields(data))
    with pytest.raises(Malformed):
        describe(data)


def test_an_edge_loads_no_protobuf() -> None:
    code = "import sys, edge_agent.runtime; print([one for one in sys.modules if one[:6] in ('google', 'postga')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert lib is not native.lib
