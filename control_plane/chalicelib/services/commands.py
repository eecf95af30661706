"""Reads a Command's stored bytes back, and checks them against what the Edge says of them.

Only the one canonical spelling of a Command is one; its digest is computed again, never taken over.
"""

from __future__ import annotations

import json

from twokeys.command import PostgresCommand, Setting, command_digest
from twokeys.digest import canonical, from_base64, sha256
from twokeys.effect import Access, read_access
from twokeys.errors import InvalidInput, TwokeysError
from twokeys.messages import MAX_TYPES, OpenRequest
from twokeys.preview import preview_digest, read_preview, stored_bytes


def read_command(data: bytes) -> PostgresCommand:
    """Read canonical JSON of `PostgresCommand.to_json`. Raises InvalidInput for anything else."""
    try:
        command = PostgresCommand.from_json(json.loads(data))
        same = canonical(command.to_json()) == data
    except (TwokeysError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable() from error
    if not same:
        raise _unreadable()
    return command


def checked_command(message: OpenRequest, data: bytes) -> PostgresCommand:
    """The Command, when `data` are its bytes and all that the message says of it is so.

    Raises:
        InvalidInput: with code ``command_mismatch`` or ``malformed_command``; the Request is not opened.
    """
    if sha256(data) != message.command_sha256 or len(data) != message.command_bytes:
        raise _mismatch("The command is not the one its hash and length say.")
    command = read_command(data)
    if command.protocol.value != message.protocol:
        raise _mismatch("The command came by another protocol than the message says.")
    # What people approve is this digest: it must be of the bytes they are shown, and of nothing else.
    setting = Setting(message.target, message.database, message.caller, message.fingerprint)
    if command_digest(command, setting) != message.command_digest:
        raise _mismatch("The command's digest is not of this command in this session.")
    if message.types and len(message.types) != min(len(command.parameter_values), MAX_TYPES):
        raise _mismatch("The message has types for another number of values than the command has.")
    return command


def checked_preview(message: OpenRequest) -> bytes:
    """What is kept of the message's Preview, under its digest as name; empty when it has none.

    Raises:
        InvalidInput: with code ``preview_mismatch`` or ``malformed_preview``; the Request is not opened.
    """
    if not message.preview:
        if message.preview_digest or message.most_rows is not None:
            raise _another_preview("The message speaks of a preview that did not come along.")
        return b""
    data = from_base64(message.preview)
    if preview_digest(data) != message.preview_digest:
        raise _another_preview("The preview is not the one its digest says.")
    if read_preview(data).rows != message.most_rows:
        raise _another_preview("The preview counts other rows than the message says.")
    return stored_bytes(data)


def read_accesses(texts: list[str]) -> tuple[Access, ...]:
    """Read accesses of the form ``effect:kind:name``, sorted and distinct. Raises InvalidInput."""
    try:
        found = {read_access(text) for text in texts}
    except (ValueError, KeyError) as error:
        raise InvalidInput("An access is not of the form effect:kind:name.", not_done="The request was not opened.",
                           code="malformed_access") from error  # fmt: skip
    return tuple(sorted(found))


def _mismatch(happened: str) -> InvalidInput:
    return InvalidInput(happened, not_done="The request was not opened.", code="command_mismatch")


def _another_preview(happened: str) -> InvalidInput:
    return InvalidInput(happened, not_done="The request was not opened.", code="preview_mismatch")


def _unreadable() -> InvalidInput:
    return InvalidInput("The command is not in its canonical form.", not_done="The request was not opened.",
                        code="malformed_command")  # fmt: skip
