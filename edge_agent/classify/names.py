"""Names of objects as policies spell them, and as people can read them."""

from __future__ import annotations

import unicodedata

_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_MORE_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that show nothing."""


def words(text: str) -> frozenset[str]:
    """The words of a list written as text."""
    return frozenset(text.split())


def is_invisible(character: str) -> bool:
    """Whether `character` shows nothing by itself, or changes the order of what is around it (bidi controls)."""
    return unicodedata.category(character) in _INVISIBLE or character in _MORE_INVISIBLE


def visible(text: str) -> str:
    """`text` with what can't be seen spelled out, so that it can't pose as something else."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{{{ord(letter):x}}}" if is_invisible(letter) else letter for letter in text)


def has_invisible(name: str) -> bool:
    """Whether a name holds anything that a reader can't see."""
    return not (name.isascii() and name.isprintable()) and any(map(is_invisible, name))


def dotted(*parts: str) -> str:
    """The dotted path of the parts. A part that itself has a dot or a quote is quoted, so that paths stay distinct."""
    return ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' if "." in part or '"' in part else part for part in parts)
