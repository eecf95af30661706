"""Wiring: builds one Edge from its configuration, runs it, and ends it in order. No decision is made here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.classify.cache import SqlClassifier
from edge_agent.classify.limits import SqlLimits
from edge_agent.config import EdgeConfig, LimitsSection, PostgresSection
from edge_agent.control.bundle import BundleKeeper, Known
from edge_agent.control.client import ControlClient, Deadlines
from edge_agent.control.clock import ControlClock, this_machine
from edge_agent.control.identity import StateFolder
from edge_agent.control.liaison import Liaison, settle_orphans
from edge_agent.control.queue_polls import QueuePolls
from edge_agent.control.waker import Waker
from edge_agent.directory import BundleDirectory
from edge_agent.gate import Gate, Standing, World
from edge_agent.holds import Holds
from edge_agent.net import tls
from edge_agent.net.http import ControlHttp
from edge_agent.net.postgres_copy import CopyRoom
from edge_agent.net.postgres_listener import Listener, ListenerParts
from edge_agent.net.postgres_relay import Cancelling, Surroundings
from edge_agent.net.postgres_settle import outcome_of
from edge_agent.net.postgres_start import Door
from edge_agent.net.secrets_manager import credential_of
from edge_agent.net.sqs import SqsQueue
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.startup_rules import Plaintext, StartupRules
from edge_agent.protocols.postgres.upstream_rules import UpstreamRules
from edge_agent.recorder.bodies import SessionKey
from edge_agent.recorder.journal import Journal, open_journal
from edge_agent.recorder.uploader import Uploader
from twokeys.errors import Refused, TwokeysError, Unavailable
from twokeys.messages import OpenItem
from twokeys.policy import Policies
from twokeys.record import RecordType

STANDING_SECONDS = 1.0
"""How often the Edge looks how far it may act: Bundle age, disk."""

FAREWELL_SECONDS = 5.0
"""How long an orderly end waits until outcomes are told."""

SETTLE_SECONDS = 30.0
"""Pause between two tries to settle what an earlier process left."""


def log(event: str, **fields: object) -> None:
    """One line of JSON on standard error: what happened, never a command's text or a row."""
    print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)


@dataclass(slots=True)
class Edge:
    """One running Edge."""

    config: EdgeConfig
    edge_id: str
    gate: Gate
    clock: ControlClock
    journal: Journal
    client: ControlClient
    http: ControlHttp
    keeper: BundleKeeper
    waker: Waker
    liaison: Liaison
    uploader: Uploader
    doors: dict[str, Door]
    listeners: list[Listener]
    directories: dict[str, BundleDirectory]

    async def run(self, stop: asyncio.Event, say: Callable[[str], None]) -> None:
        """Run until `stop` is set or the journal ends.

        Raises:
            TwokeysError: when it can't go on; sessions have ended by then.
        """
        try:
            await self._work(stop, say)
        finally:
            self.keeper.save_time()
            failure = self.journal.failure
            await self.journal.close()
            await self.http.close()
        if failure is not None:
            raise failure

    async def _work(self, stop: asyncio.Event, say: Callable[[str], None]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (
                self.liaison.run(), self.waker.run(), self.uploader.run(), self._settle(), self._stand(stop),
            )]  # fmt: skip
            try:
                await self._first_bundle()
                tasks.append(group.create_task(self.keeper.run(self.client, self.config.control.bundle_seconds)))
                for section, listener in zip(self.config.postgres, self.listeners, strict=True):
                    say(f"listening on {section.listen_host}:{await listener.open()} for {section.target}")
                await stop.wait()
            finally:
                for listener in self.listeners:
                    await listener.close("the edge is being stopped")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.liaison.told(), FAREWELL_SECONDS)
                for task in tasks:
                    task.cancel()

    async def _first_bundle(self) -> None:
        """Pull once before anybody connects; without a control plane the saved Bundle serves reads."""
        try:
            await self.keeper.pull(self.client)
        except TwokeysError as error:
            log("bundle_not_pulled", reason=error.happened)
        self._look()

    async def _stand(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._look()
            if self.journal.failure is not None:
                log("journal_failed", reason=self.journal.failure.happened)
                stop.set()
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), STANDING_SECONDS)

    def _look(self) -> None:
        standing = self.keeper.standing()
        if not standing.writes_denied and self.journal.low_disk:
            standing = Standing("The edge's disk is nearly full, so writes could not be recorded.")
        self.gate.stand(standing)

    async def _settle(self) -> None:
        """Withdraw or settle what an earlier process of this Edge left unfinished; again while doubts remain."""
        while True:
            try:
                if not await settle_orphans(self.client, self._outcome, self.liaison.opened):
                    return
            except TwokeysError as error:
                log("not_settled_yet", reason=error.happened)
            await asyncio.sleep(SETTLE_SECONDS)

    async def _outcome(self, item: OpenItem) -> str:
        door = self.doors.get(item.target)
        return await outcome_of(door, item.xid) if door is not None and item.xid else "in_doubt"


