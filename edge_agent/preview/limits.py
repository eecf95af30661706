"""Named limits of previews."""

from __future__ import annotations

from dataclasses import dataclass

from twokeys.errors import InvalidInput
from twokeys.preview import MAX_CELL_CHARACTERS, MAX_COLUMNS, MAX_ROWS


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """What a preview may cost and show.

    Args:
        text_bytes: Longest statement that is rewritten.
        rows: Rows of a sample.
        columns: Columns of a sample; those assigned and the primary key come first.
        cell_characters: Longest value.
        sample_bytes: Longest sample as the server sends it; values are cut shorter where there are many.
        answer_bytes: Longest answer to one question; a longer one is dropped, and said to be.
        statement_milliseconds: For how long the server works at one question.
        lock_milliseconds: For how long one question waits for another session's lock.
    """

    text_bytes: int = 64 * 1024
    rows: int = MAX_ROWS
    columns: int = MAX_COLUMNS
    cell_characters: int = MAX_CELL_CHARACTERS
    sample_bytes: int = 256 * 1024
    answer_bytes: int = 512 * 1024
    statement_milliseconds: int = 2_000
    lock_milliseconds: int = 200

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) < 1:
            raise InvalidInput("Each limit of a preview must be positive.", not_done="The limits were not set.")
        if self.rows > MAX_ROWS or self.columns > MAX_COLUMNS or self.cell_characters > MAX_CELL_CHARACTERS:
            raise InvalidInput("A preview's limits are over what a Preview holds.", not_done="They were not set.")

    def cut(self, columns: int) -> int:
        """Characters of one value in a sample of so many values a row: UTF-8 has at most 4 bytes for each."""
        return max(8, min(self.cell_characters, self.sample_bytes // (4 * (self.rows + 1) * max(1, columns))))


DEFAULT_LIMITS = PreviewLimits()
