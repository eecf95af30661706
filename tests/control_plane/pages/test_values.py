"""Values are shown as PostgreSQL itself writes them, or as bytes."""

from __future__ import annotations

import datetime
import decimal
import struct
import uuid
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer

from control_plane.chalicelib.pages.values import show


def binary(value: Any) -> tuple[int, bytes]:
    """An independent writer of the binary format: psycopg's own dumpers."""
    dumper = Transformer().get_dumper(value, PyFormat.BINARY)
    data = dumper.dump(value)
    assert data is not None
    return dumper.oid, bytes(data)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (-5, "-5"),
        (2**40, str(2**40)),
        (1.5, "1.5"),
        (decimal.Decimal("0"), "0"),
        (decimal.Decimal("-12345678.90"), "-12345678.90"),
        (decimal.Decimal("0.00001234"), "0.00001234"),
        (decimal.Decimal("100000000"), "100000000"),
        (decimal.Decimal("NaN"), "NaN"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (datetime.date(2026, 11, 22), "2026-11-22"),
        (datetime.datetime(1999, 1, 2, 3, 4, 5), "1999-01-02 03:04:05"),
        (b"\x00\xff", "\\x00ff"),
    ],
)
def test_binary_values_are_read_by_their_type(value: Any, shown: str) -> None:
    oid, data = binary(value)
    assert (show(oid, 1, data).text, show(oid, 1, data).how) == (shown, "decoded")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=5))
def test_no_digit_of_a_numeric_is_lost(value: decimal.Decimal) -> None:
    oid, data = binary(value)
    assert decimal.Decimal(show(oid, 1, data).text) == value


def test_arrays_are_read() -> None:
    data = struct.pack("!iiIii", 1, 1, 23, 2, 1) + struct.pack("!ii", 4, 7) + struct.pack("!i", -1)
    assert show(1007, 1, data).text == "{7, NULL}"


def test_null_is_no_text() -> None:
    assert show(25, 0, None).how == "null"
    assert show(25, 0, b"NULL").how == "text"


@pytest.mark.parametrize(
    ("oid", "code", "value"),
    [(23, 1, b"\x00"), (16, 1, b"\x02"), (25, 0, b"\xff"), (0, 1, b"abc"), (99999, 1, b"abc"), (1007, 1, b"\x00" * 5)],
)
def test_what_is_not_what_its_type_says_is_shown_as_bytes(oid: int, code: int, value: bytes) -> None:
    assert show(oid, code, value).how == "hex"
    assert bytes.fromhex(show(oid, code, value).text) == value


@given(
    st.sampled_from([0, 16, 17, 20, 21, 23, 25, 700, 701, 1007, 1082, 1114, 1184, 1231, 1700, 2950, 3802]), st.binary()
)
def test_any_bytes_are_shown_somehow(oid: int, value: bytes) -> None:
    assert show(oid, 1, value).how in ("decoded", "hex")


assert psycopg.__version__
