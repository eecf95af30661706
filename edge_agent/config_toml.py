"""TOML into frozen dataclasses, driven by their fields; each complaint names the key and the line it stands on.

A field's `metadata` (see `setting`) says what it means and what it may be, so that reading, `explain` and the
documentation can't disagree.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from edge_agent.secret import Secret, secret_from_environment, secret_from_file
from twokeys.errors import InvalidInput

MAX_CONFIG_BYTES: Final = 64 * 1024
"""Longest configuration file read."""

KeyPath = tuple[str | int, ...]
"""Where a key stands: ("postgres", 0, "listen_port")."""

_ABSENT: Final = object()
_WORDS: Final = {str: "a text", int: "a whole number", bool: "true or false", Path: "a path as text"}

T = TypeVar("T")


def setting(
    doc: str, default: Any = dataclasses.MISSING, *, low: int = 0, high: int = 2**53 - 1, choices: tuple[str, ...] = ()
) -> Any:
    """A documented field of a configuration dataclass.

    Args:
        doc: One sentence with the unit; shown by `explain`.
        default: Left out for a required one.
        low: Smallest number.
        high: Largest number.
        choices: The only words permitted; empty for any text.
    """
    metadata = {"doc": doc, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


class ConfigError(InvalidInput):
    """The configuration can't be used; says which key and which line."""

    def __init__(self, name: str, line: int, why: str, advice: str = "") -> None:
        super().__init__(
            f"{name}, line {line}: {why}.", not_done="The edge was not started.", advice=advice, code="bad_config"
        )
        self.line = line


class TomlSource:
    """A TOML text, and what is needed to point into it."""

    def __init__(self, text: str, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        """Parse.

        Args:
            text: The whole file.
            name: What to call it in complaints.
            folder: Relative paths in it start here.
            environment: Where secrets named by `…_env` are looked up.

        Raises:
            ConfigError: with the parser's own words.
        """
        if len(text.encode("utf-8", "surrogatepass")) > MAX_CONFIG_BYTES:
            raise ConfigError(name, 1, f"the file is over {MAX_CONFIG_BYTES} bytes")
        self._text = text
        self._name = name
        self._folder = folder
        self._environment = environment
        try:
            self.value = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(name, _line_in_words(str(error), text), f"it is no TOML ({error})") from error
        except RecursionError as error:
            raise ConfigError(name, 1, "it is nested too deeply") from error

    def wrong(self, path: KeyPath, why: str, advice: str = "") -> ConfigError:
        """The error for what stands at `path`, or at the nearest thing above it that stands anywhere."""
        return ConfigError(self._name, self.line(path), f"{dotted(path)} {why}", advice)

    def line(self, path: KeyPath) -> int:
        """The line on which the key (or the section) begins: where the text up to it first has it."""
        lines = self._text.split("\n")
        while path and _look(self.value, path) is _ABSENT:
            path = path[:-1]
        began = 0
        for number in range(1, len(lines) + 1):
            try:
                value = tomllib.loads("\n".join(lines[:number]))
            except tomllib.TOMLDecodeError:
                continue
            if path and _look(value, path) is not _ABSENT:
                return next((at + 1 for at in range(began, number) if _says_something(lines[at])), number)
            began = number
        return 1

    def section(self, kind: type[T], path: KeyPath, value: object) -> T:
        """Build one dataclass from one table. Raises ConfigError for the first thing that doesn't fit."""
        if not isinstance(value, dict):
            raise self.wrong(path, "is no section", f"Write it as [{dotted(path)}].")
        fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        types = get_type_hints(kind)
        secrets = {name for name, hint in types.items() if hint is Secret}
        known = set(keys_of(kind))
        for key in value:
            if key in secrets:
                raise self.wrong(
                    (*path, key),
                    "is a secret, which never stands in this file",
                    f"Name a file by {key}_file or an environment variable by {key}_env.",
                )
            if key not in known:
                raise self.wrong((*path, key), "is not known", f"Known here: {', '.join(sorted(known))}.")
        found: dict[str, Any] = {}
        for name, field in fields.items():
            if name in secrets:
                found[name] = self._secret(path, name, value)
            elif name in value:
                found[name] = self._value((*path, name), value[name], types[name], field)
            elif field.default is dataclasses.MISSING:
                raise self.wrong((*path, name), "is missing", field.metadata["doc"])
        return kind(**found)

    def _value(self, path: KeyPath, value: object, hint: Any, field: dataclasses.Field[Any]) -> object:
        if get_origin(hint) is tuple:
            return self._texts(path, value, field)
        wanted = next((one for one in get_args(hint) if one is not NoneType), hint)
        if type(value) is not (str if wanted is Path else wanted):
            raise self.wrong(path, f"must be {_WORDS[wanted]}", field.metadata["doc"])
        meta = field.metadata
        if isinstance(value, int) and not isinstance(value, bool) and not meta["low"] <= value <= meta["high"]:
            raise self.wrong(path, f"must be from {meta['low']} to {meta['high']}", meta["doc"])
        if isinstance(value, str):
            if meta["choices"] and value not in meta["choices"]:
                raise self.wrong(path, f"must be one of {', '.join(meta['choices'])}", meta["doc"])
            if not value or not value.isprintable():
                raise self.wrong(path, "is empty or has control characters", meta["doc"])
        return self._folder / str(value) if wanted is Path else value

    def _texts(self, path: KeyPath, value: object, field: dataclasses.Field[Any]) -> tuple[str, ...]:
        meta = field.metadata
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.wrong(path, "must be a list of texts", meta["doc"])
        if len(value) > meta["high"]:
            raise self.wrong(path, f"has more than {meta['high']} texts", meta["doc"])
        if not all(one and one.isprintable() for one in value):
            raise self.wrong(path, "has a text that is empty or has control characters", meta["doc"])
        return tuple(value)

    def _secret(self, path: KeyPath, name: str, table: Mapping[str, object]) -> Secret:
        given = [key for key in (f"{name}_file", f"{name}_env") if key in table]
        if not given:
            return Secret("")
        key = given[0]
        where = table[key]
        if len(given) == 2:
            raise self.wrong((*path, given[1]), f"stands beside {key}: only one can apply")
        if not isinstance(where, str) or not where:
            raise self.wrong((*path, key), "must be a text")
        try:
            if key.endswith("_file"):
                return secret_from_file(self._folder / where)
            return secret_from_environment(self._environment, where)
        except InvalidInput as error:
            raise self.wrong((*path, key), f"does not work: {error.happened.rstrip('.')}") from error


def keys_of(kind: type) -> Iterator[str]:
    """The keys that a section of this dataclass may have."""
    for name, hint in get_type_hints(kind).items():
        if hint is Secret:
            yield from (f"{name}_file", f"{name}_env")
        else:
            yield name


def dotted(path: KeyPath) -> str:
    """A key path as people write it: ``postgres[1].listen_port``, counted from 1."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _look(value: object, path: KeyPath) -> object:
    for part in path:
        try:
            value = value[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return value


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _line_in_words(words: str, text: str) -> int:
    """tomllib tells the line in its message alone: ``… (at line 3, column 4)`` or ``(at end of document)``."""
    _, _, rest = words.partition("at line ")
    digits = rest.partition(",")[0]
    return int(digits) if digits.isdecimal() else text.count("\n") + 1
