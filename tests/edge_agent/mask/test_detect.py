"""Detectors replace what they know by its exact rule, and leave what only looks alike."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mask.detect import Scan
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
