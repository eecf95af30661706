"""What COPY FROM STDIN brings along: data too long to be part of a Command, and what a Command says of it.

The digest of the data is digested with the Command, so an Approval is for exactly these bytes. The head is what people
are shown of them.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Any, Final

from twokeys.digest import MAX_INTEGER, Json, from_base64, to_base64
from twokeys.errors import InvalidInput

MAX_HEAD_BYTES: Final = 512 * 1024
"""Most bytes of the data's beginning that a Command carries: people page through them. As base64 beside a statement
they stay under what is laid out for review."""

BRIEF_HEAD_BYTES: Final = 4096
"""The same where nobody reviews them, and in Commands of before."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")


class CopyFormat(enum.StrEnum):
    """The formats of COPY."""

    TEXT = "text"
    CSV = "csv"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class CopyData:
    """Data of a COPY FROM STDIN, by its digest.

    Args:
        sha256: Of the bytes inside all CopyData messages, in order, 64 hexadecimal digits.
        size: Their number.
        format: Of the data.
        head: Its beginning.
        rows: Rows as counted by the Edge, without the header; None where they can't be told.
    """

    sha256: str
    size: int
    format: CopyFormat
    head: bytes = b""
    rows: int | None = None

    def __post_init__(self) -> None:
        counts = (self.size, 0 if self.rows is None else self.rows)
        if not _SHA256.match(self.sha256) or not all(type(one) is int and 0 <= one <= MAX_INTEGER for one in counts):
            raise InvalidInput("Copied data have no digest, or an impossible size.", not_done="It was not built.")
        if len(self.head) not in (min(self.size, MAX_HEAD_BYTES), min(self.size, BRIEF_HEAD_BYTES)):
            raise InvalidInput("The beginning of copied data is not whole.", not_done="It was not built.")

    def to_json(self) -> dict[str, Json]:
        """Canonical JSON material; `rows` is left out where it is not known."""
        rows: dict[str, Json] = {} if self.rows is None else {"rows": self.rows}
        return {
            "sha256": self.sha256,
            "bytes": self.size,
            "format": self.format.value,
            "head": to_base64(self.head),
            **rows,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CopyData:
        """Read `to_json` back. Raises InvalidInput, KeyError, TypeError or ValueError."""
        return cls(
            value["sha256"], value["bytes"], CopyFormat(value["format"]), from_base64(value["head"]), value.get("rows")
        )

    @property
    def told(self) -> str:
        """The data in a few words, for people."""
        rows = "" if self.rows is None else f"{self.rows:,} row{'' if self.rows == 1 else 's'}, "
        size = f"{self.size:,} byte{'' if self.size == 1 else 's'}"
        return f"COPY data ({self.format.value}): {rows}{size}, sha256 {self.sha256}"
