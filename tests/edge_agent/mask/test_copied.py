"""COPY's rows are read as COPY writes them, and a COPY in any other form is not read at all."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.copied import CopyOut, UnreadableCopy, copy_out, mask_csv, mask_text


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        ("COPY t TO STDOUT", CopyOut(b'SELECT * FROM "t"', False, False)),
        ('copy shop."T""x" (a, "B") to stdout;', CopyOut(b'SELECT "a", "B" FROM "shop"."T""x"', False, False)),
        ("COPY (SELECT ')', (1)) TO STDOUT CSV HEADER", CopyOut(b"SELECT ')', (1)", True, True, b",", b"")),
        ("/* ( */ COPY /* ( */ (TABLE t) TO STDOUT (FORMAT csv, HEADER)", CopyOut(b"TABLE t", True, True, b",", b"")),
        ("COPY t TO STDOUT (FORMAT text)", CopyOut(b'SELECT * FROM "t"', False, False)),
        ("COPY t TO STDOUT (FORMAT binary)", CopyOut(b'SELECT * FROM "t"', False, False, binary=True)),
        ("COPY t TO STDOUT (FORMAT csv, QUOTE '^')", CopyOut(b'SELECT * FROM "t"', True, False, b",", b"", b"^", b"^")),
        ("COPY t TO STDOUT CSV ESCAPE '\\'", CopyOut(b'SELECT * FROM "t"', True, False, b",", b"", b'"', b"\\")),
        ("COPY t TO STDOUT (FORMAT csv, QUOTE '^', DELIMITER '^')", None),
        ("COPY t TO STDOUT (FORMAT csv, ESCAPE '^', DELIMITER '^')", None),
        ("COPY t TO STDOUT (DELIMITER '=')", None),
        ("COPY t TO STDOUT (FORMAT csv, QUOTE 'a')", None),
        ("COPY t TO STDOUT (NULL 'x')", None),
        ("COPY t TO '/tmp/x'", None),
        ("COPY t FROM STDIN", None),
        ("COPY t TO STDOUT; SELECT 1", None),
        ("SELECT 1", None),
        ("COPY t TO", None),
    ],
)
def test_only_forms_that_can_be_read_are(text: str, copy: CopyOut | None) -> None:
    assert copy_out(text.encode()) == copy


ALL = range(3)


def shout(column: int, value: bytes) -> bytes | None:
    return value if column == 0 else None if column == 1 else value.upper()


def test_fields_of_the_text_format_are_rewritten() -> None:
    assert mask_text(b"a\\tb\tsecret\tx\\\\y\n", 3, shout, ALL) == b"a\\tb\t\\N\tX\\\\Y\n"
    assert mask_text(b"\\N\t\\N\t\\N\n", 3, shout, ALL) == b"\\N\t\\N\t\\N\n"


def test_fields_of_csv_are_rewritten() -> None:
    assert mask_csv(b'"a,\nb",secret,"say ""x"""\n', 3, shout, ALL) == b'"a,\nb",,"SAY ""X"""\n'
    assert mask_csv(b',"",\n', 3, lambda _, value: value + b"!", ALL) == b',"!",\n'


@pytest.mark.parametrize("row", [b"a\tb\n", b"a\tb\tc", b"a\tb\tc\td\n", b""])
def test_a_row_of_text_that_does_not_fit_is_not_shown(row: bytes) -> None:
    with pytest.raises(UnreadableCopy):
        mask_text(row, 3, shout, ALL)


@pytest.mark.parametrize("row", [b"a,b\n", b"a,b,c", b'a,"b,c\n', b'a,b"x,c\n', b"a,b,c\nd,e,f\n", b"a,b,c,d\n", b""])
def test_a_row_of_csv_that_does_not_fit_is_not_shown(row: bytes) -> None:
    with pytest.raises(UnreadableCopy):
        mask_csv(row, 3, shout, ALL)


def test_columns_that_are_shown_are_not_asked_about() -> None:
    assert mask_text(b"a\\tb\tx\\\\y\tc\\n\n", 3, lambda *_: b"\t", (1,)) == b"a\\tb\t\\t\tc\\n\n"
    assert mask_csv(b'"a,""",b,\n', 3, lambda *_: b"x", (1,)) == b'"a,""","x",\n'


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1, max_size=5))
def test_what_is_shown_as_it_is_stays_as_it_was(values: list[str]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(values)
    row = written.getvalue().encode()
    assert mask_csv(row, len(values), lambda _, value: value, range(len(values))) == row
    escapes = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\"}
    text = "\t".join(value.translate(escapes) for value in values).encode() + b"\n"
    seen: list[bytes] = []

    def see(_: int, value: bytes) -> bytes:
        seen.append(value)
        return value

    assert mask_text(text, len(values), see, range(len(values))) == text
    assert seen == [value.encode() for value in values]
