"""Errors and notices: words of the server that may hold values.

``invalid input syntax for type integer: "ann@example.com"``, a duplicate key's detail, RAISE NOTICE. What is kept of a
message is what can't: the code, the severity, names of objects, and the words of an error that the server found while
it read the text (it has a position there and no context), or whose words it always says alike.

https://www.postgresql.org/docs/current/protocol-error-fields.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SAFE: Final = frozenset("SVCPFLR")
"""Severity, code, position, place in the server's sources."""

_NAMES: Final = frozenset("stcdn")
"""Names: schema, table, column, type, constraint. RAISE can put anything there."""

_SAME_WORDS: Final = frozenset(
    {b"25006", b"25001", b"25P01", b"25P02", b"57014", b"57P01", b"57P02", b"57P03", b"40001", b"40P01", b"55P03",
     b"53100", b"53200", b"53300", b"08P01", b"42501", b"23502", b"23503", b"23505", b"23514"}
)  # fmt: skip
"""Codes that the server itself words without values, whatever the data; a function's RAISE has a context."""

UNSAID: Final = b"twokeys: the server's words are not shown, as they may hold values that are masked for you."


def without_values(fields: Mapping[str, bytes]) -> dict[str, bytes]:
    """The fields of an ErrorResponse or NoticeResponse without what may hold values."""
    safe = _SAFE if "W" in fields else _SAFE | _NAMES
    kept = {code: value for code, value in fields.items() if code in safe}
    reading = "P" in fields and not {"W", "q", "p"} & set(fields)
    alike = fields.get("C", b"") in _SAME_WORDS and "W" not in fields
    kept["M"] = fields.get("M", b"") if reading or alike else UNSAID
    if reading and "H" in fields:
        kept["H"] = fields["H"]
    return kept
