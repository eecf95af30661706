from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.classify.names import dotted, has_invisible, visible


@given(
    st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_two_names_never_share_a_path(one: list[str], other: list[str]) -> None:
    assert (dotted(*one) == dotted(*other)) == (one == other)


@given(st.text(max_size=20))
def test_what_is_made_visible_holds_nothing_invisible(text: str) -> None:
    assert not has_invisible(visible(text))


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("orders", "Straße", "таблица", "表", "a b", "e\u0301"):
        assert visible(text) == text
    assert visible("a\u200bb\u202ec\nd") == "a\\u{200b}b\\u{202e}c\\u{a}d"
