"""Places for connections that have not signed in."""

from __future__ import annotations

import pytest

from edge_agent.net.starting import Starting, source_of


def test_one_address_leaves_room_for_others_and_gets_its_places_back() -> None:
    starting = Starting(3, 2)
    first, second = starting.take("10.0.0.1"), starting.take("10.0.0.1")
    assert first is not None and second is not None
    assert starting.take("10.0.0.1") is None
    third = starting.take("10.0.0.2")
    assert third is not None and len(starting) == 3
    assert starting.take("10.0.0.3") is None
    first.leave()
    first.leave()
    assert len(starting) == 2
    assert starting.take("10.0.0.1") is not None


def test_addresses_that_left_leave_nothing_behind() -> None:
    starting = Starting(10, 10)
    for at in range(1000):
        place = starting.take(f"10.0.{at // 250}.{at % 250}")
        assert place is not None
        place.leave()
    full = [starting.take("10.1.0.1") for _ in range(10)]
    assert all(full) and all(starting.take(f"10.2.0.{at}") is None for at in range(100))
    assert len(starting._taken) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "", True),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    assert (source_of(one) == source_of(other)) is same
