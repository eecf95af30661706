"""The SQLSTATEs that the Edge answers with (appendix A of PostgreSQL's manual), and the end of a connection."""

from __future__ import annotations

from typing import Final

from edge_agent.protocols.postgres.encode import error_response
from twokeys.errors import TwokeysError

CONNECTION_FAILURE: Final = "08006"
PROTOCOL_VIOLATION: Final = "08P01"
NOT_SUPPORTED: Final = "0A000"
INVALID_PARAMETER: Final = "22023"
READ_ONLY_TRANSACTION: Final = "25006"
FAILED_TRANSACTION: Final = "25P02"
UNKNOWN_STATEMENT: Final = "26000"
INVALID_AUTHORIZATION: Final = "28000"
INVALID_CREDENTIAL: Final = "28P01"
UNKNOWN_PORTAL: Final = "34000"
INSUFFICIENT_PRIVILEGE: Final = "42501"
SYNTAX_ERROR: Final = "42601"
UNKNOWN_COLUMN: Final = "42703"
UNKNOWN_TABLE: Final = "42P01"
NAME_TOO_LONG: Final = "42622"
RESERVED_NAME: Final = "42939"
LIMIT_EXCEEDED: Final = "54000"
NOT_IN_PREREQUISITE_STATE: Final = "55000"
QUERY_CANCELED: Final = "57014"
ADMIN_SHUTDOWN: Final = "57P01"
CANNOT_CONNECT_NOW: Final = "57P03"
INTERNAL_ERROR: Final = "XX000"


def fatal(sqlstate: str, error: TwokeysError) -> bytes:
    """The ErrorResponse that ends a connection: what happened, what was not done, what to try."""
    return error_response(sqlstate, error.happened, severity="FATAL", detail=error.not_done, hint=error.advice)
