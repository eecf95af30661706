"""One TCP or TLS connection: awaited chunk by chunk while hands are shaken, then pushed into a sink.

A transport whose reading is paused does not see a hang-up. While a write is held that matters: an approved orphan must
not run. `Wire` therefore watches a paused descriptor for EPOLLRDHUP, and a Wire that can't (another kernel) is closed
instead of paused: losing a session is better than forwarding for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

SHUTDOWN_SECONDS: Final = 2.0
"""How long a peer may take to answer the end of TLS: its socket is not counted any more, so it must not stay."""

Sink = Callable[[bytes], None]


class WireLost(Exception):
    """The peer closed the connection, or it broke."""


class Wire(asyncio.Protocol):
    """A connection with one owner at a time: `read` while shaking hands, a sink afterwards."""

    def __init__(self, accepted: Callable[[Wire], None] | None = None) -> None:
        """Build the protocol half.

        Args:
            accepted: Called once connected; None for a connection that we make.
        """
        self._accepted = accepted
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()
        # An Event is 760 bytes, and most connections are idle: there is one while somebody waits.
        self._arrival: asyncio.Event | None = None
        self._drained: asyncio.Event | None = None
        self.congested = False
        """What was written still waits to leave."""
        self._sink: Sink | None = None
        self._gone: Callable[[], None] | None = None
        self._lost = False
        self._cause: Exception | None = None
        self._paused = False
        self._resumed_at = 0.0
        self._watch: select.epoll | None = None
        self._handing_over = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; small writes leave at once."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass
        found = transport.get_extra_info("socket")
        if found is not None and found.family in (socket.AF_INET, socket.AF_INET6):
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._accepted is not None:
            accepted, self._accepted = self._accepted, None
            accepted(self)

    def data_received(self, data: bytes) -> None:
        """Push into the sink, or keep for `read`."""
        if self._sink is not None:
            self._sink(data)
        else:
            self._early += data
            if self._arrival is not None:
                self._arrival.set()

    def eof_received(self) -> bool:
        """A half-closed peer is gone: nobody is left to answer to."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self._cause = error
        if not self._handing_over:
            self._end()

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        self.congested = True

    def resume_writing(self) -> None:
        """The peer caught up."""
        self.congested = False
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    # for owners

    @property
    def lost(self) -> bool:
        """Whether the connection is over."""
        return self._lost

    @property
    def read_since(self) -> float | None:
        """Since when it is read, after a pause (the loop's time; 0: always); None: nothing is read now."""
        return None if self._paused else self._resumed_at

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self._open_transport().get_extra_info("ssl_object") is not None

    @property
    def protocol(self) -> str:
        """What was agreed on by ALPN (RFC 7301); empty without TLS, or without agreement."""
        found = self._open_transport().get_extra_info("ssl_object")
        return (found.selected_alpn_protocol() or "") if found is not None else ""

    @property
    def peer(self) -> str:
        """The peer's address as text, for records."""
        name = self._open_transport().get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else str(name or "local")

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate as DER, for channel binding (RFC 5929 section 4)."""
        found = self._open_transport().get_extra_info("ssl_object")
        return found.getpeercert(binary_form=True) if found is not None else None

    async def read(self, limit: int) -> bytes:
        """Return the next bytes, at least one and at most `limit`; the caller sets the deadline.

        Raises:
            WireLost: when the connection is over.
        """
        while not self._early:
            if self._lost:
                raise WireLost from self._cause
            self._arrival = asyncio.Event()
            try:
                await self._arrival.wait()
            finally:
                self._arrival = None
        data = bytes(self._early[:limit])
        del self._early[:limit]
        return data

    @property
    def unread(self) -> bool:
        """Whether bytes arrived that nobody has read: before TLS that is an attack (CVE-2021-23222)."""
        return bool(self._early)

    def write(self, data: bytes) -> None:
        """Queue bytes; one call per turn keeps system calls few."""
        if data and not self._lost and self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer takes more. Raises WireLost when it is gone."""
        while self.congested and not self._lost:
            if self._drained is None:
                self._drained = asyncio.Event()
            await self._drained.wait()
        if self._lost:
            raise WireLost

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool, host: str | None, seconds: float) -> None:
        """Encrypt from here on.

        Raises:
            WireLost: when the handshake fails or bytes came before it.
        """
        if self._early:
            self.abort()
            raise WireLost
        loop = asyncio.get_running_loop()
        self._handing_over = True
        try:
            transport = await loop.start_tls(
                self._open_transport(),
                self,
                context,
                server_side=server_side,
                server_hostname=host,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._end()
            raise WireLost from error
        finally:
            self._handing_over = False
        if transport is None:
            self._end()
            raise WireLost
        self._transport = transport

    def push_to(self, sink: Sink, gone: Callable[[], None]) -> None:
        """Hand the connection to its final owner: chunks go to `sink`, a hang-up calls `gone` once."""
        self._sink, self._gone = sink, gone
        if self._early:
            data = bytes(self._early)
            self._early.clear()
            sink(data)
        if self._lost:
            gone()

    def pause_reading(self) -> None:
        """Stop reading, yet notice a hang-up."""
        if self._paused or self._lost:
            return
        if not self._watch_hang_up():
            self.abort()
            return
        self._paused = True
        self._open_transport().pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._paused and not self._lost:
            self._paused = False
            self._resumed_at = asyncio.get_running_loop().time()
            self._stop_watching()
            self._open_transport().resume_reading()

    def close(self) -> None:
        """Close after what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; unsent bytes are dropped."""
        if self._transport is not None:
            self._transport.abort()

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise WireLost
        return self._transport

    def _watch_hang_up(self) -> bool:
        if not hasattr(select, "epoll"):
            return False
        found = self._open_transport().get_extra_info("socket")
        if found is None:
            return False
        watch = select.epoll()
        watch.register(found.fileno(), select.EPOLLRDHUP | select.EPOLLONESHOT)
        asyncio.get_running_loop().add_reader(watch.fileno(), self._hung_up)
        self._watch = watch
        return True

    def _hung_up(self) -> None:
        self._stop_watching()
        self.abort()

    def _stop_watching(self) -> None:
        if self._watch is not None:
            watch, self._watch = self._watch, None
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(watch.fileno())
            watch.close()

    def _end(self) -> None:
        if self._lost:
            return
        self._lost = True
        self._stop_watching()
        if self._arrival is not None:
            self._arrival.set()
        self.resume_writing()
        if self._gone is not None:
            self._gone()
