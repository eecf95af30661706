"""Texts of JSON, string by string: what is shown instead stays JSON. https://www.rfc-editor.org/rfc/rfc8259"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

_LEAF: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)
_STRING: Final = re.compile(rb'\s*"[^"\\]*(?:\\.[^"\\]*)*"\s*', re.DOTALL)


class UnreadableDocument(ValueError):
    """It is not JSON."""


def change_leaves(value: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Rewrite each string, the names of members too, and each number; what is changed becomes a string.

    Raises UnreadableDocument.
    """

    def instead(found: re.Match[bytes]) -> bytes:
        plain = _plain(found[0]) if found[0].startswith(b'"') else found[0]
        shown = change(plain)
        return found[0] if shown == plain else string(shown)

    return _LEAF.sub(instead, value)


def string(text: bytes) -> bytes:
    """A string of JSON, in ASCII."""
    return json.dumps(text.decode("utf-8", "replace")).encode()


def only_string(value: bytes) -> bytes | None:
    """What a document that is one string says; None of any other. Raises UnreadableDocument."""
    return _plain(value.strip()) if _STRING.fullmatch(value) else None


def _plain(spelled: bytes) -> bytes:
    try:
        # Not strict: control characters are the server's to refuse.
        said: str = json.loads(spelled, strict=False)
    except ValueError as error:
        raise UnreadableDocument from error
    return said.encode("utf-8", "surrogatepass")
