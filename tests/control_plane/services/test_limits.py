"""Limits that stores rely on."""

from __future__ import annotations

import pytest

from control_plane.chalicelib.adapters.aws.people import EDIT_KEPT_MILLISECONDS
from control_plane.chalicelib.adapters.embedded.pruning import EDIT_DAYS
from control_plane.chalicelib.services.limits import MAX_EDIT_SECONDS, Limits


def test_no_store_forgets_an_edit_that_still_counts() -> None:
    assert Limits(edit_seconds=MAX_EDIT_SECONDS).edit_seconds == MAX_EDIT_SECONDS
    with pytest.raises(ValueError, match="edit_seconds"):
        Limits(edit_seconds=MAX_EDIT_SECONDS + 1)
    assert MAX_EDIT_SECONDS * 1000 < EDIT_KEPT_MILLISECONDS
    assert MAX_EDIT_SECONDS < EDIT_DAYS * 86_400


@pytest.mark.parametrize("name", Limits.__slots__)
def test_none_may_be_zero(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})
