"""Rows of a COPY in other spellings: what a real server writes is read, and what is written instead is read by it."""

from __future__ import annotations

import itertools

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.copied import DELIMITERS, ESCAPES, NULLS, CopyOut, UnreadableCopy, copy_out
from edge_agent.mask.rows import CALL, SHOW
from edge_agent.mask.spelled import mask_row, mask_spelled
from edge_agent.protocols.postgres import encode
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import SUPERUSER

NASTY = [
    "",
    " ",
    "a",
    "\\",
    "\\N",
    "NULL",
    "null",
    "-",
    '"',
    '""',
    "a\nb",
    "\r",
    "\t",
    "\\.",
    "\x01",
    "é",
    *DELIMITERS,
    *sorted(ESCAPES - DELIMITERS - {'"', "\\"}),
]
NASTY += [f"x{mark}\\{mark}" for mark in sorted(DELIMITERS | ESCAPES)] + ['a"b\\"c', "\\" * 3]
CALLED = bytes((SHOW, CALL, CALL))
OPTIONS = [
    (form, delimiter, null, extra)
    for form, delimiter, null in itertools.product(("text", "csv"), (None, *sorted(DELIMITERS)), (None, *sorted(NULLS)))
    for extra in (("", ", FORCE_QUOTE *") if form == "csv" and delimiter in (None, ";") else ("",))
]

MARKS = [("csv", delimiter, None, f", QUOTE {quote}{escape}{force}")
         for delimiter in (None, "|") for quote in ("'\"'", "'^'", "'*'", "''''", "'$'")
         for escape in ("", ", ESCAPE '\\'", ", ESCAPE '#'") for force in ("", ", FORCE_QUOTE *")]  # fmt: skip
OPTIONS += MARKS


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def spelled(form: str, delimiter: str | None, null: str | None, extra: str = "") -> str:
    more = f", DELIMITER {literal(delimiter)}" if delimiter is not None else ""
    return f"(FORMAT {form}{more}{f', NULL {literal(null)}' if null is not None else ''}{extra})"


STANDS = b"*;|,\t\"\\*\n^#'$"


def instead(column: int, value: bytes) -> bytes | None:
    return STANDS if column == 1 else None


def messages(rows: list[bytes]) -> bytes:
    return b"".join(map(encode.copy_data, rows))


def test_what_a_server_writes_is_read_and_what_stands_instead_is_read_by_it(any_postgres: RealPostgres) -> None:
    server, tried = any_postgres.server, 0
    with psycopg.connect(
        host=any_postgres.host, port=any_postgres.port, dbname=any_postgres.database, user=SUPERUSER,
        password=server.superuser_password, autocommit=True,
    ) as client:  # fmt: skip
        client.execute("CREATE TEMP TABLE nasty (n int, a text, b text); CREATE TEMP TABLE back (LIKE nasty)")
        values = [(at, one, other) for at, (one, other) in enumerate(zip(NASTY, NASTY[1:] + NASTY[:1], strict=True))]
        with client.cursor() as cursor:
            cursor.executemany("INSERT INTO nasty VALUES (%s, %s, %s)", [*values, (998, None, "x"), (999, "x", None)])
        for form, delimiter, null, extra in OPTIONS:
            how = spelled(form, delimiter, null, extra)
            copy = copy_out(f"COPY nasty TO STDOUT {how}".encode())
            assert copy is not None, how
            with client.cursor() as cursor, cursor.copy(f"COPY nasty TO STDOUT {how}") as out:
                rows = [bytes(row) for row in out]
            seen: list[bytes] = []

            def noted(column: int, value: bytes, seen: list[bytes] = seen) -> bytes:
                seen.append(value)
                return value

            data = messages(rows)
            assert mask_spelled(data, CALLED, noted, copy) == data
            unclear = set() if form == "csv" else {copy.null.decode()} - {"\\N"}
            expected = sorted(value for row in values for value in row[1:] if value not in unclear)
            assert sorted(value.decode() for value in seen if value != b"x") == expected, how
            masked = b"".join(mask_row(row, CALLED, instead, copy) for row in rows)
            client.execute("TRUNCATE back")
            with (
                client.cursor() as cursor,
                cursor.copy(f"COPY back FROM STDIN {how.replace(', FORCE_QUOTE *', '')}") as into,
            ):
                into.write(masked)
            found = client.execute("SELECT DISTINCT a, b FROM back WHERE a IS NOT NULL").fetchall()
            assert {one for one, _ in found} == {STANDS.decode()}, how
            assert {other for _, other in found} == {None}, how
            tried += 1
    assert tried == len(OPTIONS) > 100


@pytest.mark.parametrize("options", [
    "(DELIMITER '=')", "(NULL 'ann@example.com')", "(FORMAT csv, QUOTE 'a')", "(FORMAT csv, ESCAPE '@')",
    "(FORMAT csv, QUOTE ',')", "(ENCODING 'latin1')", "(DELIMITER ',', NULL ',')",
])  # fmt: skip
def test_m3_other_spellings_are_not_read(options: str) -> None:
    assert copy_out(f"COPY t TO STDOUT {options}".encode()) is None


@pytest.mark.parametrize("row", [b"", b"1;a", b"1;a\n", b"1;a;b;c\n", b"1;a\\;b\n", b"1;a;b\n\n", b"1;a;b\\\n"])
def test_a_row_that_does_not_fit_is_not_shown(row: bytes) -> None:
    with pytest.raises(UnreadableCopy):
        mask_row(row, CALLED, lambda column, value: value, CopyOut(b"", False, False, b";", b"NULL"))


ANY = [CopyOut(b"", csv, False, b";", b"-") for csv in (False, True)]
ANY += [CopyOut(b"", True, False, b";", b"-", b"'", escape) for escape in (b"'", b"\\")]


@given(st.binary(max_size=60), st.sampled_from(ANY))
def test_any_bytes_are_read_or_refused(data: bytes, copy: CopyOut) -> None:
    for given_data in (data, messages([data]), messages([data]) + data):
        try:
            mask_spelled(given_data, CALLED, lambda column, value: None, copy)
        except UnreadableCopy:
            continue
