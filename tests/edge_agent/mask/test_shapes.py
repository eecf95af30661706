"""JSON and arrays of text: masked and searched text by text, and alike in both formats."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.arrays import change_binary, change_text
from edge_agent.mask.detect import Scan
from edge_agent.mask.shapes import Shape, shape_of
from twokeys.data_class import Detector, Form

JSON, JSONB, TEXTS = 114, 3802, 1009
SCAN = Scan(Detector)
CARD = "4111111111111111"


def array(*elements: str | None) -> bytes:
    """A binary text[] of one dimension."""
    if not elements:
        return struct.pack("!iiI", 0, 0, 25)
    head = struct.pack("!iiIii", 1, int(None in elements), 25, len(elements), 1)
    return head + b"".join(map(counted, elements))


def counted(element: str | None) -> bytes:
    return b"\xff" * 4 if element is None else struct.pack("!i", len(element.encode())) + element.encode()


def spelled(*elements: str | None) -> bytes:
    """The same in text format, each element quoted."""
    return ("{" + ",".join(map(quoted, elements)) + "}").encode()


def quoted(element: str | None) -> str:
    return "NULL" if element is None else '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shape(type_: int, *, binary: bool) -> Shape:
    found = shape_of(type_, binary=binary)
    assert found is not None
    return found


def test_a_document_is_masked_as_a_string_of_json() -> None:
    text, binary = shape(JSONB, binary=False), shape(JSONB, binary=True)
    for form, value, shown in (
        (Form.REDACT, b'{"a": 1}', b'"***"'),
        (Form.PARTIAL, b'{"a": "x@y.example"}', b'"***"'),
        (Form.PARTIAL, b'"ann@example.com"', b'"a***@example.com"'),
        (Form.HASH, b"7", None),
    ):
        found = text.masked(form, value, b"k")
        assert binary.masked(form, b"\1" + value, b"k") == b"\1" + (found or b"")
        assert shown is None or found == shown
        json.loads(found or b"")
    assert text.masked(Form.NULL, b"1", b"k") is None
    assert binary.masked(Form.REDACT, b"\2{}", b"k") is None, "of a version that nobody knows"


@given(st.lists(st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12), max_size=5))
def test_an_array_is_masked_alike_in_both_formats(elements: list[str | None]) -> None:
    for form in (Form.PARTIAL, Form.HASH):
        shown: list[str | None] = []

        def noted(element: bytes, shown: list[str | None] = shown) -> bytes:
            shown.append(element.decode())
            return element

        text = shape(TEXTS, binary=False).masked(form, spelled(*elements), b"k")
        binary = shape(TEXTS, binary=True).masked(form, array(*elements), b"k")
        assert text is not None
        assert binary is not None
        change_text(text, noted)
        from_text = shown.copy()
        shown.clear()
        change_binary(binary, noted)
        assert from_text == shown
        assert len(shown) == len([each for each in elements if each is not None])


def test_a_redacted_array_does_not_tell_how_many() -> None:
    assert shape(TEXTS, binary=False).masked(Form.REDACT, spelled("a", None, "b"), b"") == b'{"***"}'
    assert shape(TEXTS, binary=True).masked(Form.REDACT, array("a", None, "b"), b"") == array("***")


@pytest.mark.parametrize(
    "malformed",
    [
        b"",
        array("a")[:-1],
        array("a") + b"x",
        struct.pack("!iiIii", 1, 0, 25, 2**31 - 1, 1),
        struct.pack("!iiIii", 1, 0, 25, -1, 1),
        struct.pack("!iiI", 7, 0, 25),
        struct.pack("!iiIiii", 1, 0, 25, 1, 1, -2),
        struct.pack("!iiIiii", 1, 0, 23, 1, 1, 4) + b"ann@",
    ],
)
def test_of_a_malformed_array_nothing_is_shown(malformed: bytes) -> None:
    assert shape(TEXTS, binary=True).masked(Form.PARTIAL, malformed, b"") is None
    assert shape(TEXTS, binary=True).searched(malformed, SCAN) is None


def test_what_is_found_in_an_array_is_replaced_alike() -> None:
    given_ = ("to ann@example.com", None, 'say "hi"\\', CARD)
    shown = ("to ***", None, 'say "hi"\\', "***")
    assert shape(TEXTS, binary=False).searched(spelled(*given_), SCAN) == spelled(*shown)
    assert shape(TEXTS, binary=True).searched(array(*given_), SCAN) == array(*shown)
    assert shape(TEXTS, binary=False).searched(b"[0:1]={{a},{b@example.com}}", SCAN) == b'[0:1]={{a},{"***"}}'


def test_what_is_found_in_a_document_stays_json() -> None:
    value = b'{"ann@example.com": [4111111111111111, "a\\"b", "ok"], "n": 1.50}'
    shown = b'{"***": ["***", "a\\"b", "ok"], "n": 1.50}'
    assert shape(JSON, binary=False).searched(value, SCAN) == shown
    assert shape(JSONB, binary=True).searched(b"\1" + value, SCAN) == b"\1" + shown


def test_m1_an_escape_hides_nothing_in_json() -> None:
    assert shape(JSON, binary=False).searched(b'"ann\\u0040example.com"', SCAN) == b'"***"'


def test_m1_a_key_in_several_texts_is_not_shown_from_the_second_on() -> None:
    lines = ("-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBg", "-----END PRIVATE KEY-----")
    assert shape(TEXTS, binary=True).searched(array(*lines), SCAN) is None
    assert shape(TEXTS, binary=False).searched(spelled(*lines), SCAN) is None
    assert shape(JSON, binary=False).searched(json.dumps(lines).encode(), SCAN) is None


@pytest.mark.parametrize("length", [48, 57, 65, 90, 97, 122, 0x3131, 0x313131])
def test_m1_a_length_just_before_a_card_does_not_hide_it(length: int) -> None:
    text = CARD.encode().ljust(length, b" ")
    assert SCAN.finds_framed(struct.pack("!iIi", 1, 25, length) + text)


ESCAPED = [
    rb'{"mail": "ann\u0040example.com"}',
    rb'{"{\"mail\": \"ann\\u0040example.com\"}"}',
    rb'"{\"mail\": \"ann\\u0040example.com\"}"',
    rb'{"{\"in\": \"{\\\"mail\\\": \\\"ann\\\\u0040example.com\\\"}\"}"}',
    rb'{"card": "4111\u0020111111111111"}',
]


@pytest.mark.parametrize("value", ESCAPED)
def test_m1_an_escape_in_a_text_hides_nothing(value: bytes) -> None:
    assert SCAN.scrub(value) == value
    assert SCAN.finds_escaped(value)


def test_m1_an_escape_in_an_element_hides_nothing() -> None:
    shape, element = shape_of(TEXTS, binary=False), r'{"mail": "ann\u0040example.com"}'
    assert shape is not None
    assert shape.searched(spelled("a", element), SCAN) is None
    framed = shape_of(TEXTS, binary=True)
    assert framed is not None and framed.searched(array("a", element), SCAN) is None


@pytest.mark.parametrize(
    "value", [rb"C:\users\bob", rb'{"a": "\u00e9t\u00e9"}', b"plain", rb"\u", rb"\u004", b"\\" * 99]
)
def test_other_escapes_are_no_find(value: bytes) -> None:
    assert not SCAN.finds_escaped(value)
