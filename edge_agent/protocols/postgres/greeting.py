"""What a client is told between AuthenticationOk and its first ReadyForQuery."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.link import IDLE


def greeting(reported: Mapping[str, str], *, may_write: bool, pid: int, key: bytes) -> bytes:
    """The server's reported settings, our cancel key, ReadyForQuery.

    A caller who may write, or ask to, is told default_transaction_read_only=off: libpq with
    target_session_attrs=read-write refuses a session that reports on.

    Args:
        reported: What the server reported at sign-in.
        may_write: Whether the caller may write or request it.
        pid: Of our own BackendKeyData; the server's is never shown.
        key: Its secret, 4 bytes in protocol 3.0.
    """
    shown = dict(reported)
    if "default_transaction_read_only" in shown and may_write:
        shown["default_transaction_read_only"] = "off"
    settings = b"".join(encode.parameter_status(name, value) for name, value in shown.items())
    return settings + encode.backend_key_data(pid, key) + encode.ready_for_query(IDLE)
