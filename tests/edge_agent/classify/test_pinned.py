"""Texts that are pinned to the byte, and what is one byte away."""

from __future__ import annotations

import pytest

from edge_agent.classify.pinned import HARMLESS_CALLS, WITHOUT_SECRETS
from edge_agent.classify.sql import classify_sql

PINNED = sorted({*HARMLESS_CALLS, *WITHOUT_SECRETS})


@pytest.mark.parametrize("text", PINNED)
def test_a_pinned_text_reads(text: bytes) -> None:
    assert classify_sql(text, ("public",)).is_read


@pytest.mark.parametrize("text", PINNED)
def test_p6_what_is_one_byte_away_is_judged_by_what_it_does(text: bytes) -> None:
    for other in (text + b";", b" " + text, text + b" --", text + b"; SELECT 1", text.replace(b"SELECT", b"select", 1)):
        assert not classify_sql(other, ("public",)).is_read
