"""Detectors replace what they know by its exact rule, and leave what only looks alike."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.detect import MAX_CHECKS, Scan
from twokeys.data_class import Detector

ALL = Scan(Detector)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ask ann@example.com, or rob", "ask ***, or rob"),
        ('{"to":"a.b+c@mail.example.co.uk"}', '{"to":"***"}'),
        ("card 4111 1111 1111 1111.", "card ***."),
        ("5555-5555-5555-4444", "***"),
        ("378282246310005", "***"),
        ("DE89 3704 0044 0532 0130 00", "***"),
        ("GB82WEST12345698765432", "***"),
        ("call +49 (30) 1234567 now", "call *** now"),
        ("ssn 536-22-1234", "ssn ***"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl", "Bearer ***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----", "***"),
    ],
)
def test_what_is_classified_is_replaced(text: str, shown: str) -> None:
    assert ALL.scrub(text.encode()) == shown.encode()


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "9999999999999995",
        "d41d8cd98f00b204e9800998ecf8427e",
        "123e4567-e89b-12d3-a456-426614174000",
        "2026-11-23 04:15:00+00",
        "DE89370400440532013001",
        "000-12-3456",
        "a @ b",
        "@example.com",
        "1 + 2 = 3",
        "eyJ",
        "0000000000000000",
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert ALL.scrub(text.encode()) == text.encode()


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_and_scrubbing_twice_changes_nothing_more(value: bytes) -> None:
    once = ALL.scrub(value)
    assert ALL.scrub(once) == once


@pytest.mark.parametrize(
    "piece", [b"eyJaaaaaaaaa.", b"a@", b"+1 ", b"4 1", b"AB12 ", b"-----BEGIN PRIVATE KEY-----", b"1-", b"a.a@b."]
)
def test_no_value_takes_longer_than_its_length_allows(piece: bytes) -> None:
    value = piece * (200_000 // len(piece))
    began = time.process_time()
    ALL.scrub(value)
    assert time.process_time() - began < 5


def ordinary(count: int) -> Iterator[str]:
    """Rows as tables have them, with nothing of anybody in them."""
    chance = random.Random(5)
    digits = chance.randrange
    for _ in range(count):
        yield str(uuid.UUID(int=chance.getrandbits(128)))
        yield f"{chance.getrandbits(256):064x}"
        yield (datetime(2020, 1, 1) + timedelta(seconds=digits(10**8))).isoformat(" ") + "+00"
        yield f"ORD-{digits(2015, 2027)}-{digits(10**5):05}"
        yield ".".join(str(digits(256)) for _ in range(4))
        yield f"v{digits(9)}.{digits(30)}.{digits(30)}+build.{digits(9999)}"
        yield f"{digits(10**6)}.{digits(100):02}"
        yield f"978-{digits(10)}-{digits(10**4):04}-{digits(10**4):04}-{digits(10)}"
        yield f"0x{chance.getrandbits(64):016x}"
        yield str(digits(10**12, 10**13))
        yield str(digits(10**17, 10**18))
        yield f"{digits(-(10**9), 10**9):+}"
        yield f"{chance.uniform(-90, 90):.6f}, {chance.uniform(-180, 180):.6f}"
        yield f"{digits(10**4):04}-{digits(1000):03}-{digits(1000):03}"
        yield f"DE{digits(100):02} shipped {digits(1000)} items"
        yield f"/var/log/app-{digits(10**8)}.log.{digits(10)}.gz"


@pytest.mark.parametrize("detector", Detector)
def test_ordinary_rows_are_left_alone(detector: Detector) -> None:
    rows, scan = list(ordinary(400)), Scan([detector])
    wrong = [row for row in rows if scan.scrub(row.encode()) != row.encode()]
    # A few signed integers are numbers of some plan; nothing else looks like anything.
    assert len(wrong) <= (8 if detector is Detector.PHONE else 0), wrong[:10]
    assert all(row.startswith("+") for row in wrong)


@pytest.mark.parametrize("text", ["+493012345678", "+14155552671", "+442079460958", "+33142278186", "+81312345678"])
def test_a_phone_number_needs_no_separators(text: str) -> None:
    assert ALL.scrub(f"tel:{text};".encode()) == b"tel:***;"


def test_beyond_so_many_finds_all_are_hits() -> None:
    value = b"+757754189 " * (MAX_CHECKS + 1)
    assert Scan([Detector.PHONE]).scrub(value) == b"+757754189 " * MAX_CHECKS + b"*** "
