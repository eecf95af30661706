"""Reads what went to the server, by itself: none of the Edge's own framing, messages or state is used."""

from __future__ import annotations

from collections.abc import Iterator


def messages(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and body of each message of a client; fails when they do not fit."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 5], "big")
        assert length >= 4 and at + 1 + length <= len(data), "the server was sent part of a message"
        yield data[at : at + 1], data[at + 5 : at + 1 + length]
        at += 1 + length


def executed(data: bytes) -> list[bytes]:
    """The texts that a server would run: of each Query, and of each Execute by the names it leads to."""
    statements: dict[bytes, bytes] = {}
    portals: dict[bytes, bytes] = {}
    found: list[bytes] = []
    for kind, body in messages(data):
        parts = body.split(b"\0")
        if kind == b"Q":
            found.append(parts[0])
        elif kind == b"P":
            statements[parts[0]] = parts[1]
        elif kind == b"B" and parts[1] in statements:
            portals[parts[0]] = statements[parts[1]]
        elif kind == b"E" and parts[0] in portals:
            found.append(portals[parts[0]])
    return found
