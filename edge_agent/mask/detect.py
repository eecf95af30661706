"""Find what looks like something classified in values: the net below the masks by column.

Each detector looks for what can't be missing first (an ``@``, ``eyJ``, a run of digits), at the speed of memchr, and
applies the exact rule only round it. A hit is replaced by `forms.REDACTED`.

What it does not find: values that are encoded (base64, hex), cut in pieces, or spelled in another way. Masks by column
don't depend on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from edge_agent.mask.forms import REDACTED
from twokeys.data_class import Detector

MAX_CHECKS: Final = 2_000
"""Finds in one value to which the exact rule is applied; any more are taken for hits."""

Found = Callable[[re.Match[bytes]], bool]
"""The exact rule on what a pattern found."""

_EMAIL: Final = re.compile(
    rb"[^\s@\"'<>()\[\]{},;:\\]{1,64}@(?:[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\x80-\xff-]{0,62})\.){1,8}[A-Za-z\x80-\xff]{2,24}"
)
_CARD: Final = re.compile(rb"(?<![0-9])[2-6](?:[ -]?[0-9]){12,18}(?![0-9])")
_IBAN: Final = re.compile(rb"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_PHONE: Final = re.compile(rb"(?<![0-9A-Za-z+])\+[1-9](?:[ ().-]{0,2}[0-9]){7,14}(?![0-9])")
_NATIONAL: Final = re.compile(rb"(?<![0-9-])(?!000|666|9[0-9]{2})[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9-])")
_JWT: Final = re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_KEY: Final = re.compile(
    rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"
    rb"|-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z)"
    rb"|(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36}|xox[abprs]-[A-Za-z0-9-]{10,}|sk_live_[A-Za-z0-9]{16,})",
    re.DOTALL,
)
_KEY_ANCHORS: Final = (b"AKIA", b"ASIA", b"PRIVATE KEY-----", b"gh", b"xox", b"sk_live_")
_DIGITS: Final = re.compile(rb"[0-9]")
_CONTROLS: Final = re.compile(rb"[\x00-\x1f]+")

_ISSUERS: Final = re.compile(
    rb"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|3(?:0[0-5]|[68])|6(?:011|4[4-9]|5)|35(?:2[89]|[3-8])|62|50|5[6-9]|6[0-9]"
)
_CARD_LENGTHS: Final = frozenset({14, 15, 16, 19})
"""In use. Not 13: no issuer does any more, and it is how long a time in milliseconds is."""
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in (
        (15, "NO"), (16, "BE"), (18, "DK FI FO GL NL"), (19, "MK SI"), (20, "AT BA EE KZ LT LU XK"),
        (21, "CH HR LI LV"), (22, "BG BH CR DE GB GE IE ME RS VA"), (23, "AE GI IL IQ OM TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"), (25, "LY PT ST"), (26, "IS TR"), (27, "FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO EG GT HU LB PL SV"), (29, "BR PS QA UA"), (30, "JO KW MU"), (31, "MT SC"), (32, "LC"),
    )
    for country in countries.split()
}  # fmt: skip
"""Lengths of the ISO 13616 registry."""


def _any(match: re.Match[bytes]) -> bool:
    return True


def is_card(match: re.Match[bytes]) -> bool:
    """A card number: an issuer's prefix, a length in use, and Luhn's check digit (ISO/IEC 7812-1)."""
    digits = re.sub(rb"[^0-9]", b"", match[0])
    if len(digits) not in _CARD_LENGTHS or not _ISSUERS.match(digits) or len(set(digits)) == 1:
        return False
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = digit - 48
        total += value if at % 2 == 0 else (2 * value - 9 if value > 4 else 2 * value)
    return total % 10 == 0


def is_iban(match: re.Match[bytes]) -> bool:
    """An account number: its country's length, and remainder 1 by 97 (ISO 7064)."""
    text = match[0].replace(b" ", b"").decode("ascii")
    # Capitals and digits may go on behind it.
    length = _IBAN_LENGTHS.get(text[:2], 0)
    text = text[:length]
    return length > 0 and int("0" + "".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def is_phone(match: re.Match[bytes]) -> bool:
    """A phone number: written with separators, or a number of some country's plan. A signed integer is neither.

    By libphonenumber, loaded for the first such find: https://github.com/google/libphonenumber
    """
    if not match[0][1:].isdigit():
        return True
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(match[0].decode("ascii")))
    except phonenumbers.NumberParseException:
        return False


_RULES: Final[dict[Detector, tuple[tuple[bytes, ...], re.Pattern[bytes], Found]]] = {
    Detector.EMAIL: ((b"@",), _EMAIL, _any),
    Detector.CARD: ((), _CARD, is_card),
    Detector.PHONE: ((b"+",), _PHONE, is_phone),
    Detector.IBAN: ((), _IBAN, is_iban),
    Detector.NATIONAL_ID: ((b"-",), _NATIONAL, _any),
    Detector.JWT: ((b"eyJ",), _JWT, _any),
    Detector.KEY: (_KEY_ANCHORS, _KEY, _any),
}
"""What can't be missing (none: a digit), the pattern, and the exact rule."""


ESCAPED_LEVELS: Final = 3
"""How often escapes are read in each other."""

_ESCAPED: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|\\)")


class Scan:
    """Some detectors, to be applied together."""

    __slots__ = ("_rules", "detectors")

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self.detectors = tuple(dict.fromkeys(detectors))
        self._rules = [_RULES[detector] for detector in self.detectors]

    def scrub(self, value: bytes) -> bytes:
        """The value with every hit replaced."""
        for anchors, pattern, is_hit in self._rules:
            if any(anchor in value for anchor in anchors) if anchors else _DIGITS.search(value):
                value = pattern.sub(_Scrubber(is_hit), value)
        return value

    def finds_framed(self, value: bytes) -> bool:
        """Whether anything is found in a binary value, where up to three bytes of a length stand just before a text.

        Such a byte may be a digit or a letter, which the patterns don't take as the begin of a word.
        """
        runs = _CONTROLS.split(value)
        framed = (b"\n".join(run[skip:] for run in runs) for skip in range(4))
        return self.scrub(value) != value or any(self.scrub(joined) != joined for joined in framed)

    def finds_escaped(self, value: bytes) -> bool:
        """Whether anything is found once escapes as ``\\u0040`` are read: JSON within a text or an array.

        An array's literal doubles a backslash, so it is read some levels deep.
        """
        for _ in range(ESCAPED_LEVELS):
            if b"\\u" not in value:
                return False
            value = _ESCAPED.sub(_unescaped, value)
            if self.scrub(value) != value:
                return True
        return False


def _unescaped(match: re.Match[bytes]) -> bytes:
    return chr(int(match[1], 16)).encode("utf-8", "surrogatepass") if match[1] else b"\\"


class _Scrubber:
    """What stands instead of each find in one value."""

    __slots__ = ("_is_hit", "_left")

    def __init__(self, is_hit: Found) -> None:
        self._is_hit, self._left = is_hit, MAX_CHECKS

    def __call__(self, match: re.Match[bytes]) -> bytes:
        self._left -= 1
        return REDACTED if self._left < 0 or self._is_hit(match) else match[0]
