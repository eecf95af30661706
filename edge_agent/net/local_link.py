"""The pair of sockets between a supervisor and a worker: messages on one, accepted connections on the other.

    messages      4 bytes length, then JSON; both ways. The end of it means that the other process is gone
    connections   8 bytes, number and target, each with one descriptor; to the worker alone

Both pairs have no name that another process could connect to. A descriptor travels with exactly 8 bytes and is read
with exactly 8, so that bytes and descriptors can't be told apart wrongly.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from edge_agent.workers.messages import MAX_MESSAGE_BYTES

MAX_UNREAD_BYTES: Final = 16 * 2**20
"""What the other process may leave unread; beyond, it is stuck and the link ends."""

AT_ONCE: Final = 64
"""Connections taken before others have their turn."""

_LENGTH: Final = struct.Struct("!I")
_WHICH: Final = struct.Struct("!II")

S = TypeVar("S")


class LinkLost(Exception):
    """The other process is gone, stuck, or says what it must not."""


class Link(Generic[S]):
    """Messages to and from the other process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Any) -> None:
        self._reader, self._writer = reader, writer
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[S] = msgspec.json.Decoder(heard)

    @classmethod
    async def over(cls, connected: socket.socket, heard: Any) -> Link[S]:
        """A link over one end of a socket pair.

        Args:
            connected: This end.
            heard: The union of messages that the other process may say.
        """
        reader, writer = await asyncio.open_unix_connection(sock=connected, limit=MAX_MESSAGE_BYTES)
        return cls(reader, writer, heard)

    def say(self, message: msgspec.Struct) -> None:
        """Send; nothing is waited for. What can't be sent any more is noticed where the other's end is."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            transport.abort()
            return
        data = self._encoder.encode(message)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def hear(self) -> S:
        """The next message. Raises LinkLost."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_MESSAGE_BYTES:
                raise LinkLost
            return self._decoder.decode(await self._reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
            raise LinkLost from error

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._writer.close()


def pass_on(door: socket.socket, connection: socket.socket, number: int, target: int) -> bool:
    """Send an accepted connection to the other process; False when it does not take any. The caller keeps its copy.

    Args:
        door: This end, non-blocking.
        connection: What to pass on.
        number: The supervisor's number for it.
        target: Index of the [[postgres]] section.
    """
    try:
        return socket.send_fds(door, [_WHICH.pack(number, target)], [connection.fileno()]) == _WHICH.size
    except OSError:
        return False


class Doorway:
    """A worker's end of what connections come through."""

    def __init__(self, door: socket.socket, arrived: Callable[[int, int, socket.socket], None]) -> None:
        """Args: door: the socket, non-blocking; arrived: called with number, target and connection."""
        self._door, self._arrived = door, arrived
        asyncio.get_running_loop().add_reader(door.fileno(), self._take)

    def close(self) -> None:
        """Take no more."""
        if self._door.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._door.fileno())
            self._door.close()

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._door, _WHICH.size, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data, descriptors = b"", []
            connections = [socket.socket(fileno=one) for one in descriptors]
            if len(data) != _WHICH.size or len(connections) != 1:
                for one in connections:
                    one.close()
                self.close()
                return
            number, target = _WHICH.unpack(data)
            connections[0].setblocking(False)
            connections[0].set_inheritable(False)
            self._arrived(number, target, connections[0])
