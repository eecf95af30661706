"""Commands as the Edge stores them."""

from __future__ import annotations

from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.digest import canonical


def blob(
    text: str,
    types: tuple[int, ...] = (),
    formats: tuple[int, ...] = (),
    values: tuple[bytes | None, ...] = (),
) -> bytes:
    """The canonical JSON of a Command: simple, or extended where it has values."""
    protocol = QueryProtocol.EXTENDED if values else QueryProtocol.SIMPLE
    return canonical(PostgresCommand(protocol, text.encode(), types, formats, values).to_json())
