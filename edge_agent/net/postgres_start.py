"""From an accepted connection to a pair of signed-in ones: the caller's start-up, then ours at the server.

Every wait on a peer has a deadline; what a caller is told on failure says nothing about credentials.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_agent.config import PostgresSection
from edge_agent.credential import Credential
from edge_agent.net.tls import why_untrusted
from edge_agent.net.wire import Wire, WireLost
from edge_agent.protocols.postgres import sqlstate
from edge_agent.protocols.postgres.channel_binding import end_point
from edge_agent.protocols.postgres.direct import QUESTION, DirectProof
from edge_agent.protocols.postgres.startup import Startup
from edge_agent.protocols.postgres.startup_rules import Authenticated, Cancel, Directory, Ended, StartTls, StartupRules
from edge_agent.protocols.postgres.upstream_auth import UpstreamLogin
from edge_agent.protocols.postgres.upstream_rules import StartTls as UpstreamStartTls
from edge_agent.protocols.postgres.upstream_rules import UpstreamReady, UpstreamRules
from twokeys.errors import Refused, TwokeysError, Unavailable

READ_BYTES = 64 * 1024
"""Most bytes taken at once while hands are shaken."""


@dataclass(frozen=True, slots=True)
class Door:
    """All that one target's listener needs to greet callers and reach the server."""

    section: PostgresSection
    rules: StartupRules
    upstream: UpstreamRules
    server_tls: ssl.SSLContext | None
    client_tls: ssl.SSLContext | None
    direct_tls: ssl.SSLContext | None = None
    credential: Credential | None = None


async def greet(
    wire: Wire, door: Door, directory: Directory, now: Callable[[], int], seconds: float
) -> Authenticated | Cancel | Ended:
    """Bring a caller through start-up and sign-in.

    Args:
        wire: The accepted connection.
        door: The target's.
        directory: Who may sign in.
        now: Seconds since the epoch, by the estimate of the control plane's clock.
        seconds: Longest time it may take.

    Raises:
        WireLost: when the caller went away or took too long.
    """
    startup = Startup(door.rules, directory, nonce=secrets.token_urlsafe(18), loopback=is_loopback(wire.peer))
    if wire.is_tls:
        startup.tls_started()
    try:
        async with asyncio.timeout(seconds):
            while True:
                step = startup.feed(await wire.read(READ_BYTES), now())
                wire.write(startup.take_to_client())
                match step:
                    case StartTls():
                        if door.server_tls is None:
                            raise WireLost
                        await wire.start_tls(door.server_tls, server_side=True, host=None, seconds=seconds)
                        startup.tls_started()
                    case Authenticated() | Cancel() | Ended():
                        return step
                    case None:
                        continue
    except TimeoutError as error:
        wire.abort()
        raise WireLost from error


async def reach(door: Door, signed_in: Authenticated) -> tuple[Wire, UpstreamReady]:
    """Connect and sign in at the server.

    Raises:
        Unavailable: when it can't be reached in time, or closes the connection.
        Refused: when it is not the server we want, or does not take our credential.
    """
    credential = door.credential
    if credential is None:
        return await _reach(door, door.upstream, signed_in)
    password = await credential.current()
    try:
        return await _reach(door, replace(door.upstream, password=password.reveal()), signed_in)
    except Refused as error:
        if error.code != _WRONG_PASSWORD or (newer := await credential.newer(password)) is None:
            raise
    return await _reach(door, replace(door.upstream, password=newer.reveal()), signed_in)


_WRONG_PASSWORD = f"upstream_{sqlstate.INVALID_CREDENTIAL.lower()}"


async def _reach(door: Door, rules: UpstreamRules, signed_in: Authenticated) -> tuple[Wire, UpstreamReady]:
    wire = Wire()
    try:
        async with asyncio.timeout(door.section.connect_seconds):
            await _connect(wire, door.section)
            login = UpstreamLogin(
                rules,
                nonce=secrets.token_urlsafe(18),
                database=signed_in.database,
                settings=signed_in.parameters,
            )
            login.begin()
            while True:
                wire.write(login.take_to_server())
                match login.feed(await wire.read(READ_BYTES)):
                    case UpstreamStartTls():
                        await _encrypt(wire, door, login)
                    case UpstreamReady() as ready:
                        return wire, await _proven_direct(wire, ready, rules)
                    case None:
                        continue
    except (OSError, TimeoutError, WireLost) as error:
        wire.abort()
        untrusted = why_untrusted(error.__cause__, door.section.upstream_host)
        if untrusted is not None:
            raise untrusted from error
        raise Unavailable(
            "The database server can't be reached.",
            not_done="No session was begun.",
            advice="Try again; if it stays so, ask whoever runs this edge.",
            code="upstream_unreachable",
        ) from error
    except BaseException:
        # Also when whoever asked is gone: nobody else knows of this connection.
        wire.abort()
        raise


async def _proven_direct(wire: Wire, ready: UpstreamReady, rules: UpstreamRules) -> UpstreamReady:
    wire.write(QUESTION)
    proof = DirectProof(ready, rules.limits)
    data = ready.rest
    while True:
        proven = proof.feed(data)
        if proven is not None:
            return proven
        data = await wire.read(READ_BYTES)


async def cancel_upstream(section: PostgresSection, door: Door, packet: bytes) -> None:
    """Send a CancelRequest to the server, as good as it goes: cancelling is a courtesy of the protocol."""
    wire = Wire()
    try:
        async with asyncio.timeout(section.connect_seconds):
            await _connect(wire, section)
            if door.client_tls is not None:
                login = UpstreamLogin(
                    door.upstream, nonce=secrets.token_urlsafe(18), database=section.upstream_database, settings={}
                )
                login.begin()
                wire.write(login.take_to_server())
                if isinstance(login.feed(await wire.read(1)), UpstreamStartTls):
                    await wire.start_tls(
                        door.client_tls, server_side=False, host=section.upstream_host, seconds=section.connect_seconds
                    )
            wire.write(packet)
    except (OSError, TimeoutError, WireLost, TwokeysError):
        return
    finally:
        wire.close()


async def _connect(wire: Wire, section: PostgresSection) -> None:
    loop = asyncio.get_running_loop()
    if section.upstream_host.startswith("/"):
        path = f"{section.upstream_host}/.s.PGSQL.{section.upstream_port}"
        await loop.create_unix_connection(lambda: wire, path)
    else:
        await loop.create_connection(lambda: wire, section.upstream_host, section.upstream_port)


async def _encrypt(wire: Wire, door: Door, login: UpstreamLogin) -> None:
    if door.client_tls is None or wire.unread:
        raise WireLost
    await wire.start_tls(
        door.client_tls, server_side=False, host=door.section.upstream_host, seconds=door.section.connect_seconds
    )
    certificate = wire.peer_certificate()
    login.tls_started(end_point(certificate) if certificate else None)


def is_loopback(peer: str) -> bool:
    """Whether an address as `Wire.peer` spells it is this machine's own."""
    try:
        return ipaddress.ip_address(peer.rpartition(":")[0]).is_loopback
    except ValueError:
        return peer == "local"


def fatal(error: TwokeysError) -> bytes:
    """What a caller is told when the server can't be had."""
    return sqlstate.fatal(sqlstate.CANNOT_CONNECT_NOW, error)
