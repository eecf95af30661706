"""Errors and notices keep what tells no value."""

from __future__ import annotations

import pytest

from edge_agent.mask.spoken import UNSAID, without_values

VALUE = b"ann@example.com"


@pytest.mark.parametrize(
    "fields",
    [
        {"C": b"22P02", "M": b'invalid input syntax for type integer: "ann@example.com"'},
        {"C": b"42P01", "M": b'relation "ann@example.com" does not exist'},
        {"C": b"P0001", "M": VALUE, "W": b"PL/pgSQL function f() line 1 at RAISE"},
        {"C": b"25006", "M": VALUE, "W": b"PL/pgSQL function f() line 1 at RAISE", "t": VALUE, "n": VALUE},
        {"C": b"42601", "M": VALUE, "P": b"1", "q": b"SELECT ann@example.com", "W": b"SQL statement"},
        {"C": b"23505", "M": b"duplicate key value", "D": b"Key (email)=(ann@example.com) already exists."},
        {"C": b"00000", "M": VALUE, "H": VALUE},
        {},
    ],
)
def test_m3_no_value_is_left(fields: dict[str, bytes]) -> None:
    kept = without_values(fields)
    assert VALUE not in b"".join(kept.values())
    assert kept.get("C") == fields.get("C")


def test_what_the_server_says_of_the_text_stays() -> None:
    fields = {"S": b"ERROR", "C": b"42703", "M": b'column "mail" does not exist', "P": b"8", "H": b"Perhaps email."}
    assert without_values(fields) == fields
    assert without_values({"C": b"22P02", "M": b"x"})["M"] == UNSAID
