"""Wiring: builds one Edge from its configuration, runs it, and ends it in order. No decision is made here."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable

from edge_agent.classify.cache import SqlClassifier
from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.settings import schemas_of
from edge_agent.config import EdgeConfig, LimitsSection, PostgresSection
from edge_agent.control.bundle import BundleKeeper, Known
from edge_agent.control.clock import ControlClock, this_machine
from edge_agent.control.identity import StateFolder
from edge_agent.control.liaison import Liaison
from edge_agent.control.queue_polls import QueuePolls
from edge_agent.control.waker import Waker
from edge_agent.directory import BundleDirectory
from edge_agent.edge import Edge
from edge_agent.gate import Gate, World
from edge_agent.holds import Holds
from edge_agent.log import log
from edge_agent.net import tls
from edge_agent.net.http import ControlHttp
from edge_agent.net.knocks import Knocks
from edge_agent.net.postgres_copy import CopyRoom
from edge_agent.net.postgres_listener import Elsewhere, Listener, ListenerParts
from edge_agent.net.postgres_relay import Cancelling, Surroundings
from edge_agent.net.postgres_start import Door
from edge_agent.net.secrets_manager import credential_of
from edge_agent.net.sqs import SqsQueue
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.startup_rules import Plaintext, StartupRules
from edge_agent.protocols.postgres.upstream_rules import UpstreamRules
from edge_agent.recorder.bodies import SessionKey
from edge_agent.recorder.journal import Journal
from edge_agent.serving import Alone, Seat, Seated, Serving
from edge_agent.workers.chains import ChainParts, left_behind, open_chain
from edge_agent.workers.desk import Desk
from edge_agent.workers.member import MemberFolder, MemberHolds, MemberWaker, open_member_chain, shared_out
from edge_agent.workers.messages import Begin, Newer, Polled
from edge_agent.workers.supervisor import SharedPolls, Supervisor, SupervisorParts
from twokeys.errors import Refused, TwokeysError, Unavailable
from twokeys.policy import Policies
from twokeys.record import RecordType

FIRST_TURN_SECONDS = 0.2
IN_TURN_SECONDS = 20.0
"""How long a worker waits, in such steps, for its journal."""


def build(config: EdgeConfig, *, begin: Begin | None = None, seat: Seat | None = None) -> Edge:
    """Build an Edge; nothing is connected yet.

    Args:
        config: Its configuration.
        begin: What its workers are told first, where it is to have more than this process.
        seat: Where this process is one of those.

    Raises:
        Refused: when it is not enrolled, or its state is in use.
        InvalidInput: when its files are malformed.
        Unavailable: when they can't be read.
    """
    folder = StateFolder(config.edge.state_dir) if seat is None else MemberFolder(config.edge.state_dir)
    folder.prepare()
    identity = folder.identity(config.edge.id)
    state = folder.state()
    if state is None:
        raise Refused("This edge has not been enrolled.", not_done="It was not started.",
                      advice="Run: python -m edge_agent enrol --config … --token …", code="not_enrolled")  # fmt: skip
    clock = ControlClock(this_machine(), state.time)
    gate = Gate()
    directories: dict[str, BundleDirectory] = {}
    listeners: dict[str, Listener] = {}
    alarm = _Alarm()
    serving: Serving | None = None

    def enter(known: Known) -> None:
        _enter(known, config, identity.edge_id, gate, directories, listeners)
        if isinstance(serving, Supervisor):
            serving.tell_all(Newer(known.bundle.revision))

    def tell(message: Polled) -> None:
        if isinstance(serving, Supervisor):
            serving.tell_all(message)

    keeper = BundleKeeper(folder, clock, config.control.stale_read_seconds, enter, alarm)
    keeper.load()
    http = ControlHttp(config.control.url, config.control.ca_file, config.control.connect_seconds)
    parts = ChainParts(config, identity, clock, http, lambda: keeper.keys, alarm)
    chain = open_chain(parts, 0) if seat is None else open_member_chain(parts, seat.number, seat.member)
    journal, client = chain.journal, chain.client
    alarm.journal = journal
    left = [open_chain(parts, one) for one in left_behind(folder.folder, config.edge.workers)] if seat is None else []
    waker: Waker
    if seat is None:
        queue = QueuePolls(client, lambda access: SqsQueue(http, access), time.monotonic)
        waker = Waker(queue if begin is None else SharedPolls(queue, tell), config.control.look_seconds, keeper.soon)
    else:
        waker = MemberWaker(seat.member, config.control.look_seconds, keeper.soon)
    liaison = Liaison(client, waker, http, config.control.upload_seconds, keeper.doubted)
    decoys = [secrets.token_bytes(32) for _ in config.postgres] if seat is None else seat.begin.decoys
    doors = {
        section.target: _door(section, config.limits, decoy)
        for section, decoy in zip(config.postgres, decoys, strict=True)
    }
    orphaned = asyncio.Event()
    holds = Holds(config.limits) if seat is None else MemberHolds(config.limits, seat.member)
    desk = None if begin is None else Desk(holds, waker.watch, waker.unwatch)
    if begin is not None and desk is not None:
        serving = Supervisor(SupervisorParts(
            config, begin, desk, _refusals(journal, config.limits), orphaned.set, log,
        ))  # fmt: skip
    elif isinstance(waker, MemberWaker) and seat is not None:
        serving = Seated(seat, listeners, waker, keeper.soon)
    else:
        serving = Alone(config.postgres, listeners)
    edge = Edge(config, identity.edge_id, gate, clock, journal, client, http, keeper, waker, liaison, chain.uploader,
                doors, directories, serving, desk, orphaned, seat is not None, left)  # fmt: skip
    if begin is None:
        limits = config.limits if seat is None else shared_out(config.limits, config.edge.workers)
        classifier = SqlClassifier(SqlLimits(cache_entries=limits.max_verdicts))
        copies = CopyRoom(config.edge.state_dir, limits.max_copied_bytes, config.recorder.low_disk_bytes)
        for section in config.postgres:
            listener_parts = _listener_parts(edge, section, limits, classifier, holds, copies, seat)
            listeners[section.target] = Listener(listener_parts)
    return edge


def _refusals(journal: Journal, limits: LimitsSection) -> Callable[[str, str, str], None]:
    """Records connections that no worker was given, at the rate of failed sign-ins."""
    knocks = Knocks(limits.max_failed_sign_ins, time.monotonic)

    def refused(code: str, target: str, peer: str) -> None:
        untold = knocks.take(code)
        if untold is None:
            return
        more = f"; {untold} more like it before" if untold else ""
        with contextlib.suppress(TwokeysError):
            journal.append({"type": RecordType.SIGN_IN_FAILED.value, "target": target,
                            "reason": f"{code}, from {peer}{more}"})  # fmt: skip

    return refused


class _Alarm:
    """What needs a person: logged, and recorded once there is a journal."""

    def __init__(self) -> None:
        self.journal: Journal | None = None

    def __call__(self, text: str) -> None:
        log("alarm", reason=text)
        if self.journal is not None:
            with contextlib.suppress(TwokeysError):
                self.journal.append({"type": RecordType.ALARM.value, "reason": text})


def _enter(
    known: Known,
    config: EdgeConfig,
    edge_id: str,
    gate: Gate,
    directories: dict[str, BundleDirectory],
    listeners: dict[str, Listener],
) -> None:
    bundle = known.bundle
    gate.enter(World(edge_id, bundle.revision, Policies(bundle.policies, bundle.revision), known.keys))
    for section in config.postgres:
        directories[section.target] = BundleDirectory(bundle, section.target)
    for listener in listeners.values():
        listener.recheck()
    log("bundle", revision=bundle.revision)


def _door(section: PostgresSection, limits: LimitsSection, decoy: bytes) -> Door:
    longest = limits.max_message_bytes
    server_tls = tls.server_context(section)
    rules = StartupRules(
        section.target,
        server_tls is not None,
        decoy,
        tls.server_binding(section),
        Plaintext.LOOPBACK if section.plaintext else Plaintext.NEVER,
        section.upstream_database,
        limits=WireLimits(query=longest, parse=longest, bind=longest, copy_data=longest),
        schemas=schemas_of(section.search_path, section.upstream_user),
    )
    client_tls = tls.client_context(section)
    upstream = UpstreamRules(
        user=section.upstream_user,
        password=section.upstream_password.reveal(),
        tls=client_tls is not None,
        require_binding=section.upstream_require_binding,
        by_certificate=section.upstream_cert_file is not None,
        unsafe_trust=section.upstream_trust,
        search_path=section.search_path,
    )
    direct = tls.direct_context(section)
    credential = credential_of(section, lambda why: log("credential", target=section.target, reason=why))
    return Door(section, rules, upstream, server_tls, client_tls, direct, credential)


def _listener_parts(
    edge: Edge, section: PostgresSection, limits: LimitsSection, classifier: SqlClassifier, holds: Holds,
    copies: CopyRoom, seat: Seat | None,
) -> ListenerParts:  # fmt: skip
    def session_key(session: str) -> SessionKey | None:
        known = edge.keeper.known
        return SessionKey(session, known.wrapping) if known is not None else None

    def surroundings(cancel: Cancelling) -> Surroundings:
        return Surroundings(edge.gate, edge.liaison, holds, section, cancel, copies, edge.config.limits.message_seconds)

    return ListenerParts(
        edge.doors[section.target],
        limits,
        edge.journal,
        classifier,
        lambda: edge.directories.get(section.target),
        session_key,
        lambda: edge.clock.now() // 1000,
        edge.gate,
        surroundings,
        edge.keeper.doubted,
        edge.config.edge.workers if seat is not None else 1,
        seat.elsewhere() if seat is not None else Elsewhere(),
    )


async def _build_in_turn(config: EdgeConfig, begin: Begin | None, seat: Seat | None) -> Edge:
    """Build; a worker waits a while for the one before it, should that still be ending after its supervisor died."""
    until = time.monotonic() + IN_TURN_SECONDS
    while True:
        try:
            return build(config, begin=begin, seat=seat)
        except Refused as error:
            if error.code != "journal_locked" or seat is None or time.monotonic() > until:
                raise
        await asyncio.sleep(FIRST_TURN_SECONDS)


async def run(
    config: EdgeConfig,
    stop: asyncio.Event,
    say: Callable[[str], None],
    begin: Begin | None = None,
    seat: Seat | None = None,
) -> None:
    """Build and run an Edge, or a process of one, until `stop`; see `build`. Raises TwokeysError."""
    edge = await _build_in_turn(config, begin, seat)
    try:
        edge.journal.append({"type": RecordType.EDGE_START.value})
        await edge.run(stop, say)
    except BaseExceptionGroup as group:
        first = group.exceptions[0]
        if isinstance(first, TwokeysError):
            raise first from group
        if isinstance(first, OSError):
            raise Unavailable(f"The edge failed ({first}).", not_done="Its sessions were ended.") from group
        raise