def build(config: EdgeConfig) -> Edge:
    """Build an Edge; nothing is connected yet.

    Raises:
        Refused: when it is not enrolled, or its state is in use.
        InvalidInput: when its files are malformed.
        Unavailable: when they can't be read.
    """
    folder = StateFolder(config.edge.state_dir)
    folder.prepare()
    identity = folder.identity(config.edge.id)
    state = folder.state()
    if state is None:
        raise Refused("This edge has not been enrolled.", not_done="It was not started.",
                      advice="Run: python -m edge_agent enrol --config … --token …", code="not_enrolled")  # fmt: skip
    clock = ControlClock(this_machine(), state.time)
    gate = Gate()
    directories: dict[str, BundleDirectory] = {}
    listeners: list[Listener] = []
    alarm = _Alarm()

    def enter(known: Known) -> None:
        _enter(known, config, identity.edge_id, gate, directories, listeners)

    keeper = BundleKeeper(folder, clock, config.control.stale_read_seconds, enter, alarm)
    keeper.load()
    journal = open_journal(config.edge.state_dir / "journal", identity.edge_id, config.recorder, clock.now, keeper.keys)
    alarm.journal = journal
    http = ControlHttp(config.control.url, config.control.ca_file, config.control.connect_seconds)
    client = ControlClient(identity, http, clock, lambda: journal.durable_head,
                           Deadlines(call=config.control.call_seconds))  # fmt: skip
    polls = QueuePolls(client, lambda access: SqsQueue(http, access), time.monotonic)
    waker = Waker(polls, config.control.look_seconds, keeper.soon)
    liaison = Liaison(client, waker, http, config.control.upload_seconds, keeper.doubted)
    uploader = Uploader(journal, client, http, lambda: keeper.keys, config.recorder, config.control.upload_seconds,
                        clock.now, alarm)  # fmt: skip
    doors = {section.target: _door(section, config.limits) for section in config.postgres}
    edge = Edge(config, identity.edge_id, gate, clock, journal, client, http, keeper, waker, liaison, uploader,
                doors, listeners, directories)  # fmt: skip
    classifier = SqlClassifier(SqlLimits(cache_entries=config.limits.max_verdicts))
    holds = Holds(config.limits)
    copies = CopyRoom(config.edge.state_dir, config.limits.max_copied_bytes, config.recorder.low_disk_bytes)
    for section in config.postgres:
        edge.listeners.append(Listener(_listener_parts(edge, section, classifier, holds, copies)))
    return edge


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
    listeners: list[Listener],
) -> None:
    bundle = known.bundle
    gate.enter(World(edge_id, bundle.revision, Policies(bundle.policies, bundle.revision), known.keys))
    for section in config.postgres:
        directories[section.target] = BundleDirectory(bundle, section.target)
    for listener in listeners:
        listener.recheck()
    log("bundle", revision=bundle.revision)


def _door(section: PostgresSection, limits: LimitsSection) -> Door:
    longest = limits.max_message_bytes
    server_tls = tls.server_context(section)
    rules = StartupRules(
        section.target,
        server_tls is not None,
        secrets.token_bytes(32),
        tls.server_binding(section),
        Plaintext.LOOPBACK if section.plaintext else Plaintext.NEVER,
        section.upstream_database,
        limits=WireLimits(query=longest, parse=longest, bind=longest, copy_data=longest),
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
    edge: Edge, section: PostgresSection, classifier: SqlClassifier, holds: Holds, copies: CopyRoom
) -> ListenerParts:
    def session_key(session: str) -> SessionKey | None:
        known = edge.keeper.known
        return SessionKey(session, known.wrapping) if known is not None else None

    def surroundings(cancel: Cancelling) -> Surroundings:
        return Surroundings(edge.gate, edge.liaison, holds, section, cancel, copies, edge.config.limits.message_seconds)

    return ListenerParts(
        edge.doors[section.target],
        edge.config.limits,
        edge.journal,
        classifier,
        lambda: edge.directories.get(section.target),
        session_key,
        lambda: edge.clock.now() // 1000,
        edge.gate,
        surroundings,
        edge.keeper.doubted,
    )


async def run(config: EdgeConfig, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Build and run an Edge until `stop`. Raises TwokeysError."""
    edge = build(config)
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
