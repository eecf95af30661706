"""One target's door to the network: accepts callers, greets them, reaches the server, and relays.

accept ─▶ greet (sign-in) ─▶ reach (sign-in at the server) ─▶ record the session ─▶ relay ─▶ record its end
             └▶ CancelRequest ─▶ the session whose key it shows
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from edge_agent.classify.cache import SqlClassifier
from edge_agent.config import LimitsSection
from edge_agent.door import SessionDoor
from edge_agent.gate import Gate
from edge_agent.mask.owed import Masks
from edge_agent.net.accept import Acceptor, wire_of
from edge_agent.net.knocks import REFILL_SECONDS, Knocks
from edge_agent.net.postgres_catalogue import CatalogueKeeper
from edge_agent.net.postgres_relay import Cancelling, Relay, Surroundings
from edge_agent.net.postgres_start import Door, cancel_upstream, fatal, greet, reach
from edge_agent.net.starting import Place, Starting
from edge_agent.net.wire import Wire, WireLost
from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres.greeting import greeting
from edge_agent.protocols.postgres.messages import CancelRequest
from edge_agent.protocols.postgres.pipeline import SessionLimits
from edge_agent.protocols.postgres.session import Session
from edge_agent.protocols.postgres.startup_rules import (
    Authenticated,
    Cancel,
    Directory,
    Ended,
    OidcUser,
    ScramUser,
)
from edge_agent.protocols.postgres.upstream_rules import UpstreamReady
from edge_agent.recorder.bodies import SessionKey
from edge_agent.recorder.journal import Journal
from edge_agent.session_records import SessionFacts, SessionRecords
from edge_agent.witnessed import Witnessed
from twokeys.caller import Caller
from twokeys.errors import Refused, TwokeysError, Unavailable
from twokeys.record import RecordType

KEY_BYTES: Final = {0: 4, 2: 32}
"""Length of a cancel key by protocol minor version (BackendKeyData)."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the Edge's other processes are told; alone there is nobody to tell.

    Args:
        cancel: A CancelRequest whose session is not here: target and request.
        moved: Tables of this target may be others now.
    """

    cancel: Callable[[str, CancelRequest], None] = lambda target, request: None
    moved: Callable[[str], None] = lambda target: None


@dataclass(frozen=True, slots=True)
class ListenerParts:
    """What a listener works with; the runtime wires it.

    Args:
        door: Of this target: rules of both start-ups.
        limits: What callers may cost.
        journal: Where everything is recorded.
        classifier: Shared by all sessions.
        directory: Who may sign in, now.
        session_key: Makes a session's data key; None without a Bundle.
        now: Seconds since the epoch, by the estimate of the control plane's clock.
        gate: The one door.
        surroundings: Builds what sessions share, given how to cancel at the server.
        doubted: Told of each failed sign-in: the caller may be newer than our Bundle.
        workers: How many processes share the Edge's allowance of recorded failures.
        elsewhere: The Edge's other processes.
    """

    door: Door
    limits: LimitsSection
    journal: Journal
    classifier: SqlClassifier
    directory: Callable[[], Directory | None]
    session_key: Callable[[str], SessionKey | None]
    now: Callable[[], int]
    gate: Gate
    surroundings: Callable[[Cancelling], Surroundings]
    doubted: Callable[[], None] = lambda: None
    workers: int = 1
    elsewhere: Elsewhere = field(default_factory=lambda: Elsewhere())


Registration: TypeAlias = tuple[str, Caller | None]
"""How a user signs in, and as whom the Bundle knows it."""


@dataclass(frozen=True, slots=True)
class _Live:
    key: bytes
    relay: Relay
    caller: str
    registered: Registration


class Listener:
    """Accepts callers of one target."""

    def __init__(self, parts: ListenerParts) -> None:
        self._parts = parts
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = Starting(parts.limits.max_starting, parts.limits.max_starting_per_address)
        self._sessions: dict[int, _Live] = {}
        self._acceptor = Acceptor(self.adopt)
        self._knocks = Knocks(
            max(1, parts.limits.max_failed_sign_ins // parts.workers), time.monotonic, REFILL_SECONDS * parts.workers
        )  # fmt: skip
        self._witnessed = Witnessed()
        self._catalogue = CatalogueKeeper(
            parts.door, parts.classifier, self._verdicts_moved, lambda: bool(self._sessions)
        )  # fmt: skip

    async def open(self) -> int:
        """Begin to accept; returns the port. Raises Unavailable when the address can't be had."""
        section = self._parts.door.section
        try:
            return await self._acceptor.open(section.listen_host, section.listen_port)
        except OSError as error:
            raise Unavailable(
                f"{section.listen_host}:{section.listen_port} can't be listened on ({error.strerror}).",
                not_done="The edge was not started.",
                advice="Choose another listen_port.",
            ) from error

    async def close(self, reason: str) -> None:
        """Accept nobody any more, end all sessions, and wait until they are recorded."""
        self._acceptor.close()
        for one in tuple(self._sessions.values()):
            one.relay.end(reason)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._parts.door.section.connect_seconds)
        await self._catalogue.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _verdicts_moved(self) -> None:
        self._witnessed.forget()
        self._parts.gate.generation += 1

    def recheck(self) -> None:
        """End the sessions of callers whom a newer Bundle does not know as they signed in."""
        for one in tuple(self._sessions.values()):
            if self._registered(one.caller) != one.registered:
                one.relay.end("the caller's registration changed; sign in again")
            else:
                one.relay.learn_columns()

    def _tables_moved(self, mover: Relay) -> None:
        """What one session was allowed to do may show classified columns to any other in a new way."""
        self._parts.elsewhere.moved(self._parts.door.section.target)
        self.tables_moved(mover)

    def tables_moved(self, mover: Relay | None = None) -> None:
        """Forget what is known of classified columns; the mover knows by itself, and may be in another process."""
        self._catalogue.stale()
        for one in tuple(self._sessions.values()):
            if one.relay is not mover:
                one.relay.forget_columns()

    def _registered(self, caller: str) -> Registration:
        directory = self._parts.directory()
        return registration(directory.lookup(caller) if directory is not None else None)

    def adopt(self, connection: socket.socket, over: Callable[[], None] = lambda: None) -> None:
        """Serve an accepted connection, which is non-blocking and nobody else's; `over` is called when it has ended."""
        limits = self._parts.limits
        try:
            name = connection.getpeername()
        except OSError:  # it has gone already
            connection.close()
            over()
            return
        address = str(name[0]) if isinstance(name, tuple) else ""
        place = self._starting.take(address) if len(self._tasks) < limits.max_connections else None
        if place is None:
            error = Unavailable("This edge has too many connections.", not_done="No session was begun.",
                                advice="Close some, or try again soon.")  # fmt: skip
            with contextlib.suppress(OSError), connection:
                self._record_failure("too_many_connections", "", ":".join(map(str, name[:2])))
                connection.send(sqlstate.fatal("53300", error))
            over()
            return
        task = asyncio.get_running_loop().create_task(self._serve(connection, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: over())

    async def _serve(self, connection: socket.socket, place: Place) -> None:
        until = time.monotonic() + self._parts.limits.start_seconds
        try:
            wire = await wire_of(connection, self._parts.door.direct_tls, self._parts.limits.start_seconds)
            try:
                await self._start(wire, place, max(0.1, until - time.monotonic()))
            except BaseException:
                # A defect or the end of the process: nobody is left to answer on this connection.
                wire.abort()
                raise
        except WireLost:
            return
        finally:
            place.leave()

    async def _start(self, wire: Wire, place: Place, seconds: float) -> None:
        greeted = await self._greet(wire, seconds)
        place.leave()
        if greeted is None:
            wire.close()
            return
        signed_in, registered = greeted
        try:
            server, ready = await self._reach(signed_in)
        except TwokeysError as error:
            wire.write(fatal(error))
            wire.close()
            return
        await self._session(wire, server, signed_in, ready, registered)

    async def _greet(self, wire: Wire, seconds: float) -> tuple[Authenticated, Registration] | None:
        parts = self._parts
        directory = parts.directory()
        if directory is None:
            return None
        with contextlib.suppress(WireLost):
            peer = wire.peer
            step = await greet(wire, parts.door, directory, parts.now, seconds)
            match step:
                case Authenticated():
                    return step, registration(directory.lookup(step.caller.id))
                case Cancel():
                    if not self.cancel(step.request):
                        parts.elsewhere.cancel(parts.door.section.target, step.request)
                case Ended():
                    self._record_failure(step.code, step.user, peer)
        return None

    def _record_failure(self, code: str, user: str, peer: str) -> None:
        self._parts.doubted()
        untold = self._knocks.take(code)
        if untold is None:
            return
        more = f"; {untold} more like it before" if untold else ""
        fields: dict[str, object] = {
            "type": RecordType.SIGN_IN_FAILED.value,
            "target": self._parts.door.section.target,
            "reason": f"{code}, from {peer}{more}",
        }
        if user:
            fields["caller"] = user[:128]
        with contextlib.suppress(TwokeysError):
            self._parts.journal.append(fields)

    async def _reach(self, signed_in: Authenticated) -> tuple[Wire, UpstreamReady]:
        section = self._parts.door.section
        if signed_in.database != section.upstream_database:
            raise Refused(
                f'database "{signed_in.database}" is not served by this edge',
                not_done="No session was begun.",
                advice=f"Connect to {section.upstream_database}.",
                code="unknown_database",
            )
        reached, _ = await asyncio.gather(reach(self._parts.door, signed_in), self._catalogue.fresh())
        return reached

    async def _session(
        self, wire: Wire, server: Wire, signed_in: Authenticated, ready: UpstreamReady, registered: Registration
    ) -> None:
        parts = self._parts
        section = parts.door.section
        facts = SessionFacts(
            f"ses_{secrets.token_hex(12)}", section.target, section.upstream_database, signed_in.caller,
            signed_in.parameters.get("application_name", ""),
        )  # fmt: skip
        key = parts.session_key(facts.id)
        if key is None:
            wire.close()
            server.close()
            return
        records = SessionRecords(parts.journal, key, facts)
        masks = Masks(lambda: parts.gate.owed(facts.caller, facts.target), section.mask_key.reveal().encode())
        door = SessionDoor(
            parts.gate, self._catalogue, facts.caller, facts.target, section.search_path, section.upstream_user,
            self._witnessed, masks,
        )  # fmt: skip
        session = Session(
            door,
            guard=f"_tk{secrets.token_hex(12)}",
            limits=session_limits(parts.limits),
            wire=parts.door.rules.limits,
            application_name=ready.parameters.get("application_name", ""),
            masks=masks,
            path_reported="search_path" in ready.parameters,
        )
        pid, cancel_key = self._new_key(signed_in.protocol_minor)
        packet = encode.cancel_request(ready.key.pid, ready.key.key)
        around = parts.surroundings(lambda: cancel_upstream(section, parts.door, packet))
        relay = Relay(facts, session, door, records, around, masks, self._tables_moved)
        try:
            await records.append_durable(RecordType.SESSION_START, {"reason": f"from {wire.peer}"})
            if self._registered(facts.caller.id) != registered:
                # A Bundle came while the server was reached; nothing is awaited from here to `recheck`'s reach.
                raise Refused("The caller's registration changed.", not_done="No session was begun.",
                              advice="Sign in again.", code="changed")  # fmt: skip
            wire.write(greeting(ready.parameters, may_write=door.may_write, pid=pid, key=cancel_key))
        except (TwokeysError, WireLost) as error:
            if isinstance(error, TwokeysError):
                wire.write(sqlstate.fatal(sqlstate.CANNOT_CONNECT_NOW, error))
            wire.close()
            server.close()
            return
        self._sessions[pid] = _Live(cancel_key, relay, facts.caller.id, registered)
        timer = self._end_at(signed_in.expires_at, relay)
        try:
            await relay.run(wire, server, ready.rest)
        finally:
            if timer is not None:
                timer.cancel()
            self._sessions.pop(pid, None)
            with contextlib.suppress(TwokeysError):
                records.append(RecordType.SESSION_END, {"reason": relay.reason})

    def _end_at(self, expires_at: int | None, relay: Relay) -> asyncio.TimerHandle | None:
        if expires_at is None:
            return None
        left = max(0, expires_at - self._parts.now())
        return asyncio.get_running_loop().call_later(left, relay.end, "the caller's token expired")

    def _new_key(self, minor: int) -> tuple[int, bytes]:
        pid = secrets.randbelow(2**31 - 1) + 1
        while pid in self._sessions:
            pid = secrets.randbelow(2**31 - 1) + 1
        return pid, secrets.token_bytes(KEY_BYTES[minor])

    def cancel(self, request: CancelRequest) -> bool:
        """Cancel what the session that this key opens is doing; whether it is here."""
        found = self._sessions.get(request.pid)
        if found is None or not hmac.compare_digest(found.key, request.key):
            return False
        found.relay.cancel()
        return True


def registration(user: ScramUser | OidcUser | None) -> Registration:
    """What a session's right to be here rests on."""
    match user:
        case ScramUser():
            return "credential", user.caller
        case OidcUser(listed=True):
            return "token", user.registered
        case OidcUser() | None:
            return "none", None


def session_limits(limits: LimitsSection) -> SessionLimits:
    """What one caller may make the core keep, by the configuration."""
    return SessionLimits(
        waiting_bytes=limits.max_held_bytes,
        statements=limits.max_statements,
        portals=limits.max_statements,
        copy_bytes=limits.max_copy_bytes,
    )
