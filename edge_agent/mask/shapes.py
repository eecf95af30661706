"""Values that hold texts: JSON and arrays of text. Masked and searched text by text, alike in both formats.

What a driver decodes from the binary format is what it decodes from the text format, or NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from edge_agent.mask.arrays import UnreadableArray, change_binary, change_text, one_element
from edge_agent.mask.detect import Scan
from edge_agent.mask.documents import UnreadableDocument, change_leaves, only_string, string
from edge_agent.mask.forms import REDACTED, masked
from twokeys.data_class import Form

_JSONB: Final = 3802
_JSON_TYPES: Final = frozenset({114, _JSONB})
_ARRAY_TYPES: Final = frozenset({1009, 1015, 1014, 1003})
"""Arrays of text, varchar, char and name."""

_VERSION: Final = b"\x01"
"""Ahead of a binary jsonb (jsonb_send() of jsonb.c)."""


class Kind(Enum):
    """What a value is made of."""

    JSON = "json"
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class Shape:
    """How the texts in a column's values are reached.

    Args:
        kind: What they stand in.
        prefix: What is ahead of each value.
        binary: Whether an array is in binary format.
    """

    kind: Kind
    prefix: bytes = b""
    binary: bool = False

    def masked(self, form: Form, value: bytes, key: bytes) -> bytes | None:
        """What is shown instead of a value; NULL of one that can't be read."""
        try:
            return self._masked(form, value, key)
        except (UnreadableArray, UnreadableDocument):
            return None

    def _masked(self, form: Form, value: bytes, key: bytes) -> bytes | None:
        if form is Form.NULL or not value.startswith(self.prefix):
            return None
        if self.kind is Kind.JSON:
            # Of a document, names and shape tell as much as the values: only one that is a text is shown in part.
            text = only_string(value[len(self.prefix) :]) if form is Form.PARTIAL else value[len(self.prefix) :]
            shown = REDACTED if text is None else masked(form, text, key)
            return None if shown is None else self.prefix + string(shown)
        if form is Form.REDACT or (form is Form.HASH and not key):
            return one_element(value, REDACTED, binary=self.binary)
        change = change_binary if self.binary else change_text
        return change(value, lambda element: masked(form, element, key))

    def searched(self, value: bytes, scan: Scan) -> bytes | None:
        """The value with every hit replaced; NULL of one that can't be read."""
        # As it stands, almost every value is free: only escapes and frames hide anything from the search.
        if not self.binary and b"\\" not in value and scan.scrub(value) == value:
            return value
        if not value.startswith(self.prefix):
            return None
        spills = False

        def scrub(text: bytes) -> bytes:
            nonlocal spills
            shown = scan.scrub(text)
            spills |= shown != text and b"PRIVATE KEY-----" in text and b"-----END" not in text
            return shown

        try:
            if self.kind is Kind.JSON:
                found = self.prefix + change_leaves(value[len(self.prefix) :], scrub)
                # What is found still lies across strings.
                spills |= scan.scrub(found) != found
            else:
                found = (change_binary if self.binary else change_text)(value, scrub)
        except (UnreadableArray, UnreadableDocument):
            return None
        spills |= scan.finds_escaped(found)
        # A key that begins in one text goes on in the next.
        return None if spills else found


def shape_of(type_: int, *, binary: bool) -> Shape | None:
    """The shape of a type's values by its OID; None of a type that is not read here."""
    if type_ in _JSON_TYPES:
        return Shape(Kind.JSON, _VERSION if binary and type_ == _JSONB else b"")
    return Shape(Kind.ARRAY, binary=binary) if type_ in _ARRAY_TYPES else None
