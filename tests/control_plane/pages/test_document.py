"""The parts of a Document hold the whole Command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.chalicelib.pages.document import MAX_COMMAND_BYTES, PART_ROWS, Document, lay_out
from tests.control_plane.pages.samples import blob
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.copy_data import MAX_HEAD_BYTES, CopyData, CopyFormat
from twokeys.digest import Json, canonical
from twokeys.effect import read_access
from twokeys.errors import InvalidInput
from twokeys.grant import GrantTerms


def shown(document: Document) -> str:
    return "".join(
        ("" if row.kind == "more" else "\n") + "".join(span.text for span in row.spans)
        for part in document.parts
        for row in part.rows
    )[1:]


@given(st.text(alphabet=st.sampled_from("abc;'\n é"), max_size=400))
def test_every_character_of_the_text_is_shown(text: str) -> None:
    if "     " in text or "\n\n\n\n" in text:
        text = text.replace(" ", "_").replace("\n\n", "\n-")
    assert shown(lay_out(blob(text))) == text


def test_a4_a_long_statement_is_paged_and_its_tail_is_there() -> None:
    text = "SELECT 1;\n" * 5000 + "DROP TABLE audit;"
    document = lay_out(blob(text))
    assert len(document.parts) > 10
    assert all(len(part.rows) <= PART_ROWS for part in document.parts)
    assert shown(document) == text
    assert [document.part_at(part.offset) for part in document.parts] == list(document.parts)


def test_a4_one_endless_line_is_paged_too() -> None:
    text = "x" * 100_000 + "tail"
    document = lay_out(blob(text))
    assert shown(document) == text and document.lines == 1


def test_a4_empty_lines_cannot_push_the_tail_out_of_sight() -> None:
    rows = lay_out(blob("a" + "\n" * 900 + "DROP")).parts[0].rows
    assert [row.kind for row in rows] == ["line", "gap", "line"]
    assert rows[1].spans[0].text == "899 empty lines"
    assert rows[2].number == 901


def test_values_are_shown_after_the_text() -> None:
    document = lay_out(blob("SELECT $1, $2", (25, 23), (0, 1), (b"two\nlines", None)))
    assert shown(document).split("\n") == ["SELECT $1, $2", "Values (2)", "$1text", "two", "lines", "$2integer", "NULL"]


def test_types_that_were_left_to_the_server_are_told_as_it_resolved_them() -> None:
    values = (b"happy", b"\x00\x00\x00\x07", b"x")
    document = lay_out(blob("SELECT $1, $2, $3", (0, 0, 25), (0, 1, 0), values), ("shop.mood", "integer", "other"))
    assert shown(document).split("\n")[2:] == [
        "$1shop.mood", "happy", "$2integer, sent as binary", "7", "$3text", "x",
    ]  # fmt: skip


def test_a4_a_types_name_hides_nothing() -> None:
    document = lay_out(blob("SELECT $1", (), (0,), (b"1",)), ('shop."\u202egetni"',))
    assert "\u202e" not in shown(document) and "right-to-left" in shown(document)


def test_a4_hiding_characters_and_imitations_are_hinted_at() -> None:
    hints = lay_out(blob("UPDATE \u043erders -- \u202e")).hints
    assert "Cyrillic" in hints[0] and "hide or move" in hints[1]


@pytest.mark.parametrize("bad", [b"", b"{}", b"[]", b'{"kind":"other","text":""}', b"\xff", b"[" * 100_000])
def test_what_is_no_command_is_not_shown(bad: bytes) -> None:
    with pytest.raises(InvalidInput):
        lay_out(bad)


def test_what_is_too_long_to_read_is_not_shown() -> None:
    with pytest.raises(InvalidInput, match="can't be approved"):
        lay_out(b" " * (MAX_COMMAND_BYTES + 1))


def test_an_offset_between_parts_is_refused() -> None:
    with pytest.raises(InvalidInput):
        lay_out(blob("a\nb")).part_at(1)


def test_w5_copied_data_are_shown_by_digest_size_and_beginning() -> None:
    data = b"1\topen\n2\tpaid \xe2\x80\xae\n" + b"3\tx\n" * 200_000
    copied = CopyData("a" * 64, len(data), CopyFormat.TEXT, data[:MAX_HEAD_BYTES], 2002)
    command = PostgresCommand(QueryProtocol.SIMPLE, b"copy orders from stdin", copy=copied)
    said = shown(lay_out(canonical(command.to_json())))
    assert f"COPY data (text): 2,002 rows, {len(data):,} bytes, sha256 {'a' * 64}" in said
    assert "open" in said and "\u202e" not in said
    assert f"{len(data) - MAX_HEAD_BYTES:,} more bytes, not shown" in said


def test_w5_copied_data_are_paged_through_to_their_end() -> None:
    data = b"".join(b"%d\tname %d\n" % (number, number) for number in range(20_000))
    copied = CopyData("a" * 64, len(data), CopyFormat.TEXT, data, 20_000)
    made = lay_out(canonical(PostgresCommand(QueryProtocol.SIMPLE, b"copy orders from stdin", copy=copied).to_json()))
    assert len(made.parts) > 20
    said = shown(made)
    assert "name 19999" in said and "not shown" not in said


def test_w5_the_most_data_that_are_shown_fit_beside_a_statement() -> None:
    data = b"x" * (MAX_HEAD_BYTES + 1)
    copied = CopyData("a" * 64, len(data), CopyFormat.BINARY, data[:MAX_HEAD_BYTES])
    command = PostgresCommand(QueryProtocol.SIMPLE, b"copy orders from stdin --" + b"y" * 200_000, copy=copied)
    assert "1 more bytes, not shown" in shown(lay_out(canonical(command.to_json())))


def test_w5_copied_data_that_can_not_be_read_can_not_be_approved() -> None:
    command = PostgresCommand(QueryProtocol.SIMPLE, b"copy orders from stdin").to_json()
    assert isinstance(command, dict)
    wrong: list[Json] = [{}, {"sha256": "x", "bytes": 1, "format": "text", "head": ""}, "text"]
    for bad in wrong:
        with pytest.raises(InvalidInput):
            lay_out(canonical({**command, "copy": bad}))


def test_several_statements_are_numbered_and_nothing_is_taken_away() -> None:
    text = "UPDATE t SET a = 'é'; UPDATE u SET b = 1;\nDELETE FROM v"
    starts = (0, text.encode().index(b"UPDATE u"), text.encode().index(b"DELETE"))
    rows = lay_out(blob(text), (), starts).parts[0].rows
    said = ["".join(span.text for span in row.spans) for row in rows]
    assert said == [
        "Statements 1 to 2 of 3", "UPDATE t SET a = 'é'; UPDATE u SET b = 1;", "Statement 3 of 3", "DELETE FROM v",
    ]  # fmt: skip


def test_a_grant_is_shown_in_words_from_the_terms_that_are_digested() -> None:
    access = read_access("write:table:shop.orders")
    terms = GrantTerms("agent-7", "db", "edge-1", 15, 50, (access,), "replay\u202e the import")
    document = lay_out(canonical(terms.to_json()))
    said = ["".join(span.text for span in row.spans) for row in document.parts[0].rows]
    assert said[0].startswith("agent-7 may run at most 50 statements in db") and "write  shop.orders" in said
    assert any("U+202E" in line for line in said)
    with pytest.raises(InvalidInput):
        lay_out(canonical({**terms.to_json(), "minutes": 9999}))
