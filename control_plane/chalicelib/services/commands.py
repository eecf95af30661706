"""Reads a Command's stored bytes back: only the one canonical spelling of a Command is one."""

from __future__ import annotations

import json

from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.digest import canonical, from_base64
from twokeys.effect import Access, Effect, ObjectKind, ObjectRef
from twokeys.errors import InvalidInput, TwokeysError


def read_command(data: bytes) -> PostgresCommand:
    """Read canonical JSON of `PostgresCommand.to_json`. Raises InvalidInput for anything else."""
    try:
        value = json.loads(data)
        values = [from_base64(one["bytes"]) if one else None for one in value["parameter_values"]]
        command = PostgresCommand(
            QueryProtocol(value["protocol"]),
            from_base64(value["text"]),
            tuple(int(oid) for oid in value["parameter_types"]),
            tuple(value["parameter_formats"]),
            tuple(values),
        )
        same = canonical(command.to_json()) == data
    except (TwokeysError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable() from error
    if not same:
        raise _unreadable()
    return command


def read_accesses(texts: list[str]) -> tuple[Access, ...]:
    """Read accesses of the form ``effect:kind:name``, sorted and distinct. Raises InvalidInput."""
    try:
        parts = [text.split(":", 2) for text in texts]
        found = {Access(ObjectRef(ObjectKind(kind), name), Effect.from_word(word)) for word, kind, name in parts}
    except (ValueError, KeyError) as error:
        raise InvalidInput("An access is not of the form effect:kind:name.", not_done="The request was not opened.",
                           code="malformed_access") from error  # fmt: skip
    return tuple(sorted(found))


def _unreadable() -> InvalidInput:
    return InvalidInput("The command is not in its canonical form.", not_done="The request was not opened.",
                        code="malformed_command")  # fmt: skip
