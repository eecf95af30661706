"""Secrets: a value whose printed form is masked, and the two places it may come from."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from twokeys.errors import InvalidInput

MAX_SECRET_BYTES: Final = 4096
"""Longest secret read; a longer file is not a secret, but the wrong file."""


class Secret:
    """A value that does not print itself: `reveal` says where it is used."""

    __slots__ = ("_again", "_value")

    def __init__(self, value: str, again: Callable[[], Secret] | None = None) -> None:
        """Build; `again` reads it where it came from, for what may be replaced there."""
        self._value, self._again = value, again

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def read_again(self) -> Secret:
        """As it stands now where it came from; itself where it can't change. Raises InvalidInput."""
        return self if self._again is None else self._again()

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not serialised")


def secret_from_file(path: Path) -> Secret:
    """Read a secret from a file, one trailing newline aside.

    Raises:
        InvalidInput: when it can't be read, is empty or long, or others on the machine may read or change it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise _bad(f"the file {path} can't be read ({error.strerror})") from error
    if stat.S_IMODE(mode) & 0o027:
        raise _bad(f"the file {path} can be read or changed by others (mode {stat.S_IMODE(mode):04o}); make it 0600")
    return Secret(_value(data, f"the file {path}"), lambda: secret_from_file(path))


def secret_from_environment(environment: Mapping[str, str], name: str) -> Secret:
    """Read a secret from an environment variable. Raises InvalidInput when it is not set, empty or long."""
    if name not in environment:
        raise _bad(f"the environment variable {name} is not set")
    return Secret(_value(environment[name].encode("utf-8", "surrogateescape"), f"the environment variable {name}"))


def _value(data: bytes, where: str) -> str:
    try:
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _bad(f"{where} is not UTF-8") from None
    if not text or len(data) > MAX_SECRET_BYTES or "\n" in text or "\0" in text:
        raise _bad(f"{where} is empty, has several lines or is over {MAX_SECRET_BYTES} bytes")
    return text


def _bad(why: str) -> InvalidInput:
    return InvalidInput(f"A secret can't be used: {why}.", not_done="The edge was not started.", code="bad_secret")
