"""What hides is labelled, what is ordinary stays, nothing is lost."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.chalicelib.pages.visible import MAX_SPACES, Mark, imitation, pieces, plain


def test_ordinary_text_stays_as_it_is() -> None:
    text = "UPDATE öffentlich.bestellungen SET a = '€ 5' -- 日本語 שלום"
    assert list(pieces(text)) == [text]


@pytest.mark.parametrize(
    "character",
    [
        "\u202e",
        "\u2066",
        "\u200b",
        "\u200f",
        "\ufeff",
        "\u00ad",
        "\x1b",
        "\x00",
        "\u00a0",
        "\u3164",
        "\u2028",
        "\ufe0f",
        "\U000e0041",
    ],
)
def test_a4_a_character_that_hides_or_moves_text_is_labelled(character: str) -> None:
    shown = list(pieces(f"a{character}b"))
    assert [shown[0], shown[2]] == ["a", "b"]
    mark = shown[1]
    assert isinstance(mark, Mark)
    assert mark.danger and mark.label.startswith(f"U+{ord(character):04X} ")


def test_a4_a_run_of_spaces_cannot_push_the_tail_out_of_sight() -> None:
    assert plain("1;" + " " * 5000 + "DROP") == "1;[5000 spaces]DROP"
    assert plain("a" + " " * MAX_SPACES + "b") == "a" + " " * MAX_SPACES + "b"


def test_a4_imitated_names_are_told() -> None:
    assert "Cyrillic and Latin" in imitation("\u043erders") and "U+043E" in imitation("\u043erders")
    assert "Cyrillic" in imitation("\u0441\u043e\u0441\u043e")
    assert imitation("orders") == ""
    assert imitation('"größe"')


@given(st.text())
def test_nothing_is_dropped_and_nothing_shown_hides(text: str) -> None:
    rest = text
    for piece in pieces(text):
        if isinstance(piece, str):
            assert rest.startswith(piece)
            rest = rest[len(piece) :]
            assert not any(
                unicodedata.category(one) in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp") for one in piece if one not in "\n\t"
            )
        elif piece.label.endswith(("spaces", "tabs")) and piece.label[0].isdigit():
            rest = rest[int(piece.label.split()[0]) :]
        else:
            rest = rest[1:]
    assert rest == ""
