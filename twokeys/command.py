"""A Command: one unit of intent, exactly as the protocol delivered it.

The digest of a Command is what an Approval binds. It covers the bytes, parameter types, formats and values, the
target, the database and the caller; never the backend's pid, statement or portal names, or timing: a retry of the
same command has the same digest, a changed one never has.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from twokeys.copy_data import CopyData
from twokeys.digest import Json, digest, from_base64, sha256, to_base64
from twokeys.errors import InvalidInput


class QueryProtocol(enum.StrEnum):
    """PostgreSQL's two query sub-protocols (Message Flow, "Simple Query" and "Extended Query")."""

    SIMPLE = "simple"
    EXTENDED = "extended"


@dataclass(frozen=True, slots=True)
class PostgresCommand:
    """A simple Query's text, or an Execute with the values its Bind gave.

    Args:
        protocol: Which sub-protocol carried it.
        text: The SQL text as sent, UTF-8, without the terminating NUL.
        parameter_types: Type OIDs as Parse gave them (0 where the client left one to the server).
        parameter_formats: One per value, 0 text or 1 binary, already expanded from Bind's short forms.
        parameter_values: The values as sent; None is SQL NULL.
        copy: The data that a COPY FROM STDIN brings along; None for any other text.
    """

    protocol: QueryProtocol
    text: bytes
    parameter_types: tuple[int, ...] = ()
    parameter_formats: tuple[int, ...] = ()
    parameter_values: tuple[bytes | None, ...] = ()
    copy: CopyData | None = None

    def __post_init__(self) -> None:
        if len(self.parameter_formats) != len(self.parameter_values):
            raise InvalidInput("Parameter formats and values differ in number.", not_done="The command was not built.")
        if any(code not in (0, 1) for code in self.parameter_formats):
            raise InvalidInput("A parameter format is neither text nor binary.", not_done="The command was not built.")
        if self.protocol is QueryProtocol.SIMPLE and (self.parameter_types or self.parameter_values):
            raise InvalidInput("A simple query has no parameters.", not_done="The command was not built.")

    def to_json(self) -> Json:
        """The Command as canonical JSON material: what is stored as its blob, and what is digested."""
        copied: dict[str, Json] = {} if self.copy is None else {"copy": self.copy.to_json()}
        return {
            **copied,
            "kind": "postgres",
            "protocol": self.protocol.value,
            "text": to_base64(self.text),
            "parameter_types": [str(oid) for oid in self.parameter_types],
            "parameter_formats": list(self.parameter_formats),
            "parameter_values": [
                {} if value is None else {"bytes": to_base64(value)} for value in self.parameter_values
            ],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PostgresCommand:
        """Read `to_json` back; that it is spelled so is the caller's to check.

        Raises:
            InvalidInput, KeyError, TypeError, ValueError, AttributeError: when it is no Command.
        """
        return cls(
            QueryProtocol(value["protocol"]),
            from_base64(value["text"]),
            tuple(int(oid) for oid in value["parameter_types"]),
            tuple(value["parameter_formats"]),
            tuple(from_base64(one["bytes"]) if one else None for one in value["parameter_values"]),
            CopyData.from_json(value["copy"]) if "copy" in value else None,
        )

    @property
    def text_digest(self) -> str:
        """SHA-256 of the text alone: groups repeated statements for auditors, authorises nothing."""
        return sha256(self.text)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and by whom a Command runs: the rest of what an exact approval covers.

    Args:
        target: Target id.
        database: Database name as the session uses it.
        caller_id: The Caller.
        fingerprint: Digest of the session's meaning: session_user, current_user, settings that change what SQL
            means, own temporary relations; asked of the server at hold and again just before the forward.
    """

    target: str
    database: str
    caller_id: str
    fingerprint: str


def command_digest(command: PostgresCommand, setting: Setting) -> str:
    """The digest an exact Approval covers, 64 hexadecimal digits."""
    return digest(
        "command",
        {
            "command": command.to_json(),
            "target": setting.target,
            "database": setting.database,
            "caller": setting.caller_id,
            "fingerprint": setting.fingerprint,
        },
    )
