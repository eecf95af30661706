"""What a control plane tells about signing in is bounded, and newer versions may tell more."""

from __future__ import annotations

import pytest

from twokeys.discovery import SignInFacts, read_facts
from twokeys.errors import InvalidInput


def test_newer_fields_are_left_alone() -> None:
    told = b'{"issuer": "https://i.example", "client_id": "c", "newer": {"a": 1}}'
    assert read_facts(told) == SignInFacts(issuer="https://i.example", client_id="c", scope="openid", ports=[])


@pytest.mark.parametrize(
    "told",
    [b"", b"[]", b'{"issuer": ""}', b'{"issuer": "i", "client_id": "c", "ports": [0]}', b"[" * 10_000, b" " * 20_000,
     b'{"issuer": "i", "client_id": "c", "ports": [70000]}', b'{"issuer": 7, "client_id": "c"}'],
)  # fmt: skip
def test_what_is_malformed_or_too_long_is_refused(told: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_facts(told)
