"""Nothing that others wrote acts on the terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twokeys_cli.output import MARK, as_json, cell, console, plain, visible

ATTACKS = {
    "escape": "\x1b[2K\x1b[1A", "c1": "\x9b31m", "backspace": "abc\x08\x08\x08", "return": "drop\rselect", "bell": "\a",
    "bidi": "\u202edrop\u202c", "isolate": "\u2066x\u2069", "zero width": "a\u200bb\u200d\ufeff", "nul": "\0",
    "tag": "\U000e0041", "separator": "a\u2028b\u2029", "no-break": "a\u00a0b", "filler": "\u3164",
    "selector": "a\ufe0f", "soft hyphen": "a\u00ad", "private": "\ue000", "delete": "\x7f", "surrogate": "\ud800",
}  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_a4_hidden_characters_are_written_out(text: str) -> None:
    shown = visible(text)
    assert "<U+" in shown.plain
    assert all(unicodedata.category(one) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} for one in shown.plain)
    assert all("<U+" in shown.plain[span.start : span.end] for span in shown.spans)


@given(st.text())
def test_what_is_shown_has_no_control_but_line_breaks_and_tabs(text: str) -> None:
    assert all(one in "\n\t" or unicodedata.category(one)[0] != "C" for one in visible(text).plain)
    assert "\n" not in plain(text)


def test_the_mark_tells_a_hidden_character_from_its_name_typed_out() -> None:
    typed, hidden = visible("<U+001B>"), visible("\x1b")
    assert typed.plain == hidden.plain
    assert [span.style for span in hidden.spans] == [MARK]
    assert typed.spans == []


def test_ordinary_text_stays() -> None:
    text = "update t set name = 'Zoë 日本 ✓'\n\twhere [bold]id[/bold] = 1 :smile:"
    assert visible(text).plain == text
    with console().capture() as capture:
        console().print(visible(text))
    made = console()
    with made.capture() as capture:
        made.print(visible(text), cell(["[link=x]y[/link]", None, True]))
    assert "[bold]id[/bold]" in capture.get()
    assert "[link=x]y[/link]" in capture.get()


def test_json_is_ascii() -> None:
    assert as_json(("a",), [["\u202e\x1b"]]).isascii()
