"""Makes every character of a text visible, so that what a reviewer sees is what runs.

A character that hides, moves or imitates others (controls, bidirectional formatting, zero-width and blank letters,
unusual spaces, unassigned code points) becomes a labelled `Mark`; a long run of spaces becomes its count. Ordinary
text stays as it is. Nothing is dropped, nothing is normalised.

Source: Unicode Standard Annex #9 (bidirectional formatting), Unicode Technical Report #36 (visual spoofing).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_SPACES: Final = 24
"""Longest run of spaces shown as such; a longer one could push the rest out of sight and is counted instead."""

_SHORT: Final = {
    "\r": "CR",
    "\x00": "NUL",
    "\x1b": "ESC",
    "\x08": "BS",
    "\x7f": "DEL",
    "\x0b": "VT",
    "\x0c": "FF",
    "\u00a0": "no-break space",
    "\u00ad": "soft hyphen",
    "\u200b": "zero width space",
    "\u200c": "zero width non-joiner",
    "\u200d": "zero width joiner",
    "\u2060": "word joiner",
    "\ufeff": "byte order mark",
    "\ufffd": "undecodable byte",
}

# Letters and symbols by category, blank by shape.
_BLANK: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180e")

_HIDING_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})

_SUSPECT = re.compile(rf"[^\x21-\x7e \n\t]| {{{MAX_SPACES + 1},}}|\t{{{MAX_SPACES + 1},}}")


@dataclass(frozen=True, slots=True)
class Mark:
    """A label that stands for characters which would not be seen.

    Args:
        label: What is printed in their place, e.g. ``U+202E right-to-left override``.
        danger: True when the character can make other text look different from what it is.
    """

    label: str
    danger: bool


def pieces(text: str) -> Iterator[str | Mark]:
    """Split a text into plain strings and Marks, in order. Line feeds are left to the caller."""
    start = 0
    for match in _SUSPECT.finditer(text):
        mark = _mark(match[0])
        if mark is None:
            continue
        if match.start() > start:
            yield text[start : match.start()]
        yield mark
        start = match.end()
    if start < len(text):
        yield text[start:]


def plain(text: str) -> str:
    """The same as one string with the labels in brackets: for mail, titles and other places without markup."""
    return "".join(piece if isinstance(piece, str) else f"[{piece.label}]" for piece in pieces(text))


def _mark(found: str) -> Mark | None:
    if len(found) > 1:
        return Mark(f"{len(found)} {'tabs' if found[0] == chr(9) else 'spaces'}", danger=False)
    if found == "\r":
        return Mark("CR", danger=False)
    category = unicodedata.category(found)
    hides = category in _HIDING_CATEGORIES or found in _BLANK or _is_variation_selector(found)
    if not hides and found != "\ufffd":
        return None
    name = _SHORT.get(found) or unicodedata.name(found, "control" if category == "Cc" else "unassigned").lower()
    return Mark(f"U+{ord(found):04X} {name}", danger=True)


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def scripts(word: str) -> frozenset[str]:
    """The scripts of a word's letters by their Unicode names: ``LATIN``, ``CYRILLIC``, ``GREEK``, …"""
    return frozenset(unicodedata.name(letter, "UNNAMED").split(" ")[0] for letter in word if letter.isalpha())


def imitation(word: str) -> str:
    """Why a name may imitate another: its scripts in words, or empty for a name in plain Latin letters.

    A hint, no proof: one script can imitate Latin too, so every script but Latin is told.
    """
    if word.isascii():
        return ""
    found = sorted(scripts(word))
    first = next(letter for letter in word if not letter.isascii())
    where = f": {first} is U+{ord(first):04X}"
    if len(found) > 1:
        odd = next(letter for letter in word if letter.isalpha() and scripts(letter) != {"LATIN"})
        return f"mixes {' and '.join(one.capitalize() for one in found)} letters: {odd} is U+{ord(odd):04X}"
    if found and found != ["LATIN"]:
        return f"is written in {found[0].capitalize()} letters{where}"
    return f"has letters or signs outside ASCII{where}"
